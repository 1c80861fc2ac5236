"""Estimates of ``robust``: accuracy, transfer and peaks by template, and what moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, layer_table
from affectscope.analyses.study import Study, estimate_rows
from affectscope.analyses.transfer import (
    CurveDraws,
    centre_of,
    curve_draws,
    peak_of,
    shift_test,
    two_way,
)
from affectscope.data import Corpus
from affectscope.stats import Estimate, RatioDraws
from affectscope.vocabulary import SITES, Site

COLUMNS = ["metric", "items", "template", "own", "site", "layer", "value", "low", "high", "n", "p"]

Hits = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Pairs ``[pair, (source, target)]`` and whether each carried over ``[pair, site, layer]``."""

Curves = dict[str, dict[Site, CurveDraws]]
"""Template, then site."""

Summary = dict[str, SummaryValue]


def robust_estimates(
    corpus: Corpus, studies: Mapping[str, Study], hits: Mapping[str, Hits], seed: int
) -> tuple[pd.DataFrame, Summary]:
    """The table and the summary.

    Args:
        corpus: The items, the same for all.
        studies: Of every template, the run's own first.
        hits: Of the templates under which patching was possible.
        seed: Of the bootstrap.
    """
    own = next(iter(studies))
    summary: Summary = {}
    rows = [_accuracy(studies, summary)]
    curves = common_curves(np.asarray(corpus.groups, dtype=str), hits, seed)
    for name, by_site in curves.items():
        drawn = {site: curve[0] for site, curve in by_site.items()}
        rows.append(layer_table(drawn, "transfer").assign(template=name))
        for site, (curve, *others) in by_site.items():
            if np.isnan(peak_of(curve).value[0]):
                continue  # nothing is carried over, or the same everywhere
            peak = curve.peak(range(len(curve.value)))
            centre = two_way([centre_of(each) for each in (curve, *others)]).estimates()[0]
            summary[f"robust.{name}.{site}.peak_layer"] = peak
            summary[f"robust.{name}.{site}.peak_transfer"] = curve.estimates()[int(peak.value)]
            for metric, estimate in (("peak", peak), ("centre", centre)):
                rows.append(_row(metric, name, site, estimate))
    rows += [_peak_range(curves, summary), *_shifts(curves, own, summary)]
    table = pd.concat([part for part in rows if len(part)], ignore_index=True)
    of_all = table["metric"].str.startswith("accuracy")  # pairs are of items the model gets right
    table = table.assign(items=np.where(of_all, ALL, RIGHT), own=table["template"] == own)
    return table.reindex(columns=COLUMNS), summary


def common_curves(groups: NDArray[np.str_], hits: Mapping[str, Hits], seed: int) -> Curves:
    """Transfer by layer of every template and site, resampled by the same draws of groups.

    The pairs of all templates are rows of one matrix, in which a template's columns count its own
    pairs only.

    Args:
        groups: Of the items, ``[item]``.
        hits: Of every template.
        seed: Of the draws.
    """
    if not hits:
        return {}
    pairs = np.concatenate([found for found, _ in hits.values()])
    n_layers = next(iter(hits.values()))[1].shape[2]
    width = len(SITES) * n_layers
    values = np.full((len(pairs), len(hits) * width), np.nan)
    start = 0
    for number, (found, carried) in enumerate(hits.values()):
        block = carried.reshape(len(found), width)
        values[start : start + len(found), number * width : (number + 1) * width] = block
        start += len(found)
    everything = curve_draws(values, pairs, groups, seed)
    return {
        name: {
            site: tuple(
                way.columns(
                    range(number * width + j * n_layers, number * width + (j + 1) * n_layers)
                )
                for way in everything
            )
            for j, site in enumerate(SITES)
        }
        for number, name in enumerate(hits)
    }


def _row(metric: str, template: str, site: str, estimate: Estimate) -> pd.DataFrame:
    keys: dict[str, list[str | int]] = {"template": [template], "site": [site], "layer": [-1]}
    return estimate_rows(keys, [estimate], metric)


def _accuracy(studies: Mapping[str, Study], summary: Summary) -> pd.DataFrame:
    """Accuracy under each template, and its difference to the run's own."""
    first = next(iter(studies.values()))
    right = np.stack(
        [study.clean.predicted == study.clean.emotions for study in studies.values()], axis=1
    )
    found = first.bootstrap(np.arange(len(right))).ratio(right.astype(float))
    own = found.columns([0] * len(studies))
    rows = []
    for name, accuracy, difference in zip(
        studies, found.estimates(), found.minus(own).estimates(), strict=True
    ):
        summary[f"robust.{name}.accuracy"] = accuracy
        rows.append(_row("accuracy", name, "", accuracy))
        if studies[name] is not first:
            rows.append(_row("accuracy_difference", name, "", difference))
    return pd.concat(rows, ignore_index=True)


def _peak_range(curves: Curves, summary: Summary) -> pd.DataFrame:
    """How many layers lie between the first and the last peak, over all templates.

    Chance alone spreads peaks: it is 0 only where nothing varies, and the test of whether any
    template moves the curve is :func:`_shifts`.
    """
    rows = []
    for site in SITES if curves else ():
        peaks = [peak_of(by_site[site][0]) for by_site in curves.values()]
        value = np.array([peak.value[0] for peak in peaks])
        draws = np.concatenate([peak.draws for peak in peaks], axis=1)
        spread = RatioDraws(
            np.array([_range(value[None])[0]]),
            _range(draws)[:, None],
            np.array([min(peak.n[0] for peak in peaks)]),
            np.array([min(peak.n_groups[0] for peak in peaks)]),
            np.zeros(1, dtype=bool),
        ).estimates()[0]
        summary[f"robust.{site}.peak_range"] = spread
        rows.append(_row("peak_range", "", site, spread))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _range(peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest minus smallest, along the last axis, of those that there are; NaN for none."""
    some = np.isfinite(peaks)
    highest = np.where(some, peaks, -np.inf).max(axis=1)
    lowest = np.where(some, peaks, np.inf).min(axis=1)
    return np.where(some.any(axis=1), highest - lowest, np.nan)


def _shifts(curves: Curves, own: str, summary: Summary) -> list[pd.DataFrame]:
    """How far each template's peak and centre are from the run's own."""
    others = [name for name in curves if name != own]
    if own not in curves or not others:
        return []
    rows = []
    for site in SITES:
        base = curves[own][site]
        for metric in ("centre", "peak"):
            shifts = [shift_between(curves[name][site], base, metric) for name in others]
            p = shift_test(shifts).p
            for name, shift, adjusted in zip(others, shifts, p, strict=True):
                estimate = shift.estimates()[0]
                rows.append(_row(f"{metric}_difference", name, site, estimate).assign(p=adjusted))
            if metric == "centre" and np.isfinite(p).any():
                smallest = float(np.nanmin(p))
                summary[f"robust.{site}.moves_p"] = smallest
                if site == "attn_out":
                    summary["robust.moves_p"] = smallest
                    summary["robust.moved"] = int((p <= 0.05).sum())
    return rows


def shift_between(of: CurveDraws, own: CurveDraws, metric: str) -> RatioDraws:
    """How far a curve's place is from the own one's, in the same draws."""
    if metric == "peak":
        return peak_of(of[0]).minus(peak_of(own[0]))
    pairs = zip(of, own, strict=True)
    return two_way([centre_of(one).minus(centre_of(other)) for one, other in pairs])


def robust_answer(
    summary: Mapping[str, SummaryValue], templates: Sequence[str], impossible: Mapping[str, str]
) -> str:
    """What the templates change, in some sentences."""
    accuracies = {name: summary[f"robust.{name}.accuracy"] for name in templates}
    values = {
        name: found.value for name, found in accuracies.items() if isinstance(found, Estimate)
    }
    worst, best = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    low, high = accuracies[worst], accuracies[best]
    assert isinstance(low, Estimate)
    assert isinstance(high, Estimate)
    sentences = [
        f"The model names the emotion of {percent(low)} of items under {worst} and of "
        f"{percent(high)} under {best}."
    ]
    peaks = [summary.get(f"robust.{name}.attn_out.peak_layer") for name in templates]
    layers = [int(peak.value) for peak in peaks if isinstance(peak, Estimate)]
    if layers:
        sentences.append(
            f"Patching attn_out peaks between layer {min(layers)} and {max(layers)} under "
            f"{len(layers)} templates."
        )
    p = summary.get("robust.moves_p")
    if isinstance(p, float):
        moved = summary["robust.moved"]
        sentences.append(
            f"Beside the run's own, {moved} of {len(layers) - 1} templates "
            f"{'moves' if moved == 1 else 'move'} its centre (smallest adjusted p = {p:.3g})."
        )
    sentences += [f"Not possible under {name}: {why}." for name, why in impossible.items()]
    return " ".join(sentences)
