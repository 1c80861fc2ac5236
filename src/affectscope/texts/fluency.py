"""Whether a text goes round in circles, and whether many texts are one: counts of n-grams.

Too strong a push makes a model repeat itself before it does anything else to its text. All counts
are over tokens, of which a text is a sequence of whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import UsageError

Tokens = Sequence[int]


def repeated_share(tokens: Sequence[Tokens], n: int = 4) -> NDArray[np.float64]:
    """The share of a text's n-grams that occurred earlier in the same text.

    Args:
        tokens: Token ids of every text.
        n: Tokens in an n-gram.

    Returns:
        0 (never the same twice) to nearly 1, ``[text]``; 0 for a text shorter than n. It is one
        less :func:`distinct_by_text` of the same n.

    Raises:
        UsageError: n is below 1.

    Examples:
        The 2-grams of 1 2 1 2 1 are 12, 21, 12, 21, of which two occurred before:

        >>> repeated_share([[1, 2, 1, 2, 1], [1, 2, 3], [7]], n=2).tolist()
        [0.5, 0.0, 0.0]
    """
    return np.nan_to_num(1 - distinct_by_text(tokens, n))


def distinct_by_text(tokens: Sequence[Tokens], n: int) -> NDArray[np.float64]:
    """Distinct-n of every text by itself: different n-grams over all its n-grams.

    Args:
        tokens: Token ids of every text.
        n: Tokens in an n-gram.

    Returns:
        Above 0, up to 1, ``[text]``; NaN for a text shorter than n.

    Raises:
        UsageError: n is below 1.

    Examples:
        >>> distinct_by_text([[1, 2, 1, 2], [5, 6, 7]], n=1).tolist()
        [0.5, 1.0]
    """
    return np.array([distinct_n([text], n) for text in tokens], dtype=float)


def distinct_n(tokens: Sequence[Tokens], n: int) -> float:
    """Distinct-n of a set of texts: different n-grams over all n-grams, texts taken together.

    No n-gram crosses from one text into the next. It falls with the number of tokens, so that only
    sets of like size compare (Li et al. 2016, "A Diversity-Promoting Objective Function for Neural
    Conversation Models", NAACL).

    Args:
        tokens: Token ids of every text.
        n: Tokens in an n-gram.

    Returns:
        Above 0, up to 1; NaN when no text has n tokens.

    Raises:
        UsageError: n is below 1.

    Examples:
        The 2-grams are 12, 23 and 12, of which two differ:

        >>> distinct_n([[1, 2, 3], [1, 2]], n=2)
        0.6666666666666666
    """
    if n < 1:
        raise UsageError(
            f"n-grams of {n} tokens were asked for",
            expected="a whole number, 1 or more",
            remedy="choose another n",
        )
    found = [gram for text in tokens for gram in _ngrams(text, n)]
    return len(set(found)) / len(found) if found else float("nan")


def _ngrams(text: Tokens, n: int) -> Iterator[tuple[int, ...]]:
    return (tuple(text[start : start + n]) for start in range(len(text) - n + 1))
