"""Step 1, read once: the shared prefix of all prompts, then each prompt's own tokens.

The keys and values of the prefix are computed once and stay for later calls with the same prefix;
the prompts of a batch attend to them through a 4-D mask, as they do to their own earlier tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from affectscope.engine.access import ModelAccess
from affectscope.engine.batching import Batch

KeysValues = list[tuple[Tensor, Tensor]]
"""Keys and values per layer, each ``[prompt, kv_head, token, d_head]``."""

PREFIXES_KEPT = 4


def additive_mask(
    allowed: Bool[Tensor, "prompt query key"], dtype: torch.dtype
) -> Float[Tensor, "prompt 1 query key"]:
    """A 4-D attention mask: 0 where attention is allowed, the type's lowest value elsewhere.

    Hugging Face hands a 4-D mask to the attention function as it is, for ``sdpa`` and ``eager``.
    """
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def cache_from(keys_values: KeysValues, n_prompts: int) -> DynamicCache:
    """A cache of the given keys and values, for so many prompts."""
    return DynamicCache(
        [
            (keys.expand(n_prompts, -1, -1, -1), values.expand(n_prompts, -1, -1, -1))
            for keys, values in keys_values
        ]
    )


class PrefixReader:
    """Runs prompts through the backbone, the shared prefix once.

    Args:
        access: The model.
    """

    def __init__(self, access: ModelAccess) -> None:
        self.access = access
        self._prefixes: OrderedDict[tuple[int, ...], KeysValues] = OrderedDict()

    def prefix(self, ids: Sequence[int]) -> KeysValues:
        """Keys and values of a prefix, computed at most once while it stays in use."""
        key = tuple(ids)
        if key not in self._prefixes:
            cache = DynamicCache()
            tokens = torch.tensor([key], device=self.access.device)
            self.access.backbone(input_ids=tokens, past_key_values=cache, use_cache=True)
            self._prefixes[key] = [(layer.keys, layer.values) for layer in cache.layers]
            if len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(key)
        return self._prefixes[key]

    @torch.no_grad()
    def read(
        self, batch: Batch, prefix_ids: Sequence[int]
    ) -> tuple[Float[Tensor, "prompt token d_model"], DynamicCache]:
        """The normalised last hidden states of a batch, and the cache of prefix and batch.

        Hooks that are on see the batch's own tokens; when the prefix is not yet read, it is read
        here, so put hooks on only after :meth:`prefix`.
        """
        n_prompts, n_tokens = batch.ids.shape
        n_prefix = len(prefix_ids)
        cache = cache_from(self.prefix(prefix_ids), n_prompts) if n_prefix else DynamicCache()
        positions = torch.arange(n_prefix, n_prefix + n_tokens, device=batch.ids.device)
        keys = torch.arange(n_prefix + n_tokens, device=batch.ids.device)
        allowed = (keys[None, :] <= positions[:, None]).expand(n_prompts, -1, -1)
        output = self.access.backbone(
            input_ids=batch.ids,
            attention_mask=additive_mask(allowed, self.access.dtype),
            position_ids=positions.expand(n_prompts, -1),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, cache
