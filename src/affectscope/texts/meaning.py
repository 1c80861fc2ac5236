"""Whether a text still says what its prompt asked it to say.

For prompts that fix the content. Two measures of words, one for all content words of a text, the
other for those that must come back; neither sees who did what to whom.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from affectscope.errors import UsageError

_WORD = re.compile(r"[^\W_]+")

_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        str(number): word
        for number, word in enumerate(
            "one two three four five six seven eight nine ten eleven twelve".split(), 1
        )
    }
)
"""Numbers are asked for in words, and often come back in figures."""

_ENDINGS = ("ies", "ing", "ed", "es", "ly", "s", "y", "e")
_SHORTEST_STEM = 3


def kept_meaning(texts: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Cosine similarity of the content words of a text and of what it was to say.

    Content words are all but scikit-learn's English stop words, in lower case, as they stand. A
    word counts ``(times in the text) * idf``, ``idf = log((1 + m) / (1 + k)) + 1`` where k of the
    m different references have it. So what one text scores does not hang on the other texts; words
    that the text adds lower it.

    Args:
        texts: The texts.
        references: What each was to say, one a text; texts of one prompt share theirs.

    Returns:
        0 to 1, ``[text]``; 0 for an empty text, NaN where the reference has no content words.

    Raises:
        UsageError: There is not one reference for each text.

    Examples:
        Both have "desk"; with a single reference, "lamp" (idf 1 + log 2) is all that differs:

        >>> kept_meaning(["The desk.", "A desk and a lamp."], ["a desk"] * 2).round(3)
        array([1.   , 0.509])
    """
    _refuse_unequal(len(texts), len(references), "references")
    distinct = {reference: _counted(reference) for reference in references}
    holders = Counter(word for counts in distinct.values() for word in counts)

    def weighed(counts: Counter[str]) -> dict[str, float]:
        idf = {word: np.log((1 + len(distinct)) / (1 + holders[word])) + 1 for word in counts}
        return {word: count * idf[word] for word, count in counts.items()}

    return np.array(
        [
            _cosine(weighed(_counted(text)), weighed(distinct[reference]))
            for text, reference in zip(texts, references, strict=True)
        ],
        dtype=float,
    )


def content_recall(texts: Sequence[str], required: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """The share of the required words that come back in a text, in any form.

    Two words are forms of one another if what is left without common endings is the same; one to
    twelve may come back as figures.

    Args:
        texts: The texts.
        required: The words that each must have, one sequence a text.

    Returns:
        0 to 1, ``[text]``; NaN where no word is required.

    Raises:
        UsageError: There is not one sequence of words for each text.

    Examples:
        >>> content_recall(["Desks are delivered at 9."], [["delivery", "desk", "nine", "Tuesday"]])
        array([0.75])
    """
    _refuse_unequal(len(texts), len(required), "sequences of required words")
    shares = []
    for text, words in zip(texts, required, strict=True):
        said = {stem(word) for word in _words(text)}
        wanted = {stem(word) for word in words}
        shares.append(len(wanted & said) / len(wanted) if wanted else float("nan"))
    return np.array(shares, dtype=float)


def stem(word: str) -> str:
    """What is left of a word without common endings; a crude rule, meant for comparing forms.

    Endings go one after another as long as three letters stay; a final double letter counts once.

    Examples:
        >>> sorted({stem(word) for word in ("delivery", "delivered", "deliveries", "Delivering")})
        ['deliver']
        >>> stem("planned"), stem("plans"), stem("9")
        ('plan', 'plan', 'nin')
    """
    left = word.lower()
    left = _NUMBERS.get(left, left)
    while True:
        ending = next((each for each in _ENDINGS if left.endswith(each)), "")
        if not ending or len(left) - len(ending) < _SHORTEST_STEM:
            break
        left = left[: -len(ending)]
    doubled = len(left) > _SHORTEST_STEM and left[-1] == left[-2]
    return left[:-1] if doubled else left


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _counted(text: str) -> Counter[str]:
    """How often each content word stands in a text."""
    return Counter(word for word in _words(text) if word not in ENGLISH_STOP_WORDS)


def _cosine(text: Mapping[str, float], reference: Mapping[str, float]) -> float:
    if not reference:
        return float("nan")
    if not text:
        return 0.0
    product = sum(weight * reference.get(word, 0.0) for word, weight in text.items())
    lengths = [np.sqrt(sum(weight**2 for weight in each.values())) for each in (text, reference)]
    return float(product / (lengths[0] * lengths[1]))


def _refuse_unequal(n_texts: int, n_others: int, what: str) -> None:
    if n_texts != n_others:
        raise UsageError(
            f"{n_texts:,} texts and {n_others:,} {what} were given",
            expected="one for each text",
            remedy="repeat those of a prompt for every text that it led to",
        )
