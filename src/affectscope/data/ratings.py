"""Appraisal ratings: numbers from 1 to 5, or missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from affectscope.data.table_file import Table
from affectscope.errors import DataError
from affectscope.vocabulary import APPRAISAL_NAMES

_MISSING = frozenset({"", "na", "nan"})


def read_ratings(table: Table, rows: Sequence[int]) -> dict[str, list[float]]:
    """The ratings of every appraisal that the table has a column for.

    Args:
        table: A table in a format whose columns are known to be ratings.
        rows: Records to read.

    Raises:
        DataError: A value is not a number from 1 to 5.
    """
    return {name: _column(table, name, rows) for name in APPRAISAL_NAMES if name in table.columns}


def find_ratings(table: Table, rows: Sequence[int]) -> dict[str, list[float]]:
    """The columns that are named like an appraisal and hold ratings throughout.

    In a table of unknown origin a column ``effort`` may be anything; it is taken for a rating only
    if all its values are 1 to 5 or missing, and one at least is there.
    """
    found = {}
    for name in APPRAISAL_NAMES:
        if name in table.columns:
            values = table.values(name)
            ratings = [_rating(values[row]) for row in rows]
            if None not in ratings and not all(math.isnan(r) for r in ratings if r is not None):
                found[name] = [rating for rating in ratings if rating is not None]
    return found


def _column(table: Table, name: str, rows: Sequence[int]) -> list[float]:
    values = table.values(name)
    ratings = []
    for row in rows:
        rating = _rating(values[row])
        if rating is None:
            raise DataError(
                f'{table.where(row)}: "{values[row]}" is not a rating of {name}',
                expected="a number from 1 to 5, or nothing",
                remedy="correct the value, or remove the column",
            )
        ratings.append(rating)
    return ratings


def _rating(value: str) -> float | None:
    """The rating, NaN if it is missing, None if it is no rating."""
    if value.strip().lower() in _MISSING:
        return math.nan
    try:
        rating = float(value)
    except ValueError:
        return None
    return rating if 1 <= rating <= 5 else None
