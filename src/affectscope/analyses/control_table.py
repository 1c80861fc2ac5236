"""Estimates of ``control``: the curves of each part, and how far two tasks' places differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, above_chance, curves_by_layer, layer_table
from affectscope.analyses.patch import Patch
from affectscope.analyses.study import Study, estimate_rows
from affectscope.analyses.transfer import (
    CurveDraws,
    centre_of,
    curve_draws,
    peak_of,
    transfer_hits,
    two_sided_p,
    two_way,
)
from affectscope.errors import NotPossibleError
from affectscope.stats import Estimate
from affectscope.vocabulary import SITES, Site

if TYPE_CHECKING:
    from affectscope.analyses.control import Control

COLUMNS = ["part", "metric", "items", "span", "site", "layer", "value", "low", "high", "n", "p"]

_OF_PAIRS = ("transfer", "peak", "centre", "peak_difference", "centre_difference")
"""Metrics of patching: its pairs are of items that the model gets right."""

Curves = dict[Site, CurveDraws]
Summary = dict[str, SummaryValue]

TASKS = ("emotion", "first_word")
"""What is patched."""

LEAST_PAIRS = 30
"""With fewer of either task the difference is given, and not tested: its bootstrap is too sure."""


@dataclass(frozen=True)
class Found:
    """Rows of the table and entries of the summary."""

    rows: list[pd.DataFrame]
    summary: Summary


def control_estimates(control: Control) -> tuple[pd.DataFrame, Summary, dict[str, str]]:
    """The table, the summary, and which parts were not possible and why."""
    curves: dict[str, Curves] = {}
    impossible: dict[str, str] = {}
    found = [_probed(control, "no_question"), _probed(control, "shuffled")]
    if control.first_word is not None:
        found += [_first_word_accuracy(control.first_word), _probed(control, "first_word")]
    studies = {"emotion": control.study, "first_word": control.first_word}
    for number, task in enumerate(TASKS):
        study = studies[task]
        if study is None:
            continue
        try:
            curves[task] = _patched(control, task, study, seed=[control.study.seed, number])
        except NotPossibleError as error:
            impossible[f"patching of {task}"] = error.message
            continue
        found.append(_places(task, curves[task]))
    if len(curves) == len(TASKS):
        n_pairs = {task: int(curves[task][SITES[0]][0].n.max()) for task in TASKS}
        tested = min(n_pairs.values()) >= LEAST_PAIRS
        found.append(_differences(curves, tested=tested))
        if not tested:
            counts = ", ".join(f"{n} of {task}" for task, n in n_pairs.items())
            impossible["a test of the difference"] = f"it takes {LEAST_PAIRS} pairs; got {counts}"
    table = pd.concat([rows for each in found for rows in each.rows], ignore_index=True)
    summary = {name: value for each in found for name, value in each.summary.items()}
    of_pairs = table["metric"].isin(_OF_PAIRS)
    table["items"] = np.where(of_pairs, RIGHT, ALL)
    table["span"] = np.where(of_pairs, control.span, 1)
    return table.reindex(columns=COLUMNS), summary, impossible


def _first_word_accuracy(study: Study) -> Found:
    clean = study.clean
    right = (clean.predicted == clean.emotions).astype(float)[:, None]
    accuracy = study.bootstrap(np.arange(len(right))).ratio(right).estimates()
    rows = estimate_rows({"site": [""], "layer": [-1]}, accuracy, "accuracy")
    return Found([rows.assign(part="first_word")], {"control.first_word.accuracy": accuracy[0]})


def _probed(control: Control, part: str) -> Found:
    """Probe accuracy by layer and site; p where labels may be absent altogether."""
    seen = control.observed(part, "readout")
    items = seen["item"].drop_duplicates().sort_values().to_numpy()
    study = {"no_question": control.no_question, "first_word": control.first_word}.get(
        part, control.study
    )
    assert study is not None, "a part that is not possible is not probed"
    draws = study.bootstrap(items)
    curves = curves_by_layer(seen, "correct", "item", draws)
    p = _readable_p(control, part)
    rows = layer_table(curves, "probe").assign(part=part)
    rows["p"] = [p.get(place, np.nan) for place in zip(rows["site"], rows["layer"], strict=True)]
    labels = seen.drop_duplicates("item").sort_values("item")["label"].to_numpy()
    frequent = labels == pd.Series(labels).value_counts().index[0]
    baseline = draws.ratio(frequent.astype(float)[:, None]).estimates()
    level = estimate_rows({"site": [""], "layer": [-1]}, baseline, "baseline")
    summary: Summary = {}
    for site, curve in curves.items():
        name = f"control.probe.{site}" if part == "first_word" else f"control.{part}.{site}"
        best = curve.peak(range(len(curve.value)))
        summary[f"{name}.best_layer"] = best
        summary[f"{name}.accuracy"] = curve.estimates()[int(best.value)]
    if p:
        significant = sum(value <= 0.05 for value in p.values())
        summary[f"control.{part}.significant_layers"] = int(significant)
    return Found([rows, level.assign(part=part)], summary)


def _readable_p(control: Control, part: str) -> dict[tuple[str, int], float]:
    """Family-wise p values by site and layer; none where they were not asked for."""
    if not any((each.name, each.experiment.name) == (part, "readable") for each in control.parts):
        return {}
    tested = above_chance(control.observed(part, "readable"))
    places = zip(tested["site"].tolist(), tested["layer"].tolist(), strict=True)
    return dict(zip(places, tested["p"].tolist(), strict=True))


def _patched(control: Control, task: str, study: Study, seed: list[int]) -> Curves:
    """Transfer by layer for each site, with draws of this task alone."""
    patch = next(
        part.experiment
        for part in control.parts
        if part.name == task and isinstance(part.experiment, Patch)
    )
    assert isinstance(patch, Patch)
    patch.pairs  # noqa: B018 - refused before what was observed is looked at
    hits = transfer_hits(control.observed(task, Patch.name))
    groups = np.asarray(study.corpus.groups, dtype=str)
    own_seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    return {
        site: curve_draws(hits[:, j], patch.pairs, groups, own_seed) for j, site in enumerate(SITES)
    }


def _places(task: str, curves: Curves) -> Found:
    """Transfer curves, with the peak and the centre of each site that carries anything over."""
    rows = [layer_table({site: curve[0] for site, curve in curves.items()}, "transfer")]
    summary: Summary = {}
    name = "control" if task == "first_word" else f"control.{task}"
    for site, (curve, *others) in curves.items():
        if np.isnan(peak_of(curve).value[0]):
            continue
        peak = curve.peak(range(len(curve.value)))
        centre = two_way([centre_of(each) for each in (curve, *others)]).estimates()[0]
        summary[f"{name}.{site}.peak_layer"] = peak
        summary[f"{name}.{site}.peak_transfer"] = curve.estimates()[int(peak.value)]
        for metric, estimate in (("peak", peak), ("centre", centre)):
            rows.append(estimate_rows({"site": [site], "layer": [-1]}, [estimate], metric))
    return Found([part.assign(part=task) for part in rows], summary)


def _differences(curves: Mapping[str, Curves], *, tested: bool) -> Found:
    """Emotion minus first word, in layers: of the centres and of the peaks."""
    rows = []
    summary: Summary = {}
    for site in SITES:
        both = [curves[task][site] for task in TASKS]
        centres = [two_way([centre_of(each) for each in curve]) for curve in both]
        peaks = [peak_of(curve[0]) for curve in both]
        for metric, (emotion, first_word) in (("centre", centres), ("peak", peaks)):
            shift = emotion.minus(first_word)
            estimate, p = shift.estimates()[0], two_sided_p(shift) if tested else np.nan
            row = estimate_rows({"site": [site], "layer": [-1]}, [estimate], f"{metric}_difference")
            rows.append(row.assign(part="difference", p=p))
            if np.isfinite(p):
                name = "control.differs" if metric == "centre" else "control.peak_differs"
                for key in [f"{name}.{site}", *([name] if site == "attn_out" else [])]:
                    joint = "_" if key == name else "."
                    summary |= {key: estimate, f"{key}{joint}p": p}
    return Found(rows, summary)


def control_answer(summary: Mapping[str, SummaryValue], impossible: Mapping[str, str]) -> str:
    """What the controls show, in some sentences."""
    sentences = []
    differs, p = summary.get("control.differs"), summary.get("control.differs_p")
    peaks = [summary.get(f"control.{task}attn_out.peak_layer") for task in ("emotion.", "")]
    first, second = peaks
    if isinstance(first, Estimate) and isinstance(second, Estimate):
        sentences.append(
            f"Patching attn_out peaks at {_layer(first)} for the emotion and at {_layer(second)} "
            "for the first word of the text."
        )
    if isinstance(differs, Estimate) and isinstance(p, float):
        verdict = "localise differently" if p <= 0.05 else "cannot be told apart by layer"
        sentences.append(
            f"The two {verdict}: the emotion's centre is {abs(differs.value):.1f} layers "
            f"{'later' if differs.value > 0 else 'earlier'} (difference {differs.value:+.1f} "
            f"[{differs.low:+.1f}, {differs.high:+.1f}], p = {p:.3g})."
        )
    unasked = summary.get("control.no_question.resid_post.accuracy")
    if isinstance(unasked, Estimate):
        layer = summary["control.no_question.resid_post.best_layer"]
        assert isinstance(layer, Estimate)
        sentences.append(
            f"Without a question the emotion can still be read at resid_post, layer "
            f"{layer.value:.0f}, for {percent(unasked)} of items."
            if summary["control.no_question.significant_layers"]
            else "Without a question the emotion cannot be read at any layer."
        )
    count = summary["control.shuffled.significant_layers"]
    sentences.append(
        "With labels shuffled nothing is significant, as it must be."
        if count == 0
        else f"With labels shuffled {count} places are significant: by chance that happens in 5 % "
        "of runs."
    )
    sentences += [f"Not possible: {what}, {why}." for what, why in impossible.items()]
    return " ".join(sentences)


def _layer(estimate: Estimate) -> str:
    return f"layer {estimate.value:.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"
