"""Prompts as token ids, and the one place that puts several into one tensor.

Either end to end in one row (:mod:`affectscope.engine.packing` keeps them apart), or side by side,
padded on the right: in a causal model what follows the last real token cannot reach it, so padding
needs no mask and changes no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from affectscope.errors import PromptError
from affectscope.prompts.tokens import Tokenizer, prompt_ids

Prompt = str | Sequence[int]
"""A prompt as text, or already as token ids."""

Ids = tuple[int, ...]
"""Token ids of a prompt."""


def encode_all(tokenizer: Tokenizer, prompts: Sequence[Prompt]) -> list[Ids]:
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
    """Prompts that go through the model together."""

    ids: Int[Tensor, "row token"]
    """Their token ids: one row for each prompt, or a single row for all."""
    lengths: Int[Tensor, " prompt"]
    """Number of tokens of each, on the CPU."""
    first: Int[Tensor, " prompt"]
    """Where each prompt begins when the rows are read one after another, on the CPU."""

    @property
    def n_prompts(self) -> int:
        """How many prompts."""
        return len(self.lengths)

    def at(
        self, activation: Float[Tensor, "row token d"], columns: Int[Tensor, "prompt position"]
    ) -> Float[Tensor, "prompt position d"]:
        """The activations at some tokens of every prompt.

        Args:
            activation: Of the pass over this batch.
            columns: The tokens of each prompt, from 0.
        """
        index = self.first[:, None] + columns
        return activation.flatten(0, 1)[index.to(activation.device)]


def common_prefix_length(encoded: Sequence[Ids], keep: int) -> int:
    """Length of the prefix all prompts share, leaving each at least ``keep`` tokens of its own."""
    # whatever all share, the first and the last in lexical order share
    first, last = min(encoded), max(encoded)
    shared = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        shared += 1
    return max(0, min(shared, min(map(len, encoded)) - keep))


def longest_first(encoded: Sequence[Ids]) -> list[int]:
    """Indices of the prompts, longest first, equal prompts side by side.

    Longest first, so that a batch that does not fit in memory fails at once rather than at the end.
    """
    return sorted(range(len(encoded)), key=lambda index: (-len(encoded[index]), encoded[index]))


def padded(encoded: Sequence[Ids], device: torch.device) -> Batch:
    """Prompts side by side, filled up to the longest of them with each prompt's own last token.

    Args:
        encoded: Token ids of every prompt.
        device: Where the ids go.
    """
    longest = max(map(len, encoded))
    rows = [[*ids, *[ids[-1]] * (longest - len(ids))] for ids in encoded]
    return Batch(
        ids=torch.tensor(rows, device=device),
        lengths=torch.tensor([len(ids) for ids in encoded]),
        first=longest * torch.arange(len(encoded)),
    )


def end_to_end(encoded: Sequence[Ids], n_prefix: int, device: torch.device) -> Batch:
    """Prompts in one row, without their first tokens.

    Args:
        encoded: Token ids of every prompt.
        n_prefix: Number of leading tokens to leave out.
        device: Where the ids go.
    """
    lengths = torch.tensor([len(ids) - n_prefix for ids in encoded])
    return Batch(
        ids=torch.tensor([[token for ids in encoded for token in ids[n_prefix:]]], device=device),
        lengths=lengths,
        first=lengths.cumsum(0) - lengths,
    )
