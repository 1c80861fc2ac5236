"""Curves over layers: one statistic at every layer of every site, with common bootstrap draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.study import Study, estimate_rows
from affectscope.stats import GroupBootstrap, RatioDraws, maximum_test
from affectscope.vocabulary import SITES, Site

ALL = "all"
RIGHT = "right"
"""Names of the sets of items, in the column ``items``."""


def curves_by_layer(
    observations: pd.DataFrame,
    numerator: str,
    unit: str,
    draws: GroupBootstrap,
    *,
    denominator: str | None = None,
    sites: Sequence[Site] = SITES,
) -> dict[Site, RatioDraws]:
    """Mean of a column (or ratio of two columns' sums) at every layer, for each site.

    Args:
        observations: One row for each of ``unit``, site and layer.
        numerator: Column to average.
        unit: Column that numbers what was resampled (items or pairs), from 0.
        draws: Bootstrap over ``unit``.
        denominator: Column to divide by, for a ratio of sums.
        sites: Which sites, those that are not in the observations left out.
    """
    by_site = dict(iter(observations.groupby("site", sort=False)))

    def wide(column: str, site: Site) -> np.ndarray:
        here = by_site[site]
        table = here.pivot_table(index=unit, columns="layer", values=column, dropna=False)
        return table.sort_index().to_numpy(dtype=float)

    return {
        site: draws.ratio(
            wide(numerator, site), None if denominator is None else wide(denominator, site)
        )
        for site in sites
        if site in by_site
    }


def above_chance(dealt: pd.DataFrame) -> pd.DataFrame:
    """Where labels are read above chance: the family-wise test over all layers and sites.

    Args:
        dealt: Columns site, layer, deal and share: the share of items that the refitted probe names
            right (:mod:`affectscope.stats.refit`); deal 0 is of the labels as they are.

    Returns:
        Site, layer, p (over all of them) and significant.
    """
    wide = dealt.pivot_table(index="deal", columns=["site", "layer"], values="share").sort_index()
    values = wide.to_numpy(dtype=float)
    test = maximum_test(values[0], values[1:])
    return wide.columns.to_frame(index=False).assign(p=test.p, significant=test.significant)


def item_sets(study: Study) -> dict[str, NDArray[np.int64]]:
    """The sets of items that every result is given for: all, and those the model gets right.

    Where the model gets none right there is only the first.
    """
    sets = {ALL: np.arange(len(study.corpus)), RIGHT: study.clean.right}
    return {name: items for name, items in sets.items() if len(items)}


def layer_table(curves: Mapping[Site, RatioDraws], metric: str) -> pd.DataFrame:
    """Tidy estimates of curves: site, layer, value and interval."""
    return pd.concat(
        [
            estimate_rows(
                {"site": [site] * len(curve.value), "layer": list(range(len(curve.value)))},
                curve.estimates(),
                metric,
            )
            for site, curve in curves.items()
        ],
        ignore_index=True,
    )
