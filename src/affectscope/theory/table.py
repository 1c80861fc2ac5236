"""What appraisal theory predicts: which emotion rises or falls when an appraisal does.

``predictions.csv`` has a row for each cell and source; a cell in which sources contradict each
other is not in it. docs/theory.md tells how it was made, and what is disputed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import ColumnError, LabelError
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS


def _rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file of this package."""
    text = resources.files("affectscope.theory").joinpath(name).read_text("utf-8")
    yield from csv.DictReader(text.splitlines())


SOURCES: Mapping[str, str] = {row["key"]: row["reference"] for row in _rows("sources.csv")}
"""The works that the predictions were read from, by the key that ``predictions.csv`` has."""


@dataclass(frozen=True)
class Prediction:
    """What theory says of one appraisal and one emotion."""

    appraisal: str
    emotion: str
    direction: int
    """1: the emotion becomes more likely when the appraisal rises and all else stays; -1: less."""
    sources: tuple[str, ...]
    """Keys of :data:`SOURCES`."""
    note: str
    """What the sources call the appraisal."""


@dataclass(frozen=True)
class _Reading:
    """What one source says."""

    direction: int
    source: str
    note: str


def predictions() -> tuple[Prediction, ...]:
    """All predictions, one for each appraisal and emotion that theory speaks of."""
    return _predictions()


def prediction_matrix(appraisals: Sequence[str], emotions: Sequence[str]) -> NDArray[np.int8]:
    """Directions of the predictions, ``[appraisal, emotion]``: 1, -1, or 0 where nothing is said.

    Args:
        appraisals: Names of appraisals.
        emotions: Names of emotions.

    Raises:
        ColumnError: There is no such appraisal.
        LabelError: There is no such emotion.
    """
    for name in appraisals:
        if name not in APPRAISAL_NAMES:
            raise ColumnError(
                f"there is no appraisal {name!r}",
                expected=f"one of {', '.join(APPRAISAL_NAMES)}",
                remedy="name the appraisals as crowd-enVENT does",
            )
    for name in emotions:
        if name not in EMOTIONS:
            raise LabelError(
                f"there is no emotion {name!r}",
                expected=f"one of {', '.join(EMOTIONS)}",
                remedy="rename the labels with --label-map",
            )
    known = {(each.appraisal, each.emotion): each.direction for each in predictions()}
    rows = [
        [known.get((appraisal, emotion), 0) for emotion in emotions] for appraisal in appraisals
    ]
    return np.array(rows, dtype=np.int8).reshape(len(appraisals), len(emotions))


@cache
def _predictions() -> tuple[Prediction, ...]:
    cells: dict[tuple[str, str], list[_Reading]] = {}
    for row in _rows("predictions.csv"):
        reading = _Reading(int(row["direction"]), row["source"], row["note"])
        cells.setdefault((row["appraisal"], row["emotion"]), []).append(reading)
    return tuple(_merge(*cell, readings) for cell, readings in cells.items())


def _merge(appraisal: str, emotion: str, readings: Sequence[_Reading]) -> Prediction:
    """What all sources say of a cell together."""
    directions = {reading.direction for reading in readings}
    assert len(directions) == 1, f"sources contradict each other on {appraisal} and {emotion}"
    notes = dict.fromkeys(reading.note for reading in readings)
    return Prediction(
        appraisal,
        emotion,
        directions.pop(),
        tuple(reading.source for reading in readings),
        "; ".join(notes),
    )
