"""Prompts as token ids, and the one place that pads them.

Prompts are padded on the right: in a causal model what follows the last real token cannot reach
it, so padding needs no mask and changes no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
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
    """Prompts that go through the model together, without their shared prefix."""

    ids: Int[Tensor, "prompt token"]
    """Token ids after the prefix, padded on the right with each prompt's own last token."""
    lengths: Int[Tensor, " prompt"]
    """Number of real tokens after the prefix, on the CPU."""

    @property
    def n_prompts(self) -> int:
        """How many prompts."""
        return len(self.lengths)


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


LOOK_AHEAD = 256
"""Prompts that are looked at when batches are formed: enough for the next few."""


def first_batch(lengths: Sequence[int], most: int, pass_tokens: int) -> int:
    """How many prompts to read together, when all are to be read in as little time as can be.

    A batch is padded to its longest prompt, and every pass costs something: of all ways to cut the
    prompts into batches, the one with the fewest tokens, counted so, is taken.

    Args:
        lengths: Tokens of each prompt, longest first.
        most: Prompts that fit into a batch.
        pass_tokens: What a pass costs besides its tokens, in tokens.

    Returns:
        Size of the first batch.
    """
    n = len(lengths)
    costs, sizes = [0] * (n + 1), [0] * n  # of the prompts from here to the end
    for start in range(n - 1, -1, -1):
        costs[start], sizes[start] = min(
            (pass_tokens + size * lengths[start] + costs[start + size], size)
            for size in range(1, min(most, n - start) + 1)
        )
    return sizes[0]


def make_batch(encoded: Sequence[Ids], n_prefix: int, device: torch.device) -> Batch:
    """Pad prompts to the longest of them.

    Args:
        encoded: Token ids of every prompt.
        n_prefix: Number of leading tokens to leave out.
        device: Where the ids go.
    """
    tails = [list(ids[n_prefix:]) for ids in encoded]
    longest = max(map(len, tails))
    padded = [tail + [tail[-1]] * (longest - len(tail)) for tail in tails]
    return Batch(
        ids=torch.tensor(padded, device=device),
        lengths=torch.tensor([len(tail) for tail in tails]),
    )
