"""How time and memory grow: with interventions, with items, with the prompts' length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.job import Job, patching_job, spread
from benchmarks.measure import OURS, Comparison, compare
from benchmarks.model import ModelSource
from benchmarks.processes import ToolProcess, say
from benchmarks.texts import Texts, shared_tokens

PEERS = ("plain", "kept_past")
"""Whom affectscope is compared with here: the full-pass tools differ little from each other."""


@dataclass(frozen=True)
class Point:
    """One tool on a job of one size."""

    x: int
    """Interventions a prompt, or tokens of a prompt."""
    tool: str
    ms_per_intervention: float
    seconds: float
    """For the whole job: extrapolated where only some interventions were run."""
    interventions: int
    interventions_run: int
    peak_bytes: int
    items: int
    shared_tokens: int
    """Tokens that all prompts begin with."""
    own_tokens: float
    """The mean of the others."""


@dataclass(frozen=True)
class ItemsPoint:
    """A corpus of some size through affectscope."""

    items: int
    interventions_per_item: int
    seconds: float
    peak_bytes: int
    loaded_bytes: int
    """The peak when the model was loaded and nothing had been asked."""

    @property
    def ms_per_item(self) -> float:
        """Milliseconds for each item."""
        return 1000 * self.seconds / self.items


def by_interventions(
    source: ModelSource, texts: Texts, counts: Sequence[int], *, n_run: int, seed: int
) -> list[Point]:
    """More interventions of 16 prompts, with more sources for each target."""
    points = []
    for count in counts:
        say(f"growth: {count:,} interventions a prompt")
        n_layers = source.config.num_hidden_layers
        n_sources = -(-count // (3 * (n_layers - 2)))
        prompts = texts.prompts(max(16, n_sources + 1))
        job = patching_job(
            prompts, texts.label_ids, n_layers=n_layers, n_targets=16, n_patches=count
        )
        points += _points(source, job, count, n_run=n_run, seed=seed)
    return points


def by_length(
    source: ModelSource, texts: Texts, items_at: dict[int, int], *, n_run: int, seed: int
) -> list[Point]:
    """Longer prompts, half shared and half their own; all windows at all sites.

    Args:
        source: The model.
        texts: What prompts are made of.
        items_at: How many items for each length in tokens: fewer where passes are long.
        n_run: Interventions a prompt that the peers run.
        seed: Fixes which.
    """
    points = []
    for length, n_items in items_at.items():
        say(f"growth: prompts of {length:,} tokens")
        job = patching_job(
            texts.of_length(n_items, length),
            texts.label_ids,
            n_layers=source.config.num_hidden_layers,
            n_targets=n_items,
        )
        points += _points(source, job, length, n_run=n_run, seed=seed)
    return points


def _points(source: ModelSource, job: Job, x: int, *, n_run: int, seed: int) -> list[Point]:
    some = spread(job, n_run, seed)
    patches = {OURS: list(range(len(job.patches))), **dict.fromkeys(PEERS, some)}
    # one after the other, so that each peak is of a fresh process
    measured = compare(source, job, patches, rounds=1, one_at_a_time=True)
    check_agreement(measured)
    n_shared = shared_tokens(job.prompts)
    targets = job.prompts[: job.n_targets]
    return [
        Point(
            x,
            result.tool,
            result.ms,
            result.ms * job.n_interventions / 1000,
            job.n_interventions,
            result.turns[0].n_run,
            result.memory["peak_bytes"],
            job.n_targets,
            n_shared,
            sum(len(ids) - n_shared for ids in targets) / len(targets),
        )
        for result in measured.results
    ]


TOLERANCE = 1e-3
"""Largest difference of a logit between two tools in float32."""


def check_agreement(measured: Comparison) -> None:
    """End the program when two tools do not answer alike."""
    for (one, other), difference in measured.differences().items():
        if not difference <= TOLERANCE:
            raise SystemExit(
                f"{one} and {other} differ by {difference:.1e} of a logit on the same "
                f"interventions (at most {TOLERANCE:g} is rounding): the figures mean nothing"
            )


def by_items(
    source: ModelSource, texts: Texts, sizes: Sequence[int], *, n_patches: int, seed: int
) -> list[ItemsPoint]:
    """Larger corpora, in blocks, each in a fresh process; some interventions for each item."""
    job = patching_job(
        texts.prompts(2), texts.label_ids, n_layers=source.config.num_hidden_layers, n_targets=2
    )
    patches = job.only(spread(job, n_patches, seed)).to_json()["patches"]
    points = []
    for size in sizes:
        say(f"growth: {size:,} items")
        prompts = texts.many(size)
        with ToolProcess(OURS, source) as process:
            loaded = process.ask("warm_up", job=job.to_json())["loaded_bytes"]
            answer = process.ask(
                "stream", prompts=prompts, label_ids=texts.label_ids, patches=patches
            )
        points.append(
            ItemsPoint(size, len(patches), answer["seconds"], answer["peak_bytes"], loaded)
        )
    return points


def as_rows(points: Sequence[Point] | Sequence[ItemsPoint]) -> list[dict[str, Any]]:
    """As JSON values."""
    rows = []
    for point in points:
        extra = {"ms_per_item": point.ms_per_item} if isinstance(point, ItemsPoint) else {}
        rows.append({**asdict(point), **extra})
    return rows
