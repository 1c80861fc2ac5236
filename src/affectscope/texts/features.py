"""What a classifier sees of a text: TF-IDF of its words and of pieces of its words.

Words and pairs of words say what happened; pieces of three to five characters within a word let
forms that never occurred in training count for their kin ("broke", "broken"). Frequencies are
``1 + log``; each of the two blocks of a text has length 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from affectscope.errors import NotPossibleError


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Features learnt from some texts, for these and any others."""

    vectorizers: tuple[Any, ...]
    """scikit-learn's, fitted: of words, and of characters within words."""

    def of(self, texts: Sequence[str]) -> sp.csr_matrix:
        """The features of texts, float32 ``[text, feature]``; at least one text."""
        blocks = [vectorizer.transform(texts) for vectorizer in self.vectorizers]
        return sp.csr_matrix(sp.hstack(blocks))


@dataclass(frozen=True, eq=False)
class Learnt:
    """Features, and those of the texts that they were learnt from."""

    features: TextFeatures
    X: sp.csr_matrix
    """``[text, feature]``."""


def learn_features(texts: Sequence[str]) -> Learnt:
    """Learn which words and pieces of words two texts or more have, and how rare each is.

    Args:
        texts: Those to train on.

    Raises:
        NotPossibleError: No word occurs in two texts.
    """
    common = {"sublinear_tf": True, "min_df": 2, "dtype": np.float32}
    words = TfidfVectorizer(ngram_range=(1, 2), **common)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **common)
    try:
        blocks = [vectorizer.fit_transform(texts) for vectorizer in (words, characters)]
    except ValueError as error:
        if not any(what in str(error) for what in ("empty vocabulary", "no terms remain")):
            raise
        raise NotPossibleError(
            f"no word occurs in two of the {len(texts):,} texts, so that nothing can be learnt",
            expected="texts with spaces between words, of which some occur in several",
            remedy="train the judge on a larger corpus",
        ) from error
    return Learnt(TextFeatures((words, characters)), sp.csr_matrix(sp.hstack(blocks)))
