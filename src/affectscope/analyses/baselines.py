"""What the words alone give away: a baseline that has never seen anything but the corpus itself.

A model is said to infer an emotion from a situation; this is how far one gets by counting words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from affectscope.data import Corpus, grouped_folds
from affectscope.errors import NotPossibleError
from affectscope.stats import Estimate, GroupBootstrap

FOLDS = 5

ITEMS_PER_LABEL = 10
"""Fewest items, for each label that occurs, from which word counts say anything."""


@dataclass(frozen=True, eq=False)
class BagOfWords:
    """Out-of-fold predictions from word counts."""

    predicted: NDArray[np.str_]
    """The label predicted for every item, ``[item]``."""
    folds: NDArray[np.int64]
    """The fold of every item, ``[item]``."""
    accuracy: Estimate
    """Share of items predicted right, with its 95 % interval over groups."""


def bag_of_words(
    corpus: Corpus, *, folds: int = FOLDS, seed: int = 0, function_words: bool = True
) -> BagOfWords:
    """Predict the author's emotion from word counts, by naive Bayes, out of fold.

    Words of two letters or more in lower case; multinomial naive Bayes with Laplace's smoothing
    and the labels' frequencies as prior. No group (author, scenario) is on both sides of a fold.

    Args:
        corpus: The texts.
        folds: Number of folds.
        seed: Seed of the folds and of the bootstrap.
        function_words: Count English function words (scikit-learn's list of stop words) as well:
            how a person tells a story, besides what happened. Without them the baseline is lower.

    Raises:
        NotPossibleError: There are too few items (see :func:`too_few_items`), fewer groups than
            folds, or no words in a fold's training texts.
    """
    problem = too_few_items(corpus)
    if problem:
        raise NotPossibleError(
            problem,
            expected=f"at least {ITEMS_PER_LABEL} items for each label",
            remedy="use more items (a larger --limit)",
        )
    fold_of = grouped_folds(corpus.emotions, corpus.groups, folds, seed)
    predicted = _out_of_fold(corpus.texts, corpus.emotions, fold_of, function_words)
    right = (predicted == np.array(corpus.emotions)).astype(float)
    draws = GroupBootstrap(tuple(corpus.groups), seed=seed).ratio(right[:, None])
    return BagOfWords(predicted, fold_of, draws.estimates()[0])


def too_few_items(corpus: Corpus) -> str:
    """Why the corpus is too small for word counts; empty when it is large enough."""
    n_labels = len(set(corpus.emotions))
    if len(corpus) >= ITEMS_PER_LABEL * n_labels:
        return ""
    return f"{len(corpus):,} items of {n_labels} labels are too few for a bag of words"


def _out_of_fold(
    texts: Sequence[str], emotions: Sequence[str], fold_of: NDArray[np.int64], function_words: bool
) -> NDArray[np.str_]:
    said, labels = np.array(texts, dtype=object), np.array(emotions)
    predicted = np.empty_like(labels)
    for fold in np.unique(fold_of):
        test = fold_of == fold
        counts = CountVectorizer(stop_words=None if function_words else "english")
        try:
            model = make_pipeline(counts, MultinomialNB()).fit(said[~test], labels[~test])
        except ValueError as error:
            if "empty vocabulary" not in str(error):
                raise
            raise NotPossibleError(
                "the texts hold no words that can be counted",
                expected="texts of words of two letters or more, with spaces between them",
                remedy="leave this baseline out",
            ) from error
        predicted[test] = model.predict(said[test])
    return predicted
