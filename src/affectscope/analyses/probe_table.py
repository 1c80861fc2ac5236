"""Estimates of ``probe``: how well each probe reads the emotion, and what that is worth.

Accuracy of every probe, token, layer and site; for the linear probe at the last token also what the
same probe scores on control labels, *selectivity* (the difference), a family-wise p value over all
layers and sites, and the recall of each emotion at the best layer of each site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.layers import (
    ALL,
    above_chance,
    curves_by_layer,
    item_sets,
    layer_table,
)
from affectscope.analyses.study import Study, estimate_rows
from affectscope.stats import GroupBootstrap, RatioDraws
from affectscope.vocabulary import SITES, Site

LINEAR, MLP = "linear", "mlp"
DEALT = "dealt"
"""Rows of the permutation test, one a deal of the labels instead of one an item."""

BY_WORD, BY_ITEM = "control_word", "control_item"
"""The control labels: drawn for each last word, and dealt at random."""

COLUMNS = ["metric", "items", "probe", "site", "layer", "position", "emotion"]
COLUMNS += ["value", "low", "high", "n", "p"]

Curves = Mapping[Site, RatioDraws]
Summary = dict[str, SummaryValue]


def probe_estimates(
    study: Study, observations: pd.DataFrame, words_right: NDArray[np.float64] | None
) -> tuple[pd.DataFrame, Summary]:
    """The table of estimates, and the summary, over all items and over those the model gets right.

    Args:
        study: The study.
        observations: One row for each item, probe, site, layer and position, and one for each deal.
        words_right: Whether word counts name each item's emotion, ``[item]``, if that is known.
    """
    above = above_chance(observations[observations["probe"] == DEALT])
    significant = above.groupby("site")["significant"].sum()
    tested = above[["site", "layer", "p"]]
    seen = _with_hits(observations[observations["probe"] != DEALT])
    parts: list[pd.DataFrame] = []
    summary: Summary = {}
    for name, items in item_sets(study).items():
        here = seen if name == ALL else seen[seen["item"].isin(items)]
        rows, found = _of_items(study, here, items, words_right, tested if name == ALL else None)
        parts.append(rows.assign(items=name))
        suffix = "" if name == ALL else f"_{name}"
        summary |= {f"probe.{key}{suffix}": value for key, value in found.items()}
    for site in SITES:
        if site in significant:
            summary[f"probe.{site}.significant_layers"] = int(significant[site])
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS), summary


def _with_hits(observations: pd.DataFrame) -> pd.DataFrame:
    """With a column of ones and zeros for every labelling: whether the probe named it right."""
    right = {"correct": observations["predicted"] == observations["emotion"]}
    for name in (BY_WORD, BY_ITEM):
        right[f"correct_{name}"] = observations[f"predicted_{name}"] == observations[name]
    return observations.assign(**{name: hits.astype(float) for name, hits in right.items()})


def _of_items(
    study: Study,
    here: pd.DataFrame,
    items: NDArray[np.int64],
    words_right: NDArray[np.float64] | None,
    tested: pd.DataFrame | None,
) -> tuple[pd.DataFrame, Summary]:
    """Estimates over some items; with tests where ``tested`` is given."""
    draws = study.bootstrap(items)
    by_probe = {
        (probe, position): here[(here["probe"] == probe) & (here["position"] == position)]
        for probe in here["probe"].unique().tolist()
        for position in here["position"].unique().tolist()
    }
    curves = {
        key: curves_by_layer(rows, "correct", "item", draws) for key, rows in by_probe.items()
    }
    main, guarded = curves[LINEAR, -1], by_probe[LINEAR, -1]
    controls = {
        name: curves_by_layer(guarded, f"correct_{name}", "item", draws)
        for name in (BY_WORD, BY_ITEM)
    }
    selectivity = {site: curve.minus(controls[BY_WORD][site]) for site, curve in main.items()}
    prior = draws.ratio(_most_frequent(np.asarray(study.corpus.emotions)[items]))
    over = {"prior": prior}
    if words_right is not None:
        over["words"] = draws.ratio(words_right[items][:, None])
    summary = _guarded_summary(main, controls, selectivity, over)
    summary["baseline"] = prior.estimates()[0]
    summary |= _other_probes(curves)
    accuracy = layer_table(main, "accuracy")
    accuracy = accuracy.assign(p=np.nan) if tested is None else accuracy.merge(tested, how="left")
    rows = [
        accuracy,
        layer_table(selectivity, "selectivity"),
        *(layer_table(control, name) for name, control in controls.items()),
        _recalls(guarded, draws, main),
    ]
    parts = [pd.concat(rows).assign(probe=LINEAR, position=-1)]
    parts += [
        layer_table(found, "accuracy").assign(probe=probe, position=position)
        for (probe, position), found in curves.items()
        if (probe, position) != (LINEAR, -1)
    ]
    baseline = estimate_rows({"site": [""], "layer": [-1]}, prior.estimates(), "baseline")
    parts.append(baseline.assign(probe="", position=-1))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(emotion=table["emotion"].fillna("")), summary


def _most_frequent(emotions: NDArray[np.str_]) -> NDArray[np.float64]:
    """Whether each item has the most frequent label, ``[item, 1]``."""
    values, counts = np.unique(emotions, return_counts=True)
    return np.asarray(emotions == values[counts.argmax()], dtype=float)[:, None]


def _guarded_summary(
    main: Curves,
    controls: Mapping[str, Curves],
    selectivity: Curves,
    over: Mapping[str, RatioDraws],
) -> Summary:
    """The linear probe at the last token: its best layers and what stands against them."""
    summary: Summary = {}
    for site, curve in main.items():
        best = curve.peak(range(len(curve.value)))
        at = [int(best.value)]
        summary[f"{site}.best_layer"] = best
        summary[f"{site}.accuracy"] = curve.estimates()[at[0]]
        summary[f"{site}.selectivity"] = selectivity[site].estimates()[at[0]]
        for name, control in controls.items():
            summary[f"{site}.{name}"] = control[site].estimates()[at[0]]
        for name, baseline in over.items():
            gain = curve.columns(at).minus(baseline).estimates()[0]
            summary[f"{site}.gain_over_{name}"] = gain
    return summary


def _other_probes(curves: Mapping[tuple[str, int], Curves]) -> Summary:
    """The best layers of the network at the last token, and of the linear probe at the others."""
    summary: Summary = {}
    for (probe, position), by_site in curves.items():
        if (probe == MLP) == (position != -1):
            continue
        name = MLP if probe == MLP else f"position{-position}"
        for site, curve in by_site.items():
            best = curve.peak(range(len(curve.value)))
            summary[f"{name}.{site}.best_layer"] = best
            summary[f"{name}.{site}.accuracy"] = curve.estimates()[int(best.value)]
            if probe == MLP:
                linear = curves[LINEAR, -1][site]
                at = int(np.argmax(np.nan_to_num(linear.value, nan=-np.inf)))
                gain = curve.columns([int(best.value)]).minus(linear.columns([at])).estimates()[0]
                summary[f"{name}.{site}.gain_over_linear"] = gain
    return summary


def _recalls(rows: pd.DataFrame, draws: GroupBootstrap, main: Curves) -> pd.DataFrame:
    """The share of each emotion's items that the probe names, at the best layer of each site."""
    emotions = np.unique(rows["emotion"])
    parts = []
    for site, curve in main.items():
        layer = int(curve.peak(range(len(curve.value))).value)
        of_site = rows[rows["site"] == site]
        best = of_site[of_site["layer"] == layer].sort_values("item")
        of_emotion = best["emotion"].to_numpy()[:, None] == emotions
        hits = np.where(of_emotion, best["correct"].to_numpy()[:, None], np.nan)
        keys: dict[str, Sequence[Any]] = {
            "emotion": emotions.tolist(),
            "site": [site] * len(emotions),
            "layer": [layer] * len(emotions),
        }
        parts.append(estimate_rows(keys, draws.ratio(hits).estimates(), "recall"))
    return pd.concat(parts, ignore_index=True)
