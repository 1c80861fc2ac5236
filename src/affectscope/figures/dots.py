"""Dots with their 95 % intervals, one row a category."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.layers import Reference
from affectscope.figures.theme import CALIBRATED, MUTED, SeriesStyle, fitted

LABEL_LIMIT = 110
"""Names out of a corpus may have any length, and must leave room for dots, legend and title."""

OWN_WORDS_LIMIT = 200
"""Names that this package writes itself are shown whole."""


def dot_plot(
    rows: pd.DataFrame,
    *,
    order: list[str],
    x_title: str,
    series: Mapping[str, SeriesStyle] | None = None,
    reference: Reference | None = None,
    number_format: str = ".0%",
    label_limit: int = LABEL_LIMIT,
) -> Any:
    """Values with intervals from zero, categories down the side.

    Args:
        rows: Columns category, series, value, low, high.
        order: The categories from top to bottom.
        x_title: What the value is a share of.
        series: Style of each series, in order from top to bottom; one unnamed series when absent.
        reference: A level to compare with.
        number_format: How the axis writes numbers.
        label_limit: Pixels of a category's name, of 360 for the whole figure.
    """
    styles = dict(series or {"": CALIBRATED})
    several = len(styles) > 1
    legend = alt.Legend(title=None, orient="top") if several else None
    scale_of = {"domain": list(styles)}
    base = alt.Chart(inline(rows[["category", "series", "value", "low", "high"]])).encode(
        y=alt.Y(
            "category:N",
            sort=order,
            title=None,
            axis=alt.Axis(grid=True, ticks=False, labelPadding=8, labelLimit=label_limit),
        ),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(**scale_of, range=[style.colour for style in styles.values()]),
            legend=legend,
        ),
    )
    if several:
        base = base.encode(yOffset=alt.YOffset("series:N", sort=list(styles)))
    intervals = base.mark_rule(strokeWidth=1.6).encode(x="low:Q", x2="high:Q")
    dots = base.mark_point(filled=True, size=42, opacity=1, strokeWidth=2.5).encode(
        x=alt.X(
            "value:Q",
            title=x_title,
            scale=alt.Scale(domain=[0, _upper_end(rows, reference)], nice=True),
            axis=alt.Axis(format=number_format, tickCount=4),
        ),
        shape=alt.Shape(
            "series:N",
            scale=alt.Scale(**scale_of, range=[style.shape for style in styles.values()]),
            legend=legend,
        ),
    )
    marks = [intervals, dots]
    if reference is not None and math.isfinite(reference.value):
        marks += _vertical_rule(reference)
    row_height = max(16, 10 * len(styles)) if len(order) > 3 else 30
    return fitted(alt.layer(*marks)).properties(height=row_height * len(order))


def _upper_end(rows: pd.DataFrame, reference: Reference | None) -> float:
    """Where the axis ends: at the largest number drawn, and never at zero."""
    numbers = [*rows["value"], *rows["high"], reference.value if reference else 0.0]
    return max([float(number) for number in numbers if math.isfinite(number)] + [0.05])


def _vertical_rule(reference: Reference) -> list[Any]:
    data = inline(pd.DataFrame([{"value": reference.value, "text": reference.text}]))
    base = alt.Chart(data).encode(x="value:Q")
    rule = base.mark_rule(strokeDash=[3, 3], color=MUTED)
    text = base.mark_text(align="left", dx=4, dy=7, fontSize=10, color=MUTED).encode(
        y=alt.value(0), text="text:N"
    )
    return [rule, text]
