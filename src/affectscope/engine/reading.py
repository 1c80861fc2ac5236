"""Step 1, read once: the shared prefix of all prompts, then each prompt's own tokens.

The keys and values of the prefix are computed once for a call; the prompts attend to them through
a 4-D mask, as they do to their own earlier tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from affectscope.engine.access import ModelAccess
from affectscope.engine.batching import Batch, common_prefix_length, length_batches

KeysValues = list[tuple[Tensor, Tensor]]
"""Keys and values per layer, each ``[prompt, kv_head, token, d_head]``."""

PASS_TOKENS = 2048
"""Most tokens in one pass over prompts: enough to keep the matrix products busy."""


def additive_mask(
    allowed: Bool[Tensor, "prompt query key"], dtype: torch.dtype
) -> Float[Tensor, "prompt 1 query key"]:
    """A 4-D attention mask: 0 where attention is allowed, the type's lowest value elsewhere.

    Hugging Face hands a 4-D mask to the attention function as it is, for ``sdpa`` and ``eager``.
    """
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


@dataclass(frozen=True)
class Prefix:
    """What the prompts of a call share at their beginning, read."""

    n_tokens: int
    """How many tokens; 0 when nothing is shared."""
    keys_values: KeysValues

    def cache(self, n_prompts: int) -> DynamicCache:
        """A cache of the prefix, for so many prompts."""
        return DynamicCache(
            [
                (keys.expand(n_prompts, -1, -1, -1), values.expand(n_prompts, -1, -1, -1))
                for keys, values in self.keys_values
            ]
        )


NOTHING = Prefix(0, [])


@dataclass(frozen=True)
class PromptReader:
    """Runs prompts through the backbone.

    Args:
        access: The model.
        plain: Run every prompt alone, by a pass without prefix, mask or padding: slow, and right
            whatever the model does with those.
    """

    access: ModelAccess
    plain: bool = False

    @torch.no_grad()
    def prefix(self, encoded: Sequence[Sequence[int]], keep: int) -> Prefix:
        """Read what the prompts share, leaving each at least ``keep`` tokens of its own.

        It is read anew for every call, so that a change of the model between calls counts.
        """
        n_tokens = 0 if self.plain else common_prefix_length(encoded, keep)
        if not n_tokens:
            return NOTHING
        cache = DynamicCache()
        tokens = torch.tensor([list(encoded[0][:n_tokens])], device=self.access.device)
        self.access.backbone(input_ids=tokens, past_key_values=cache, use_cache=True)
        return Prefix(n_tokens, [(layer.keys, layer.values) for layer in cache.layers])

    def batches(
        self, encoded: Sequence[Sequence[int]], prefix: Prefix, max_prompts: int
    ) -> Iterator[Batch]:
        """The prompts in batches of similar length, without the prefix."""
        return length_batches(
            encoded,
            prefix=prefix.n_tokens,
            max_prompts=1 if self.plain else max_prompts,
            max_tokens=PASS_TOKENS,
            device=self.access.device,
        )

    @torch.no_grad()
    def read(
        self, batch: Batch, prefix: Prefix
    ) -> tuple[Float[Tensor, "prompt token d_model"], DynamicCache]:
        """The normalised last hidden states of a batch, and the cache of prefix and batch.

        Hooks that are on see the batch's own tokens. A plain pass leaves the cache empty.
        """
        if self.plain:
            output = self.access.backbone(input_ids=batch.ids, use_cache=False)
            return output.last_hidden_state, DynamicCache()
        n_prompts, n_tokens = batch.ids.shape
        start, device = prefix.n_tokens, batch.ids.device
        cache = prefix.cache(n_prompts) if start else DynamicCache()
        positions = torch.arange(start, start + n_tokens, device=device)
        keys = torch.arange(start + n_tokens, device=device)
        allowed = (keys[None, :] <= positions[:, None]).expand(n_prompts, -1, -1)
        output = self.access.backbone(
            input_ids=batch.ids,
            attention_mask=additive_mask(allowed, self.access.dtype),
            position_ids=positions.expand(n_prompts, -1),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, cache
