"""The authors' appraisal ratings as targets of probes, and ratings that mean nothing.

The control ratings are whole rows of real ones: all appraisals of an item move together, so that
they are related among each other as the real ones are, and mean nothing for the text that has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.control_labels import labels_by_item, labels_by_word
from affectscope.data import Corpus
from affectscope.errors import NotPossibleError
from affectscope.vocabulary import APPRAISAL_NAMES

LEAST_RATED = 20
"""Fewest items with a rating, from which an appraisal is probed."""

Rows = NDArray[np.float64]
"""Ratings of 1 to 5, ``[item, appraisal]``; NaN where one is missing."""


@dataclass(frozen=True, eq=False)
class Ratings:
    """What the authors said of their events."""

    names: tuple[str, ...]
    """The appraisals, in the order of the vocabulary."""
    values: Rows

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a rating, ``[item, appraisal]``."""
        return np.isfinite(self.values)


def rated(corpus: Corpus) -> tuple[str, ...]:
    """The appraisals that enough items have a rating of, and that not all rate alike."""
    return tuple(
        name
        for name in APPRAISAL_NAMES
        if name in corpus.items.columns
        and corpus.items[name].notna().sum() >= LEAST_RATED
        and corpus.items[name].nunique() > 1
    )


def ratings_of(corpus: Corpus, folds: NDArray[np.int64]) -> Ratings:
    """The ratings that a probe can be fitted to.

    Args:
        corpus: The items.
        folds: Fold of every item, ``[item]``.

    Returns:
        Those appraisals of :func:`rated` that vary among the training items of any two folds.

    Raises:
        NotPossibleError: There are none.
    """
    names = [name for name in rated(corpus) if _varies(corpus, name, folds)]
    if not names:
        raise NotPossibleError(
            f"no appraisal of {corpus.name} can be probed",
            expected=f"a column named as one of the appraisals ({', '.join(APPRAISAL_NAMES[:4])}, "
            f"...), with ratings of 1 to 5 that differ, of at least {LEAST_RATED} items",
            remedy="use a corpus with ratings (crowd-envent, vignettes), more items (--limit), or "
            "leave appraise, geometry and surgery out of --experiments",
        )
    return Ratings(tuple(names), corpus.items[names].to_numpy(dtype=np.float64))


def _varies(corpus: Corpus, name: str, folds: NDArray[np.int64]) -> bool:
    """Whether the ratings still differ when any two folds are left out."""
    values = corpus.items[name].to_numpy(dtype=np.float64)
    left = [np.isin(folds, [one, other]) for one in np.unique(folds) for other in np.unique(folds)]
    parts = [values[~out] for out in left if not out.all()]
    return all(len(np.unique(part[np.isfinite(part)])) > 1 for part in parts)


def ratings_by_word(ratings: Ratings, texts: list[str], seed: int) -> Rows:
    """A random item's ratings for every last word, given to all texts that end with it."""
    items = [str(item) for item in range(len(texts))]
    return ratings.values[np.array(labels_by_word(texts, items, seed), dtype=np.int64)]


def ratings_by_item(ratings: Ratings, seed: int) -> Rows:
    """The items' ratings dealt at random: nothing to find, whatever the probe."""
    items = [str(item) for item in range(len(ratings.values))]
    return ratings.values[np.array(labels_by_item(items, seed), dtype=np.int64)]
