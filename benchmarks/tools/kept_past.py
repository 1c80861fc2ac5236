"""Plain Hugging Face with every prompt's keys and values kept: the best that is short to write.

An edit at the last token changes no earlier one, so a pass of that token alone, on the kept keys
and values of the others, is enough. This is not what the tools' tutorials teach; it is here to tell
how much of the sweep's speed is this idea alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import DynamicCache

from benchmarks.answer import Answer
from benchmarks.batches import Batch
from benchmarks.full_pass import PassSize
from benchmarks.job import Job, Place
from benchmarks.model import ModelSource
from benchmarks.tools import plain

KeysValues = list[tuple[Tensor, Tensor]]


class Bench(plain.Bench):
    """One batched pass of one token for each intervention."""

    sizes_cpu = (PassSize(16),)
    sizes_gpu = (PassSize(16),)

    def __init__(self, source: ModelSource) -> None:
        super().__init__(source)
        self._past: dict[tuple[int, ...], KeysValues] = {}
        self._reading = False

    def run(self, job: Job) -> Answer:
        """Do the job; what is kept lasts for one job."""
        self._past.clear()
        return super().run(job)

    def states(self, batch: Batch, places: Sequence[Place]) -> list[Tensor]:
        """A clean pass that keeps activations, and keys and values."""
        self._reading = True
        try:
            return super().states(batch, places)
        finally:
            self._reading = False

    def forward(self, batch: Batch) -> Tensor:
        """Logits of the last token, which alone goes through the model once the past is kept."""
        if self._reading:
            cache = DynamicCache()
            output = self.model(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                position_ids=batch.position_ids,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self._past[batch.rows] = [
                (layer.keys[:, :, :-1].contiguous(), layer.values[:, :, :-1].contiguous())
                for layer in cache.layers
            ]
        else:
            output = self.model(
                input_ids=batch.ids[:, -1:],
                attention_mask=batch.mask,
                position_ids=batch.position_ids[:, -1:],
                past_key_values=DynamicCache(self._past[batch.rows]),
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = output.logits[:, -1]
        return logits
