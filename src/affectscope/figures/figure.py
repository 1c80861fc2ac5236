"""What a figure is: a chart, the rows it draws, and what it says in words."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from affectscope.errors import RunError
from affectscope.figures.theme import themed

NO_VALUES = "no value is defined"
"""What a figure says in words that has nothing to show."""


@dataclass(frozen=True)
class Figure:
    """A chart with everything a page needs around it."""

    chart: alt.TopLevelMixin
    """The Altair chart, with its title and theme."""
    rows: pd.DataFrame
    """The rows of the table that it draws."""
    caption: str
    """How to read it."""
    alt_text: str
    """What it shows, with its main numbers, for who cannot see it."""


def finished(
    plot: Any,
    *,
    title: str,
    rows: pd.DataFrame,
    caption: str,
    alt_text: str,
    subtitle: str = "",
) -> Figure:
    """A plot made into a figure: themed, titled and described."""
    chart = themed(plot, title=title, subtitle=subtitle, description=alt_text)
    if "interval" in caption and _without_intervals(rows):
        caption += " None is drawn where all items of a value are of one group."
    return Figure(chart=chart, rows=rows, caption=caption, alt_text=alt_text)


def _without_intervals(rows: pd.DataFrame) -> bool:
    """Whether there are values, none of which has an interval."""
    bounds = rows[["low", "high"]].notna().to_numpy()
    return bool(rows["value"].notna().any() and not bounds.any())


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows, each as a dictionary by column."""
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def need_columns(table: pd.DataFrame, columns: Collection[str], experiment: str) -> None:
    """Check that a table of estimates has the columns that its figures draw.

    Raises:
        RunError: A column is missing.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise RunError(
            f"The table of {experiment} has no column {', '.join(missing)}.",
            expected=f"the columns {', '.join(columns)}; got {', '.join(map(str, table.columns))}",
            remedy=f"delete results/{experiment}.parquet and run the same command again",
        )


def of_all_items(table: pd.DataFrame) -> pd.DataFrame:
    """The estimates over all items, of a table that also has those over a part of them."""
    return table[table["items"] == "all"] if "items" in table.columns else table


def inline(rows: pd.DataFrame) -> alt.InlineData:
    """Rows as values inside the chart's specification, undefined numbers as null.

    Inline values are not subject to Altair's limit of 5,000 rows, and nothing global is set.
    """
    return alt.InlineData(
        values=[{name: _json_value(value) for name, value in row.items()} for row in records(rows)]
    )


def _json_value(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number
