"""Plain Hugging Face with forward hooks, written with care."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from benchmarks.batches import Batch
from benchmarks.full_pass import Edits, FullPassTool
from benchmarks.job import Place
from benchmarks.model import ModelSource


def activation(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The activation of a module's output; attention returns its weights beside it."""
    return output[0] if isinstance(output, tuple) else output


def site_module(model: nn.Module, place: Place) -> nn.Module:
    """The module of a Llama-family model whose output is the site."""
    layer, site = place
    block = model.model.layers[layer]
    return {"attn_out": block.self_attn, "mlp_out": block.mlp, "resid_post": block}[site]


class Bench(FullPassTool):
    """Only the last position's logits, no cache of keys and values, hooks where needed."""

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)
        self.model = source.hugging_face()

    def states(self, batch: Batch, places: Sequence[Place]) -> list[Tensor]:
        """A clean pass that keeps the last token's activations."""
        kept: dict[Place, Tensor] = {}

        def keep(place: Place) -> Callable[..., None]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
                kept[place] = activation(output)[:, -1].clone()

            return hook

        self.with_hooks(batch, {place: keep(place) for place in places})
        return [kept[place] for place in places]

    def patched(self, batch: Batch, edits: Edits) -> Tensor:
        """A pass whose hooks write into the last token."""

        def write(replacements: Sequence[tuple[slice, Tensor]]) -> Callable[..., Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                for rows, value in replacements:
                    activation(output)[rows, -1] = value
                return output

            return hook

        return self.with_hooks(batch, {place: write(edits[place]) for place in edits})

    def with_hooks(self, batch: Batch, hooks: dict[Place, Callable[..., Any]]) -> Tensor:
        """Run the batch with hooks on; logits of the last token."""
        handles = [
            site_module(self.model, place).register_forward_hook(hook)
            for place, hook in hooks.items()
        ]
        try:
            return self.forward(batch)
        finally:
            for handle in handles:
                handle.remove()

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the last token."""
        padded = not bool(batch.mask.all())
        output = self.model(
            input_ids=batch.ids,
            attention_mask=batch.mask if padded else None,
            position_ids=batch.position_ids if padded else None,
            use_cache=False,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits
