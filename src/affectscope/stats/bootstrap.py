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

    def estimates(self, level: float = 0.95) -> list[Estimate]:
        """Percentile intervals, one per statistic.

        A statistic that is undefined (an empty denominator) is NaN with NaN bounds.
        """
        tail = (1 - level) / 2
        low = np.full(len(self.value), np.nan)
        high = np.full(len(self.value), np.nan)
        for k in range(len(self.value)):
            draws = self.draws[:, k]
            draws = draws[np.isfinite(draws)]
            if len(draws):
                low[k], high[k] = np.quantile(draws, [tail, 1 - tail])
        return [
            Estimate(float(v), float(lo), float(hi), int(n))
            for v, lo, hi, n in zip(self.value, low, high, self.n, strict=True)
        ]

    def peak(self, positions: Sequence[int], *, lowest: bool = False) -> Estimate:
        """Where along ``positions`` the statistic is largest (or smallest), with its interval.

        The interval is that of the peak's position over the bootstrap draws. Ties go to the
        earlier position.

        Args:
            positions: What the statistics are at, such as layers, ``[statistic]``.
            lowest: Look for the smallest instead.
        """
        sign = -1.0 if lowest else 1.0
        scores = np.nan_to_num(sign * self.draws, nan=-np.inf)
        where = np.asarray(positions)
        peaks = where[np.argmax(scores, axis=1)]
        low, high = np.quantile(peaks, [0.025, 0.975], method="nearest")
        best = where[int(np.nanargmax(sign * self.value))]
        return Estimate(int(best), int(low), int(high), int(self.n.max()))


@dataclass(frozen=True)
class GroupBootstrap:
    """Draws of groups with replacement, fixed by the seed.

    Args:
        groups: Group of every observation, ``[observation]``.
        seed: Seed of the draws.
        n_draws: Number of bootstrap replicates.
    """

    groups: tuple[str, ...]
    seed: int
    n_draws: int = 2000

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        return np.unique(np.asarray(self.groups, dtype=str), return_inverse=True)[1]

    @cached_property
    def _weights(self) -> Array:
        """How often each group is drawn, ``[draw, group]``."""
        n_groups = int(self._codes.max()) + 1
        generator = np.random.default_rng(self.seed)
        return generator.multinomial(
            n_groups, np.full(n_groups, 1 / n_groups), size=self.n_draws
        ).astype(np.float64)

    def _group_sums(self, values: Array) -> Array:
        sums = np.zeros((int(self._codes.max()) + 1, values.shape[1]))
        np.add.at(sums, self._codes, values)
        return sums

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
        with np.errstate(divide="ignore", invalid="ignore"):
            value = top.sum(axis=0) / bottom.sum(axis=0)
            draws = (self._weights @ self._group_sums(top)) / (
                self._weights @ self._group_sums(bottom)
            )
        return RatioDraws(value, draws, counted.sum(axis=0))
