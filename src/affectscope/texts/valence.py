"""How pleasant the words of a text are, by a published lexicon and its rules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


def valence(texts: Sequence[str]) -> NDArray[np.float64]:
    """VADER's compound score: words rated by people, summed under rules for "not", "very", "but".

    The sum s is brought to ``s / sqrt(s^2 + 15)`` (Hutto and Gilbert 2014, "VADER: A Parsimonious
    Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM). It speaks of single
    words, knows no appraisal, and is meant as a second opinion beside the judge.

    Args:
        texts: English texts.

    Returns:
        -1 (unpleasant) to 1 (pleasant), ``[text]``; 0 for an empty text, and for one that has no
        word of the lexicon.

    Examples:
        >>> valence(["A chair stands by the wall."]).tolist()
        [0.0]
    """
    return np.array([_analyser().polarity_scores(text)["compound"] for text in texts], dtype=float)


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()
