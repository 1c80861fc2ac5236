"""Prompts as token ids, and the one place that batches and pads them.

Prompts are padded on the right: in a causal model what follows the last real token cannot reach
it, so padding needs no mask and changes no score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from affectscope.errors import PromptError
from affectscope.prompts.tokens import Tokenizer, prompt_ids

Prompt = str | Sequence[int]
"""A prompt as text, or already as token ids."""


def encode_all(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
    """Token ids of every prompt.

    Raises:
        PromptError: For a prompt without tokens.
    """
    encoded = [
        tuple(prompt_ids(tokenizer, prompt) if isinstance(prompt, str) else prompt)
        for prompt in prompts
    ]
    empty = [index for index, ids in enumerate(encoded) if not ids]
    if empty or not encoded:
        raise PromptError(
            f"prompt {empty[0]} has no tokens" if empty else "no prompts were given",
            expected="at least one prompt, each with at least one token",
            remedy="leave empty texts out",
        )
    return encoded


@dataclass(frozen=True)
class Batch:
    """Prompts that go through the model together, without their shared prefix."""

    rows: tuple[int, ...]
    """Index of each prompt in the call."""
    ids: Int[Tensor, "prompt token"]
    """Token ids after the prefix, padded on the right with each prompt's own last token."""
    lengths: Int[Tensor, " prompt"]
    """Number of real tokens after the prefix."""


def common_prefix_length(encoded: Sequence[Sequence[int]], keep: int) -> int:
    """Length of the prefix all prompts share, leaving each at least ``keep`` tokens of its own."""
    # whatever all share, the first and the last in lexical order share
    first, last = min(map(tuple, encoded)), max(map(tuple, encoded))
    shared = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        shared += 1
    return max(0, min(shared, min(map(len, encoded)) - keep))


def length_batches(
    encoded: Sequence[Sequence[int]],
    *,
    prefix: int,
    max_prompts: int,
    max_tokens: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Batches of prompts of similar length, longest first.

    Longest first, so that a batch that does not fit in memory fails at once rather than at the end.

    Args:
        encoded: Token ids of every prompt.
        prefix: Number of leading tokens to leave out.
        max_prompts: Most prompts in a batch.
        max_tokens: Most tokens in a batch, padding included; a single longer prompt goes alone.
        device: Where the ids go.
    """
    order = sorted(range(len(encoded)), key=lambda index: (-len(encoded[index]), index))
    start = 0
    while start < len(order):
        longest = len(encoded[order[start]]) - prefix
        size = max(1, min(max_prompts, max_tokens // longest))
        rows = order[start : start + size]
        start += size
        tails = [list(encoded[row][prefix:]) for row in rows]
        padded = [tail + [tail[-1]] * (longest - len(tail)) for tail in tails]
        yield Batch(
            rows=tuple(rows),
            ids=torch.tensor(padded, device=device),
            lengths=torch.tensor([len(tail) for tail in tails], device=device),
        )
