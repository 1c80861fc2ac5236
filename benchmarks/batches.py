"""Prompts in padded batches, as a careful user of Hugging Face makes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Prompts of similar length, padded on the left, so that the last column is the last token."""

    rows: tuple[int, ...]
    """Index of every prompt in the job."""
    ids: Tensor
    """``[row, token]``"""
    mask: Tensor
    """1 for a token, 0 for padding."""

    def times(self, copies: int) -> Batch:
        """The batch repeated, copy after copy."""
        if copies == 1:
            return self
        return Batch(self.rows * copies, self.ids.repeat(copies, 1), self.mask.repeat(copies, 1))

    @property
    def position_ids(self) -> Tensor:
        """Every token's place in its own prompt."""
        return (self.mask.cumsum(1) - 1).clamp(min=0)


def batches_by_length(
    prompts: Sequence[Sequence[int]],
    size: int,
    device: torch.device,
    rows: Iterable[int] | None = None,
) -> list[Batch]:
    """Sorted by length, so that padding is little; at most ``size`` prompts in each.

    Args:
        prompts: Token ids.
        size: Most prompts in a batch.
        device: Where the model is.
        rows: Which prompts; all when None.
    """
    order = sorted(range(len(prompts)) if rows is None else rows, key=lambda i: len(prompts[i]))
    return [
        _padded(prompts, order[start : start + size], device)
        for start in range(0, len(order), size)
    ]


def padding_share(prompts: Sequence[Sequence[int]], size: int) -> float:
    """The share of a pass's positions that hold padding."""
    batches = batches_by_length(prompts, size, torch.device("cpu"))
    positions = sum(batch.mask.numel() for batch in batches)
    return 1.0 - sum(int(batch.mask.sum()) for batch in batches) / positions


def _padded(prompts: Sequence[Sequence[int]], rows: list[int], device: torch.device) -> Batch:
    longest = max(len(prompts[row]) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, longest - len(prompts[row]) :] = torch.tensor(prompts[row])
        mask[i, longest - len(prompts[row]) :] = 1
    return Batch(tuple(rows), ids.to(device), mask.to(device))
