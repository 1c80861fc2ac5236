"""Plain Hugging Face with its logits in float32, for the table of rounding.

A model in bfloat16 rounds its logits too, to steps of 1/16 and more, which would hide how much the
passes themselves differ.
"""

from __future__ import annotations

from torch import Tensor

from benchmarks.batches import Batch
from benchmarks.model import ModelSource
from benchmarks.tools import plain


class Bench(plain.Bench):
    """The final hidden states of plain passes meet the unembedding in float32."""

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)
        self.unembedding = self.model.lm_head.weight.float()

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the last token."""
        output = self.model.model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.position_ids,
            use_cache=False,
        )
        return output.last_hidden_state[:, -1].float() @ self.unembedding.T
