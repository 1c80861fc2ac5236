"""Cross-validation folds that keep what belongs together together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import DataError, NotPossibleError


def grouped_folds(
    emotions: Sequence[str], groups: Sequence[str], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Assign every item to a fold, stratified by emotion, never splitting a group.

    Groups are taken from the largest to the smallest, in random order among equals; each goes to
    the fold in which its emotions are rarest so far, counted as shares of all items with that
    emotion, and among equals to the smallest fold. An empty fold always wins, so none stays empty.
    With groups of one item every fold gets its exact share of each emotion, to within one item.
    (scikit-learn's ``StratifiedGroupKFold`` warns or refuses where an emotion has fewer items than
    there are folds; that is no reason to stop here.)

    Args:
        emotions: Emotion of every item.
        groups: Group of every item; items with the same text share one (:class:`Corpus`).
        n_folds: Number of folds, at least 2.
        seed: Decides the order among groups of equal size.

    Returns:
        The fold of every item, 0 to ``n_folds - 1``; every fold has an item.

    Raises:
        NotPossibleError: There are fewer groups than folds, or fewer than two folds.
        DataError: Emotions and groups are not of the same items.
    """
    if len(emotions) != len(groups):
        raise DataError(
            f"{len(emotions):,} emotions and {len(groups):,} groups were given",
            expected="one of each for every item",
        )
    group_codes, counts = counts_by_group(emotions, groups)
    n_groups = len(counts)
    if n_folds < 2 or n_groups < n_folds:
        raise NotPossibleError(
            f"{n_groups:,} group{'s' * (n_groups != 1)} of items cannot be split into "
            f"{n_folds} fold{'s' * (n_folds != 1)}",
            expected="at least two folds, and at least as many groups (authors) as folds",
            remedy="use more items (a larger --limit), a corpus with more groups, or another "
            "number of folds (--folds)",
        )
    return assign_groups(counts, np.ones(n_folds), seed)[group_codes]


def counts_by_group(
    emotions: Sequence[str], groups: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The number of every item's group, and how often each emotion is in each group.

    Returns:
        ``[item]`` and ``[group, emotion]``.
    """
    group_codes, emotion_codes = _codes(groups), _codes(emotions)
    if not len(group_codes):
        return group_codes, np.zeros((0, 0))
    counts = np.zeros((int(group_codes.max()) + 1, int(emotion_codes.max()) + 1))
    np.add.at(counts, (group_codes, emotion_codes), 1)
    return group_codes, counts


def _codes(values: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(np.asarray(values, dtype=str), return_inverse=True)[1].astype(np.int64)


def assign_groups(
    counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int
) -> NDArray[np.int64]:
    """The fold of every group, folds having shares of the items.

    Putting a group with counts g into a fold of share s that has n_c of emotion c adds, up to a
    constant, ``2 * sum(g_c n_c / N_c) / s`` to the sum of squared deviations from the shares, in
    units of the share; the fold with the least is taken.
    """
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    weights = 1 / counts.sum(axis=0)
    filled = np.zeros((len(shares), counts.shape[1]))  # [fold, emotion]
    fold_of = np.empty(len(counts), dtype=np.int64)
    for group in order:
        crowding = filled @ (weights * counts[group]) / shares
        fold = np.lexsort((filled.sum(axis=1) / shares, crowding))[0]
        filled[fold] += counts[group]
        fold_of[group] = fold
    return fold_of
