"""Parts of a corpus that share nothing: no author, no scenario, no near-duplicate text.

Choosing on one part what is tested on another needs parts; :func:`grouped_parts` makes them, of any
sizes. :func:`paper_split` is Tak et al.'s own (2025), which lets an author be on both sides, for
comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectscope.data.folds import assign_groups, counts_by_group
from affectscope.errors import DataError, NotPossibleError

PAPER_TEST_SHARE = 0.2
PAPER_SEED = 42


def grouped_parts(
    emotions: Sequence[str], groups: Sequence[str], shares: Sequence[float], seed: int
) -> NDArray[np.int64]:
    """Assign every item to a part, stratified by emotion, never splitting a group.

    As :func:`grouped_folds`, with parts of chosen sizes.

    Args:
        emotions: Emotion of every item.
        groups: Group of every item, as :class:`Corpus` has them.
        shares: Size of each part, such as ``(0.8, 0.2)``; only their proportions count.
        seed: Decides the order among groups of equal size.

    Returns:
        The part of every item, 0 to ``len(shares) - 1``; every part has an item.

    Raises:
        NotPossibleError: There are fewer groups than parts, or a share is not above zero.
        DataError: Emotions and groups are not of the same items.
    """
    if len(emotions) != len(groups):
        raise DataError(
            f"{len(emotions):,} emotions and {len(groups):,} groups were given",
            expected="one of each for every item",
        )
    if len(shares) < 2 or min(shares) <= 0:
        raise NotPossibleError(
            f"a corpus cannot be split into shares of {', '.join(f'{s:g}' for s in shares)}",
            expected="two or more shares, each above zero",
            remedy="such as 0.8 and 0.2",
        )
    group_codes, counts = counts_by_group(emotions, groups)
    if len(counts) < len(shares):
        raise NotPossibleError(
            f"{len(counts):,} group{'s' * (len(counts) != 1)} of items cannot be split into "
            f"{len(shares)} parts",
            expected="at least as many groups (authors, scenarios) as parts",
            remedy="use more items (a larger --limit), or a corpus with more groups",
        )
    return assign_groups(counts, np.asarray(shares, dtype=float), seed)[group_codes]


def paper_split(
    n_items: int, *, test_share: float = PAPER_TEST_SHARE, seed: int = PAPER_SEED
) -> NDArray[np.int64]:
    """The paper's split: items drawn one by one, whoever wrote them, 80 to 20 with seed 42.

    Args:
        n_items: How many items.
        test_share: Share of the test part.
        seed: Of scikit-learn's ``train_test_split``.

    Returns:
        1 for every item of the test part, 0 for the others.

    Raises:
        NotPossibleError: One of the parts would be empty.
    """
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - it takes a second

    try:
        _, test = train_test_split(np.arange(n_items), test_size=test_share, random_state=seed)
    except ValueError as error:
        raise NotPossibleError(
            f"{n_items:,} items cannot be split with a test share of {test_share:g}",
            expected="at least one item in each part",
            remedy="use more items, or another share",
        ) from error
    part = np.zeros(n_items, dtype=np.int64)
    part[test] = 1
    return part
