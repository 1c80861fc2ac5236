"""Is a label readable from activations at all? Permutation with the probe fitted anew each time.

In cross-validation the label of each item trains the probe that predicts the others. Two items that
resemble each other are then hit together or missed together, so that the accuracy varies more by
chance than hits of fixed predictions do: permuting labels against *fixed* out-of-fold predictions
calls too much significant (Noirhomme et al. 2014, NeuroImage: Clinical 4). The probe has to be
fitted to every permutation (Ojala and Garriga 2010, J. Mach. Learn. Res. 11, test 1).

A ridge regression to the labels' indicators (Hastie, Tibshirani and Friedman 2009, section 4.2)
makes that cheap: its out-of-fold scores are linear in the labels, ``S = H Y``, with one matrix H
``[item, item]`` for all permutations,

    H[test, train] = K[test, train] (K[train, train] + penalty I)^-1,  K = X X' / d,

where X is standardised over all items, which uses no label. Labels are dealt within folds, so that
the folds keep their shares of each label: other deals would compare stratified folds with folds
that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import UsageError
from affectscope.stats.bootstrap import Array
from affectscope.stats.dealt_rows import dealt_rows
from affectscope.stats.permutation import (
    PERMUTATIONS,
    MaximumTest,
    dealt_labels,
    maximum_test,
    require_labels,
)

PENALTY = 1.0
"""In units of the mean eigenvalue of K, which is 1."""

_CONSTANT = 1e-5
"""An activation that varies by so little of its size does not vary: the rest is rounding."""


@dataclass(frozen=True, eq=False)
class PermutedAccuracy:
    """Out-of-fold accuracy of the closed-form probe at one place, and under dealt labels."""

    observed: float
    """With the labels as they are."""
    permuted: Array
    """With labels dealt anew, ``[permutation]``; the same seed deals the same at every place."""


def refit_accuracy(
    X: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    folds: NDArray[np.int64],
    *,
    seed: int,
    n_permutations: int = PERMUTATIONS,
    penalty: float = PENALTY,
) -> PermutedAccuracy:
    """Accuracy of the closed-form probe, fitted to the labels and to each deal of them.

    Args:
        X: Activations at one layer and site, ``[item, d_model]``.
        labels: Codes of the labels, ``[item]``.
        groups: Group of every item; see :func:`label_permutation_test` for how they are dealt.
        folds: Fold of every item, ``[item]``; a group is in one fold.
        seed: Seed of the deals. Give the same at all layers and sites.
        n_permutations: How many.
        penalty: Of the ridge regression, in units of the mean eigenvalue of K.

    Raises:
        UsageError: The shapes do not fit, or ``n_permutations`` is below 1.
    """
    labels = np.unique(labels, return_inverse=True)[1] if np.ndim(labels) == 1 else labels
    require_labels(labels, len(X))
    if np.shape(folds) != labels.shape:
        raise UsageError(
            f"folds of shape {np.shape(folds)} for {len(labels)} items",
            expected="one fold for every item",
            remedy="make them with affectscope.data.grouped_folds",
        )
    H = _out_of_fold(_standardised(X), np.asarray(folds), penalty)
    n_labels = int(labels.max()) + 1
    deals = dealt_labels(labels, groups, seed=seed, n_permutations=n_permutations, within=folds)
    permuted = [_accuracies(H, dealt, n_labels) for dealt in deals]
    return PermutedAccuracy(
        float(_accuracies(H, labels[None], n_labels)[0]), np.concatenate(permuted)
    )


@dataclass(frozen=True, eq=False)
class PermutedFit:
    """Out-of-fold r² of the closed-form readouts at one place, and under dealt rows."""

    observed: Array
    """With the ratings as they are, ``[target]``; NaN for one that does not vary."""
    largest: Array
    """The largest over targets with whole rows dealt anew, ``[permutation]``; the same seed deals
    the same at every place."""


def refit_r2(
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    groups: Sequence[str],
    folds: NDArray[np.int64],
    *,
    seed: int,
    n_permutations: int = PERMUTATIONS,
    penalty: float = PENALTY,
) -> PermutedFit:
    """r² of closed-form readouts of several ratings, fitted to them and to each deal of their rows.

    With D the ratings less the mean of their fold's training items, ``r² = 1 - sum (D - H D)² /
    sum D²``. Rows are dealt whole and within folds (:func:`affectscope.stats.dealt_rows`), so that
    ratings stay related to each other, and D to its fold.

    Args:
        X: Activations at one layer and site, ``[item, d_model]``.
        Y: Ratings ``[item, target]``; a missing one counts as the mean of its target.
        groups: Group of every item.
        folds: Fold of every item, ``[item]``; a group is in one fold.
        seed: Seed of the deals. Give the same at all layers and sites.
        n_permutations: How many.
        penalty: Of the ridge regression, in units of the mean eigenvalue of K.
    """
    H = _out_of_fold(_standardised(X), np.asarray(folds), penalty)
    ratings = np.where(np.isfinite(Y), Y, np.nanmean(Y, axis=0))
    D = np.empty(ratings.shape, dtype=np.float32)
    for fold in np.unique(folds):
        D[folds == fold] = ratings[folds == fold] - ratings[folds != fold].mean(axis=0)
    total = (D.astype(np.float64) ** 2).sum(axis=0)
    scale = np.where(total > 0, total, np.nan)
    observed = 1 - ((D - H @ D).astype(np.float64) ** 2).sum(axis=0) / scale
    largest = []
    for dealt in dealt_rows(groups, folds, seed=seed, n_permutations=n_permutations):
        rows = D[dealt]  # [permutation, item, target]
        flat = rows.transpose(1, 0, 2).reshape(len(D), -1)
        errors = ((flat - H @ flat) ** 2).sum(axis=0, dtype=np.float64)
        fits = 1 - errors.reshape(len(dealt), -1) / scale
        largest.append(np.max(np.where(np.isfinite(fits), fits, -np.inf), axis=1))
    return PermutedFit(observed, np.concatenate(largest))


def refit_test(places: Sequence[PermutedAccuracy]) -> MaximumTest:
    """At which places the labels are readable: the family-wise test over all of them.

    Args:
        places: Of every layer and site, with the same seed.
    """
    return maximum_test(
        np.array([place.observed for place in places]),
        np.stack([place.permuted for place in places], axis=1),
    )


def _standardised(X: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = np.asarray(X, dtype=np.float64) - np.mean(X, axis=0, dtype=np.float64)
    scale = centred.std(axis=0)
    varies = scale > _CONSTANT * np.abs(X).max(initial=0)
    return (centred[:, varies] / scale[varies]).astype(np.float32)


def _out_of_fold(
    X: NDArray[np.float32], folds: NDArray[np.int64], penalty: float
) -> NDArray[np.float32]:
    """H: how much each item's label counts in the score of each other one, ``[item, item]``."""
    K = X @ X.T / np.float32(max(X.shape[1], 1))
    H = np.zeros_like(K)
    for fold in np.unique(folds):
        test, train = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        inner = K[np.ix_(train, train)].astype(np.float64)
        inner[np.diag_indices_from(inner)] += penalty
        H[np.ix_(test, train)] = np.linalg.solve(inner, K[np.ix_(train, test)]).T
        # A label's share in training is subtracted from its indicator: (I - 11'/n) on the right.
        H[np.ix_(test, train)] -= H[np.ix_(test, train)].mean(axis=1, keepdims=True)
    return H


def _accuracies(
    H: NDArray[np.float32], labels: NDArray[np.int64], n_labels: int
) -> NDArray[np.float64]:
    """Of several labellings ``[labelling, item]``: the share of items with the largest score."""
    best = np.full(labels.shape, -np.inf, dtype=np.float32)
    answer = np.zeros(labels.shape, dtype=np.int64)
    for label in range(n_labels):
        scores = (labels == label).astype(np.float32) @ H.T
        larger = scores > best
        best = np.where(larger, scores, best)
        answer[larger] = label
    return np.asarray((answer == labels).mean(axis=1))
