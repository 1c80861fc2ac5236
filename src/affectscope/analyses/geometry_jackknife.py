"""Intervals of what is fitted anew: each part of the items left out in turn.

The delete-a-group jackknife (Kott 2001, J. Official Statistics 17(4)) over parts that share no
group, in two strata: emotions' and appraisals' directions come from different halves of the items
(:mod:`affectscope.analyses.geometry_fit`), so that a part that is left out is missed by its own
half. With k parts in a half, over both halves h and their parts j,

    variance = sum over h of (k - 1) / k  *  sum over j of (estimate without j - their mean)²,

and an interval is Student's, with k - 1 degrees of freedom a half (Wolter 2007, "Introduction to
Variance Estimation", section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from affectscope.stats import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Jackknife:
    """Statistics from all items, and from all but each part."""

    value: Array
    """From all items, ``[...]``."""
    left_out: Array
    """Without each part, ``[part, ...]``."""
    strata: NDArray[np.int64]
    """Stratum (half) of every part, ``[part]``."""

    @cached_property
    def deviations(self) -> Array:
        """Without each part, less the mean over the parts of its half, ``[part, ...]``."""
        found = np.array(self.left_out, dtype=np.float64)
        for stratum in np.unique(self.strata):
            found[self.strata == stratum] -= found[self.strata == stratum].mean(axis=0)
        return found

    @cached_property
    def sizes(self) -> Array:
        """Number of parts in the stratum of every part, ``[part]``."""
        return np.asarray((self.strata[:, None] == self.strata).sum(axis=1), dtype=np.float64)

    @property
    def standard_error(self) -> Array:
        """``[...]``; NaN where the statistic is not defined without some part."""
        return np.asarray(np.sqrt(np.tensordot(self._factors, self.deviations**2, axes=1)))

    @property
    def _factors(self) -> Array:
        return (self.sizes - 1) / self.sizes

    @property
    def quantile(self) -> float:
        """How many standard errors the 95 % interval reaches to each side."""
        return float(student.ppf(0.975, len(self.strata) - len(np.unique(self.strata))))

    def interval(self, limits: tuple[float, float] = (-1.0, 1.0)) -> tuple[Array, Array]:
        """Lower and upper ends of the 95 % intervals, cut at the limits of what can be."""
        margin = self.quantile * self.standard_error
        return (
            np.clip(self.value - margin, *limits),
            np.clip(self.value + margin, *limits),
        )

    def at(self, *index: int) -> Jackknife:
        """The statistics at an index of the leading axes."""
        left_out = np.moveaxis(self.left_out, 0, -1)[index]
        return Jackknife(self.value[index], np.moveaxis(left_out, -1, 0), self.strata)

    def estimate(self, n: int, limits: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
        """A single statistic with its interval.

        Args:
            n: Items behind it.
            limits: What it can be.
        """
        low, high = self.interval(limits)
        return Estimate(float(self.value), float(low), float(high), n)

    def draws(self, *, seed: int, n_draws: int = 2000) -> Array:
        """Draws ``[draw, ...]`` around the value, normal, with the jackknife's covariances."""
        normal = np.random.default_rng(seed).standard_normal((n_draws, len(self.strata)))
        moves = np.tensordot(normal * np.sqrt(self._factors), self.deviations, axes=1)
        return np.asarray(self.value + moves)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The largest of a row of statistics, without the luck of having been chosen."""

    index: int
    """Which is largest, from all items."""
    estimate: Estimate
    """Its value less what the choice gained, with its interval."""


def largest(curve: Jackknife, n: int) -> Chosen | None:
    """Choose the largest of some statistics, and estimate it as if it had been chosen elsewhere.

    The largest of many estimates is too large. To first order an estimate is a sum over parts; what
    part j adds to it is, with k parts in its half, ``t / 2 + (k - 1) (t - t without j)``. Here each
    part adds what it does at the place that is largest *without it*, whose choice it had no hand
    in. Where that is the same place for all parts, the estimate is the statistic there, and the
    interval its jackknife interval. Where it is not, the estimate is right on average but jumps
    with the choice: the interval spans the jackknife's around it and around the largest statistic.

    Args:
        curve: The statistics ``[place]``, such as layers.
        n: Items behind them.

    Returns:
        The first of equals; None where no statistic is defined.
    """
    defined = np.isfinite(curve.value) & np.isfinite(curve.left_out).all(axis=0)
    if not defined.any():
        return None
    index = int(np.argmax(np.where(defined, curve.value, -np.inf)))
    elsewhere = np.where(defined, curve.left_out, -np.inf).argmax(axis=1)
    added = (curve.sizes[:, None] - 1) * (curve.value - curve.left_out)
    parts = np.arange(len(elsewhere))
    of_part = curve.value[elsewhere] / 2 + added[parts, elsewhere]
    value = float(((of_part - added[:, index]) / curve.sizes).sum())
    adjusted = Jackknife(
        np.array(value), -added[parts, elsewhere] / (curve.sizes - 1), curve.strata
    )
    both = [one.estimate(n) for one in (adjusted, curve.at(index))]
    low, high = min(one.low for one in both), max(one.high for one in both)
    return Chosen(index, Estimate(float(np.clip(value, -1.0, 1.0)), low, high, n))
