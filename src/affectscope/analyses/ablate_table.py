"""Estimates of ``ablate``: what a knock-out changes, by kind, site, layer and span.

Whether a layer matters is not what an agreement below 1 tells: any change of any activation moves
some answer. The test asks whether a knock-out costs *more than at other layers*. Within each item
the layers of one site are ranked by their Kullback-Leibler divergence (as in Friedman 1937, J. Am.
Stat. Assoc. 32(200)); where the item does not tell the layers apart, a layer's rank lies above the
middle rank as often as below it, by as much. So ranks minus the middle have exchangeable signs, and
the largest over all layers and sites of a kind and span is compared with that of whole groups of
items with their signs flipped. The difference to the *median* layer's divergence would not do:
divergences are skewed to the right, and the mean of a skewed number lies above its median, so that
every layer would be found to matter where none does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.layers import ALL, curves_by_layer, layer_table
from affectscope.analyses.study import Study
from affectscope.stats import RatioDraws, sign_flip_test
from affectscope.vocabulary import ABLATION_KINDS, SITES, Site

METRICS = {"agreement": "agrees", "accuracy": "correct", "kl": "kl"}
"""What is averaged over items: metric, and column of the observations."""

TESTED = ("agreement", "kl")
"""The metrics whose rows show the p value: a change of the answers is what is tested."""

ROUNDING = 6
"""Digits of a divergence that count: layers that differ by less are tied."""

COLUMNS = ["metric", "items", "kind", "site", "layer", "span", "value", "low", "high", "n", "p"]


def ablate_estimates(
    study: Study,
    observations: pd.DataFrame,
    item_sets: Mapping[str, NDArray[np.int64]],
    first_span: int,
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    """The table of estimates, and the summary.

    Args:
        study: The study.
        observations: One row for each item, kind, site, layer and span.
        item_sets: The items of each set of items, by its name.
        first_span: The span whose summary is given under the plain names.
    """
    observations = observations.assign(
        agrees=(observations["predicted"] == observations["clean"]).astype(float),
        correct=(observations["predicted"] == observations["emotion"]).astype(float),
    )
    parts: list[pd.DataFrame] = []
    summary: dict[str, SummaryValue] = {}
    parted = cast(
        Iterable[tuple[tuple[int, str], pd.DataFrame]],
        observations.groupby(["span", "kind"], sort=False),
    )
    for (span, kind), seen in parted:
        p = layer_test(study, seen)
        for name, items in item_sets.items():
            if not len(items):
                continue
            rows, found = _of_items(study, seen[seen["item"].isin(items)], items)
            tested = rows["metric"].isin(TESTED) & (name == ALL)
            rows["p"] = [
                p[site][layer] if test else np.nan
                for site, layer, test in zip(rows["site"], rows["layer"], tested, strict=True)
            ]
            parts.append(rows.assign(items=name, kind=kind, span=span))
            suffix = "" if name == ALL else f"_{name}"
            for (site, what), estimate in found.items():
                if span == first_span:
                    summary[f"ablate.{kind}.{site}.{what}{suffix}"] = estimate
                summary[f"ablate.{kind}.{site}.span{span}.{what}{suffix}"] = estimate
        if span == first_span:
            for site, values in p.items():
                count = int((values <= 0.05).sum())
                summary[f"ablate.{kind}.{site}.significant_layers"] = count
    table = pd.concat(parts, ignore_index=True)
    place = table["kind"].map(ABLATION_KINDS.index)
    in_order = np.lexsort((place, table["span"], table["items"] != ALL))
    return table.iloc[in_order].reset_index(drop=True)[COLUMNS], summary


def _of_items(
    study: Study, observations: pd.DataFrame, items: NDArray[np.int64]
) -> tuple[pd.DataFrame, dict[tuple[Site, str], SummaryValue]]:
    """Estimates of one kind and span over some items, and what goes into the summary."""
    draws = study.bootstrap(items)
    parts = []
    found: dict[tuple[Site, str], SummaryValue] = {}
    for metric, column in METRICS.items():
        curves = curves_by_layer(observations, column, "item", draws)
        parts.append(layer_table(curves, metric))
        for site, curve in curves.items():
            found |= {(site, what): value for what, value in _extreme(metric, curve).items()}
    return pd.concat(parts, ignore_index=True), found


def _extreme(metric: str, curve: RatioDraws) -> dict[str, SummaryValue]:
    """Where agreement is lowest, or the divergence highest."""
    layers = range(len(curve.value))
    if metric == "agreement":
        lowest = curve.peak(layers, lowest=True)
        agreement = curve.estimates()[int(lowest.value)]
        return {"lowest_layer": lowest, "lowest_agreement": agreement}
    if metric == "kl":
        highest = curve.peak(layers)
        return {
            "highest_kl_layer": highest,
            "highest_kl": curve.estimates()[int(highest.value)],
        }
    return {}


def layer_test(study: Study, observations: pd.DataFrame) -> dict[Site, NDArray[np.float64]]:
    """Family-wise p values: does knocking out a layer cost more than other layers of its site do?

    Args:
        study: The study.
        observations: Of one kind and span: columns item, site, layer, kl.

    Returns:
        p by layer for each site; the family is all layers and sites.
    """
    sites = [site for site in SITES if (observations["site"] == site).any()]
    ranks = []
    for site in sites:
        of_site = observations[observations["site"] == site]
        wide = of_site.pivot_table(index="item", columns="layer", values="kl").sort_index()
        kl = wide.to_numpy().round(ROUNDING)
        ranks.append(rankdata(kl, axis=1) - (kl.shape[1] + 1) / 2)
        items = wide.index
    groups = np.asarray(study.corpus.groups, dtype=str)[items]
    test = sign_flip_test(np.concatenate(ranks, axis=1), groups.tolist(), seed=study.seed)
    return dict(zip(sites, np.split(test.p, len(sites)), strict=True))
