"""The paper's prompt templates and shots (Tak et al. 2025).

A prompt ends in ``Answer:``, so that the next token is the label.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from affectscope.errors import PromptError
from affectscope.vocabulary import EMOTIONS

SHOTS: Mapping[str, str] = MappingProxyType(
    {
        "anger": "My husband missed an important call, because his phone was on silent AGAIN!",
        "boredom": "At work, my job is far to mind numbing and it does not challenge me.",
        "disgust": "I saw mouldy food.",
        "fear": "I was confronted by a thief.",
        "guilt": "I booked a night away with friends and my children were upset that I was going "
        "to a hotel without them.",
        "joy": "My first child was born.",
        "neutral": "I walked to the village near my home.",
        "pride": "I was recognised for doing well at work by my line manager.",
        "relief": "I found out my mam didn't need a serious surgery.",
        "sadness": "My dog died last week.",
        "shame": "I failed a maths test and the teacher called me out in front of the class.",
        "surprise": "I saw my teacher on an aeroplane!",
        "trust": "I gave my wallet to a friend.",
    }
)
"""One example for each emotion, in the paper's words (spelling included)."""

QUESTION = "What are the inferred emotions in the following contexts?"


@dataclass(frozen=True)
class Template:
    """How a text becomes a prompt."""

    name: str
    instruction: str
    """What comes before the examples; may be empty."""
    shots: tuple[str, ...]
    """Emotions whose examples are shown, in order."""

    @property
    def prefix(self) -> str:
        """Everything before the text, the same for every prompt."""
        examples = [f"Context: {SHOTS[emotion]} Answer: {emotion}" for emotion in self.shots]
        return " ".join([*([self.instruction] if self.instruction else []), *examples, "Context: "])

    @property
    def shot_texts(self) -> tuple[str, ...]:
        """Texts of the examples: they must not be among the tested items."""
        return tuple(SHOTS[emotion] for emotion in self.shots)

    def fill(self, text: str) -> str:
        """The prompt for a text."""
        return f"{self.prefix}{text.strip()} Answer:"


_JOY_SADNESS = ("joy", "sadness")

TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        template.name: template
        for template in (
            Template("joy_sadness_0", QUESTION, _JOY_SADNESS),
            Template("joy_sadness_1", f"{', '.join(EMOTIONS)}. {QUESTION}", _JOY_SADNESS),
            Template("joy_sadness_2", "", _JOY_SADNESS),
            Template("joy_sadness_3", "Guess the emotion.", _JOY_SADNESS),
            Template("shots_1", QUESTION, ("joy",)),
            Template("shots_3", QUESTION, ("joy", "sadness", "anger")),
            Template("shots_6", QUESTION, ("joy", "sadness", "anger", "fear", "pride", "disgust")),
            Template(
                "shots_9",
                QUESTION,
                (
                    *("joy", "sadness", "anger", "fear", "pride", "disgust"),
                    *("guilt", "surprise", "relief"),
                ),
            ),
            Template("shots_12", QUESTION, tuple(e for e in EMOTIONS if e != "neutral")),
        )
    }
)
"""The paper's templates 0 to 3 with two shots, and template 0 with 1, 3, 6, 9 and 12 shots.

Which examples the paper takes for each number of shots is not stated; the choice here is ours.
"""


def template_named(name: str) -> Template:
    """The template of that name.

    Raises:
        PromptError: For a name that does not exist.
    """
    if name not in TEMPLATES:
        near = difflib.get_close_matches(name, TEMPLATES, n=1)
        raise PromptError(
            f"there is no template {name!r}",
            expected=f"one of {', '.join(TEMPLATES)}",
            remedy=f"did you mean {near[0]!r}?" if near else "choose one of these",
        )
    return TEMPLATES[name]
