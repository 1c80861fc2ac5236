"""Windows of layers around a centre."""

from __future__ import annotations

from collections.abc import Sequence

from affectscope.errors import UsageError


def require_count(what: str, count: int | None) -> None:
    """Raise :class:`UsageError` for a number below one."""
    if count is not None and count < 1:
        raise UsageError(
            f"{count} {what} were asked for",
            expected=f"one or more {what}",
            remedy="give a larger number",
        )


def window(centre: int, span: int, n_layers: int) -> list[int]:
    """The layers of a window, cut at the model's first and last layer.

    Examples:
        >>> window(4, 3, 30)
        [3, 4, 5]
        >>> window(0, 3, 30)
        [0, 1]
    """
    if span < 1 or span % 2 == 0:
        raise UsageError(
            f"a window cannot span {span} layers",
            expected="an odd number of layers (1, 3, 5, ...), the centre and as many on each side",
            remedy="choose an odd span",
        )
    half = span // 2
    return list(range(max(0, centre - half), min(n_layers, centre + half + 1)))


def require_spans(spans: Sequence[int], n_layers: int) -> tuple[int, ...]:
    """The spans in order, each once.

    Raises:
        UsageError: There is none, or one is even or below 1.
    """
    if not spans:
        raise UsageError(
            "no window was asked for",
            expected="one or more odd numbers of layers, such as (1, 3, 5)",
            remedy="leave spans out, or name one",
        )
    for span in spans:
        window(0, span, n_layers)
    return tuple(sorted(set(spans)))
