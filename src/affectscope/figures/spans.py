"""Tables with several sizes of window, tokens and directions: which part is drawn."""

from __future__ import annotations

from typing import Any

import pandas as pd

from affectscope.figures.theme import SeriesStyle

SPAN_STYLES: tuple[SeriesStyle, ...] = (
    SeriesStyle("#08306b", (1, 0), "circle"),
    SeriesStyle("#b3541e", (5, 2), "square"),
    SeriesStyle("#6b6b6b", (2, 2), "triangle-up"),
    SeriesStyle("#009e73", (8, 2, 2, 2), "diamond"),
)
"""Windows from the smallest to the largest."""


def only(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    """The rows with these values, of those columns that the table has.

    Tables of older runs hold one part only and do not name it.
    """
    for column, value in where.items():
        if column in table.columns:
            table = table[table[column] == value]
    return table


def main_span(table: pd.DataFrame) -> int:
    """The window of all results of ``patch`` but the comparison of windows.

    It is the one that was patched in both directions; the middle one of a table without those.
    """
    if "direction" in table.columns:
        necessary = table[table["direction"] == "necessary"]
        if len(necessary):
            return int(necessary["span"].iloc[0])
    spans = sorted(table["span"].unique())
    return int(spans[len(spans) // 2])


def span_names(spans: list[int]) -> dict[int, str]:
    """What each window is called in a legend."""
    return {span: f"{span} layer{'s' * (span != 1)}" for span in spans}


def span_styles(spans: list[int]) -> dict[str, SeriesStyle]:
    """The style of each window, by its name."""
    names = span_names(sorted(spans))
    return {name: SPAN_STYLES[k % len(SPAN_STYLES)] for k, name in enumerate(names.values())}
