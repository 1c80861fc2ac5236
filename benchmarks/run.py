"""`make bench`: measure, print the table on stdout, write benchmarks/results/.

python -m benchmarks.run [--quick] [--only SECTION,...] [--data crowd-envent --data-path FOLDER]
    [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectscope.models.default_model import DEFAULT_MODEL, fetch_default_model
from benchmarks import gpu
from benchmarks.figure import save_growth
from benchmarks.growth import (
    TOLERANCE,
    as_rows,
    by_interventions,
    by_items,
    by_length,
    check_agreement,
)
from benchmarks.job import Job, patching_job, spread
from benchmarks.machine import describe_machine
from benchmarks.measure import OURS, compare, parts_of
from benchmarks.model import ModelSource
from benchmarks.processes import say
from benchmarks.rounding import rounding
from benchmarks.table import markdown
from benchmarks.texts import Texts, load_texts

SEED = 0
SECTIONS = (
    "rounding",
    "cpu",
    "by_template",
    "by_interventions",
    "by_length",
    "by_items",
    "gpu",
)
"""What is measured, in order, by its name in the results."""
RESULTS, PARTS = Path("benchmarks/results"), Path("runs/bench")


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    prompts: int
    """Prompts of the main table."""
    n_run: int
    """Interventions a prompt that the slow tools run; a multiple of three."""
    by_template: tuple[tuple[str, int, int], ...]
    """More jobs for the two libraries: a template of the paper, prompts, interventions a prompt."""
    interventions: tuple[int, ...]
    items: tuple[int, ...]
    lengths: dict[int, int]
    """Items at each length."""


FULL = Extent(
    rounds=2,
    prompts=64,
    n_run=6,
    by_template=(("joy_sadness_0", 64, 504), ("shots_12", 8, 84), ("shots_12", 8, 504)),
    interventions=(84, 504, 2000),
    items=(100, 700, 1000, 6600),
    lengths={50: 16, 200: 8, 1000: 3},
)
QUICK = Extent(
    rounds=1,
    prompts=16,
    n_run=6,
    by_template=(("joy_sadness_0", 16, 504),),
    interventions=(84, 504),
    items=(100, 400),
    lengths={50: 8, 200: 8},
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="minutes: one round, fewer sizes")
    parser.add_argument(
        "--only",
        type=lambda said: said.split(","),
        metavar="SECTION,...",
        help=f"some of {', '.join(SECTIONS)}",
    )
    parser.add_argument("--data", choices=("vignettes", "crowd-envent"), default="vignettes")
    parser.add_argument("--data-path", type=Path, help="folder or file of crowd-enVENT")
    parser.add_argument("--threads", type=int, default=_cores(), help="default: all cores")
    parser.add_argument("--out", type=Path, help=f"default: {RESULTS}, or {PARTS} with --only")
    options = parser.parse_args(arguments)
    if (options.data == "crowd-envent") != (options.data_path is not None):
        parser.error("--data crowd-envent and --data-path FOLDER go together")
    unknown = set(options.only or ()) - set(SECTIONS)
    if unknown:
        parser.error(f"--only knows {', '.join(SECTIONS)}, not {', '.join(sorted(unknown))}")
    if options.out is None:  # a part is not to stand in the place of a whole run's results
        options.out = PARTS if options.only else RESULTS
    return options


def main() -> None:
    """Measure everything and write it down."""
    options = parse()
    extent = QUICK if options.quick else FULL
    options.out.mkdir(parents=True, exist_ok=True)
    source = ModelSource(str(fetch_default_model().path), threads=options.threads)
    texts = load_texts(source.tokenizer(), options.data, options.data_path, SEED)
    results: dict[str, Any] = {
        "setting": {
            "command": shlex.join(["python", "-m", "benchmarks.run", *sys.argv[1:]]),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "model": DEFAULT_MODEL,
            "corpus": texts.name,
            "threads": options.threads,
            "seed": SEED,
            "tolerance": TOLERANCE,
        },
        "machine": describe_machine(),
    }
    for section, measure in _sections(source, texts, extent).items():
        if options.only and section not in options.only:
            continue
        results[section] = measure()
        # written after each, so that a failure late in a long run loses nothing
        (options.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    (options.out / "table.md").write_text(text)
    if not options.only:
        save_growth(results, options.out)
    print(text)
    say(f"written to {options.out}")


def _sections(source: ModelSource, texts: Texts, extent: Extent) -> dict[str, Callable[[], Any]]:
    """How each of :data:`SECTIONS` is measured."""
    n_layers = source.config.num_hidden_layers
    job = _patching(texts.prompts(extent.prompts), texts, n_layers)
    few = _patching(texts.prompts(16), texts, n_layers)
    seeded = {"n_run": extent.n_run, "seed": SEED}
    return {
        "rounding": lambda: [
            asdict(row) for row in rounding(source, few.only(spread(few, extent.n_run, SEED)))
        ],
        "cpu": lambda: _all_tools(source, job, extent),
        "by_template": lambda: [
            _peers(source, texts, template, n_prompts, n_patches)
            for template, n_prompts, n_patches in extent.by_template
        ],
        "by_interventions": lambda: as_rows(
            by_interventions(source, texts, extent.interventions, **seeded)
        ),
        "by_length": lambda: as_rows(by_length(source, texts, extent.lengths, n_run=3, seed=SEED)),
        "by_items": lambda: as_rows(by_items(source, texts, extent.items, n_patches=6, seed=SEED)),
        "gpu": lambda: _gpu(source, texts, extent),
    }


def _patching(
    prompts: Sequence[Sequence[int]], texts: Texts, n_layers: int, n_patches: int | None = None
) -> Job:
    n = len(prompts)
    return patching_job(
        prompts, texts.label_ids, n_layers=n_layers, n_targets=n, n_patches=n_patches
    )


def _all_tools(source: ModelSource, job: Job, extent: Extent) -> dict[str, Any]:
    measured = compare(source, job, parts_of(job, extent.n_run, SEED), rounds=extent.rounds)
    check_agreement(measured)
    return {**measured.to_json(), "job": _in_words(job)}


def _peers(
    source: ModelSource, texts: Texts, template: str, n_prompts: int, n_patches: int
) -> dict[str, Any]:
    """The sweep and the two libraries on another template, or with more sources."""
    say(f"template {template}, {n_patches} interventions a prompt")
    prompts = texts.prompts(n_prompts, template)
    job = _patching(prompts, texts, source.config.num_hidden_layers, n_patches)
    parts = parts_of(job, 6, SEED)
    libraries = (OURS, "transformer_lens", "nnsight")
    measured = compare(source, job, {tool: parts[tool] for tool in libraries}, rounds=1)
    check_agreement(measured)
    return {**measured.to_json(), "template": template, "job": _in_words(job)}


def _gpu(source: ModelSource, texts: Texts, extent: Extent) -> dict[str, Any]:
    why_not = gpu.why_not()
    if why_not:
        return {"why_not": why_not}
    say("the same on the GPU, with random weights of the shape of Llama 3.1 8B")
    large = gpu.gpu_source(source.folder, source.threads)
    job, measured = gpu.random_model_table(
        large, texts, n_run=extent.n_run, rounds=extent.rounds, seed=SEED
    )
    return {**measured.to_json(), "job": _in_words(job), **gpu.describe_gpu()}


def _in_words(job: Job) -> str:
    lengths = [len(ids) for ids in job.prompts]
    return (
        f"{job.n_targets} prompts of {min(lengths)} to {max(lengths)} tokens (mean "
        f"{sum(lengths) / len(lengths):.0f}), {len(job.patches)} interventions each "
        f"({job.n_interventions:,} in all): every window of 3 layers at 3 sites, each prompt "
        "patched with the next one's activations; one clean pass of each prompt included."
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
