"""`make bench-appraisals`: how long `promote` and `surgery` take, and the paper's own procedure.

python -m benchmarks.appraisals [--items N] [--passes N] [--data crowd-envent --data-path FOLDER]

The sweeps of both experiments on the default model, at every layer: six emotions at three
coefficients in windows of three layers, and every single appraisal up and down with the paper's
four compounds, at three coefficients. Directions are fitted on other items than they are added to.

The paper's procedure is one full forward pass for each item, setting, coefficient and layer, with
forward hooks that add the same vectors, one item at a time. A seeded sample of these passes is
timed, between blocks of the sweep so that both see the same machine, and multiplied; their answers
are compared with the sweep's. Its clean passes are left out, and so is the paper's fitting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

import affectscope as afs
from affectscope.analyses import Study, Surgery
from affectscope.analyses.parts import split_items
from affectscope.analyses.promote import Promote
from affectscope.analyses.promote_fit import Fitter, Vectors, promoted
from affectscope.analyses.promote_plan import ARMS, MAIN, SITE, promotion
from affectscope.analyses.replacing import sweep_logits
from affectscope.analyses.surgery_edits import Place
from affectscope.data import Corpus
from affectscope.engine import Intervention
from benchmarks.machine import describe_machine

SEED, BLOCK = 0, 50
"""Items swept between two samples of full passes."""


T = TypeVar("T")


@dataclass
class Timed:
    """One experiment's sweep beside full passes."""

    name: str
    what: str
    fit: float
    """Seconds to find the directions."""
    items: int
    edits: list[Intervention] = field(repr=False)
    sweep: float = 0.0
    passes: list[float] = field(default_factory=list)
    """Seconds of each full pass."""
    largest: float = 0.0
    """Largest difference of a logit between the two."""
    same: list[bool] = field(default_factory=list)
    """Whether the highest label is the same."""

    @property
    def n(self) -> int:
        """Questions asked."""
        return self.items * len(self.edits)

    @property
    def estimate(self) -> float:
        """Seconds that all of it takes by full passes."""
        return float(np.mean(self.passes)) * self.n


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--passes", type=int, default=80, help="full passes timed for each")
    parser.add_argument("--data", choices=["vignettes", "crowd-envent"], default="crowd-envent")
    parser.add_argument("--data-path", type=Path)
    parser.add_argument("--limit", type=int, default=1400, help="items fitted on and tested")
    asked = parser.parse_args()

    lm = afs.load_model(dtype="float32", device="cpu")
    task = afs.EmotionTask(lm)
    corpus = _corpus(asked.data, asked.data_path, asked.limit).without_texts(task.shot_texts)
    study = Study(lm, task, corpus, seed=SEED)
    clean, _ = _timed(lambda: study.clean)
    parts = split_items(study, test_items=asked.items)
    machine = describe_machine(("affectscope", "torch"))
    print(
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_at_start']:.1f}; "
        f"{len(corpus)} items of {corpus.name}, {study.n_tokens / len(corpus):.0f} tokens each; "
        f"clean passes of all of them {clean:.0f} s (once for all experiments)\n"
    )
    found = [_promote(study, asked.items), _surgery(study, asked.items)]
    for one in found:
        _measure(study, parts.test, one, asked.passes)
    print(
        "experiment  questions   fit, s  sweep, s  ms each  full passes, h  ms each  ratio  "
        "largest logit difference  same answer"
    )
    for one in found:
        each = 1e3 * one.sweep / one.n
        print(
            f"{one.name:<10} {one.n:>10,} {one.fit:8.0f} {one.sweep:9.0f} {each:8.2f} "
            f"{one.estimate / 3600:15.1f} {1e3 * np.mean(one.passes):8.1f} "
            f"{one.estimate / one.sweep:6.0f} {one.largest:25.1e} {np.mean(one.same):12.1%}"
        )
    for one in found:
        print(f"\n{one.name}: {one.what}; {len(one.passes)} full passes timed", end="")
    print()


def _corpus(data: str, path: Path | None, limit: int) -> Corpus:
    file: str | Path = data
    if path is not None:
        file = path / "enVent_gen_Data.csv" if path.is_dir() else path
    return afs.load_corpus(file).sample(limit, SEED)


def _promote(study: Study, items: int) -> Timed:
    """Six emotions, three coefficients, every centre, on the main kind of direction."""
    plan = Promote(study, items=items).plan
    fitter = Fitter(study, promoted(study, None))
    fitting = split_items(study, test_items=items).not_test

    def fit() -> tuple[list[Vectors], list[float]]:
        layers = range(plan.n_layers)
        norms = [np.linalg.norm(fitter.activations(at, fitting), axis=1).mean() for at in layers]
        return [fitter.directions(ARMS[MAIN].kind, at, fitting) for at in layers], norms

    took, (vectors, norms) = _timed(fit)
    edits = [
        promotion(plan, one, lambda _, at: vectors[at], norms)
        for one in plan.promotions()
        if one.arm == MAIN
    ]
    what = (
        f"{len(plan.emotions)} emotions x {len(plan.coefficients)} coefficients x "
        f"{plan.n_layers} centres at {SITE}, windows of {plan.span}"
    )
    return Timed("promote", what, took, items, edits)


def _surgery(study: Study, items: int) -> Timed:
    """Every setting, three coefficients, every centre."""
    surgery = Surgery(study, items=items)
    layers, span = range(study.lm.n_layers), 3

    def fit() -> list[Intervention]:
        return [
            surgery.surgeon.edit(setting, Place(SITE, span, centre), c)
            for setting, c, centre in product(surgery.settings, surgery.coefficients, layers)
        ]

    took, edits = _timed(fit)
    what = (
        f"{len(surgery.settings)} settings x {len(surgery.coefficients)} coefficients x "
        f"{len(layers)} centres at {SITE}, windows of {span}"
    )
    return Timed("surgery", what, took, items, edits)


def _measure(study: Study, items: np.ndarray, one: Timed, passes: int) -> None:
    """Sweep block by block, with some full passes after each block."""
    one.items = len(items)
    drawn = np.random.default_rng(SEED)
    blocks = [items[at : at + BLOCK] for at in range(0, len(items), BLOCK)]
    for block in blocks:
        prompts = [study.prompts[item] for item in block]
        took, logits = _timed(
            lambda prompts=prompts: sweep_logits(  # type: ignore[misc]
                study.remembering_lm, prompts, one.edits, study.task.label_ids
            )
        )
        one.sweep += took
        for _ in range(-(-passes // len(blocks))):
            row, column = int(drawn.integers(len(block))), int(drawn.integers(len(one.edits)))
            took, naive = _timed(
                lambda prompt=prompts[row], edit=one.edits[column]: _full_pass(  # type: ignore[misc]
                    study, prompt, edit
                )
            )
            one.passes.append(took)
            ours = logits[row, column]
            one.largest = max(one.largest, float((ours - naive).abs().max()))
            one.same.append(int(ours.argmax()) == int(naive.argmax()))


@torch.no_grad()
def _full_pass(study: Study, prompt: str, edit: Intervention) -> torch.Tensor:
    """Logits of the labels after a pass with hooks that add the vectors to the last token."""
    model = study.lm.model
    [ids] = study.lm.encode([prompt])
    handles = []
    for each in edit.edits:
        vector = each.coefficient * each.vector  # type: ignore[attr-defined]

        def add(_module: nn.Module, _inputs: Any, output: Any, v: torch.Tensor = vector) -> None:
            state = output[0] if isinstance(output, tuple) else output
            state[:, -1] += v

        handles.append(model.model.layers[each.layer].register_forward_hook(add))  # type: ignore[attr-defined]
    try:
        out = model(torch.tensor([ids]), logits_to_keep=1, use_cache=False)
        return out.logits[0, -1, list(study.task.label_ids)]
    finally:
        for handle in handles:
            handle.remove()


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = work()
    return time.perf_counter() - began, done


if __name__ == "__main__":
    main()
