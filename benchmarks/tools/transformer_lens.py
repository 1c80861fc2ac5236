"""TransformerLens 4: the bridge over the Hugging Face model.

Token ids are given, so nothing is prepended. Names are filtered and one position is cached; only
the last position's logits are computed. Attention is the bridge's own, as its hooks need it, so the
Hugging Face model below is loaded with eager attention, as the bridge loads it itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from benchmarks.batches import Batch
from benchmarks.full_pass import Edits, FullPassTool
from benchmarks.job import Place
from benchmarks.model import ModelSource

_HOOKS = {
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "resid_post": "hook_resid_post",
}


def hook_name(place: Place) -> str:
    """What the bridge calls the place."""
    layer, site = place
    return f"blocks.{layer}.{_HOOKS[site]}"


class Bench(FullPassTool):
    """`run_with_cache` and `run_with_hooks`, batched."""

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)
        self.bridge = TransformerBridge.boot_transformers(
            source.folder,
            hf_model=source.hugging_face("eager"),
            tokenizer=source.tokenizer(),
            device=source.device,
            dtype=getattr(torch, source.dtype),
        )

    def states(self, batch: Batch, places: Sequence[Place]) -> list[Tensor]:
        """A clean pass that caches the named activations at the last position."""
        names = {hook_name(place) for place in places}
        _, cache = self.bridge.run_with_cache(
            batch.ids,
            names_filter=lambda name: name in names,
            pos_slice=-1,
            **self._options(batch),
        )
        return [cache[hook_name(place)][:, -1] for place in places]

    def patched(self, batch: Batch, edits: Edits) -> Tensor:
        """A pass whose hooks write into the last token."""

        def write(replacements: Sequence[tuple[slice, Tensor]]) -> Callable[..., Tensor]:
            def hook(value: Tensor, hook: Any) -> Tensor:
                for rows, replacement in replacements:
                    value[rows, -1] = replacement
                return value

            return hook

        logits: Tensor = self.bridge.run_with_hooks(
            batch.ids,
            fwd_hooks=[(hook_name(place), write(edits[place])) for place in edits],
            **self._options(batch),
        )
        return logits[:, -1]

    def _options(self, batch: Batch) -> dict[str, Any]:
        masked = {} if bool(batch.mask.all()) else {"attention_mask": batch.mask}
        return {**masked, "use_cache": False, "logits_to_keep": 1}
