"""Labels that mean nothing, to tell what a probe reads from what it merely learns.

A probe that is strong enough learns any labelling of what it has seen. Hewitt and Liang (2019,
"Designing and interpreting probes with control tasks") therefore fit the same probe to labels drawn
at random: what it scores on the real ones beyond that is its *selectivity*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def labels_by_word(texts: Sequence[str], labels: Sequence[str], seed: int) -> list[str]:
    """A random label for every word, given to all texts that end with it.

    The last word of the text is the one nearest to where the probe reads; a probe scores above
    chance here by recognising words it saw in training, with no idea of emotions.

    Args:
        texts: The texts.
        labels: Their labels; a word's is drawn from these, as frequent ones as in the corpus.
        seed: Seed of the draw.
    """
    words = [last_word(text) for text in texts]
    types = sorted(set(words))
    drawn = np.random.default_rng(seed).choice(np.asarray(labels, dtype=str), size=len(types))
    label_of = dict(zip(types, drawn.tolist(), strict=True))
    return [label_of[word] for word in words]


def labels_by_item(labels: Sequence[str], seed: int) -> list[str]:
    """The labels dealt to the items at random: nothing to find, whatever the probe.

    Args:
        labels: The real ones.
        seed: Seed of the deal.
    """
    return np.random.default_rng(seed).permutation(np.asarray(labels, dtype=str)).tolist()


def last_word(text: str) -> str:
    """The last word, in lower case; the whole text where it has none."""
    words = _WORD.findall(text)
    return (words[-1] if words else text).casefold()
