"""Where along the layers patching carries the answer over, and whether two curves differ in it.

A curve's place is its peak, and its *centre*: the mean layer, weighted by transfer. Small transfer
at all layers would pull every centre towards the middle layer, the more the lower the curve's peak,
so that two curves of one shape and place but of different height would seem to differ; only what
exceeds the curve's median over layers is a weight:

    centre = sum_l l * w_l / sum_l w_l,   w_l = max(transfer_l - median transfer, 0).

A pair belongs to two groups, its source's and its target's. The pigeonhole bootstrap, which counts
a pair by the product of both, gives up to three times the variance where pairs share few items
(Owen 2007, Ann. Appl. Stat. 1(2)): safe for intervals, but a test with it would hardly ever find
anything. Differences of centres therefore have the two-way variance of Cameron, Gelbach and Miller
(2011, J. Bus. Econ. Stat. 29(2)),

    V = V_source + V_target - V_both,

each by a bootstrap of its own, and at least the largest of V_source and V_target; the pigeonhole
draws give the shape and are scaled to that variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.patch import PAIRS, Patch
from affectscope.analyses.study import Study
from affectscope.stats import GroupBootstrap, MaximumTest, RatioDraws, maximum_test
from affectscope.vocabulary import SITES


def plain_patch(study: Study, pairs: int, span: int) -> Patch:
    """Patching at the last token by windows of one size, without single heads."""
    return Patch(study, pairs=pairs, span=span, spans=(span,), positions=(-1,), heads=False)


def patch_shares(pairs: int) -> int:
    """Into how many shares so many pairs are planned (:mod:`affectscope.analyses.nested`)."""
    return -(-pairs // PAIRS)


def transfer_hits(observations: pd.DataFrame) -> NDArray[np.float64]:
    """Whether each pair's answer became the source's, ``[pair, site, layer]``.

    Args:
        observations: Of :func:`plain_patch`.
    """
    there = observations[observations["direction"] == "sufficient"]
    hit = there.assign(hit=(there["outcome"] == "source").astype(float))
    wide = hit.pivot_table(index="pair", columns=["site", "layer"], values="hit").sort_index()
    values = np.stack([wide[site].sort_index(axis=1).to_numpy() for site in SITES], axis=1)
    return np.asarray(values, dtype=np.float64)


def peak_of(curve: RatioDraws) -> RatioDraws:
    """The layer of the highest point, draw by draw; the first of equals, NaN for a flat curve."""
    return _one(curve, float(_peaks(curve.value[None])[0]), _peaks(curve.draws))


def _peaks(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of curves ``[curve, layer]``."""
    heights = np.nan_to_num(curves, nan=-np.inf)
    flat = heights.max(axis=1) == heights.min(axis=1)
    return np.where(flat, np.nan, heights.argmax(axis=1))


CurveDraws = tuple[RatioDraws, ...]
"""A curve by four bootstraps: pigeonhole, by source, by target, by both together."""


def curve_draws(
    values: NDArray[np.float64], pairs: NDArray[np.int64], groups: NDArray[np.str_], seed: int
) -> CurveDraws:
    """Means over pairs, resampled in the four ways.

    Args:
        values: ``[pair, statistic]``; NaN for a pair that does not count.
        pairs: Items ``[pair, (source, target)]``.
        groups: Of the items, ``[item]``.
        seed: Of the draws.
    """
    sources, targets = tuple(groups[pairs[:, 0]].tolist()), tuple(groups[pairs[:, 1]].tolist())
    both = tuple(f"{source} -> {target}" for source, target in zip(sources, targets, strict=True))
    ways = (
        GroupBootstrap(targets, seed=seed, second=sources),
        *(GroupBootstrap(each, seed=seed) for each in (sources, targets, both)),
    )
    return tuple(way.ratio(values) for way in ways)


def two_way(draws: Sequence[RatioDraws]) -> RatioDraws:
    """The pigeonhole draws of one number, scaled to its two-way variance.

    Args:
        draws: Of the number, by the four bootstraps of :func:`curve_draws`.
    """
    pigeonhole, *others = draws
    by_source, by_target, by_both = (_variance(each) for each in others)
    variance = max(by_source + by_target - by_both, by_source, by_target)
    widest = _variance(pigeonhole)
    scale = min(1.0, float(np.sqrt(variance / widest))) if widest > 0 else 1.0
    value = pigeonhole.value
    return replace(pigeonhole, draws=value + scale * (pigeonhole.draws - value))


def _variance(draws: RatioDraws) -> float:
    finite = draws.draws[np.isfinite(draws.draws)]
    return float(finite.var()) if len(finite) else 0.0


def centre_of(curve: RatioDraws) -> RatioDraws:
    """The mean layer weighted by transfer, draw by draw; NaN for a flat curve."""
    return _one(curve, float(_centres(curve.value[None])[0]), _centres(curve.draws))


def _centres(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of curves ``[curve, layer]``."""
    weights = np.maximum(curves - np.median(curves, axis=1, keepdims=True), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (weights * np.arange(curves.shape[1])).sum(axis=1) / weights.sum(axis=1)
    return np.asarray(found)


def _one(curve: RatioDraws, value: float, draws: NDArray[np.generic]) -> RatioDraws:
    return RatioDraws(
        np.array([value]),
        np.asarray(draws, dtype=np.float64)[:, None],
        np.array([curve.n.max()]),
        np.array([curve.n_groups.max()]),
        np.zeros(1, dtype=bool),
    )


def two_sided_p(difference: RatioDraws) -> float:
    """How well bootstrap draws of a difference rule out 0.

    ``2 (1 + min(#{draw <= 0}, #{draw >= 0})) / (1 + draws)``, at most 1: the level at which the
    percentile interval first reaches 0 (Efron and Tibshirani 1993, chapter 15), never 0 (Phipson
    and Smyth 2010). It assumes that the draws spread around the estimate as the estimate does
    around the truth. NaN where there is no difference to test.
    """
    draws = difference.draws[:, 0]
    draws = draws[np.isfinite(draws)]
    if not np.isfinite(difference.value[0]) or difference.n_groups[0] < 2 or not len(draws):
        return float("nan")
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    return float(min(1.0, 2 * (1 + beyond) / (1 + len(draws))))


def shift_test(shifts: Sequence[RatioDraws]) -> MaximumTest:
    """Which of several differences is not 0, two-sided, adjusted for their number.

    Each difference is divided by the spread of its draws; the null is how far the draws fall from
    the estimate, and the largest over all differences is what each is compared with (the bootstrap
    step-down's first step, Westfall and Young 1993; Romano and Wolf 2005, Econometrica 73(4)). All
    must have the same draws, so that what they share is respected.

    Args:
        shifts: One difference each.
    """
    value = np.array([shift.value[0] for shift in shifts])
    draws = np.stack([shift.draws[:, 0] for shift in shifts], axis=1)
    tested = np.array([shift.n_groups[0] >= 2 for shift in shifts]) & np.isfinite(value)
    draws = np.where(np.isfinite(draws), draws, value)
    spread = draws.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.where(value == 0, 0.0, np.abs(value) / spread)
        null = np.where(spread > 0, np.abs(draws - value) / spread, 0.0)
    # a difference that every draw gives is larger than any that varies
    observed = np.where(np.isinf(observed), np.finfo(np.float64).max, observed)
    return maximum_test(np.where(tested, observed, np.nan), null)
