"""The paper's prompt templates and shots (Tak et al. 2025), and templates of the user's own.

A prompt ends where the label goes, as in ``Answer:``, so that the next token is the label.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from affectscope.errors import PromptError
from affectscope.prompts.chat import chat_parts, cue_of
from affectscope.prompts.tokens import Tokenizer
from affectscope.prompts.user_templates import is_user_template, read_user_template
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

ANSWER = " Answer:"

CHAT = "chat"
"""Name of the chat form of a template: ``chat``, or ``chat:NAME`` of another than the default."""


@dataclass(frozen=True)
class Template:
    """How a text becomes a prompt."""

    name: str
    prefix: str
    """Everything before the text, the same for every prompt."""
    suffix: str = ANSWER
    """Everything after it; the label comes next."""
    shots: tuple[str, ...] = ()
    """Emotions whose examples are shown, in order."""
    instruction: str | None = None
    """What comes before the examples; None where the prefix is not known to be made of these."""
    spec: str = ""
    """What :func:`template_named` makes this template of; its name, unless it is the user's."""
    notes: tuple[str, ...] = ()
    """What was changed in a user's text, in sentences."""

    @property
    def shot_texts(self) -> tuple[str, ...]:
        """Texts of the examples: they must not be among the tested items."""
        return tuple(SHOTS[emotion] for emotion in self.shots)

    def fill(self, text: str) -> str:
        """The prompt for a text."""
        return f"{self.prefix}{text.strip()}{self.suffix}"


def with_examples(
    name: str, instruction: str, examples: Mapping[str, str], shots: tuple[str, ...] = ()
) -> Template:
    """A template in the paper's form: an instruction, then examples with their answers.

    Args:
        name: Its name.
        instruction: What comes first; may be empty.
        examples: Text to answer, in order.
        shots: Emotions whose examples these texts are, or are made from.
    """
    shown = [f"Context: {text} Answer: {answer}" for text, answer in examples.items()]
    prefix = " ".join([*([instruction] if instruction else []), *shown, "Context: "])
    return Template(name, prefix, shots=shots, instruction=instruction, spec=name)


def _of_the_paper(name: str, instruction: str, *shots: str) -> Template:
    return with_examples(name, instruction, {SHOTS[shot]: shot for shot in shots}, shots)


_SIX = ("joy", "sadness", "anger", "fear", "pride", "disgust")

TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        template.name: template
        for template in (
            _of_the_paper("joy_sadness_0", QUESTION, "joy", "sadness"),
            _of_the_paper("joy_sadness_1", f"{', '.join(EMOTIONS)}. {QUESTION}", "joy", "sadness"),
            _of_the_paper("joy_sadness_2", "", "joy", "sadness"),
            _of_the_paper("joy_sadness_3", "Guess the emotion.", "joy", "sadness"),
            _of_the_paper("shots_1", QUESTION, "joy"),
            _of_the_paper("shots_3", QUESTION, *_SIX[:3]),
            _of_the_paper("shots_6", QUESTION, *_SIX),
            _of_the_paper("shots_9", QUESTION, *_SIX, "guilt", "surprise", "relief"),
            _of_the_paper("shots_12", QUESTION, *(e for e in EMOTIONS if e != "neutral")),
        )
    }
)
"""The paper's templates 0 to 3 with two shots, and template 0 with 1, 3, 6, 9 and 12 shots.

Which examples the paper takes for each number of shots is not stated; the choice here is ours.
"""

DEFAULT = "joy_sadness_0"


def template_named(spec: str, tokenizer: Tokenizer | None = None) -> Template:
    """The template that a name, or a user's own text, stands for.

    Args:
        spec: One of :data:`TEMPLATES`; ``chat`` or ``chat:SPEC``, the model's chat template around
            ``joy_sadness_0`` or another; or the user's own, with ``{text}`` where the text goes:
            ``TEXT``, ``NAME=TEXT``, ``@FILE`` or ``NAME=@FILE``.
        tokenizer: The model's; needed for ``chat``.

    Raises:
        PromptError: For a name that does not exist, a text that is no template, a file that cannot
            be read, or a model without a chat template.
    """
    base = _chat_base(spec)
    if base is not None:
        return in_chat(template_named(base), tokenizer)
    if is_user_template(spec):
        own = read_user_template(spec, reserved=(*TEMPLATES, CHAT))
        return Template(own.name, own.prefix, own.suffix, spec=own.spec, notes=own.notes)
    if spec not in TEMPLATES:
        names = (*TEMPLATES, CHAT)
        near = difflib.get_close_matches(spec, names, n=1)
        raise PromptError(
            f"there is no template {spec!r}",
            expected=f"one of {', '.join(names)}, or a text with {{text}} where each text goes",
            remedy=f"did you mean {near[0]!r}?" if near else "choose one of these",
        )
    return TEMPLATES[spec]


def resolved_spec(spec: str) -> str:
    """A spec that means the same wherever it is read: a file is replaced by what it holds.

    Nothing of the model is needed, so a spec can be refused before one is loaded.

    Raises:
        PromptError: As :func:`template_named`, but for what only a tokenizer can tell.
    """
    base = _chat_base(spec)
    if base is not None:
        inner = resolved_spec(base)
        return CHAT if inner == DEFAULT else f"{CHAT}:{inner}"
    return template_named(spec).spec


def in_chat(template: Template, tokenizer: Tokenizer | None) -> Template:
    """The template as a user's message, in the model's own chat format, answered as in the base.

    The words that call for the label, such as ``Answer:``, begin the model's turn: the label tokens
    follow as they do without chat.

    Args:
        template: What the user's message asks.
        tokenizer: The model's.

    Raises:
        PromptError: The tokenizer has no chat template, or one that this message does not fit.
    """
    question, cue = cue_of(template.suffix)
    before, after = chat_parts(tokenizer, template.prefix, question)
    default = template.name == DEFAULT
    return Template(
        CHAT if default else f"{CHAT}-{template.name}",
        before,
        f"{after}{cue}",
        shots=template.shots,
        instruction=template.instruction,
        spec=CHAT if default else f"{CHAT}:{template.spec}",
        notes=template.notes,
    )


def _chat_base(spec: str) -> str | None:
    """What ``chat`` is wrapped around; None for a spec that is no chat."""
    if spec == CHAT:
        return DEFAULT
    base = spec.removeprefix(f"{CHAT}:")
    if base == spec:
        return None
    if _chat_base(base) is not None:
        raise PromptError(
            f"{spec!r} is a chat in a chat",
            expected=f"{CHAT}, or {CHAT}: and another template",
            remedy=f"write {base!r}",
        )
    return base
