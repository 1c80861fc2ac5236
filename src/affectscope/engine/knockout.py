"""Attention knock-out: what a token may not attend to, in one layer.

The scores of the blocked tokens' keys become minus infinity before the softmax, which is then taken
over what is left (Geva et al. 2023, "Dissecting Recall of Factual Associations in Auto-Regressive
Language Models"). What the blocked tokens hold reaches the token by other layers and other tokens
only.

Nothing but the attending token changes, so a knock-out branches as edits of activations do; see
:func:`affectscope.engine.attention.branch_attention`. Full passes change the mask that the model
hands to its attention module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from affectscope.engine.interventions import Edit
from affectscope.errors import InterventionError
from affectscope.vocabulary import Site

ATTENTION: Site = "attn_weights"
"""What a knock-out changes; no activation, and so none of the sites that can be read."""

Tokens = Tensor | Sequence[bool] | Sequence[int]
"""Some tokens of a prompt: a boolean for each of them, or indices, the first token being 0."""


@dataclass(frozen=True, eq=False)
class BlockAttention(Edit):
    """Attention knock-out: a token does not see some earlier tokens, in one layer.

    Args:
        layer: Which block, from 0.
        tokens: For every prompt of the call the tokens that are not seen; a prompt may have none.
        heads: The query heads to which it happens, from 0; None for all.
        position: Which token does not see them, counted from the end.
    """

    site: Site = field(default=ATTENTION, init=False)
    tokens: Sequence[Tokens] = field(kw_only=True)
    heads: Sequence[int] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.position == "all":
            raise InterventionError(
                'attention is blocked for position "all"',
                expected="one attending token, such as -1, the last",
                remedy="make one BlockAttention for each attending token",
            )

    def check_prompts(self, lengths: Sequence[int]) -> None:
        """Raise :class:`InterventionError` when the tokens are not those of such prompts.

        Args:
            lengths: Number of tokens of every prompt.
        """
        if len(self.tokens) != len(lengths):
            raise InterventionError(
                f"tokens are blocked for {len(self.tokens)} prompts, in a call with {len(lengths)}",
                expected="the tokens of every prompt, in order",
                remedy="give an empty list for a prompt of which nothing is blocked",
            )
        for prompt, length in enumerate(lengths):
            if bool(self.blocked(prompt, length)[length + int(self.position)]):
                raise InterventionError(
                    f"token {length + int(self.position)} of prompt {prompt} is blocked for itself",
                    expected="tokens other than the attending one, which always sees itself",
                    remedy="leave the attending token out of the blocked tokens",
                )

    def check_heads(self, n_heads: int) -> None:
        """Raise :class:`InterventionError` for heads that a layer does not have."""
        heads = None if self.heads is None else list(self.heads)
        if heads is not None and not (heads and all(0 <= head < n_heads for head in heads)):
            raise InterventionError(
                f"attention is blocked in heads {heads}",
                expected=f"heads from 0 to {n_heads - 1}, at least one",
                remedy="leave heads out for all of them",
            )

    def blocked(self, prompt: int, length: int) -> Bool[Tensor, " token"]:
        """Whether each token of a prompt is blocked.

        Args:
            prompt: Index of the prompt in the call.
            length: How many tokens it has.

        Raises:
            InterventionError: The tokens given are not those of such a prompt.
        """
        given = torch.as_tensor(self.tokens[prompt]).cpu()
        if given.dtype == torch.bool and given.shape == (length,):
            return given
        blocked = torch.zeros(length, dtype=torch.bool)
        if not given.numel():
            return blocked
        whole = given.ndim == 1 and not (given.is_floating_point() or given.dtype == torch.bool)
        if not whole or int(given.min()) < 0 or int(given.max()) >= length:
            raise InterventionError(
                f"prompt {prompt} has {length} tokens, and these are to be blocked: "
                f"{given.tolist()}",
                expected=f"{length} booleans, or indices of tokens from 0 to {length - 1}",
                remedy="number the tokens as lm.encode(prompts) gives them, special tokens and all",
            )
        blocked[given] = True
        return blocked


@dataclass(frozen=True)
class Block:
    """A knock-out in a pass over branches."""

    owner: tuple[int, int]
    """Index of the intervention in the call, and of the edit in the intervention."""
    chain: int
    """Number of the chain in the pass."""
    token: int
    """The attending token, from the chain's first."""
    keys: Bool[Tensor, "prompt key"]
    """Which keys are blocked, in the order in which branches see them; on the CPU."""
    heads: tuple[int, ...] | None

    def hits(self, visible: Bool[Tensor, "prompt key"]) -> int:
        """For how many prompts something is blocked that would be seen.

        Args:
            visible: The keys that the attending token sees otherwise.
        """
        return int((self.keys & visible).any(dim=1).sum())


def in_branch_order(
    blocked: Sequence[Tensor], n_past: Sequence[int], chain: int
) -> Bool[Tensor, "prompt key"]:
    """Tokens in the order of keys that branches see: the past, filled up, then the chain.

    Args:
        blocked: Whether each token of each prompt is blocked.
        n_past: Tokens of each prompt's past.
        chain: Tokens of a chain, which are the prompt's last.
    """
    longest = max(n_past)
    keys = torch.zeros((len(blocked), longest + chain), dtype=torch.bool)
    for row, (tokens, past) in enumerate(zip(blocked, n_past, strict=True)):
        keys[row, :past] = tokens[:past]
        keys[row, longest:] = tokens[past:]
    return keys


def block_scores(
    scores: Float[Tensor, "prompt head chain token key"], blocks: Sequence[Block]
) -> None:
    """Put minus infinity, in place, where a chain's token may not look.

    Args:
        scores: What the softmax is about to be taken of.
        blocks: The knock-outs of the layer.
    """
    places: dict[tuple[int, tuple[int, ...]], dict[int, Tensor]] = {}
    for block in blocks:
        by_chain = places.setdefault((block.token, block.heads or ()), {})
        known = by_chain.get(block.chain)
        by_chain[block.chain] = block.keys if known is None else known | block.keys
    for (token, heads), by_chain in places.items():
        keys = torch.stack(list(by_chain.values()), dim=1).to(scores.device)
        chains = torch.tensor(list(by_chain), device=scores.device)
        if not heads:
            here = scores[:, :, chains, token]
            scores[:, :, chains, token] = here.masked_fill_(keys[:, None], float("-inf"))
        for head in heads:
            here = scores[:, head, chains, token]
            scores[:, head, chains, token] = here.masked_fill_(keys, float("-inf"))


def blocks_by_layer(blocks: Sequence[tuple[int, Block]]) -> Mapping[int, Sequence[Block]]:
    """The knock-outs of every layer that has some."""
    ordered = sorted(blocks, key=lambda item: item[0])
    return {
        layer: [block for _, block in group]
        for layer, group in groupby(ordered, key=lambda item: item[0])
    }
