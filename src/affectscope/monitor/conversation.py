"""A chat as the model sees it: every turn behind all that was said before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from affectscope.errors import PromptError

Message = Mapping[str, str]
"""``role`` (user or assistant) and ``content``."""

_SENTINEL = "TheTurnStandsHere"

_DAY = date(2024, 7, 26)
"""Stands for today in formats that state a date, as in :mod:`affectscope.prompts.chat`."""


def has_chat_format(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the model was tuned on chats."""
    return bool(getattr(tokenizer, "chat_template", None))


def context_of(tokenizer: PreTrainedTokenizerBase, before: Sequence[Message], role: str) -> str:
    """What stands before the content of a turn.

    Args:
        tokenizer: The model's. Without a chat format the turns before stand one below the other.
        before: The turns so far.
        role: Whose turn it is.

    Raises:
        PromptError: The chat format does not take these turns.
    """
    if not has_chat_format(tokenizer):
        return "".join(f"{message['content']}\n\n" for message in before)
    turn = {"role": role, "content": _SENTINEL}
    first, found, _ = _rendered(tokenizer, [*before, turn]).rpartition(_SENTINEL)
    if not found:
        raise PromptError(
            f"the model's chat template does not show the turn of the {role}",
            expected="a chat template that contains every message as it is",
            remedy='give texts as {"text": ...} instead',
        )
    return first


def recent(
    messages: Sequence[Message], fits: Callable[[Sequence[Message]], bool], *, least: int
) -> Sequence[Message]:
    """As many of the last turns as fit, the user's first: what a long chat still has in mind.

    Args:
        messages: The turns so far.
        fits: Whether some of the last turns fit.
        least: Fewest turns that have to stay; so many are given even if they do not fit.

    Examples:
        >>> chat = [{"role": role, "content": ""} for role in ("user", "assistant", "user")]
        >>> len(recent(chat, lambda turns: len(turns) <= 2, least=0))
        1
    """
    n = len(messages)
    starts = [i for i in range(1, n) if messages[i]["role"] == "user"]
    starts = [i for i in (0, *starts, n) if n - i >= least] or [0]
    first = next((i for i in starts if fits(messages[i:])), starts[-1])
    return messages[first:]


def reply_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """The chat so far, up to where the model's turn begins.

    Raises:
        PromptError: The model has no chat format, or one that does not take these turns.
    """
    if not has_chat_format(tokenizer):
        raise PromptError(
            "this model has no chat template, so it cannot reply in a chat",
            expected="a model that was tuned on chats",
            remedy="leave --reply out, or use the instruct version of the model",
        )
    return _rendered(tokenizer, messages, add_generation_prompt=True)


def _rendered(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], **options: Any
) -> str:
    try:
        return str(
            tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                enable_thinking=False,
                date_string=_DAY.strftime("%d %b %Y"),
                strftime_now=_DAY.strftime,
                **options,
            )
        )
    except (TemplateError, ValueError, TypeError) as error:
        raise PromptError(
            f"the model's chat template does not take these turns: {error}",
            expected="turns in the order that the model knows, mostly user and assistant in turn",
            remedy='reorder them, or give texts as {"text": ...}',
        ) from error
