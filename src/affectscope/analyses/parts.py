"""Three parts of a corpus: one to fit on, one to test on, and one to read with.

A direction is fitted on one part and its effect measured on another, so that it cannot owe its
effect to the very items it was made from; what an edit leaves of everything else is read by probes
fitted on a third, so that the reader has seen neither the direction nor the items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.study import Study
from affectscope.analyses.windows import require_count
from affectscope.data import grouped_folds
from affectscope.errors import NotPossibleError

N_PARTS = 3

LEAST_A_LABEL = 3
"""Fewest items for each emotion that occurs, over the whole corpus: one for each part."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Items of three parts that share no group (author, scenario), each in ascending order."""

    fit: NDArray[np.int64]
    """To fit directions on, and to choose layers on."""
    test: NDArray[np.int64]
    """To measure effects on."""
    read: NDArray[np.int64]
    """To fit the probes on that read what an edit has left."""

    @property
    def not_test(self) -> NDArray[np.int64]:
        """The fitting and the reading part together, for who needs no reader."""
        return np.sort(np.concatenate([self.fit, self.read]))


def split_items(study: Study, *, test_items: int | None) -> Parts:
    """Split a study's items into three parts that share no group, each with every emotion's share.

    Args:
        study: The study; its seed decides the split.
        test_items: Test on at most so many items, drawn from the test part in proportion to its
            emotions; on all of it when None. What is not drawn is not used for anything else.

    Raises:
        NotPossibleError: The corpus is too small, or has fewer than three groups.
    """
    require_count("test items", test_items)
    emotions = list(study.corpus.emotions)
    needed = LEAST_A_LABEL * len(set(emotions))
    if len(emotions) < needed:
        raise NotPossibleError(
            f"{len(emotions)} items with {len(set(emotions))} emotions cannot be split into a part "
            "to fit on, one to test on and one to read with",
            expected=f"at least {needed} items, {LEAST_A_LABEL} for each emotion",
            remedy="use more items (a larger --limit) or a larger corpus",
        )
    folds = grouped_folds(emotions, study.corpus.groups, N_PARTS, study.seed)
    fit, test, read = (np.flatnonzero(folds == part) for part in range(N_PARTS))
    drawn = draw_in_proportion([emotions[item] for item in test], test_items, study.seed)
    return Parts(fit, test[drawn], read)


def draw_in_proportion(emotions: Sequence[str], n: int | None, seed: int) -> NDArray[np.int64]:
    """A draw of items without replacement in which each emotion keeps its share.

    Each emotion gets its share of ``n`` rounded down; what is left over goes to the largest
    remainders (Hamilton's method), in random order among equals.

    Args:
        emotions: Emotion of every item.
        n: How many items to draw; all when None or no fewer are there.
        seed: Fixes the draw.

    Returns:
        Indices into ``emotions``, ascending.
    """
    if n is None or n >= len(emotions):
        return np.arange(len(emotions))
    generator = np.random.default_rng(seed)
    names, codes, counts = np.unique(
        np.asarray(emotions, dtype=str), return_inverse=True, return_counts=True
    )
    exact = n * counts / counts.sum()
    wanted = np.floor(exact).astype(int)
    in_order = np.lexsort((generator.random(len(names)), wanted - exact))
    wanted[in_order[: n - wanted.sum()]] += 1
    drawn = [
        generator.choice(np.flatnonzero(codes == k), size=wanted[k], replace=False)
        for k in range(len(names))
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)
