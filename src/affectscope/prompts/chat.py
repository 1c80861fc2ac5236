"""A prompt in the chat format that a model was tuned on."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from jinja2 import TemplateError

from affectscope.errors import PromptError
from affectscope.prompts.tokens import Tokenizer

_SENTINEL = "TheTextGoesHere"

_DAY = date(2024, 7, 26)
"""Stands for today; where Llama's chat formats are not told a date, this is the one they state."""

_DATE_FORMATS = ("%d %b %Y", "%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d/%m/%Y", "%Y")
"""What chat formats ask ``strftime_now`` for; any other gets the first."""

_LAST_SENTENCE = re.compile(r"(.*[.?!\n]\s*)?(.*)", re.DOTALL)


def cue_of(suffix: str) -> tuple[str, str]:
    """What comes after a text, in two: what still asks, and the words that call for the label.

    Examples:
        >>> cue_of(" Answer:")
        ('', 'Answer:')
        >>> cue_of(". What does she feel? She feels")
        ('. What does she feel?', 'She feels')
    """
    found = _LAST_SENTENCE.fullmatch(suffix.rstrip())
    assert found is not None, "it matches any text"
    return (found[1] or "").rstrip(), found[2].strip()


def chat_parts(tokenizer: Tokenizer | None, before: str, after: str) -> tuple[str, str]:
    """What the chat format puts before and after a text in a user's only message.

    Up to where the model's turn begins. Formats that state today's date get a fixed one, since the
    prompts of a run must not depend on the day; models that may think first are asked not to.

    Args:
        tokenizer: The model's.
        before: What the message says before the text.
        after: What it says after it.

    Raises:
        PromptError: The tokenizer has no chat template, or one that does not take this message.
    """
    if not getattr(tokenizer, "chat_template", None):
        what = "no tokenizer was given" if tokenizer is None else "its tokenizer has none"
        raise PromptError(
            f"this model has no chat template: {what}",
            expected="a model that was tuned on chats, whose tokenizer has a chat_template",
            remedy="use another --template, or the instruct version of the model",
        )
    render: Any = getattr(tokenizer, "apply_chat_template")  # noqa: B009 - not in the protocol
    try:
        whole = render(
            [{"role": "user", "content": f"{before}{_SENTINEL}{after}"}],
            chat_template=_without_clock(tokenizer),
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
            date_string=_DAY.strftime(_DATE_FORMATS[0]),
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise PromptError(
            f"the model's chat template does not take a single user message: {error}",
            expected="a chat template for one message of the role 'user'",
            remedy="use another --template",
        ) from error
    first, found, last = str(whole).partition(_SENTINEL)
    if not found or _SENTINEL in last:
        raise PromptError(
            "the model's chat template does not show the message exactly once",
            expected="a chat template that contains the user's message as it is",
            remedy="use another --template",
        )
    return first, last


def in_chat_format(tokenizer: Tokenizer | None, text: str) -> str:
    """A text as the user's only message, once: one that is in the chat format already stays.

    Raises:
        PromptError: The tokenizer has no chat template, or one that does not take this message.
    """
    first, last = chat_parts(tokenizer, "", "")
    done = bool(last.strip()) and text.startswith(first) and text.rstrip().endswith(last.rstrip())
    return text if done else f"{first}{text}{last}"


def _without_clock(tokenizer: Any) -> str:
    """The chat template, with a macro in place of the function that reads the clock."""
    template = str(tokenizer.get_chat_template())
    if "strftime_now" not in template:
        return template
    written = {name: _DAY.strftime(name) for name in _DATE_FORMATS}
    macro = f"{{{{ {written!r}.get(format, {written[_DATE_FORMATS[0]]!r}) }}}}"
    return f"{{% macro strftime_now(format) %}}{macro}{{% endmacro %}}{template}"
