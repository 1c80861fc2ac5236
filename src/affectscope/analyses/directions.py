"""Directions of activation space that stand for emotions and for appraisals.

Two kinds. A *probe* direction is the weight of a linear readout: along it the readout changes
fastest. A direction of *means* is the difference of the mean activations of the items that have
more and less of something: along it the data differ. With C the covariance of activations, the
first is C^-1 times the second (but for the penalty), so that they agree only where activations vary
alike in all directions; the first reads best, the second often steers better (Marks and Tegmark
2024, "The geometry of truth", section 5).

Each vector has length 1 and points to more of what it stands for, so that what is added is the
coefficient alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import UsageError
from affectscope.probes.linear import fit_linear
from affectscope.probes.ridge import fit_ridge

DirectionKind = Literal["probe", "means"]
"""How a direction is found."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Named directions at one layer and site."""

    names: tuple[str, ...]
    """Emotions or appraisals."""
    vectors: NDArray[np.float64]
    """``[name, d_model]``, each of length 1; 0 where the data say nothing."""

    def of(self, name: str) -> NDArray[np.float64]:
        """The direction of an emotion or appraisal, ``[d_model]``.

        Raises:
            UsageError: There is none of that name.
        """
        if name not in self.names:
            raise UsageError(
                f"there is no direction of {name!r}",
                expected=f"one of {', '.join(self.names)}",
                remedy="name one of these",
            )
        return self.vectors[self.names.index(name)]


def emotion_directions(
    X: NDArray[np.float32],
    emotions: Sequence[str],
    folds: NDArray[np.int64],
    *,
    kind: DirectionKind = "probe",
) -> Directions:
    """The direction of every emotion that occurs.

    Args:
        X: Activations at one layer and site, ``[item, d_model]``.
        emotions: Emotion of every item.
        folds: Fold of every item, on which the probe's penalty is chosen.
        kind: ``probe``: weights of a multinomial logistic regression, less their mean over emotions
            (a constant added to all emotions changes no answer). ``means``: mean of the emotion's
            items minus mean of all others.
    """
    if kind == "probe":
        found = fit_linear(X, emotions, folds)
        return Directions(found.labels, _unit(found.weights))
    names = tuple(np.unique(np.asarray(emotions, dtype=str)).tolist())
    has = np.asarray(emotions, dtype=str)[:, None] == np.array(names)
    return Directions(names, _unit(_covariance(X, has.astype(np.float64))))


def appraisal_directions(
    X: NDArray[np.float32],
    ratings: NDArray[np.float64],
    names: Sequence[str],
    folds: NDArray[np.int64],
    *,
    kind: DirectionKind = "probe",
) -> Directions:
    """The direction of every appraisal.

    Args:
        X: Activations at one layer and site, ``[item, d_model]``.
        ratings: ``[item, appraisal]``; NaN where one is missing.
        names: The appraisals.
        folds: Fold of every item, on which the probes' penalties are chosen.
        kind: ``probe``: weights of a ridge regression. ``means``: covariance of the activations
            with the rating, which for a rating of two values is the difference of means.
    """
    if kind == "probe":
        return Directions(tuple(names), _unit(fit_ridge(X, ratings, folds).weights))
    return Directions(tuple(names), _unit(_covariance(X, ratings)))


def _covariance(X: NDArray[np.float32], targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of activations and each target over its rated items, ``[target, d_model]``."""
    activations = np.asarray(X, dtype=np.float64)
    there = np.isfinite(targets)
    n = np.maximum(there.sum(axis=0), 1)
    deviation = np.where(there, targets - np.nansum(targets, axis=0) / n, 0.0)
    centred = activations - activations.mean(axis=0)
    return np.asarray((deviation / n).T @ centred)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row over its length; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
