"""How numbers and foreign text are written in figures, captions and the report."""

from __future__ import annotations

import math


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage, ``"no value"`` when it is undefined.

    >>> percent(0.2837)
    '28.4 %'
    """
    return "no value" if not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def with_interval(value: float, low: float, high: float, *, unit: str = "%") -> str:
    """A share, or a number with its unit, with its 95 % interval, if it has one, in one phrase.

    >>> with_interval(0.5, 0.42, 0.58)
    '50.0 % (95 % interval 42.0 to 58.0 %)'
    >>> with_interval(0.5, 0.42, 0.58, unit="nats")
    '0.50 nats (95 % interval 0.42 to 0.58 nats)'
    """
    if not math.isfinite(value):
        return percent(value)
    factor, digits = (100, 1) if unit == "%" else (1, 2)
    shown, lower, upper = (f"{factor * number:.{digits}f}" for number in (value, low, high))
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{shown} {unit} (no interval)"
    return f"{shown} {unit} (95 % interval {lower} to {upper} {unit})"


def visible(text: str) -> str:
    r"""Text with everything that does not print written as an escape.

    Labels and tokens come from a corpus or a tokenizer: they may hold control characters, which
    XML forbids, or direction marks, which reorder what is read.

    >>> visible("a\x00b")
    'a\\x00b'
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shortened(text: str, length: int) -> str:
    """Text of at most ``length`` characters, its cut marked.

    >>> shortened("resid_post", 6)
    'resid…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def quoted_token(token: str) -> str:
    """A token in quotation marks, its spaces kept from collapsing."""
    return f'"{visible(token)}"'.replace(" ", "\N{NO-BREAK SPACE}")
