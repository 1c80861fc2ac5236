"""affectscope: capture once, then all interventions as siblings of the last token."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import affectscope as afs
from affectscope.models.checked import from_pretrained
from affectscope.models.loading import Pretrained
from benchmarks.answer import Answer
from benchmarks.job import SITES, Job
from benchmarks.model import ModelSource, clock

BLOCK = 64
"""Prompts of a streamed corpus in memory at a time."""


class Bench:
    """`capture` and `intervene`, as a user calls them."""

    def __init__(self, source: ModelSource) -> None:
        self.source = source
        self.lm = load(source)
        if self.lm.engine != "sweep":
            raise SystemExit("affectscope fell back to full passes; see its warning above")

    def warm_up(self, job: Job) -> dict[str, Any]:
        """Run the job once, or the part of it that comes from one source."""
        self.run(job.only([i for i, patch in enumerate(job.patches) if patch.shift == 1]))
        return {"pass": "siblings of the last token", "padding": 0.0}

    def run(self, job: Job) -> Answer:
        """Do the job."""
        began = clock(self.source.device)
        # a memory of clean passes for this job alone: what capture read, intervene branches from
        lm = self.lm.remembering()
        states = lm.capture(job.prompts, sites=SITES)
        read = clock(self.source.device)
        sweep = lm.intervene(
            job.prompts[: job.n_targets], interventions(job, states), label_ids=job.label_ids
        )
        return Answer(sweep.logits, read - began, clock(self.source.device) - read)

    def stream(
        self, prompts: Sequence[str], label_ids: Sequence[int], patches: Sequence[dict[str, Any]]
    ) -> float:
        """Go through a corpus of any size in blocks, keeping nothing but label logits.

        Args:
            prompts: Texts of whole prompts; each one's source is the next of its block.
            label_ids: Tokens whose logits are kept.
            patches: As :meth:`Job.to_json` writes them.

        Returns:
            Seconds from the first prompt to the last logit.
        """
        kept = []
        began = clock(self.source.device)
        for start in range(0, len(prompts), BLOCK):
            block = self.lm.encode(prompts[start : start + BLOCK])
            values = {"n_targets": len(block), "label_ids": label_ids, "patches": patches}
            kept.append(self.run(Job.from_json({"prompts": block, **values})).logits)
            if start // BLOCK % 16 == 15:
                seconds = clock(self.source.device) - began
                print(f"  {start + BLOCK:,} items in {seconds:.0f} s", file=sys.stderr)
        assert torch.cat(kept).isfinite().all()
        return clock(self.source.device) - began


def load(source: ModelSource) -> afs.LanguageModel:
    """The model under affectscope, self-checked as for any user."""
    torch.set_num_threads(source.threads)
    if source.shape is None:
        return afs.load_model(source.folder, dtype=source.dtype, device=source.device)
    return from_pretrained(
        Pretrained(
            model=source.hugging_face(),
            tokenizer=source.tokenizer(),
            name="random weights",
            path="",
            revision=None,
            sha256="",
            dtype=source.dtype,
            device=source.device,
            attn_implementation="sdpa",
        )
    )


def interventions(job: Job, states: afs.States) -> list[afs.Intervention]:
    """The job's patches, with each target's own source."""
    values: dict[tuple[int, str, int], Tensor] = {}

    def value(shift: int, site: str, layer: int) -> Tensor:
        key = (shift, site, layer)
        if key not in values:
            values[key] = states.at(site, layer).roll(-shift, dims=0)[: job.n_targets]
        return values[key]

    return [
        afs.Intervention(
            [
                afs.Replace(patch.site, layer, value=value(patch.shift, patch.site, layer))
                for layer in patch.layers
            ]
        )
        for patch in job.patches
    ]
