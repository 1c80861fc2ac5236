"""Permutation tests of many statistics at once, by their maximum.

A curve over layers and sites asks one question many times: somewhere a chance result will look
large. The maximum over the whole family tells how large chance gets *anywhere*; a statistic is
significant when it exceeds what the maximum does by chance (Westfall and Young 1993, "Resampling-
Based Multiple Testing"; Nichols and Holmes 2002, Human Brain Mapping 15(1)). All statistics see the
same permutations, so that neighbouring layers, which say nearly the same, cost nearly nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.errors import UsageError
from affectscope.stats.bootstrap import Array

LEVEL = 0.05
"""Chance that any statistic of a family without an effect is called significant."""

PERMUTATIONS = 2000

_AT_ONCE = 256
"""Permutations held in memory together."""

_ROUNDING = 1e-9
"""A permuted statistic that is smaller than the observed by so little counts as equal to it."""


@dataclass(frozen=True, eq=False)
class MaximumTest:
    """Which statistics of a family are larger than chance makes the largest of them."""

    observed: Array
    """The statistics, ``[statistic]``."""
    p: Array
    """Family-wise adjusted p values, one-sided, ``[statistic]``; NaN where the statistic is."""
    critical: float
    """What the maximum exceeds by chance in 5 % of the cases: a statistic above it has p <= 0.05.

    Infinite where the permutations are too few for that."""
    n_permutations: int
    """Permutations behind it, the observed order not counted."""

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Whether p <= 0.05, ``[statistic]``; never for NaN."""
        return np.asarray(self.p <= LEVEL)


def maximum_test(observed: Array, permuted: Array) -> MaximumTest:
    """Compare each statistic with the maximum over all of them under the null.

    ``p = (1 + #{maximum >= observed}) / (1 + permutations)`` (Phipson and Smyth 2010, Stat. Appl.
    Genet. Mol. Biol. 9(1)): never 0, and at most 0.05 in at most 5 % of the cases without effect.

    Args:
        observed: ``[statistic]``, large is significant; NaN where there is none.
        permuted: The same under the null, ``[permutation, statistic]``.

    Raises:
        UsageError: The shapes do not fit, or there is no permutation.
    """
    statistics = np.asarray(observed, dtype=np.float64)
    null = np.asarray(permuted, dtype=np.float64)
    if statistics.ndim != 1 or null.ndim != 2 or null.shape[1:] != statistics.shape:
        raise UsageError(
            f"statistics of shape {statistics.shape} and permuted ones of shape {null.shape}",
            expected="[statistic] and [permutation, statistic]",
            remedy="give every permutation the same statistics, in the same order",
        )
    if not len(null):
        raise _too_few(0)
    there = np.isfinite(statistics)
    maxima = np.where(np.isfinite(null), null, -np.inf)[:, there].max(axis=1, initial=-np.inf)
    return _compare(statistics, maxima)


def _compare(observed: Array, maxima: Array) -> MaximumTest:
    """The test, given the maximum of every permutation."""
    n = len(maxima)
    ascending = np.sort(maxima)
    threshold = observed - _ROUNDING * np.abs(observed)
    as_large = n - np.searchsorted(ascending, threshold, side="left")
    p = np.where(np.isfinite(observed), (1 + as_large) / (1 + n), np.nan)
    # p <= LEVEL where fewer than so many maxima reach the statistic, counted with itself.
    allowed = int(LEVEL * (1 + n) * (1 + _ROUNDING))
    critical = float(ascending[n - allowed]) if allowed else np.inf
    return MaximumTest(observed, p, critical, n)


def _too_few(n_permutations: int) -> UsageError:
    return UsageError(
        f"a permutation test with {n_permutations} permutations",
        expected="at least 1, and 19 for a p value of 0.05",
        remedy="leave n_permutations out",
    )


def _checked(
    name: str, values: NDArray[np.generic], groups: Sequence[str], n_permutations: int
) -> NDArray[np.int64]:
    """The groups as numbers, in the order in which they appear, so that names do not matter."""
    if values.ndim != 2 or len(values) != len(groups) or not len(values):
        raise UsageError(
            f"{name} of shape {values.shape} with {len(groups)} groups",
            expected="[observation, statistic], and one group for every observation",
            remedy="give groups a name for each row; unique names where nothing belongs together",
        )
    if n_permutations < 1:
        raise _too_few(n_permutations)
    return np.asarray(pd.factorize(np.asarray(groups, dtype=str))[0])


def sign_flip_test(
    values: Array, groups: Sequence[str], *, seed: int, n_permutations: int = PERMUTATIONS
) -> MaximumTest:
    """Whether each mean is above 0, by flipping the signs of whole groups.

    Where a group's values are as likely to be ``v`` as ``-v``, the signs of its sum ``s`` are
    exchangeable. The statistic is ``sum(s) / sqrt(sum(s²))`` over groups: it orders as Student's t
    does, its scale does not depend on the values', and flips leave the denominator as it is. With
    so few groups that all flips are no more than ``n_permutations``, each is taken once and p is
    exact.

    Args:
        values: ``[observation, statistic]``; NaN marks an observation that does not count.
        groups: Group of every observation, ``[observation]``.
        seed: Seed of the flips.
        n_permutations: How many.

    Returns:
        The test; ``observed`` and ``critical`` are in units of the statistic above. A statistic
        without observations is NaN; one whose values are all 0 has p = 1.

    Raises:
        UsageError: The shapes do not fit, or ``n_permutations`` is below 1.
    """
    values = np.asarray(values, dtype=np.float64)
    codes = _checked("values", values, groups, n_permutations)
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes, np.where(np.isfinite(values), values, 0.0))
    norm = np.sqrt((sums**2).sum(axis=0))
    scaled = sums / np.where(norm > 0, norm, 1.0)
    observed = np.where(np.isfinite(values).any(axis=0), scaled.sum(axis=0), np.nan)
    there = scaled[:, np.isfinite(observed)]
    maxima = [
        (signs @ there).max(axis=1, initial=-np.inf)
        for signs in _signs(len(sums), seed, n_permutations)
    ]
    return _compare(observed, np.concatenate(maxima))


def _signs(n_groups: int, seed: int, n_permutations: int) -> Iterator[Array]:
    """Signs of every group, ``[permutation, group]``: all but the observed, or random ones."""
    exact = n_groups < 32 and 2**n_groups - 1 <= n_permutations
    n = 2**n_groups - 1 if exact else n_permutations
    generator = np.random.default_rng(seed)
    for start in range(0, n, _AT_ONCE):
        patterns = np.arange(start, min(start + _AT_ONCE, n))
        if exact:
            negative = (patterns[:, None] + 1) >> np.arange(n_groups) & 1
        else:
            negative = generator.integers(0, 2, size=(len(patterns), n_groups), dtype=np.int8)
        yield (1 - 2 * negative.astype(np.int8)).astype(np.float64)


def label_permutation_test(
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: Sequence[str],
    *,
    seed: int,
    n_permutations: int = PERMUTATIONS,
) -> MaximumTest:
    """Whether predictions hit the labels more often than they hit labels dealt anew.

    A group whose items all have one label keeps that: such groups are dealt one label each, so that
    five texts of one author do not count as five. The labels of all other items are dealt among
    those items.

    The predictions must not depend on these labels: a model's own answers, or a probe that was
    trained on other items. For cross-validated probes the test calls too much significant, since
    each item's label helped to predict the others; :mod:`affectscope.stats.refit` is for them.

    Args:
        predicted: Codes of the predicted labels, ``[item, statistic]``.
        labels: Codes of the true labels, ``[item]``.
        groups: Group of every item, ``[item]``.
        seed: Seed of the deals.
        n_permutations: How many.

    Returns:
        The test; ``observed`` is the accuracy of each statistic, ``critical`` an accuracy.

    Raises:
        UsageError: The shapes do not fit, or ``n_permutations`` is below 1.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    codes = _checked("predicted", predicted, groups, n_permutations)
    require_labels(labels, len(predicted))
    observed = np.asarray((predicted == labels[:, None]).mean(axis=0))
    deals = _Deals(labels, codes)
    counts = []
    for label in np.unique(labels):
        count = np.zeros((len(deals.labels), predicted.shape[1]), dtype=np.float32)
        np.add.at(count, deals.unit, (predicted == label).astype(np.float32))
        counts.append((label, count))
    maxima = []
    for dealt in deals.draw(seed, n_permutations):
        hits = sum((dealt == label).astype(np.float32) @ count for label, count in counts)
        maxima.append(np.max(hits, axis=1, initial=0).astype(np.float64) / len(labels))
    return _compare(observed, np.concatenate(maxima))


def dealt_labels(
    labels: NDArray[np.int64],
    groups: Sequence[str],
    *,
    seed: int,
    n_permutations: int = PERMUTATIONS,
    within: NDArray[np.int64] | None = None,
) -> Iterator[NDArray[np.int64]]:
    """Labels dealt anew, some hundred deals at a time, as in :func:`label_permutation_test`.

    Args:
        labels: Codes of the labels, ``[item]``.
        groups: Group of every item, ``[item]``.
        seed: Seed of the deals.
        n_permutations: How many.
        within: Labels are dealt only among items that have the same number here, such as a fold,
            ``[item]``. It must not split a group.

    Yields:
        ``[permutation, item]``.

    Raises:
        UsageError: The shapes do not fit, or ``n_permutations`` is below 1.
    """
    labels = np.asarray(labels)
    codes = _checked("labels", labels.reshape(-1, 1), groups, n_permutations)
    deals = _Deals(labels, codes, within)
    for dealt in deals.draw(seed, n_permutations):
        yield dealt[:, deals.unit]


def require_labels(labels: NDArray[np.int64], n_items: int) -> None:
    """Raise :class:`UsageError` where there is not one label for every item."""
    if labels.shape != (n_items,):
        raise UsageError(
            f"labels of shape {labels.shape} for {n_items} items",
            expected="one label for every item",
            remedy="give the labels in the order of the items' rows",
        )


class _Deals:
    """What is dealt a label: a group whose items all have one, or an item of any other group.

    Args:
        labels: ``[item]``.
        groups: As numbers, ``[item]``.
        within: Deal only among the same, ``[item]``.
    """

    unit: NDArray[np.int64]
    """What every item belongs to, ``[item]``."""
    labels: NDArray[np.int64]
    """The observed label of every unit, ``[unit]``."""

    def __init__(
        self,
        labels: NDArray[np.int64],
        groups: NDArray[np.int64],
        within: NDArray[np.int64] | None = None,
    ) -> None:
        by_group = pd.Series(labels).groupby(groups)
        mixed = (by_group.transform("min") != by_group.transform("max")).to_numpy()
        alone = np.arange(len(labels)) + len(labels)
        self.unit = np.asarray(pd.factorize(np.where(mixed, alone, groups))[0])
        first = np.unique(self.unit, return_index=True)[1]
        self.labels = labels[first]
        block = np.zeros(len(labels), dtype=np.int64) if within is None else np.asarray(within)
        # Units of the two kinds change labels among themselves only, and within their block.
        parts = pd.factorize(2 * np.unique(block, return_inverse=True)[1] + mixed)[0][first]
        self._parts = [np.flatnonzero(parts == part) for part in np.unique(parts)]

    def draw(self, seed: int, n_permutations: int) -> Iterator[NDArray[np.int64]]:
        """Labels of every unit, ``[permutation, unit]``, some hundred permutations at a time."""
        generator = np.random.default_rng(seed)
        for start in range(0, n_permutations, _AT_ONCE):
            dealt = np.tile(self.labels, (min(_AT_ONCE, n_permutations - start), 1))
            for part in self._parts:
                dealt[:, part] = generator.permuted(dealt[:, part], axis=1)
            yield dealt
