"""How alike two sets of profiles are: directly, and by what they say is alike.

A *profile* is what one emotion is on every appraisal: the cosines of the model's directions, or
people's mean ratings. Two sets of profiles of the same emotions are compared in two ways: by the
Pearson correlation of the two matrices; and by *representational similarity* (Kriegeskorte, Mur and
Bandettini 2008, Front. Syst. Neurosci. 2:4), the Spearman correlation of their two lists of
dissimilarities ``1 - r`` between emotions, which asks only whether emotions that are alike in one
set are alike in the other.

The null deals the emotions' names anew in one set: rows of its profiles, and with them rows and
columns of its dissimilarities (Mantel 1967, Cancer Research 27(2)). All comparisons see the same
deals.

Profiles are ``[..., name, feature]`` throughout; leading axes broadcast. What is not defined, such
as the correlation of a profile that does not vary, is NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from affectscope.errors import UsageError

Array = NDArray[np.float64]

LEAST_NAMES = 4
"""Fewest profiles that are compared: three have three dissimilarities, in one of six orders."""

LEAST_FEATURES = 3
"""Fewest features of a profile: two correlate at 1 or -1, whatever they are."""

_NEGLIGIBLE = 1e-12
"""Deviations that are this small a part of the largest value are rounding."""


def dissimilarities(profiles: Array) -> Array:
    """``1 - r`` of every two profiles, ``[..., pair]``, in the order of ``numpy.triu_indices``."""
    directions = unit_deviations(profiles)
    first, second = np.triu_indices(profiles.shape[-2], k=1)
    correlations = directions @ np.swapaxes(directions, -1, -2)
    return np.asarray(1.0 - correlations[..., first, second])


def representational_similarity(one: Array, other: Array) -> Array:
    """Spearman correlation of the dissimilarities of two sets of profiles, ``[...]``.

    Raises:
        UsageError: The sets are of different shapes or too small.
    """
    _require_profiles(one, other)
    return np.asarray((_ranked(one) * _ranked(other)).sum(axis=-1))


def profile_correlation(one: Array, other: Array) -> Array:
    """Pearson correlation of two matrices of profiles, over all their cells, ``[...]``.

    Raises:
        UsageError: The sets are of different shapes or too small.
    """
    _require_profiles(one, other)
    return np.asarray((_flat(one) * _flat(other)).sum(axis=-1))


def deal_names(n_names: int, *, seed: int, n_permutations: int) -> NDArray[np.int64]:
    """The names in random order, ``[permutation, name]``."""
    in_order = np.tile(np.arange(n_names), (n_permutations, 1))
    return np.asarray(np.random.default_rng(seed).permuted(in_order, axis=1))


def permuted_similarity(one: Array, other: Array, dealt: NDArray[np.int64]) -> Array:
    """:func:`representational_similarity` with the names of ``other`` dealt anew.

    Args:
        one: ``[place, name, feature]``.
        other: ``[name, feature]``.
        dealt: ``[permutation, name]``, see :func:`deal_names`.

    Returns:
        ``[permutation, place]``.
    """
    _require_profiles(one, other)
    n = other.shape[-2]
    first, second = np.triu_indices(n, k=1)
    pair = np.zeros((n, n), dtype=np.int64)
    pair[first, second] = pair[second, first] = np.arange(len(first))
    ranks = _ranked(other)[pair[dealt[:, first], dealt[:, second]]]
    return np.asarray(ranks @ _ranked(one).T)


def permuted_correlation(one: Array, other: Array, dealt: NDArray[np.int64]) -> Array:
    """:func:`profile_correlation` with the names of ``other`` dealt anew.

    Arguments and result are those of :func:`permuted_similarity`.
    """
    _require_profiles(one, other)
    rows = _flat(other).reshape(other.shape)[dealt]
    return np.asarray(rows.reshape(len(dealt), -1) @ _flat(one).T)


def unit_deviations(values: Array) -> Array:
    """Deviations from the mean over the last axis, of length 1: their products are correlations."""
    values = np.asarray(values, dtype=np.float64)
    deviations = values - values.mean(axis=-1, keepdims=True)
    length = np.linalg.norm(deviations, axis=-1, keepdims=True)
    varies = length > _NEGLIGIBLE * np.abs(values).max(axis=-1, keepdims=True)
    return np.divide(deviations, length, out=np.full_like(values, np.nan), where=varies)


def _ranked(profiles: Array) -> Array:
    """Unit deviations of the ranks of the dissimilarities, ``[..., pair]``; equals share theirs.

    Rounded first, so that dissimilarities that are equal but for rounding are equals.
    """
    return unit_deviations(np.asarray(rankdata(dissimilarities(profiles).round(12), axis=-1)))


def _flat(profiles: Array) -> Array:
    return unit_deviations(profiles.reshape(*profiles.shape[:-2], -1))


def _require_profiles(one: Array, other: Array) -> None:
    shape = one.shape[-2:]
    if shape != other.shape[-2:] or shape[0] < LEAST_NAMES or shape[1] < LEAST_FEATURES:
        raise UsageError(
            f"profiles of shapes {one.shape} and {other.shape} to compare",
            expected="[..., name, feature], the same names and features in both, at least "
            f"{LEAST_NAMES} names and {LEAST_FEATURES} features",
            remedy="give both a row for each emotion and a column for each appraisal",
        )
