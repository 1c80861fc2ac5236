"""What bfloat16 rounds: affectscope's logits next to those of plain passes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.job import Job
from benchmarks.model import ModelSource
from benchmarks.processes import ToolProcess, say


@dataclass(frozen=True)
class Rounding:
    """Absolute differences of label logits between two ways."""

    one: str
    other: str
    largest: float
    median: float


def rounding(source: ModelSource, job: Job) -> list[Rounding]:
    """Compare in bfloat16, on a few interventions.

    Full passes of single prompts are the reference; batches of them, which differ in the order of
    additions alone, tell what the type itself rounds. All logits are taken in float32 from final
    hidden states.
    """
    say("rounding: the same interventions in bfloat16")
    half = replace(source, dtype="bfloat16")
    single = "full passes of single prompts, bfloat16"
    ways = {
        single: ("exact_logits", half, True),
        "full passes in a batch, bfloat16": ("exact_logits", half, False),
        "affectscope, bfloat16": ("affectscope", half, False),
        "full passes, float32": ("exact_logits", replace(source, dtype="float32"), False),
    }
    logits = {way: _logits(*how, job) for way, how in ways.items()}
    exact = "full passes, float32"
    pairs = [(way, single) for way in ways if way not in (single, exact)]
    pairs += [(way, exact) for way in ways if way != exact]
    return [_difference(one, other, logits[one], logits[other]) for one, other in pairs]


def _logits(tool: str, source: ModelSource, single: bool, job: Job) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder, ToolProcess(tool, source) as process:
        saved = Path(folder) / "logits.npy"
        options = {"single": True} if single else {}
        process.ask("run", job=job.to_json(), save=str(saved), **options)
        loaded: np.ndarray = np.load(saved)
    return loaded


def _difference(one: str, other: str, mine: np.ndarray, theirs: np.ndarray) -> Rounding:
    apart = np.abs(mine - theirs)
    return Rounding(one, other, float(apart.max()), float(np.median(apart)))
