"""The parts of the page, as plain values that the template only has to set."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectscope.figures import Figure
from affectscope.figures.wording import visible

MOST_ROWS = 2000
"""Longer tables are cut on the page; the whole is in ``results/``."""

UNDEFINED = "–"
"""What stands for a number that there is not."""

_ABOVE_CHANCE = " above_chance is accuracy minus chance, and negative below chance."

_DISTANCES = " Rows js_... are Jensen-Shannon distances (0 equal, 1 nothing in common)."

_STEERED = (
    " Effects are in standard deviations; nll, divergence and damage in nats a token. The effects "
    "by kind of prompt are left out here."
)

_SVG_SIZE = re.compile(rb'<svg\b[^>]*?\swidth="([\d.]+)"[^>]*?\sheight="([\d.]+)"')


@dataclass(frozen=True)
class TableView:
    """A table: headings, rows of text, and which columns hold numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Indexes of the columns that are set flush right."""


@dataclass(frozen=True)
class FigureView:
    """A figure inside the page."""

    name: str
    source: str
    """The picture as a data URI; empty when it has not been drawn."""
    width: int
    height: int
    alt: str
    caption: str


def figure_view(folder: Path, name: str, figure: Figure) -> FigureView:
    """A figure with its picture from ``figures/``, inside the page.

    The picture is shown as an image, not as markup: a browser runs no script in it, and the
    identifiers of two pictures cannot clash.
    """
    try:
        svg = (folder / "figures" / f"{name}.svg").read_bytes()
    except OSError:
        svg = b""
    size = _SVG_SIZE.search(svg[:2000])
    if size is None or not svg.rstrip().endswith(b"</svg>"):
        return FigureView(name, "", 0, 0, figure.alt_text, figure.caption)
    width, height = (round(float(number)) for number in size.groups())
    source = "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
    return FigureView(name, source, width, height, figure.alt_text, figure.caption)


def estimates_view(experiment: str, table: pd.DataFrame) -> TableView:
    """The estimates, interval in one column; a confusion table is too long for a page."""
    kept = table
    notes = ""
    if experiment in ("infer", "human") and "metric" in table:
        kept = table[~table["metric"].isin(["confusion", "confusion_raw"])]
        notes = " The confusion tables are left out here."
        if "above_chance" in set(kept["metric"]):
            notes = _ABOVE_CHANCE + notes
    if experiment == "generate" and "metric" in table:
        kept = table[table["metric"] != "effect_of_kind"]
        notes = _STEERED
    if len(kept) > MOST_ROWS:
        notes += f" The first {MOST_ROWS:,} of {len(kept):,} rows."
        kept = kept.head(MOST_ROWS)
    tests = [c for c in ("p", "q") if c in kept.columns and kept[c].notna().any()]
    apart = ("value", "low", "high", "n", "p", "q")
    keys = [c for c in kept.columns if c not in apart and _filled(kept[c])]
    rows = [
        (
            *(_cell(row[key]) for key in keys),
            number(row.get("value")),
            interval(row.get("value"), row.get("low"), row.get("high")),
            _cell(row.get("n")),
            *("" if math.isnan(row[test]) else _cell(row[test]) for test in tests),
        )
        for row in kept.to_dict("records")
    ]
    columns = (*map(str, keys), "value", "95 % interval", "n", *tests)
    of_numbers = {"layer", "span", "position", "head", "n", "value", *tests}
    numeric = {k for k, name in enumerate(columns) if name in of_numbers}
    if "js_model" in set(kept.get("metric", [])):
        notes = _DISTANCES + notes
    return TableView(
        f"Estimates of {experiment}, as shares (1 = 100 %).{notes}",
        columns,
        tuple(rows),
        frozenset(numeric | {len(keys) + 1}),
    )


def summary_view(summary: Mapping[str, Any]) -> TableView:
    """``summary.json`` as a table."""
    rows = []
    for name, entry in summary.items():
        if isinstance(entry, Mapping):
            ends = interval(entry.get("value"), entry.get("low"), entry.get("high"))
            rows.append((visible(name), number(entry.get("value")), ends, _cell(entry.get("n"))))
        else:
            rows.append((visible(name), _cell(entry), "", ""))
    return TableView(
        "The main numbers (summary.json)."
        + (_ABOVE_CHANCE if "infer.above_chance" in summary else ""),
        ("name", "value", "95 % interval", "n"),
        tuple(rows),
        frozenset({1, 2, 3}),
    )


def plain_table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], numeric: Sequence[int] = ()
) -> TableView:
    """A table of values written as they are."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    return TableView(caption, tuple(columns), cells, frozenset(numeric))


def visible_lines(text: str) -> str:
    """Text with its line breaks, everything else that does not print escaped."""
    return "\n".join(visible(line) for line in text.splitlines())


def number(value: Any) -> str:
    """A number with three decimals, whole numbers without; a dash when it is undefined."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return UNDEFINED
    return f"{value:.0f}" if isinstance(value, int) else f"{value:.3f}"


def interval(value: Any, low: Any, high: Any) -> str:
    """Both ends of the interval around a value; a dash when the value itself is undefined."""
    if number(value) == UNDEFINED:
        return UNDEFINED
    ends = number(low), number(high)
    return "no interval" if UNDEFINED in ends else f"{ends[0]} to {ends[1]}"


def _filled(column: pd.Series) -> bool:
    """Whether a column says anything."""
    return bool(column.notna().any() and (column != "").any())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else visible(str(value))
