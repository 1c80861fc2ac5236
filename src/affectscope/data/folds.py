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
    group_codes = _codes(groups)
    n_groups = int(group_codes.max()) + 1 if len(groups) else 0
    if n_folds < 2 or n_groups < n_folds:
        raise NotPossibleError(
            f"{n_groups:,} group{'s' * (n_groups != 1)} of items cannot be split into "
            f"{n_folds} fold{'s' * (n_folds != 1)}",
            expected="at least two folds, and at least as many groups (authors) as folds",
            remedy="use more items (a larger --limit), a corpus with more groups, or another "
            "number of folds (--folds)",
        )
    emotion_codes = _codes(emotions)
    counts = np.zeros((n_groups, int(emotion_codes.max()) + 1))  # [group, emotion]
    np.add.at(counts, (group_codes, emotion_codes), 1)
    return _assign(counts, n_folds, seed)[group_codes]


def _codes(values: Sequence[str]) -> NDArray[np.int64]:
    return np.unique(np.asarray(values, dtype=str), return_inverse=True)[1].astype(np.int64)


def _assign(counts: NDArray[np.float64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of every group.

    Putting a group with counts g into a fold that has n_c of emotion c adds, up to a constant,
    ``2 * sum(g_c n_c / N_c)`` to the sum of squared deviations from even shares; the fold with the
    least is taken.
    """
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    order = shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]
    weights = 1 / counts.sum(axis=0)
    filled = np.zeros((n_folds, counts.shape[1]))  # [fold, emotion]
    fold_of = np.empty(len(counts), dtype=np.int64)
    for group in order:
        crowding = filled @ (weights * counts[group])
        fold = np.lexsort((filled.sum(axis=1), crowding))[0]
        filled[fold] += counts[group]
        fold_of[group] = fold
    return fold_of
