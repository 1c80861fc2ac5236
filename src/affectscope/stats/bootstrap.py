"""The group bootstrap: percentile intervals that respect which items belong together.

Items of one author (or scenario) are not independent, so whole groups are drawn with replacement
(Field and Welsh 2007, J. R. Stat. Soc. B 69(3), "bootstrapping clustered data"). All statistics of
one experiment use the same draws, so that differences and peak layers get intervals too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number and how sure we are of it."""

    value: float
    """The point estimate, from all items."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    n: int
    """Number of observations."""

    def as_dict(self) -> dict[str, Any]:
        """``{"value":, "low":, "high":, "n":}``."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class RatioDraws:
    """Bootstrap draws of statistics ``sum(numerator) / sum(denominator)``."""

    value: Array
    """Point estimates, ``[statistic]``."""
    draws: Array
    """Bootstrap replicates, ``[draw, statistic]``."""
    n: NDArray[np.int64]
    """Observations behind each statistic, ``[statistic]``."""
    n_groups: NDArray[np.int64]
    """Groups behind each statistic, ``[statistic]``."""
    share: NDArray[np.bool_]
    """Whether the statistic is a share: of observations that each count 0 or 1, ``[statistic]``."""

    def estimates(self, level: float = 0.95) -> list[Estimate]:
        """Percentile intervals, one per statistic.

        Resampling says nothing where all observations agree: a share of 0 or 1 gets the exact
        interval for as many independent observations as there are groups (Clopper and Pearson
        1934). Where there are fewer than two groups the bounds are NaN, and so is a statistic that
        is undefined (an empty denominator).
        """
        tail = (1 - level) / 2
        bounds = [self._bounds(k, tail) for k in range(len(self.value))]
        return [
            Estimate(float(value), low, high, int(n))
            for value, (low, high), n in zip(self.value, bounds, self.n, strict=True)
        ]

    def _bounds(self, k: int, tail: float) -> tuple[float, float]:
        n_groups = int(self.n_groups[k])
        draws = self.draws[:, k]
        draws = draws[np.isfinite(draws)]
        if n_groups < 2 or not len(draws):
            return np.nan, np.nan
        if self.share[k] and self.value[k] == 0:
            return 0.0, 1 - tail ** (1 / n_groups)
        if self.share[k] and self.value[k] == 1:
            return tail ** (1 / n_groups), 1.0
        low, high = np.quantile(draws, [tail, 1 - tail])
        return float(low), float(high)

    def columns(self, chosen: Sequence[int]) -> RatioDraws:
        """Some of the statistics."""
        k = list(chosen)
        return RatioDraws(
            self.value[k], self.draws[:, k], self.n[k], self.n_groups[k], self.share[k]
        )

    def minus(self, other: RatioDraws) -> RatioDraws:
        """Differences, draw by draw."""
        return RatioDraws(
            self.value - other.value,
            self.draws - other.draws,
            np.minimum(self.n, other.n),
            np.minimum(self.n_groups, other.n_groups),
            np.zeros_like(self.share),
        )

    def dot(self, other: RatioDraws) -> RatioDraws:
        """The sum over statistics of the products, draw by draw."""
        return RatioDraws(
            (self.value * other.value).sum(keepdims=True),
            (self.draws * other.draws).sum(axis=1, keepdims=True),
            np.minimum(self.n, other.n)[:1],
            np.minimum(self.n_groups, other.n_groups)[:1],
            np.zeros(1, dtype=bool),
        )

    def peak(self, positions: Sequence[int], *, lowest: bool = False) -> Estimate:
        """Where along ``positions`` the statistic is largest (or smallest), with its interval.

        The interval is that of the peak's position over the bootstrap draws. The peak is the
        earliest of equals; in the draws each of several equals is the peak in turn, so that the
        interval of a plateau spans it.

        Args:
            positions: What the statistics are at, such as layers, ``[statistic]``.
            lowest: Look for the smallest instead.
        """
        sign = -1.0 if lowest else 1.0
        n, where = int(self.n.max()), np.asarray(positions)
        if not np.isfinite(self.value).any():
            return Estimate(np.nan, np.nan, np.nan, n)
        best = where[int(np.argmax(np.nan_to_num(sign * self.value, nan=-np.inf)))]
        if self.n_groups.max() < 2:
            return Estimate(int(best), np.nan, np.nan, n)
        peaks = where[_highest(np.nan_to_num(sign * self.draws, nan=-np.inf))]
        low, high = np.quantile(peaks, [0.025, 0.975], method="nearest")
        return Estimate(int(best), int(low), int(high), n)


def _highest(draws: Array) -> NDArray[np.int64]:
    """Where each draw is highest; of several equals one, the next of them in the next draw."""
    equal = draws == draws.max(axis=1, keepdims=True)
    chosen = np.arange(len(draws)) % equal.sum(axis=1)
    return np.asarray((np.cumsum(equal, axis=1) > chosen[:, None]).argmax(axis=1))


@dataclass(frozen=True)
class GroupBootstrap:
    """Draws of groups with replacement, fixed by the seed.

    An observation that belongs to two groups, as a pair of items does, counts as often as both are
    drawn: the product of their counts (the pigeonhole bootstrap of Owen 2007, Ann. Appl. Stat.
    1(2)), since pairs that share an item are not independent.

    Args:
        groups: Group of every observation, ``[observation]``.
        seed: Seed of the draws.
        second: Second group of every observation, ``[observation]``, where there is one.
        n_draws: Number of bootstrap replicates.
    """

    groups: tuple[str, ...]
    seed: int
    second: tuple[str, ...] = ()
    n_draws: int = 2000

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        """Groups as numbers, ``[first or second, observation]``."""
        both = np.array([self.groups, self.second] if self.second else [self.groups], dtype=str)
        return np.unique(both, return_inverse=True)[1].reshape(both.shape)

    @cached_property
    def _counts(self) -> Array:
        """How often each group is drawn, ``[draw, group]``."""
        n_groups = int(self._codes.max()) + 1
        generator = np.random.default_rng(self.seed)
        return generator.multinomial(
            n_groups, np.full(n_groups, 1 / n_groups), size=self.n_draws
        ).astype(np.float64)

    def _resampled_sums(self, values: Array) -> Array:
        """Sums over the observations of every draw, ``[draw, statistic]``."""
        if self.second:
            first, second = self._codes
            return (self._counts[:, first] * self._counts[:, second]) @ values
        sums = np.zeros((int(self._codes.max()) + 1, values.shape[1]))
        np.add.at(sums, self._codes[0], values)
        return self._counts @ sums

    def _n_groups(self, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Groups with a counted observation; of two sets of groups, the smaller number."""
        numbers = []
        for codes in self._codes:
            present = np.zeros((int(self._codes.max()) + 1, counted.shape[1]), dtype=bool)
            np.logical_or.at(present, codes, counted)
            numbers.append(present.sum(axis=0))
        return np.min(numbers, axis=0)

    def ratio(self, numerator: Array, denominator: Array | None = None) -> RatioDraws:
        """Replicates of ``sum(numerator) / sum(denominator)``; a mean when there is no denominator.

        Args:
            numerator: ``[observation, statistic]``; NaN marks an observation that does not count.
            denominator: Same shape; one per counted observation when absent.
        """
        top = np.asarray(numerator, dtype=np.float64)
        counted = np.isfinite(top)
        bottom = counted.astype(np.float64) if denominator is None else np.asarray(denominator)
        bottom = np.where(counted, bottom, 0.0)
        top = np.where(counted, top, 0.0)
        counted &= bottom != 0
        with np.errstate(divide="ignore", invalid="ignore"):
            value = top.sum(axis=0) / bottom.sum(axis=0)
            draws = self._resampled_sums(top) / self._resampled_sums(bottom)
        zero_or_one = np.logical_and(
            np.isin(top, (0, 1)).all(axis=0), np.isin(bottom, (0, 1)).all(axis=0)
        )
        share = np.atleast_1d(zero_or_one)
        return RatioDraws(value, draws, counted.sum(axis=0), self._n_groups(counted), share)
