"""Step 1, read once: the shared prefix of all prompts, then each prompt's own tokens.

The keys and values of the prefix are computed once for a call; the prompts attend to them as to
their own earlier tokens. What a branch needs of a clean pass is kept: keys and values, and the
input of every block at the last tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from affectscope.engine.access import ModelAccess
from affectscope.engine.attention import KeysValues, require_seen
from affectscope.engine.batching import Batch, Ids, common_prefix_length, end_to_end, padded
from affectscope.engine.budget import Budget
from affectscope.engine.memory import PassMemory
from affectscope.engine.notes import BlockCall, Notes, noting
from affectscope.engine.packing import Pack, Watch, attending_to_packed


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
        """How many of the prompts, the first being the longest, are read together."""
        if self.plain:
            return 1
        longest = len(encoded[0]) - prefix.n_tokens
        rows = self.budget.rows(self.access, tokens=longest, keys=len(encoded[0]))
        room, most = rows * longest, rows if self.budget.asked is not None else len(encoded)
        for n, ids in enumerate(encoded[:most]):
            room -= len(ids) - prefix.n_tokens
            if room < 0:
                return n
        return min(most, len(encoded))

    def most_sequences(self, encoded: Sequence[Ids]) -> int:
        """How many whole sequences, the first being the longest, go through side by side."""
        longest = len(encoded[0])
        return 1 if self.plain else self.budget.rows(self.access, tokens=longest, keys=longest)

    @torch.no_grad()
    def side_by_side(self, encoded: Sequence[Ids]) -> Float[Tensor, "sequence d_model"]:
        """The last tokens' hidden states after the final norm, by an ordinary padded pass.

        Hooks that are on see ``[sequence, token, d_model]``.
        """
        batch = padded(encoded, self.access.device)
        return _last(self.access.backbone(input_ids=batch.ids, use_cache=False), batch)

    def batch(self, encoded: Sequence[Ids], prefix: Prefix) -> Batch:
        """The tensor that :meth:`read` puts prompts into, which tells hooks where a token is."""
        if self.plain:
            return padded(encoded, self.access.device)
        return end_to_end(encoded, prefix.n_tokens, self.access.device)

    @torch.no_grad()
    def read(
        self, encoded: Sequence[Ids], prefix: Prefix, *, keep: int, watch: Watch | None = None
    ) -> CleanPass:
        """Read prompts together.

        Args:
            encoded: Token ids of the prompts.
            prefix: What they share.
            keep: At how many last tokens the blocks' inputs are kept, for branches to start from;
                0 keeps neither those nor keys and values.
            watch: Takes the attention weights of a token, where they are wanted.

        Raises:
            ModelError: Attention that does not go through transformers' interface, or that does
                what is not known here.
        """
        access = self.access
        batch = self.batch(encoded, prefix)
        if self.plain:
            return CleanPass(batch, prefix, self.side_by_side(encoded))
        pack = Pack(batch, prefix.keys_values, watch)
        positions = [range(prefix.n_tokens, len(ids)) for ids in encoded]
        position_ids = torch.tensor([[*chain(*positions)]], device=access.device)
        with (
            attending_to_packed(access.model, pack),
            noting(access, batch, keep) if keep else nullcontext(Notes()) as notes,
        ):
            output = access.backbone(
                input_ids=batch.ids, position_ids=position_ids, use_cache=False
            )
        hidden, layers = _last(output, batch), range(access.n_layers)
        for layer in layers:
            require_seen(layer, pack.own)
        if not keep:
            return CleanPass(batch, prefix, hidden)
        return CleanPass(
            batch,
            prefix,
            hidden,
            keys_values=[pack.own[layer] for layer in layers],
            calls=[notes.calls[layer] for layer in layers],
            streams=[notes.streams[layer] for layer in (*layers, len(layers))],
            mlp_out=notes.mlp_out,
            kept=keep,
        )

    def clean_pass(
        self,
        encoded: Sequence[Ids],
        prefix: Prefix,
        *,
        keep: int,
        anew: bool = False,
        watch: Watch | None = None,
    ) -> CleanPass:
        """As :meth:`read`, from memory where these prompts were read together before.

        Args:
            encoded: Token ids of the prompts.
            prefix: What they share.
            keep: At how many last tokens the blocks' inputs are kept.
            anew: Read them in any case, so that hooks see them.
            watch: Takes the attention weights of a token; they are read in any case.
        """
        if self.memory is None or self.plain:
            return self.read(encoded, prefix, keep=keep, watch=watch)
        key = (prefix.ids, *encoded)
        known = self.memory.find(key)
        if known is not None and known.kept >= keep and not anew and watch is None:
            return known
        most = max(keep, 1, 0 if known is None else known.kept)
        clean = self.read(encoded, prefix, keep=most, watch=watch)
        self.memory.keep(key, clean, clean.n_bytes())
        return clean


def _last(output: Any, batch: Batch) -> Float[Tensor, "prompt d_model"]:
    return batch.at(output.last_hidden_state, batch.lengths[:, None] - 1)[:, 0]
