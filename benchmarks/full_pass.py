"""The job by full forward passes: what every tool but affectscope shares.

Prompts go through in batches of similar length, padded on the left. Clean activations are kept at
the needed sites and the last token only. Then each intervention is one batched pass, or, where that
is faster, several interventions share a pass as copies of the batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.answer import Answer
from benchmarks.batches import Batch, batches_by_length, padding_share
from benchmarks.job import SITES, Job, Patch, Place
from benchmarks.model import ModelSource, clock

Edits = Mapping[Place, Sequence[tuple[slice, Tensor]]]
"""For each place, in the order of a pass: rows of the batch, and their last token's new values."""


@dataclass(frozen=True)
class PassSize:
    """How much goes through in one pass."""

    prompts: int
    copies: int = 1
    """Interventions in one pass."""

    def __str__(self) -> str:
        shared = f" x {self.copies} interventions" if self.copies > 1 else ""
        return f"{self.prompts} prompts{shared}"


class FullPassTool(ABC):
    """A tool that computes an intervention by a forward pass of the prompt."""

    sizes_cpu = (PassSize(4), PassSize(8), PassSize(16))
    sizes_gpu = (PassSize(16), PassSize(16, 4), PassSize(16, 12))

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.device = torch.device(source.device)
        self.size = PassSize(16)

    @abstractmethod
    def states(self, batch: Batch, places: Sequence[Place]) -> list[Tensor]:
        """A clean pass: the last token's activation ``[row, d_model]`` at each place, in order."""

    @abstractmethod
    def patched(self, batch: Batch, edits: Edits) -> Tensor:
        """A pass with edits: logits ``[row, token]`` at the last token."""

    @torch.no_grad()
    def warm_up(self, job: Job) -> dict[str, Any]:
        """Try the sizes of a pass on a few interventions, and keep the fastest."""
        sizes = self.sizes_cpu if self.device.type == "cpu" else self.sizes_gpu
        # sizes that come to the same on so few prompts are tried once
        different = {(min(size.prompts, job.n_targets), size.copies): size for size in sizes}
        self.size = sizes[0]
        self.run(job.only([0]))
        self.size = self._fastest(job, list(different.values()))
        return {
            "pass": str(self.size),
            "padding": padding_share(job.prompts[: job.n_targets], self.size.prompts),
        }

    def _fastest(self, job: Job, sizes: Sequence[PassSize]) -> PassSize:
        if len(sizes) == 1:
            return sizes[0]
        few = job.only(range(min(len(job.patches), max(size.copies for size in sizes))))
        seconds = {}
        for self.size in sizes:
            seconds[self.size] = self.run(few).patch_seconds
        return min(seconds, key=lambda size: seconds[size])

    @torch.no_grad()
    def run(self, job: Job) -> Answer:
        """Do the job."""
        began = clock(self.source.device)
        places = sorted(
            {place for patch in job.patches for place in patch.places},
            key=lambda place: (place[0], SITES.index(place[1])),
        )
        states = self._all_states(job, places)
        read = clock(self.source.device)
        columns = torch.tensor(job.label_ids, device=self.device)
        logits = torch.empty((job.n_targets, len(job.patches), len(columns)), device=self.device)
        for batch in self._batches(job, range(job.n_targets)):
            rows = torch.tensor(batch.rows, device=self.device)
            for start in range(0, len(job.patches), self.size.copies):
                chunk = job.patches[start : start + self.size.copies]
                edits = _edits(job, batch, chunk, states)
                out = self.patched(batch.times(len(chunk)), edits)[:, columns].float()
                logits[rows, start : start + len(chunk)] = out.view(
                    len(chunk), len(rows), -1
                ).transpose(0, 1)
        answer = logits.cpu()
        return Answer(answer, read - began, clock(self.source.device) - read)

    def _batches(self, job: Job, rows: range) -> list[Batch]:
        return batches_by_length(job.prompts, self.size.prompts, self.device, rows)

    def _all_states(self, job: Job, places: Sequence[Place]) -> dict[Place, Tensor]:
        """Clean activations ``[prompt, d_model]`` at each place."""
        kept: dict[Place, Tensor] = {}
        targets = self._batches(job, range(job.n_targets))
        others = self._batches(job, range(job.n_targets, len(job.prompts)))
        for batch in (*targets, *others):
            rows = torch.tensor(batch.rows, device=self.device)
            for place, state in zip(places, self.states(batch, places), strict=True):
                if place not in kept:
                    kept[place] = state.new_empty((len(job.prompts), state.shape[-1]))
                kept[place][rows] = state
        return kept


def _edits(
    job: Job, batch: Batch, patches: Sequence[Patch], states: Mapping[Place, Tensor]
) -> dict[Place, list[tuple[slice, Tensor]]]:
    edits: dict[Place, list[tuple[slice, Tensor]]] = {}
    n = len(batch.rows)
    for copy, patch in enumerate(patches):
        sources = [job.source(target, patch) for target in batch.rows]
        for place in patch.places:
            value = states[place][torch.tensor(sources, device=states[place].device)]
            edits.setdefault(place, []).append((slice(copy * n, (copy + 1) * n), value))
    return dict(sorted(edits.items(), key=lambda item: (item[0][0], SITES.index(item[0][1]))))
