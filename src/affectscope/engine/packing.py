"""Step 1 of the sweep without padding: prompts end to end in one row, each attending to itself.

What works token by token (projections, MLPs, norms) sees only real tokens. Attention alone needs
the prompts apart: :func:`packed_attention`, registered to transformers' ``AttentionInterface``,
spreads queries, keys and values into one row for each prompt, lets every token attend to the shared
prefix and to its own prompt up to itself, and joins the results again. What a short prompt's row is
filled up with stands behind its tokens, where a causal mask hides it.

Keys and values come by on the way and are kept, so that no cache is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface

from affectscope.engine.attention import (
    KeysValues,
    attending_by,
    capped,
    refuse_unknown,
    scaled_products,
)
from affectscope.engine.batching import Batch

_NAME = "affectscope_packed"

MOST_SCORES = 2**24
"""Up to so many scores plain products are faster on a CPU than torch's attention, whose blocks are
made for long prompts; beyond it the scores are never held all at once."""


@dataclass
class Watch:
    """A token of every prompt whose attention weights are wanted."""

    position: int
    """Counted from the end."""
    weights: dict[int, Float[Tensor, "prompt head key"]] = field(default_factory=dict)
    """Its weights by layer as they come, float32 on the CPU: the prefix, then the prompt's own
    tokens, filled up on the right."""


@dataclass
class Pack:
    """What attention has to know of prompts that lie end to end."""

    batch: Batch
    prefix: Sequence[KeysValues] = ()
    """Keys and values that all prompts attend to, of every layer; empty when there are none."""
    watch: Watch | None = None
    """Where attention weights are kept, if they are."""
    own: dict[int, KeysValues] = field(default_factory=dict)
    """The prompts' keys and values ``[prompt, kv_head, token, d_head]``, by layer as they come."""
    _masks: dict[tuple[int | None, torch.device, torch.dtype], Tensor] = field(default_factory=dict)
    _indices: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def spread(
        self, packed: Float[Tensor, "one head token d"]
    ) -> Float[Tensor, "prompt head longest d"]:
        """One row for each prompt."""
        apart, _ = self._index(packed.device)
        rows = packed[0].transpose(0, 1)[apart]
        return rows.transpose(1, 2)

    def join(
        self, apart: Float[Tensor, "prompt head longest d"]
    ) -> Float[Tensor, "one token head d"]:
        """The inverse of :meth:`spread`, in the order of axes that attention modules expect."""
        _, together = self._index(apart.device)
        return apart.transpose(1, 2).flatten(0, 1)[together][None]

    def _index(
        self, device: torch.device
    ) -> tuple[Int[Tensor, "prompt longest"], Int[Tensor, " token"]]:
        if device not in self._indices:
            step = torch.arange(int(self.batch.lengths.max()))
            real = step < self.batch.lengths[:, None]
            apart = self.batch.first[:, None] + step.expand_as(real)
            together = real.flatten().nonzero()[:, 0]
            last = len(together) - 1
            self._indices[device] = (apart.clamp(max=last).to(device), together.to(device))
        return self._indices[device]

    def mask(
        self, window: int | None, device: torch.device, dtype: torch.dtype
    ) -> Float[Tensor, "longest key"]:
        """0 where a token may look (the prefix and its own prompt, up to itself), or -infinity.

        Args:
            window: A token sees so many tokens, itself included; None for all earlier ones.
            device: Where the mask is wanted.
            dtype: Of what it is added to.
        """
        key = (window, device, dtype)
        if key not in self._masks:
            shared = self.prefix[0][0].shape[2] if self.prefix else 0
            query = shared + torch.arange(int(self.batch.lengths.max()))[:, None]
            position = torch.arange(shared + len(query))
            allowed = position <= query
            if window is not None:
                allowed &= position > query - window
            mask = torch.zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))
            self._masks[key] = mask.to(device, dtype)
        return self._masks[key]


_PACK: ContextVar[Pack] = ContextVar("affectscope_pack")
"""What is being read; not every family hands keywords of the call down to its attention."""


def packed_attention(
    module: nn.Module,
    query: Float[Tensor, "one head token d_head"],
    key: Float[Tensor, "one kv_head token d_head"],
    value: Float[Tensor, "one kv_head token d_value"],
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "one token head d_value"], None]:
    """Attention of prompts that lie end to end in one row.

    Args:
        module: The attention module that asks.
        query: Queries of the prompts' tokens.
        key: Their keys.
        value: Their values.
        attention_mask: Not used.
        scaling: Multiplies the scores; ``1 / sqrt(d_head)`` when not given.
        sliding_window: How many tokens back a query sees, itself included.
        softcap: Scores become ``c tanh(scores / c)``.
        others: Anything else the module hands on.

    Raises:
        ModelError: The module hands on something that changes attention and is not known here.
    """
    refuse_unknown(module, others)
    pack, layer = _PACK.get(), int(module.layer_idx)  # type: ignore[arg-type]
    queries, keys, values = pack.spread(query), pack.spread(key), pack.spread(value)
    pack.own[layer] = (keys, values)
    if pack.prefix:
        keys, values = (
            torch.cat([first.to(own.device).expand(len(own), -1, -1, -1), own], dim=2)
            for first, own in zip(pack.prefix[layer], (keys, values), strict=True)
        )
    if pack.watch is not None:
        visible = pack.mask(sliding_window, query.device, torch.float32)
        at = (pack.batch.lengths + pack.watch.position).to(query.device)
        pack.watch.weights[layer] = _weights(
            queries[torch.arange(len(at), device=at.device), :, at][:, :, None],
            keys,
            visible[at][:, None, None],
            scaling=scaling,
            softcap=softcap,
        )[:, :, 0].cpu()
    n_scores = queries.shape[:3].numel() * keys.shape[2]
    if softcap is None and (query.device.type != "cpu" or n_scores > MOST_SCORES):
        mask = pack.mask(sliding_window, query.device, query.dtype)
        out = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=scaling, enable_gqa=True
        )
    else:
        mask = pack.mask(sliding_window, query.device, torch.float32)
        out = _attention(queries, keys, values, mask, scaling=scaling, softcap=softcap)
    return pack.join(out), None


def _attention(
    queries: Float[Tensor, "prompt head query d_head"],
    keys: Float[Tensor, "prompt kv_head key d_head"],
    values: Float[Tensor, "prompt kv_head key d_value"],
    mask: Float[Tensor, "query key"],
    *,
    scaling: float | None,
    softcap: float | None,
) -> Float[Tensor, "prompt head query d_value"]:
    """Attention by plain products, with scores in float32 whatever the model's type."""
    n_prompts, n_heads, n_queries, _ = queries.shape
    n_kv, n_keys = keys.shape[1], keys.shape[2]
    weights = _weights(queries, keys, mask, scaling=scaling, softcap=softcap).to(values.dtype)
    out = weights.view(n_prompts * n_kv, -1, n_keys) @ values.flatten(0, 1)
    return out.view(n_prompts, n_heads, n_queries, -1)


def _weights(
    queries: Float[Tensor, "prompt head query d_head"],
    keys: Float[Tensor, "prompt kv_head key d_head"],
    mask: Float[Tensor, "*prompt_head query key"],
    *,
    scaling: float | None,
    softcap: float | None,
) -> Float[Tensor, "prompt head query key"]:
    """Attention weights, in float32 whatever the model's type."""
    n_prompts, n_heads, n_queries, d_head = queries.shape
    n_kv, n_keys = keys.shape[1], keys.shape[2]
    # query heads that share keys come together
    rows = queries.reshape(n_prompts * n_kv, -1, d_head)
    scaling = d_head**-0.5 if scaling is None else scaling
    scores = capped(scaled_products(rows, keys.flatten(0, 1), scaling), softcap)
    scores = scores.view(n_prompts, n_heads, n_queries, n_keys).add_(mask)
    return torch.softmax(scores, dim=-1)


AttentionInterface.register(_NAME, packed_attention)


@contextmanager
def attending_to_packed(model: nn.Module, pack: Pack) -> Iterator[None]:
    """Let a model's attention modules call :func:`packed_attention` while the context lasts."""
    token = _PACK.set(pack)
    try:
        with attending_by(model, _NAME):
            yield
    finally:
        _PACK.reset(token)
