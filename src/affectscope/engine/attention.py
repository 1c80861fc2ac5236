"""Step 2 of the sweep, branch: attention of many short chains of tokens that share a past.

The model's own attention modules compute queries, keys and values; what they do with them is
settled by transformers' ``AttentionInterface``, to which :func:`branch_attention` is registered.
There a chain of tokens attends to its prompt's past, which all chains of the prompt share without a
copy, and to its own earlier tokens; never to another chain. With past keys ``K``, values ``V`` and
a chain's own ``K'``, ``V'``

    out = softmax([Q Kᵀ, Q K'ᵀ] scaling + mask) [V; V'],

which is the ordinary attention of the whole sequence, restricted to the chain's queries.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface

from affectscope.engine.knockout import Block, block_scores
from affectscope.errors import ModelError

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, each ``[prompt, kv_head, token, d_head]``."""

_NAME = "affectscope_branches"

_HARMLESS = frozenset(
    {"position_ids", "cache_position", "is_causal", "use_cache", "output_attentions", "dropout"}
)
"""What attention modules hand on that changes nothing here."""


@dataclass(frozen=True)
class Branches:
    """What the chains of a batch of prompts have in common.

    Handed through the blocks to :func:`branch_attention` as a keyword.
    """

    prefix: Sequence[KeysValues]
    """Where the past of all prompts begins, of every layer; empty when they share nothing."""
    keys_values: Sequence[KeysValues]
    """What follows of the past: at least up to where the chains begin, padded on the right."""
    n_past: tuple[int, ...]
    """How many tokens of the past each prompt's chains see: all before the chain."""
    chain: int
    """Tokens in a chain."""
    blocks: Mapping[int, Sequence[Block]] = field(default_factory=dict)
    """What chains may not see, by layer."""
    hits: dict[tuple[int, int], int] = field(default_factory=dict)
    """For how many prompts each of these blocked something."""
    layers_seen: set[int] = field(default_factory=set)
    """The layers whose attention has asked for its past."""
    _masks: dict[tuple[int | None, torch.device], Tensor | None] = field(default_factory=dict)

    def past(self, layer: int, device: torch.device) -> KeysValues:
        """Keys and values of a layer that some chain may see, then zeros for a chain's own."""
        self.layers_seen.add(layer)
        keys, values = self.keys_values[layer]
        first_keys, first_values = self.prefix[layer] if self.prefix else (None, None)
        return self._joined(first_keys, keys, device), self._joined(first_values, values, device)

    def _joined(self, first: Tensor | None, own: Tensor, device: torch.device) -> Tensor:
        n_prompts, n_heads, _, width = own.shape
        shared, longest = 0 if first is None else first.shape[2], max(self.n_past)
        joined = own.new_empty((n_prompts, n_heads, longest + self.chain, width), device=device)
        if first is not None:
            joined[:, :, :shared] = first
        joined[:, :, shared:longest] = own[:, :, : longest - shared]
        joined[:, :, longest:] = 0
        return joined

    def mask(self, window: int | None, device: torch.device) -> Tensor | None:
        """0 where a chain's token may look, minus infinity elsewhere: ``[prompt, chain, key]``.

        The keys are the past, then the chain itself. None when every token may see everything.

        Args:
            window: A token sees so many tokens, itself included; None for all earlier ones.
            device: Where the mask is wanted.
        """
        key = (window, device)
        if key not in self._masks:
            mask = self._build_mask(window)
            self._masks[key] = None if mask is None else mask.to(device)
        return self._masks[key]

    def block(
        self,
        scores: Float[Tensor, "prompt head chain token key"],
        layer: int,
        window: int | None,
    ) -> None:
        """Put minus infinity, in place, where a chain may not look in a layer, and count it."""
        blocks = self.blocks.get(layer, ())
        if not blocks:
            return
        mask = self.mask(window, torch.device("cpu"))
        for block in blocks:
            visible = torch.ones_like(block.keys) if mask is None else mask[:, block.token] == 0
            self.hits[block.owner] = self.hits.get(block.owner, 0) + block.hits(visible)
        block_scores(scores, blocks)

    def _build_mask(self, window: int | None) -> Tensor | None:
        n_past = torch.tensor(self.n_past)[:, None, None]
        longest = max(self.n_past)
        step = torch.arange(self.chain)
        query = n_past + step[None, :, None]
        past = torch.arange(longest).expand(len(self.n_past), self.chain, -1)
        own = (n_past + step[None, None, :]).expand(-1, self.chain, -1)
        position = torch.cat([past, own], dim=2)
        is_real = torch.cat([past < n_past, torch.ones_like(own, dtype=torch.bool)], dim=2)
        allowed = is_real & (position <= query)
        if window is not None:
            allowed &= position > query - window
        if bool(allowed.all()):
            return None
        return torch.zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))


def branch_attention(
    module: nn.Module,
    query: Float[Tensor, "prompt head row d_head"],
    key: Float[Tensor, "prompt kv_head row d_head"],
    value: Float[Tensor, "prompt kv_head row d_value"],
    attention_mask: Tensor | None,
    *,
    branches: Branches,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "prompt row head d_value"], None]:
    """Attention of chains of tokens, rows being the chains' tokens one chain after another.

    Args:
        module: The attention module that asks.
        query: Queries of the chains' tokens.
        key: Their keys.
        value: Their values.
        attention_mask: Not used.
        branches: The past, and the shape of the chains.
        scaling: Multiplies the scores; ``1 / sqrt(d_head)`` when not given.
        sliding_window: How many tokens back a query sees, itself included.
        softcap: Scores become ``c tanh(scores / c)``.
        others: Anything else the module hands on.

    Raises:
        ModelError: The module hands on something that changes attention and is not known here.
    """
    refuse_unknown(module, others)
    n_prompts, n_heads, n_rows, d_head = query.shape
    n_kv, chain = key.shape[1], branches.chain
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    keys, values = branches.past(layer, query.device)
    n_keys = keys.shape[2]
    # chains: query heads that share keys come together; then a chain's rows attend to the past of
    # its prompt in one product for all chains, and to the chain in another
    chains = (n_prompts, n_kv, n_heads // n_kv, n_rows // chain, chain)
    own_keys = key.reshape(n_prompts, n_kv, 1, -1, chain, d_head)
    own_values = value.reshape(n_prompts, n_kv, 1, -1, chain, value.shape[-1])
    rows = query.reshape(n_prompts * n_kv, -1, d_head)
    scaling = d_head**-0.5 if scaling is None else scaling
    scores = scaled_products(rows, keys.flatten(0, 1), scaling).view(*chains, n_keys)
    scores[..., n_keys - chain :] = _chain_scores(rows.view(*chains, d_head), own_keys) * scaling
    scores = capped(scores, softcap)
    mask = branches.mask(sliding_window, query.device)
    if mask is not None:
        scores += mask[:, None, None, None]
    branches.block(scores.view(n_prompts, n_heads, -1, chain, n_keys), layer, sliding_window)
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    out = weights.view(n_prompts * n_kv, -1, n_keys) @ values.flatten(0, 1)
    out = out.view(*chains, -1)
    own_weights = weights[..., n_keys - chain :]
    if chain == 1:
        out.addcmul_(own_weights, own_values)
    else:
        out += own_weights @ own_values
    return out.view(n_prompts, n_heads, n_rows, -1).transpose(1, 2), None


def scaled_products(
    queries: Float[Tensor, "head query d_head"],
    keys: Float[Tensor, "head key d_head"],
    scaling: float,
) -> Float[Tensor, "head query key"]:
    """Scaled products of queries and keys, in float32 whatever the model's type.

    They are scaled before they are rounded to the model's type: in float16 products of activations
    beyond 65,504 would be infinite.
    """
    nothing = queries.new_empty(())
    return torch.baddbmm(nothing, queries, keys.mT, beta=0, alpha=scaling).float()


def capped(scores: Tensor, softcap: float | None) -> Tensor:
    """Scores as ``c tanh(scores / c)``, where a family caps them."""
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def refuse_unknown(module: nn.Module, others: Mapping[str, Any]) -> None:
    """Raise :class:`ModelError` where a module hands on what would change attention."""
    unknown = [
        name for name, given in others.items() if name not in _HARMLESS and given is not None
    ]
    if unknown:
        raise ModelError(
            f"attention of {type(module).__name__} uses {', '.join(unknown)}, "
            "which the sweep does not know",
            expected="scaling, a sliding window or a soft cap",
            remedy="use full passes for this model",
        )


def _chain_scores(queries: Tensor, keys: Tensor) -> Tensor:
    """Products within each chain; those of one row are no work for a matrix product."""
    if queries.shape[-2] == 1:
        return (queries * keys).sum(dim=-1, keepdim=True)
    return queries @ keys.transpose(-1, -2)


AttentionInterface.register(_NAME, branch_attention)


@contextmanager
def attending_by(model: nn.Module, name: str) -> Iterator[None]:
    """Let a model's attention modules call a registered function while the context lasts.

    Args:
        model: The model.
        name: What the function is registered as.
    """
    configs: dict[int, Any] = {
        id(module.config): module.config for module in model.modules() if hasattr(module, "config")
    }
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation = name
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def attending_to_branches(model: nn.Module) -> AbstractContextManager[None]:
    """Let a model's attention modules call :func:`branch_attention` while the context lasts."""
    return attending_by(model, _NAME)


def require_seen(layer: int, seen: Container[int]) -> None:
    """Raise :class:`ModelError` for a layer whose attention did not ask the function set for it."""
    if layer not in seen:
        raise ModelError(
            f"attention of layer {layer} does not go through transformers' interface",
            expected="an attention module that calls the configured function",
            remedy="use full passes for this model",
        )
