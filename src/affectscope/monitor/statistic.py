"""From a score at every token to one number for the turn.

For an emotion the score is its log-odds under the probe, ``log p - log(1 - p)``: unlike the
probability it has no ceiling, so that "more than usual" means the same at 1 % and at 90 %. For an
appraisal it is the rating. The number of a turn is

    max over tokens t of the mean of the scores at t - 7, ..., t.

A maximum, since a turn of 200 tokens that rages for twenty of them should be found, which a mean
over the turn would not do. Of a running mean, since a single token's reading jumps with the word
that stands there; eight tokens are about a clause, the shortest stretch that says something of an
event, and an average over them has less than half the noise. A turn of fewer tokens has one mean,
of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 8
"""Tokens of the running mean."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """The largest running mean of every score in a turn."""

    values: NDArray[np.float64]
    """``[score]``."""
    tokens: NDArray[np.int64]
    """Last token of the stretch that it is the mean of, from 0, ``[score]``."""


def peaks(scores: NDArray[np.floating]) -> Peaks:
    """The largest mean over :data:`WINDOW` successive tokens.

    Args:
        scores: ``[token, score]``, at least one token.

    Examples:
        >>> found = peaks(np.array([[0.0]] * 4 + [[8.0]] * 8 + [[0.0]] * 4))
        >>> float(found.values[0]), int(found.tokens[0])
        (8.0, 11)
    """
    width = min(WINDOW, len(scores))
    sums = np.cumsum(np.asarray(scores, dtype=np.float64), axis=0)
    sums[width:] -= sums[:-width].copy()
    means = sums[width - 1 :] / width
    best = means.argmax(axis=0)
    return Peaks(np.take_along_axis(means, best[None], axis=0)[0], best + width - 1)


def log_odds(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-odds of every label against all others, from ``[token, label]`` logits."""
    values = np.asarray(logits, dtype=np.float64)
    others = np.empty_like(values)
    for label in range(values.shape[1]):
        rest = np.delete(values, label, axis=1)
        largest = rest.max(axis=1, keepdims=True)
        others[:, label] = largest[:, 0] + np.log(np.exp(rest - largest).sum(axis=1))
    return values - others


def probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """The softmax over labels of ``[token, label]`` logits."""
    values = np.asarray(logits, dtype=np.float64)
    shares = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
