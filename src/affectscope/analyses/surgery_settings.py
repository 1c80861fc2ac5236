"""What an appraisal surgery moves and what it holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from affectscope.errors import UsageError

PAPER = ("pleasantness", "other_responsblt")
"""The two appraisals that the paper moves together."""

_MOVE = re.compile(r"\s*([\w-]+)\s*=\s*([+-]?\d+(?:\.\d*)?)\s*")


@dataclass(frozen=True)
class Setting:
    """One edit of appraisals, in words."""

    moves: tuple[tuple[str, float], ...]
    """Appraisals and how far each is moved, in coefficients: +1 up, -1 down, +2 twice as far."""
    hold: tuple[str, ...] | None = None
    """Appraisals that are held; all that are not moved when None."""

    @property
    def name(self) -> str:
        """Such as ``pleasantness+ other_responsblt-``; with what is held, if not all others."""
        moves = " ".join(name + _size(size) for name, size in self.moves)
        if self.hold is None:
            return moves
        return f"{moves}, held: {' '.join(self.hold) or 'none'}"

    def held(self, names: Sequence[str]) -> tuple[str, ...]:
        """Which of the appraisals are held."""
        moved = {name for name, _ in self.moves}
        return tuple(
            name for name in (names if self.hold is None else self.hold) if name not in moved
        )


def _size(size: float) -> str:
    if abs(size) == 1:
        return "+" if size > 0 else "-"
    return f"{size:+g}"


def singles(names: Sequence[str]) -> list[Setting]:
    """Each appraisal up, then down."""
    return [Setting(((name, sign),)) for name in names for sign in (1.0, -1.0)]


def compounds(names: Sequence[str]) -> list[Setting]:
    """The paper's four: pleasantness and others' responsibility, each up or down."""
    if not set(PAPER) <= set(names):
        return []
    return [
        Setting(tuple(zip(PAPER, signs, strict=True))) for signs in product((1.0, -1.0), repeat=2)
    ]


def parse_setting(moves: str, hold: str | None, names: Sequence[str]) -> Setting:
    """What a user writes: ``pleasantness=-2,other_responsblt=+2``, and what to hold.

    Args:
        moves: Appraisals with how far to move each, separated by commas.
        hold: Appraisals separated by commas; all others when None, none when empty.
        names: The appraisals that there are.

    Raises:
        UsageError: Something else is written, an appraisal is not there, or is moved and held.
    """
    sizes = _sizes(moves, "pleasantness=-2,urgency=+1")
    moved = [name for name, _ in sizes]
    held = None if hold is None else tuple(name.strip() for name in hold.split(",") if name.strip())
    unknown = sorted({*moved, *(held or ())} - set(names))
    if unknown:
        raise UsageError(
            f"the surgery names {', '.join(unknown)}, which the corpus has no ratings of",
            expected=f"some of {', '.join(names)}",
            remedy="name one of these, or use a corpus that has it",
        )
    both = sorted(set(moved) & set(held or ()))
    if both:
        raise UsageError(
            f"the surgery moves {', '.join(both)} and holds it too",
            expected="an appraisal that is either moved or held",
            remedy="leave it out of --hold",
        )
    return Setting(tuple(sizes), held)


def parse_emotions(moves: str) -> dict[str, float]:
    """Emotions with how far to move each: ``joy=+2,fear=-1``.

    Raises:
        UsageError: Something else is written.
    """
    return dict(_sizes(moves, "joy=+2,fear=-1"))


def _sizes(moves: str, example: str) -> list[tuple[str, float]]:
    """Names, each once, with a number other than 0."""
    found = [_MOVE.fullmatch(part) for part in moves.split(",")]
    sizes = [(match[1], float(match[2])) for match in found if match]
    moved = [name for name, _ in sizes]
    if len(sizes) < len(found) or len(set(moved)) < len(moved) or not all(s for _, s in sizes):
        raise UsageError(
            f"{moves!r} does not say what to move",
            expected=f"names, each once, with a number other than 0: {example}",
            remedy="write NAME=NUMBER, separated by commas",
        )
    return sizes
