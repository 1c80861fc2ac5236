"""Words that give a label away: the label, what is derived from it, and close synonyms.

The list is short on purpose: a word stands in it when a reader who sees nothing else would name
that label. It is meant for finding leaks in a corpus, not for measuring emotion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

STEMS: Mapping[str, Sequence[str]] = {
    "anger": (
        "anger angered angr enrag* furious* fury infuriat* irritat* annoy* outrag* resent* livid "
        "exasperat* indignan* indignat* wrath* irate"
    ).split(),
    "boredom": "bored boring* boredom bores tedious* tedium monoton* dull duller dullest".split(),
    "disgust": (
        "disgust* revolt* revuls* repuls* repugn* nauseat* nauseous* nausea loath* sicken* gross "
        "grossed yuck*"
    ).split(),
    "fear": (
        "fear* afraid scare scared scares scaring scary fright* terrif* terror* dread* panic* "
        "horrif* horror* petrif* anxious* anxiet* worr* apprehens*"
    ).split(),
    "guilt": "guilt* remors* contrit* culpab*".split(),
    "joy": (
        "joy* overjoy* happ[iy]* delight* elat* cheerful* glad gladly gladness blissful* bliss "
        "ecsta* jubila* rejoic* thrill*"
    ).split(),
    "neutral": "neutral* indifferen* unmoved".split(),
    "pride": "pride proud* prouder".split(),
    "relief": "relief reliev*".split(),
    "sadness": (
        "sad sadder saddest sadly sadness sadden* sorrow* grief griev* misera* misery mourn* "
        "depress* heartbr* unhapp* gloom* melanchol* devastat*"
    ).split(),
    "shame": "shame* asham* embarrass* humiliat* mortif* disgrac*".split(),
    "surprise": (
        "surpris* astonish* astound* amaz* stun stunned stunning startl* flabbergast* unexpected*"
    ).split(),
    "trust": (
        "trust trusted trusting trusts trustworth* distrust* mistrust* faith confiden*"
    ).split(),
}
"""For each of the 13 labels, words and beginnings of words (with ``*``)."""

_ENDINGS = "(?:s|es|ed|d|ing|ly|ful|fully|ness|less)?"
"""What a label that is not among the 13 may end in."""


def find_label_words(text: str, labels: Iterable[str]) -> set[str]:
    """Which labels a text gives away by a word.

    Args:
        text: The text.
        labels: The label set; those not among the 13 count by their own word and its endings.

    Returns:
        The labels given away.
    """
    lowered = text.lower()
    return {label for label in labels if _pattern(label).search(lowered)}


@cache
def _pattern(label: str) -> re.Pattern[str]:
    stems = STEMS.get(label.lower())
    if stems is None:
        return re.compile(rf"(?<!\w){re.escape(label.lower())}{_ENDINGS}(?!\w)")
    words = "|".join(stem.replace("*", r"\w*") for stem in stems)
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)")
