"""Do changes go the way that appraisal theory, or people's own ratings, say they go?

What is compared is signs: of the significant changes of emotions when an appraisal is moved, and of
what is expected. Both have emotions that rise and fall together (joy, pride and relief with
anything good), so that half would not agree by chance. The null deals the emotions' names among the
columns of what is expected, which keeps how its rows and columns hang together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.stats import Estimate, GroupBootstrap

PERMUTATIONS = 5000

LEAST = 5
"""Fewest items of an emotion, and of the others, for people to predict something of it."""


@dataclass(frozen=True)
class Agreement:
    """How often changes go the expected way."""

    share: Estimate
    """Of the cells in which there is a change and an expectation; NaN where there are none. The
    interval is from the delete-one-appraisal jackknife (Efron and Stein 1981), cut at 0 and 1."""
    p: float
    """Share of deals of the emotions' names that agree as often, one-sided."""
    n: int
    """Cells compared."""


def effect_matrix(
    ratings: NDArray[np.float64], emotions: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float64]:
    """Mean standardised rating of each emotion's items less that of all others.

    Args:
        ratings: ``[item, appraisal]``; NaN where one is missing.
        emotions: Emotion of every item.
        labels: The emotions that are asked about.

    Returns:
        ``[appraisal, label]`` in standard deviations; NaN for an emotion of too few items.
    """
    numerators, _, shape = _contrasts(ratings, emotions, labels)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(numerators, axis=0).reshape(shape) + _absent(emotions, labels))


def people_matrix(
    ratings: NDArray[np.float64],
    emotions: Sequence[str],
    groups: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int,
) -> NDArray[np.int8]:
    """What people's ratings predict: the signs of :func:`effect_matrix` that are sure.

    Args:
        ratings: ``[item, appraisal]``; NaN where one is missing.
        emotions: Emotion of every item.
        groups: Group of every item, for the bootstrap.
        labels: The emotions that are asked about.
        seed: Seed of the draws.

    Returns:
        ``[appraisal, label]``: 1 or -1 where the 95 % interval of the difference excludes 0.
    """
    draws = GroupBootstrap(tuple(map(str, groups)), seed=seed)
    _, parts, shape = _contrasts(ratings, emotions, labels)
    own, others = (draws.ratio(part) for part in parts)
    difference = own.minus(others).estimates()
    signs = [1 if one.low > 0 else -1 if one.high < 0 else 0 for one in difference]
    enough = np.isfinite(_absent(emotions, labels))
    return np.where(enough, np.array(signs, dtype=np.int8).reshape(shape), 0).astype(np.int8)


def _absent(emotions: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """0 for each label with enough items and others, NaN else, ``[1, label]``."""
    counts = np.array([sum(emotion == label for emotion in emotions) for label in labels])
    enough = (counts >= LEAST) & (len(emotions) - counts >= LEAST)
    return np.where(enough, 0.0, np.nan)[None]


def _contrasts(
    ratings: NDArray[np.float64], emotions: Sequence[str], labels: Sequence[str]
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]], tuple[int, int]]:
    """Contributions to the differences, the two groups' ratings, and the shape of the matrix.

    The first and the two parts are ``[item, appraisal * label]``; an item counts in one part only.
    """
    values = np.asarray(ratings, dtype=np.float64)
    deviation = np.nanstd(values, axis=0)
    z = (values - np.nanmean(values, axis=0)) / np.where(deviation > 0, deviation, np.nan)
    has = np.asarray(emotions, dtype=str)[:, None] == np.asarray(labels, dtype=str)
    shape = (z.shape[1], len(labels))
    wide = np.broadcast_to(z[:, :, None], (len(z), *shape))
    own = np.where(has[:, None, :], wide, np.nan).reshape(len(z), -1)
    others = np.where(has[:, None, :], np.nan, wide).reshape(len(z), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [x / np.isfinite(x).sum(axis=0) for x in (own, others)]
    contributions = np.where(np.isfinite(parts[0]), parts[0], -parts[1])
    return contributions, (own, others), shape


def agreement(changes: NDArray[np.int8], expected: NDArray[np.int8], *, seed: int) -> Agreement:
    """The share of changes that go the expected way, against dealt names of the emotions.

    Args:
        changes: Sign of each significant change, 0 for none, ``[appraisal, label]``.
        expected: Sign of what is expected, 0 where nothing is, ``[appraisal, label]``.
        seed: Seed of the deals.
    """
    product = np.sign(changes).astype(int) * np.sign(expected).astype(int)
    n = int(np.count_nonzero(product))
    if not n:
        return Agreement(Estimate(np.nan, np.nan, np.nan, 0), np.nan, 0)
    observed = _share(product)
    generator = np.random.default_rng(seed)
    as_large = 0
    for _ in range(PERMUTATIONS):
        dealt = expected[:, generator.permutation(expected.shape[1])]
        share = _share(np.sign(changes).astype(int) * np.sign(dealt).astype(int))
        as_large += bool(np.isnan(share) or share >= observed - 1e-12)
    low, high = _jackknife(product, observed)
    p = (1 + as_large) / (1 + PERMUTATIONS)
    return Agreement(Estimate(observed, low, high, n), p, n)


def _share(product: NDArray[np.int64]) -> float:
    compared = np.count_nonzero(product)
    return float(np.count_nonzero(product > 0) / compared) if compared else np.nan


def _jackknife(product: NDArray[np.int64], observed: float) -> tuple[float, float]:
    """A 95 % interval by leaving out one appraisal after the other."""
    without = np.array([_share(np.delete(product, k, axis=0)) for k in range(len(product))])
    without = without[np.isfinite(without)]
    m = len(without)
    if m < 3 or np.count_nonzero(product.any(axis=1)) < 3:
        return np.nan, np.nan
    error = np.sqrt((m - 1) / m * ((without - without.mean()) ** 2).sum())
    return max(0.0, observed - 1.96 * error), min(1.0, observed + 1.96 * error)
