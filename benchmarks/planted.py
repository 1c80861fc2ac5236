"""`make bench-planted`: does the pipeline find a truth that is known, and nothing else?

python -m benchmarks.planted [--quick]

Planted models (:mod:`affectscope.models.planted`) in which a known head of a known layer carries
the emotion. Where do probe, ablate and patch find it; how far do windows of layers smear it; and
how often is anything found where labels are shuffled? Writes results/planted.{md,svg,png}.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

import affectscope.analyses as afa
from affectscope.analyses.windows import window
from affectscope.data import grouped_folds
from affectscope.engine import Intervention, Replace
from affectscope.models.planted import PlantedModel, Truth, planted_corpus, planted_model
from affectscope.probes import probe_out_of_fold
from affectscope.prompts import EmotionTask
from affectscope.stats import (
    MaximumTest,
    label_permutation_test,
    refit_accuracy,
    refit_test,
    sign_flip_test,
)
from affectscope.vocabulary import SITES, Site, head_site
from benchmarks.planted_figure import save_smear
from benchmarks.table import table

ITEMS, PAIRS, SPANS, FOLDS = 156, 100, (1, 3, 5, 7), 5

PLANTED: tuple[dict[str, object], ...] = (
    {"layer": 0, "head": 0, "seed": 0},
    {"layer": 2, "head": 3, "seed": 1},
    {"layer": 4, "head": 1, "seed": 2},
    {"layer": 4, "head": 2, "seed": 3},
    {"layer": 5, "head": 0, "seed": 4},
    {"layer": 7, "head": 1, "seed": 5},
    {"layer": 5, "head": 3, "relay": (2, 1), "seed": 6},
    {"layer": 2, "head": 2, "mlp_layer": 5, "seed": 7},
)
"""The models: one step from the cue word to the last token, then two steps, then with an MLP."""

Place = tuple[Site, int]


def planted_study(planted: PlantedModel, *, items: int = ITEMS, seed: int = 0) -> afa.Study:
    """The model on its own corpus."""
    task = EmotionTask(planted.lm, calibration="none")
    return afa.Study(planted.lm, task, planted_corpus(items, seed), seed=seed)


@dataclass(frozen=True, eq=False)
class Found:
    """What one method says of every place."""

    places: tuple[Place, ...]
    effect: NDArray[np.float64]
    """``[place]``"""
    test: MaximumTest

    @property
    def localised(self) -> set[Place]:
        """Significant by the family-wise test, and more than half of the largest effect."""
        strong = self.effect > np.nanmax(self.effect) / 2
        chosen = self.test.significant & strong
        return {place for place, it_is in zip(self.places, chosen, strict=True) if it_is}


def by_patching(study: afa.Study, pairs: int = PAIRS) -> Found:
    """Share of the logit difference that the source's activation carries over."""
    patch = afa.Patch(study, pairs=pairs, span=1, spans=(1,), positions=(-1,), heads=False)
    seen = _observations(patch)
    seen = seen[(seen["direction"] == "sufficient") & seen["site"].isin(SITES)]
    values = seen.assign(share=seen["carried"] / seen["whole"])
    wide = values.pivot_table(index="pair", columns=["site", "layer"], values="share")
    groups = np.asarray(study.corpus.groups)[patch.pairs[: len(wide), 1]]
    return _by_flips(wide, groups.tolist(), study.seed)


def by_ablation(study: afa.Study, kind: str) -> Found:
    """Share of items whose answer changes."""
    seen = _observations(afa.Ablate(study, spans=(1,)))
    seen = seen[seen["kind"] == kind]
    values = seen.assign(changed=(seen["predicted"] != seen["clean"]).astype(float))
    wide = values.pivot_table(index="item", columns=["site", "layer"], values="changed")
    return _by_flips(wide, study.corpus.groups, study.seed)


def by_probing(study: afa.Study) -> Found:
    """Accuracy above chance of the probe that is fitted anew to every permutation."""
    corpus, labels = study.corpus, study.clean.emotions
    folds = grouped_folds(corpus.emotions, corpus.groups, FOLDS, study.seed)
    places = [(site, layer) for site in SITES for layer in range(study.lm.n_layers)]
    test = refit_test(
        [
            refit_accuracy(
                study.clean.activations(*place), labels, corpus.groups, folds, seed=study.seed
            )
            for place in places
        ]
    )
    chance = np.bincount(labels).max() / len(labels)
    return Found(tuple(places), test.observed - chance, test)


def by_patching_heads(study: afa.Study, pairs: int = PAIRS) -> Found:
    """The same as :func:`by_patching` for single heads, without the experiment."""
    lm, clean = study.lm, study.clean
    drawn = afa.Patch(study, pairs=pairs, span=1, spans=(1,), positions=(-1,)).pairs
    sources, targets = drawn.T
    sites = [head_site(head) for head in range(lm.n_heads)]
    states = lm.capture([study.prompts[item] for item in sources], sites=sites)
    places = [(site, layer) for site in sites for layer in range(lm.n_layers)]
    sweep = lm.intervene(
        [study.prompts[item] for item in targets],
        [
            Intervention([Replace(site, layer, value=states.at(site, layer))])
            for site, layer in places
        ],
        label_ids=study.task.label_ids,
    )
    rows = torch.arange(len(drawn))
    of_source, of_target = (torch.from_numpy(clean.emotions[items]) for items in (sources, targets))

    def difference(logits: torch.Tensor) -> torch.Tensor:
        return logits[rows, ..., of_source] - logits[rows, ..., of_target]

    at_target = difference(clean.logits[targets])
    whole = difference(clean.logits[sources]) - at_target
    shares = (difference(sweep.logits) - at_target[:, None]) / whole[:, None]
    wide = pd.DataFrame(shares.numpy(), columns=pd.MultiIndex.from_tuples(places))
    groups = np.asarray(study.corpus.groups)[targets]
    return _by_flips(wide, groups.tolist(), study.seed)


def _by_flips(wide: pd.DataFrame, groups: Sequence[str], seed: int) -> Found:
    values = wide.to_numpy(dtype=float)
    places = tuple((str(site), int(layer)) for site, layer in wide.columns)
    return Found(places, values.mean(axis=0), sign_flip_test(values, groups, seed=seed))


def _observations(experiment: afa.Experiment) -> pd.DataFrame:
    store = experiment.study.store
    for _ in afa.finish_units(experiment, store):
        pass
    return pd.concat([store.read(unit) for unit in experiment.units()], ignore_index=True)


METHODS: dict[str, Callable[[afa.Study], Found]] = {
    "probe": by_probing,
    "ablate, mean": lambda study: by_ablation(study, "mean"),
    "ablate, resample": lambda study: by_ablation(study, "resample"),
    "patch": by_patching,
    "patch, heads": by_patching_heads,
}


@dataclass(frozen=True)
class Score:
    """What a method found of what there is."""

    true: int
    found: int
    false: int


def score(found: Found, truth: Truth) -> Score:
    """Places that hold the emotion, those of them that were localised, and others that were."""
    true = {place for place in found.places if truth.holds(*place)}
    return Score(len(true), len(true & found.localised), len(found.localised - true))


def smear(study: afa.Study, spans: Sequence[int] = SPANS, pairs: int = PAIRS) -> pd.DataFrame:
    """Transfer by site, span and centre of the window: share of pairs that follow the source."""
    patch = afa.Patch(study, pairs=pairs, span=1, spans=tuple(spans), positions=(-1,), heads=False)
    seen = _observations(patch)
    seen = seen[(seen["direction"] == "sufficient") & seen["site"].isin(SITES)]
    hits = seen.assign(transfer=(seen["outcome"] == "source").astype(float))
    return hits.groupby(["site", "span", "layer"], as_index=False)["transfer"].mean()


def centres(curves: pd.DataFrame, site: Site, span: int) -> list[int]:
    """Centres at which the transfer is more than half of its peak."""
    curve = curves[(curves["site"] == site) & (curves["span"] == span)]
    return curve.loc[curve["transfer"] > curve["transfer"].max() / 2, "layer"].tolist()


@dataclass(frozen=True)
class Shuffled:
    """Of runs with shuffled labels, those with any significant layer and site."""

    name: str
    runs: int
    called: int

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval of the share (Clopper and Pearson 1934)."""
        low, high = binomtest(self.called, self.runs).proportion_ci()
        return float(low), float(high)


def shuffled_labels(study: afa.Study, runs: int, *, n_permutations: int = 199) -> list[Shuffled]:
    """Shuffle the labels, make folds for them, probe all layers and sites, and test, many times."""
    groups, emotions = study.corpus.groups, study.clean.emotions
    layers = range(study.lm.n_layers)
    activations = [study.clean.activations(site, layer) for site in SITES for layer in layers]
    called = {"refitted to every permutation": 0, "fixed out-of-fold predictions": 0}
    generator = np.random.default_rng(study.seed)
    for run in range(runs):
        labels = generator.permutation(emotions)
        names = [f"{label:02d}" for label in labels]
        folds = grouped_folds(names, groups, FOLDS, run)
        refitted = refit_test(
            [
                refit_accuracy(X, labels, groups, folds, seed=run, n_permutations=n_permutations)
                for X in activations
            ]
        )
        predicted = [
            probe_out_of_fold(X, {"label": names}, folds, penalties=(1e-2,))["label"].predicted
            for X in activations
        ]
        fixed = label_permutation_test(
            np.stack(predicted, axis=1).astype(np.int64),
            labels,
            groups,
            seed=run,
            n_permutations=n_permutations,
        )
        for name, test in zip(called, (refitted, fixed), strict=True):
            called[name] += int(test.significant.any())
    return [Shuffled(name, runs, count) for name, count in called.items()]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one model of a kind, 20 shuffles")
    options = parser.parse_args()
    start = time.perf_counter()
    chosen = (PLANTED[2], *PLANTED[-2:]) if options.quick else PLANTED
    rows, smeared = [], []
    for settings in chosen:
        planted = planted_model(**settings)  # type: ignore[arg-type]
        study = planted_study(planted)
        scores = {name: score(method(study), planted.truth) for name, method in METHODS.items()}
        rows += [(planted.truth, name, result) for name, result in scores.items()]
        smeared.append((planted.truth, smear(study)))
    middle = planted_study(planted_model(layer=4, head=1, seed=2))
    shuffled = shuffled_labels(middle, 20 if options.quick else 200)
    seconds = time.perf_counter() - start
    text = markdown(rows, smeared, shuffled, seconds)
    print(text)
    if not options.quick:
        folder = Path(__file__).parent / "results"
        (folder / "planted.md").write_text(text, encoding="utf-8")
        save_smear(smeared[2][1], folder)


def markdown(
    rows: Sequence[tuple[Truth, str, Score]],
    smeared: Sequence[tuple[Truth, pd.DataFrame]],
    shuffled: Sequence[Shuffled],
    seconds: float,
) -> str:
    """All that was measured."""
    parts = [
        "# Planted truth",
        f"Made by `python -m benchmarks.planted` in {seconds:.0f} s: {len(smeared)} models of 8 "
        f"layers and 4 heads, {ITEMS} texts, {PAIRS} pairs. A place (a layer and site, or a head) "
        "is localised when it is significant by the family-wise test and has more than half of "
        "the largest effect.",
        "## What is found (windows of one layer)",
        _recall(rows),
        "## How far a window smears it",
        "Centres at which patching a window of layers carries more than half of its peak:",
        _centres(smeared),
        "## Shuffled labels",
        _shuffled(shuffled),
    ]
    return "\n\n".join(parts) + "\n"


def _recall(rows: Sequence[tuple[Truth, str, Score]]) -> str:
    lines = []
    for truth, method, result in rows:
        lines.append([_name(truth), method, str(result.true), str(result.found), str(result.false)])
    true, found, false = (
        sum(getattr(result, what) for *_, result in rows) for what in ("true", "found", "false")
    )
    lines.append([f"all: recall {found / true:.0%}", "", str(true), str(found), str(false)])
    return table(["planted", "method", "places", "found", "false"], lines)


def _name(truth: Truth) -> str:
    name = f"layer {truth.layer}, head {truth.head}"
    if truth.relay is not None:
        return f"{name}, by way of layer {truth.relay[0]}, head {truth.relay[1]}"
    return name if truth.mlp_layer is None else f"{name}, then MLP of layer {truth.mlp_layer}"


def _centres(smeared: Sequence[tuple[Truth, pd.DataFrame]]) -> str:
    lines = [
        [
            _name(truth),
            *(", ".join(map(str, centres(curves, "attn_out", span))) for span in SPANS),
            *(str(centres(curves, "resid_post", span)[0]) for span in SPANS),
        ]
        for truth, curves in smeared
    ]
    header = [f"attn_out, span {span}" for span in SPANS]
    return table(["planted", *header, *(f"resid_post from, span {span}" for span in SPANS)], lines)


def _shuffled(shuffled: Sequence[Shuffled]) -> str:
    lines = []
    for each in shuffled:
        low, high = each.interval
        share = f"{each.called / each.runs:.1%} [{low:.1%}, {high:.1%}]"
        lines.append([each.name, str(each.runs), str(each.called), share])
    return table(["probes", "runs", "with a significant layer", "share [95 %]"], lines)


def expected_centres(truth: Truth, site: Site, span: int) -> list[int]:
    """The centres whose window holds a layer at which the site carries the emotion."""
    return [
        centre
        for centre in range(truth.n_layers)
        if set(window(centre, span, truth.n_layers)) & set(truth.sites[site])
    ]


if __name__ == "__main__":
    main()
