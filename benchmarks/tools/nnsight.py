"""nnsight 0.8: one trace for each pass, over the whole batch.

Several invokes in one trace give each intervention its own rows as well; they were not faster, as
nnsight then cuts and joins every activation that is touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import nnsight
from nnsight import TransformersModel
from torch import Tensor

from benchmarks.batches import Batch
from benchmarks.full_pass import Edits, FullPassTool
from benchmarks.job import Place
from benchmarks.model import ModelSource

# Inside a trace, `break`s and helper calls run as ordinary Python, interleaved with the pass; the
# places must be touched in the order in which the pass meets them.


class Bench(FullPassTool):
    """Saves nothing but what is needed."""

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)
        self.model = TransformersModel(source.hugging_face(), tokenizer=source.tokenizer())

    def states(self, batch: Batch, places: Sequence[Place]) -> list[Tensor]:
        """A clean trace that saves the last token's activations."""
        model, inputs = self.model, _inputs(batch)
        with model.trace(inputs, use_cache=False, logits_to_keep=1):
            kept = nnsight.save([])
            for layer, site in places:
                block = model.model.layers[layer]
                if site == "attn_out":
                    kept.append(block.self_attn.output[0][:, -1].clone())
                elif site == "mlp_out":
                    kept.append(block.mlp.output[:, -1].clone())
                else:
                    kept.append(block.output[:, -1].clone())
        return list(kept)

    def patched(self, batch: Batch, edits: Edits) -> Tensor:
        """A trace that writes into the last token, in place."""
        model, inputs = self.model, _inputs(batch)
        with model.trace(inputs, use_cache=False, logits_to_keep=1):
            for (layer, site), replacements in edits.items():
                block = model.model.layers[layer]
                if site == "attn_out":
                    activation = block.self_attn.output[0]
                elif site == "mlp_out":
                    activation = block.mlp.output
                else:
                    activation = block.output
                for rows, value in replacements:
                    activation[rows, -1] = value
            logits = model.output.logits.save()
        return logits[:, -1]


def _inputs(batch: Batch) -> dict[str, Tensor]:
    if bool(batch.mask.all()):
        return {"input_ids": batch.ids}
    return {
        "input_ids": batch.ids,
        "attention_mask": batch.mask,
        "position_ids": batch.position_ids,
    }
