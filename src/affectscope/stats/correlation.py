"""The squared Pearson correlation, with draws of whole groups."""

from __future__ import annotations

import numpy as np

from affectscope.stats.bootstrap import Array, GroupBootstrap, RatioDraws

_NEGLIGIBLE = 1e-12
"""A variance that is this small a part of the mean square is rounding: the values are all equal."""


def squared_correlation(bootstrap: GroupBootstrap, x: Array, y: Array) -> RatioDraws:
    """Replicates of r², the share of variance that two ratings have in common.

    ``r² = cov(x, y)² / (var(x) var(y))``: it asks whether the ratings rise and fall together, not
    whether they are equal. It is not defined where one of them is constant.

    Args:
        bootstrap: Draws of the observations.
        x: ``[observation, statistic]``; NaN where missing.
        y: Same shape; an observation counts where both are there.
    """
    there = np.isfinite(x) & np.isfinite(y)
    # Moments around the observed means: the differences below would lose digits around zero.
    left, right = (_centred(values, there) for values in (x, y))
    parts = [left, right, left * left, right * right, left * right]
    means = bootstrap.ratio(np.concatenate(parts, axis=1))
    k = x.shape[1]
    of_value, of_draws = (
        _squared(*(array[..., part * k : (part + 1) * k] for part in range(len(parts))))
        for array in (means.value, means.draws)
    )
    return RatioDraws(
        of_value, of_draws, means.n[:k], means.n_groups[:k], np.zeros(k, dtype=np.bool_)
    )


def _centred(values: Array, there: np.ndarray) -> Array:
    counted = np.where(there, values, 0.0)
    means = counted.sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return np.where(there, values - means, np.nan)


def _squared(x: Array, y: Array, xx: Array, yy: Array, xy: Array) -> Array:
    var_x, var_y = xx - x * x, yy - y * y
    varies = (var_x > _NEGLIGIBLE * xx) & (var_y > _NEGLIGIBLE * yy)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(varies, (xy - x * y) ** 2 / (var_x * var_y), np.nan)
