"""Step 1, read once: the shared prefix of all prompts, then each prompt's own tokens.

The keys and values of the prefix are computed once for a call; the prompts attend to them as to
their own earlier tokens. What a branch needs of a clean pass is kept: keys and values, and the
input of every block at the last tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from affectscope.engine.access import ModelAccess
from affectscope.engine.attention import KeysValues
from affectscope.engine.batching import (
    LOOK_AHEAD,
    Batch,
    Ids,
    common_prefix_length,
    first_batch,
    make_batch,
)
from affectscope.engine.budget import Budget
from affectscope.engine.memory import PassMemory
from affectscope.engine.notes import BlockCall, at_columns, noting

CPU_PASS_TOKENS = 35
"""A pass takes time whatever it holds: as much as so many more tokens of the default model."""

GPU_PASS_TOKENS = 1024
"""The same for a GPU."""


@dataclass(frozen=True)
class Prefix:
    """What the prompts of a call share at their beginning, read."""

    ids: Ids = ()
    """Its tokens; empty when nothing is shared."""
    keys_values: Sequence[KeysValues] = ()

    @property
    def n_tokens(self) -> int:
        """How many tokens."""
        return len(self.ids)

    def cache(self, n_prompts: int) -> DynamicCache:
        """A cache of the prefix, for so many prompts."""
        return DynamicCache(
            [
                (keys.expand(n_prompts, -1, -1, -1), values.expand(n_prompts, -1, -1, -1))
                for keys, values in self.keys_values
            ]
        )


NOTHING = Prefix()


@dataclass(frozen=True)
class CleanPass:
    """Prompts that were read together."""

    batch: Batch
    prefix: Prefix
    """What they share, which they were read after."""
    hidden: Float[Tensor, "prompt d_model"]
    """The last token's hidden state after the final norm."""
    keys_values: Sequence[KeysValues] = ()
    """Of the prompts' own tokens, per layer; empty when they were not kept."""
    calls: Sequence[BlockCall] = ()
    """How each block was called."""
    streams: Sequence[Float[Tensor, "prompt kept d_model"]] = ()
    """The residual stream into each block, and into the final norm, at the last tokens."""
    mlp_out: Mapping[int, Float[Tensor, "prompt kept d_model"]] = field(default_factory=dict)
    """What each MLP adds, at the last tokens, by layer."""
    kept: int = 0
    """At how many last tokens the states were kept."""

    def without_prefix(self) -> CleanPass:
        """The same, where keys and values are not views of those of the prefix and the prompts."""
        own = [(keys.contiguous(), values.contiguous()) for keys, values in self.keys_values]
        return replace(self, keys_values=own)

    def n_bytes(self) -> int:
        """Memory it holds besides the prefix, roughly."""
        tensors = [self.hidden, *self.streams, *self.mlp_out.values()]
        tensors += [tensor for pair in self.keys_values for tensor in pair]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class PromptReader:
    """Runs prompts through the backbone.

    Args:
        access: The model.
        plain: Run every prompt alone, by a pass without prefix, mask or padding: slow, and right
            whatever the model does with those.
        budget: How much goes through at once.
        memory: Keeps clean passes for later calls; None to read anew in every call, so that a
            change of the model between calls counts.
    """

    access: ModelAccess
    plain: bool = False
    budget: Budget = field(default_factory=Budget)
    memory: PassMemory[CleanPass, Prefix] | None = None

    @torch.no_grad()
    def prefix(self, encoded: Sequence[Ids], keep: int) -> Prefix:
        """Read what the prompts share, leaving each at least ``keep`` tokens of its own."""
        n_tokens = 0 if self.plain else common_prefix_length(encoded, keep)
        if not n_tokens:
            return NOTHING
        ids = encoded[0][:n_tokens]
        known = self.memory.prefix(ids) if self.memory else None
        if known is not None:
            return known
        cache = DynamicCache()
        tokens = torch.tensor([list(ids)], device=self.access.device)
        self.access.backbone(input_ids=tokens, past_key_values=cache, use_cache=True)
        prefix = Prefix(ids, [(layer.keys, layer.values) for layer in cache.layers])
        if self.memory:
            self.memory.keep_prefix(ids, prefix)
        return prefix

    def most_prompts(self, encoded: Sequence[Ids], prefix: Prefix) -> int:
        """How many of the prompts, the first being the longest, go into the next pass."""
        if self.plain:
            return 1
        longest = len(encoded[0])
        own = [len(ids) - prefix.n_tokens for ids in encoded[:LOOK_AHEAD]]
        rows = self.budget.rows(self.access, tokens=own[0], keys=longest)
        cost = CPU_PASS_TOKENS if self.access.device.type == "cpu" else GPU_PASS_TOKENS
        return first_batch(own, rows, cost)

    @torch.no_grad()
    def read(self, encoded: Sequence[Ids], prefix: Prefix, *, keep: int = 0) -> CleanPass:
        """Run prompts together; hooks that are on see the prompts' own tokens.

        Args:
            encoded: Token ids of the prompts.
            prefix: What they share.
            keep: At how many last tokens the blocks' inputs are kept, for branches to start from;
                0 keeps neither those nor keys and values.
        """
        batch = make_batch(encoded, prefix.n_tokens, self.access.device)
        if self.plain or not keep:
            cache = prefix.cache(batch.n_prompts) if prefix.n_tokens else None
            output = self.access.backbone(
                input_ids=batch.ids, past_key_values=cache, use_cache=cache is not None
            )
            return CleanPass(batch, prefix, _last(output, batch))
        cache = prefix.cache(batch.n_prompts) if prefix.n_tokens else DynamicCache()
        with noting(self.access, batch, keep) as notes:
            output = self.access.backbone(
                input_ids=batch.ids, past_key_values=cache, use_cache=True
            )
        layers = range(self.access.n_layers)
        return CleanPass(
            batch,
            prefix,
            _last(output, batch),
            keys_values=[
                (layer.keys[:, :, prefix.n_tokens :], layer.values[:, :, prefix.n_tokens :])
                for layer in cache.layers
            ],
            calls=[notes.calls[layer] for layer in layers],
            streams=[notes.streams[layer] for layer in (*layers, len(layers))],
            mlp_out=notes.mlp_out,
            kept=keep,
        )

    def clean_pass(
        self, encoded: Sequence[Ids], prefix: Prefix, *, keep: int, anew: bool = False
    ) -> CleanPass:
        """As :meth:`read`, from memory where these prompts were read together before.

        Args:
            encoded: Token ids of the prompts.
            prefix: What they share.
            keep: At how many last tokens the blocks' inputs are kept.
            anew: Read them in any case, so that hooks see them.
        """
        if self.memory is None or self.plain:
            return self.read(encoded, prefix, keep=keep)
        key = (prefix.ids, *encoded)
        known = None if anew else self.memory.find(key)
        if known is not None and known.kept >= keep:
            return known
        clean = self.read(encoded, prefix, keep=max(keep, 1)).without_prefix()
        self.memory.keep(key, clean, clean.n_bytes())
        return clean


def _last(output: Any, batch: Batch) -> Float[Tensor, "prompt d_model"]:
    return at_columns(output.last_hidden_state, batch.lengths[:, None] - 1)[:, 0]
