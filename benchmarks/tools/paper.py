"""The paper's own procedure: one pair and one window at a time, three full passes, no batch.

The clean passes of source and target are made anew for every window, as in the authors' code; the
logits of the last position alone are computed, which is kinder than that code.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.answer import Answer
from benchmarks.batches import Batch
from benchmarks.full_pass import PassSize
from benchmarks.job import Job
from benchmarks.model import clock
from benchmarks.tools import plain


class Bench(plain.Bench):
    """Source pass, target pass, patched pass."""

    def warm_up(self, job: Job) -> dict[str, Any]:
        """Run one intervention on one target."""
        self.size = PassSize(1)
        self.run(Job(job.prompts[:2], 1, job.label_ids, job.patches[:1]))
        return {"pass": "1 prompt, three times", "padding": 0.0}

    @torch.no_grad()
    def run(self, job: Job) -> Answer:
        """Do the job."""
        began = clock(self.source.device)
        logits = torch.empty((job.n_targets, len(job.patches), len(job.label_ids)))
        for j, patch in enumerate(job.patches):
            for i in range(job.n_targets):
                source = self._alone(job, job.source(i, patch))
                target = self._alone(job, i)
                values = self.states(source, patch.places)
                self.forward(target)  # the clean answer, which the paper compares with
                edits = {
                    place: [(slice(None), value)]
                    for place, value in zip(patch.places, values, strict=True)
                }
                logits[i, j] = self.patched(target, edits)[0, list(job.label_ids)].float().cpu()
        return Answer(logits, 0.0, clock(self.source.device) - began)

    def _alone(self, job: Job, index: int) -> Batch:
        ids = torch.tensor([job.prompts[index]], device=self.device)
        return Batch((index,), ids, torch.ones_like(ids))
