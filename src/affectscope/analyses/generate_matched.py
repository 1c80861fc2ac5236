"""Damages compared at one effect, since whoever pushes harder moves more and breaks more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MATCHED = 0.5
"""The effect, in standard deviations, at which damages are compared."""


def least_damage(effect: Array, damage: Array, layers: NDArray[np.int64]) -> Array:
    """Least damage at which the effect is :data:`MATCHED`, ``[draw]``; infinite where never.

    Args:
        effect: ``[draw, setting]``, lengths ascending within a layer.
        damage: The same.
        layers: Of every setting.
    """
    least = np.full(len(effect), np.inf)
    for layer in np.unique(layers):
        at = np.flatnonzero(layers == layer)
        zero = np.zeros((len(effect), 1))
        if layer < 0:  # asked in words: there is one strength
            reached = effect[:, at[0]] >= MATCHED
            least = np.where(reached, np.minimum(least, damage[:, at[0]]), least)
            continue
        e = np.hstack([zero, effect[:, at]])
        d = np.hstack([zero, damage[:, at]])
        for k in range(1, e.shape[1]):
            crosses = (e[:, k] >= MATCHED) & (e[:, k - 1] < MATCHED)
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (MATCHED - e[:, k - 1]) / (e[:, k] - e[:, k - 1])
                here = d[:, k - 1] + share * (d[:, k] - d[:, k - 1])
            least = np.where(crosses, np.minimum(least, here), least)
    return least
