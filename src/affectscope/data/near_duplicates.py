"""Texts that are nearly the same, found exactly: no hashing, nothing left to chance.

A text stands for the set of its runs of five characters (of :func:`text_key`, so that case,
punctuation and spacing do not count). Two texts are near-duplicates when their sets overlap by a
threshold (Jaccard 1912: intersection over union). Comparing all pairs would take too long; a pair
over the threshold ``t`` must share a run among the ``(1 - t) n + 1`` rarest of each set of ``n``
(the prefix filter of Bayardo, Ma and Srikant 2007, "Scaling up all pairs similarity search"), so
only such pairs are compared, and none is missed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from affectscope.data.duplicates import merge_groups, text_key

THRESHOLD = 0.7
"""Overlap from which texts count as near-duplicates: of 25 words, two or three are changed."""

_RUN = 5
"""Characters in a run."""


def near_duplicate_clusters(texts: Sequence[str], threshold: float = THRESHOLD) -> list[int]:
    """Which texts belong together because they are the same or nearly so.

    Clusters are joined through common neighbours: of three texts in a row that each resemble the
    next, all three are one cluster.

    Args:
        texts: The texts.
        threshold: Smallest overlap, above 0 and up to 1.

    Returns:
        For every text the index of the first text of its cluster.
    """
    keys = [text_key(text) for text in texts]
    first_with: dict[str, int] = {}
    for index, key in enumerate(keys):
        first_with.setdefault(key, index)
    distinct = list(first_with.values())
    pairs = [
        (distinct[one], distinct[other])
        for one, other in _similar_pairs([keys[index] for index in distinct], threshold)
    ]
    return _first_of_cluster([first_with[key] for key in keys], pairs)


def merge_near_duplicates(groups: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Groups joined wherever they hold nearly the same text.

    Without it such a text could be in the training and in the test part of a split.

    Args:
        groups: Group of every item.
        texts: Text of every item.

    Returns:
        The group of every item, as :func:`merge_groups` names it.
    """
    return merge_groups(groups, near_duplicate_clusters(texts))


def _similar_pairs(keys: Sequence[str], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs of distinct texts over the threshold, the later one first."""
    runs = [_runs(key) for key in keys]
    frequency = Counter(run for mine in runs for run in mine)
    rarest_first = [sorted(mine, key=lambda run: (frequency[run], run)) for mine in runs]
    with_run: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(keys)), key=lambda index: len(runs[index])):
        mine, n = runs[index], len(runs[index])
        prefix = rarest_first[index][: n - math.ceil(threshold * n - 1e-9) + 1]
        candidates = {other for run in prefix for other in with_run[run]}
        for other in candidates:
            theirs = runs[other]  # not longer than mine
            if len(theirs) < threshold * n:
                continue
            common = len(mine & theirs)
            if common >= threshold * (n + len(theirs) - common):
                yield index, other
        for run in prefix:
            with_run[run].append(index)


def _runs(key: str) -> frozenset[str]:
    return frozenset(key[i : i + _RUN] for i in range(max(1, len(key) - _RUN + 1)))


def _first_of_cluster(first: list[int], pairs: Sequence[tuple[int, int]]) -> list[int]:
    parent = list(range(len(first)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for one, other in pairs:
        a, b = root(one), root(other)
        parent[max(a, b)] = min(a, b)
    return [root(index) for index in first]
