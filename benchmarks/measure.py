"""All tools on one job, taking turns, each in its own process: seconds, memory, agreement."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arithmetic import (
    Shape,
    best_product_rate,
    full_pass_operations,
    kept_past_operations,
    sweep_operations,
)
from benchmarks.job import Job, spread
from benchmarks.model import ModelSource
from benchmarks.processes import ToolProcess, say
from benchmarks.tools import NAMES, PACKAGES

OURS = "affectscope"


def parts_of(job: Job, n_run: int, seed: int) -> dict[str, list[int]]:
    """For each tool, which of a job's patches it does: all, or a seeded choice for the slow ones.

    Args:
        job: The whole job.
        n_run: How many patches the full-pass tools run; a multiple of three.
        seed: Fixes which.
    """
    everything, some = list(range(len(job.patches))), spread(job, n_run, seed)
    return {
        OURS: everything,
        "transformer_lens": some,
        "nnsight": some,
        "plain": some,
        "kept_past": everything,
        "paper": some[:: len(some) // 3],
    }


@dataclass(frozen=True)
class Turn:
    """One tool, once."""

    clean_seconds: float
    patch_seconds: float
    n_run: int
    """Interventions it did."""
    n_whole: int
    """Interventions of the whole job, which share the clean passes."""
    operations: int
    """Floating-point operations of the interventions alone."""
    rate: float
    """Operations a second of the machine's best matrix product, just before."""

    @property
    def ms(self) -> float:
        """Milliseconds for each intervention of the whole job."""
        return 1000 * (self.clean_seconds / self.n_whole + self.patch_seconds / self.n_run)

    @property
    def share(self) -> float:
        """The interventions' share of the machine's matrix-product rate."""
        return self.operations / self.patch_seconds / self.rate


@dataclass
class ToolResult:
    """One tool's line of the table."""

    tool: str
    settings: dict[str, Any]
    patches: list[int]
    """Which of the job's patches it did."""
    turns: list[Turn] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    logits: np.ndarray | None = None
    """``[target, patch, label]``, in the order of ``patches``."""

    @property
    def ms(self) -> float:
        """The median over the rounds."""
        return statistics.median(turn.ms for turn in self.turns)

    def times(self, ours: ToolResult) -> float:
        """How many times longer than ours: the median over the rounds."""
        pairs = zip(self.turns, ours.turns, strict=True)
        return statistics.median(theirs.ms / mine.ms for theirs, mine in pairs)

    def to_json(self, ours: ToolResult) -> dict[str, Any]:
        """As JSON values, without the logits."""
        return {
            "tool": self.tool,
            "name": NAMES[self.tool],
            "package": f"{PACKAGES[self.tool]} {version(PACKAGES[self.tool])}",
            **self.settings,
            "interventions_run": self.turns[0].n_run,
            "interventions": self.turns[0].n_whole,
            "ms_per_intervention": self.ms,
            "ms_of_each_round": [turn.ms for turn in self.turns],
            "clean_seconds": statistics.median(turn.clean_seconds for turn in self.turns),
            "patch_seconds": statistics.median(turn.patch_seconds for turn in self.turns),
            "times_affectscope": self.times(ours),
            "share_of_product_rate": statistics.median(turn.share for turn in self.turns),
            **self.memory,
        }


@dataclass(frozen=True)
class Comparison:
    """All tools on one job."""

    results: list[ToolResult]
    rates: list[float]
    """The machine's matrix-product rate in each round."""

    def __getitem__(self, tool: str) -> ToolResult:
        """One tool's result."""
        return next(result for result in self.results if result.tool == tool)

    def differences(self) -> dict[tuple[str, str], float]:
        """Largest absolute difference of label logits, for each two tools, on what both did."""
        return {
            (one.tool, other.tool): _largest_difference(one, other)
            for one, other in combinations(self.results, 2)
        }

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "product_rates": self.rates,
            "tools": [result.to_json(self[OURS]) for result in self.results],
            "largest_logit_differences": {
                " and ".join(pair): value for pair, value in self.differences().items()
            },
        }


def compare(
    source: ModelSource,
    job: Job,
    patches: dict[str, list[int]],
    *,
    rounds: int,
    one_at_a_time: bool = False,
) -> Comparison:
    """Let tools do a job.

    Args:
        source: The model.
        job: The whole job.
        patches: For each tool, which of the job's patches it does.
        rounds: How often.
        one_at_a_time: Load a tool, do all its rounds, end it: for models too large to be in memory
            several times. Otherwise all are loaded and take turns.
    """
    if one_at_a_time:
        parts = [_take_turns(source, job, {tool: patches[tool]}, rounds) for tool in patches]
        rates = [statistics.median(rates) for rates in zip(*(p.rates for p in parts), strict=True)]
        return Comparison([part.results[0] for part in parts], rates)
    return _take_turns(source, job, patches, rounds)


def _take_turns(
    source: ModelSource, job: Job, patches: dict[str, list[int]], rounds: int
) -> Comparison:
    shape = Shape.of(source.config)
    rates = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes, results = [], []
        for tool, indices in patches.items():
            say(f"loading and warming up {NAMES[tool]} ...")
            process = stack.enter_context(ToolProcess(tool, source))
            settings = process.ask("warm_up", job=job.only(indices).to_json())
            kept = {key: settings[key] for key in ("pass", "padding")}
            processes.append(process)
            results.append(ToolResult(tool, kept, indices))
        for number in range(rounds):
            rates.append(best_product_rate(shape, dtype=source.dtype, device=source.device))
            for process, result in zip(processes, results, strict=True):
                part = job.only(result.patches)
                saved = folder / f"{result.tool}.npy"
                answer = process.ask("run", job=part.to_json(), save=str(saved))
                result.turns.append(
                    Turn(
                        answer["clean_seconds"],
                        answer["patch_seconds"],
                        part.n_interventions,
                        job.n_interventions,
                        operations_of(result.tool, shape, part),
                        rates[-1],
                    )
                )
                result.memory = {key: answer[key] for key in answer if key.endswith("_bytes")}
                result.logits = np.load(saved)
            times = ", ".join(f"{NAMES[r.tool]} {r.turns[-1].ms:.2f}" for r in results)
            say(f"round {number + 1} of {rounds}: {times} (ms an intervention)")
    return Comparison(results, rates)


def operations_of(tool: str, shape: Shape, job: Job) -> int:
    """The arithmetic of a tool's interventions, clean passes left out where it shares them."""
    if tool == OURS:
        return sweep_operations(shape, job)
    if tool == "kept_past":
        return kept_past_operations(shape, job)
    return full_pass_operations(shape, job, passes=3 if tool == "paper" else 1)


def _largest_difference(one: ToolResult, other: ToolResult) -> float:
    both = sorted(set(one.patches) & set(other.patches))
    assert both, "the tools have no patch in common"
    return float(np.abs(_columns(one, both) - _columns(other, both)).max())


def _columns(result: ToolResult, patches: Sequence[int]) -> np.ndarray:
    assert result.logits is not None
    return result.logits[:, [result.patches.index(i) for i in patches]]
