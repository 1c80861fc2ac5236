"""A template of the user's own: a text, or a file that holds one, with ``{text}`` in it once."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from affectscope.errors import PromptError

PLACEHOLDER = "text"

_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=(.*)", re.DOTALL)
_EXAMPLE = "such as 'My text: {text} Emotion:'; braces of the text itself are doubled: {{ }}"

LONGEST_FILE = 2**20
"""Bytes; a file that is longer is not a template."""


@dataclass(frozen=True)
class UserTemplate:
    """What a user's own template says."""

    name: str
    """As given, or the file's, or made of the text's hash."""
    prefix: str
    suffix: str
    spec: str
    """``NAME=TEXT``, from which the same template is made again."""
    notes: tuple[str, ...]


def is_user_template(spec: str) -> bool:
    """Whether this is a template's text or a file, and not a name."""
    named = _NAMED.fullmatch(spec)
    return "{" in spec or "}" in spec or (named[2] if named else spec).startswith("@")


def read_user_template(spec: str, *, reserved: Collection[str] = ()) -> UserTemplate:
    """The template of ``TEXT``, ``NAME=TEXT``, ``@FILE`` or ``NAME=@FILE``.

    Args:
        spec: As above.
        reserved: Names that mean something else.

    Raises:
        PromptError: For a text that is no template, a file that cannot be read, or a name that is
            taken.
    """
    named = _NAMED.fullmatch(spec)
    name, text = (named[1], named[2]) if named else ("", spec)
    if text.startswith("@"):
        path = Path(text[1:])
        text = _file_text(path)
        name = name or _as_name(path.stem)
    prefix, suffix = split_at_placeholder(text)
    notes: tuple[str, ...] = ()
    if suffix != suffix.rstrip(" \t"):
        suffix = suffix.rstrip(" \t")
        notes = ("the space at the template's end was left out: it belongs to the label's token",)
    if not suffix.strip():
        raise PromptError(
            f"the template {text!r} ends with the text itself",
            expected=f"words after {{text}} that call for the label, {_EXAMPLE}",
            remedy="add them, such as ' Emotion:'",
        )
    written = f"{_escaped(prefix)}{{{PLACEHOLDER}}}{_escaped(suffix)}"
    name = name or f"own-{hashlib.sha256(written.encode()).hexdigest()[:6]}"
    if name in reserved:
        raise PromptError(
            f"a template of your own cannot be called {name!r}",
            expected=f"another name than {', '.join(reserved)}",
            remedy=f"write my-{name}={text}",
        )
    return UserTemplate(name, prefix, suffix, f"{name}={written}", notes)


def split_at_placeholder(text: str) -> tuple[str, str]:
    """What comes before and after ``{text}``, with doubled braces made single.

    Raises:
        PromptError: ``{text}`` is not there exactly once, or braces are not closed or not doubled.

    Examples:
        >>> split_at_placeholder("{{event}} {text} Emotion:")
        ('{event} ', ' Emotion:')
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise PromptError(
            f"the braces of the template {text!r} do not match: {error}",
            expected=f"{{text}} once, {_EXAMPLE}",
            remedy="double the braces that belong to the text",
        ) from error
    fields = [(name, spec, how) for _, name, spec, how in parsed if name is not None]
    if fields != [(PLACEHOLDER, "", None)]:
        got = ", ".join(f"{{{name}}}" for name, _, _ in fields) or "no placeholder"
        raise PromptError(
            f"the template {text!r} has {got}",
            expected=f"{{text}} once and no other, {_EXAMPLE}",
            remedy="put {text} where each text of the corpus goes",
        )
    # Doubled braces end a literal part as a field does, so the parts are put together again.
    where = next(i for i, (_, name, _, _) in enumerate(parsed) if name is not None)
    return (
        "".join(literal for literal, *_ in parsed[: where + 1]),
        "".join(literal for literal, *_ in parsed[where + 1 :]),
    )


def _file_text(path: Path) -> str:
    """What a template file holds, without line ends at its end."""
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise PromptError(
                f"the template file {path} has {path.stat().st_size:,} bytes",
                expected=f"at most {LONGEST_FILE:,}",
                remedy="name the file of the template",
            )
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            f"the template file {path} cannot be read: {error}",
            expected="a text file in UTF-8 with {text} in it once",
            remedy="check the path after @",
        ) from error


def _as_name(stem: str) -> str:
    """A file's name as a template's: letters, digits, ``-`` and ``_``."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    return name if re.match("[A-Za-z]", name) else f"own-{name}".strip("-")


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
