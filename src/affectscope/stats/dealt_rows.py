"""Whole rows of ratings dealt anew among the items: the null of a readout of several ratings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.errors import UsageError

AT_ONCE = 64
"""Deals held in memory together."""


def dealt_rows(
    groups: Sequence[str], folds: NDArray[np.int64], *, seed: int, n_permutations: int
) -> Iterator[NDArray[np.int64]]:
    """Which item's row each item is dealt, some deals at a time.

    Within each fold the groups are put in random order, and their rows, in their own order, are
    dealt out one after the other: rows of one group stay neighbours, so that what resembles each
    other still does, and go to items that mostly are of one group too.

    Args:
        groups: Group of every item, ``[item]``.
        folds: Fold of every item, ``[item]``; rows stay in their fold, so that folds keep their
            means.
        seed: Seed of the deals.
        n_permutations: How many.

    Yields:
        ``[permutation, item]``.

    Raises:
        UsageError: The shapes do not fit, or ``n_permutations`` is below 1.
    """
    if len(groups) != np.size(folds) or n_permutations < 1:
        raise UsageError(
            f"{n_permutations} deals of {len(groups)} groups and {np.size(folds)} folds",
            expected="at least one deal, and a group and a fold for every item",
            remedy="give both for each row",
        )
    codes = pd.factorize(np.asarray(groups, dtype=str))[0]
    places = np.lexsort((codes, folds))
    generator = np.random.default_rng(seed)
    for start in range(0, n_permutations, AT_ONCE):
        n = min(AT_ONCE, n_permutations - start)
        keys = generator.random((n, codes.max() + 1))[:, codes]
        dealt = np.empty((n, len(codes)), dtype=np.int64)
        for row, key in zip(dealt, keys, strict=True):
            row[places] = np.lexsort((key, folds))
        yield dealt
