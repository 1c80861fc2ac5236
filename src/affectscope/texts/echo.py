"""Whether a text names what it was steered towards, instead of showing it.

A text can be judged joyful because it says "joy". That is an effect of a kind, and not the one
that steering an appraisal is after; texts that name the label are counted apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from affectscope.data.label_words import find_label_words
from affectscope.errors import ColumnError
from affectscope.vocabulary import APPRAISAL_NAMES

_APPRAISAL_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "suddenness": ("sudden", "abrupt"),
        "familiarity": ("familiar", "familiarity", "unfamiliar"),
        "predict_event": ("predict", "predictable", "predictably", "unpredictable", "expected"),
        "pleasantness": ("pleasant",),
        "unpleasantness": ("unpleasant",),
        "goal_relevance": ("important", "importance", "relevant", "relevance", "consequence"),
        "chance_responsblt": ("chance", "luck", "lucky", "luckily", "unlucky", "coincidence"),
        "self_responsblt": ("responsible", "responsibility", "responsibly", "fault"),
        "other_responsblt": ("responsible", "responsibility", "responsibly", "fault", "blame"),
        "predict_conseq": ("predict", "predictable", "foresee", "foresaw", "foreseen"),
        "goal_support": ("support", "supportive", "benefit", "beneficial", "consequence"),
        "urgency": ("urgent", "urgency", "immediate"),
        "self_control": ("control", "controlled", "controlling", "influence"),
        "other_control": ("control", "controlled", "controlling", "influence"),
        "chance_control": ("control", "uncontrollable", "helpless", "powerless"),
        "accept_conseq": ("accept", "acceptable", "acceptance"),
        "standards": ("standard", "principle", "values"),
        "social_norms": ("norm", "law", "lawful", "unlawful", "illegal", "legal"),
        "attention": ("attention", "attentive", "attend"),
        "not_consider": ("ignore", "ignoring", "suppress", "forget", "forgot", "forgotten"),
        "effort": ("effort", "effortful", "effortless", "exert", "exertion"),
    }
)


def appraisal_words(appraisal: str) -> tuple[str, ...]:
    """Words that name an appraisal rather than show it, for :func:`label_echo`.

    Args:
        appraisal: One of the 21.

    Raises:
        ColumnError: There is no such appraisal.
    """
    if appraisal not in _APPRAISAL_WORDS:
        raise ColumnError(
            f"there is no appraisal {appraisal!r}",
            expected=f"one of {', '.join(APPRAISAL_NAMES)}",
            remedy="name the appraisal as crowd-enVENT does",
        )
    return _APPRAISAL_WORDS[appraisal]


def label_echo(texts: Sequence[str], words: Sequence[str]) -> NDArray[np.bool_]:
    """Whether any of the words stands in a text, as a whole word, in any case.

    One of the 13 emotions counts with its derivations and the close synonyms of
    :data:`affectscope.data.label_words.STEMS`; any other word with its plain endings.

    Args:
        texts: The texts.
        words: Such as ``("joy",)``, or what :func:`appraisal_words` gives.

    Returns:
        ``[text]``.

    Examples:
        >>> label_echo(["Joyfully she left.", "A pleasant day.", "Enjoyable"], ["joy"]).tolist()
        [True, False, False]
    """
    return np.array([bool(find_label_words(text, words)) for text in texts], dtype=bool)
