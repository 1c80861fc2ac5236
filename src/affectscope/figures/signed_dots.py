"""Dots with their 95 % intervals on an axis that may go below 0, one row a category."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.steered import in_order, with_whole_intervals
from affectscope.figures.theme import MUTED, SeriesStyle, fitted
from affectscope.figures.wording import visible


def signed_dots(
    rows: pd.DataFrame,
    styles: Mapping[str, SeriesStyle],
    x: alt.X,
    *,
    row_height: int,
    width: int = 0,
    labels: bool = True,
    level: float = 0.0,
) -> Any:
    """Values with intervals, a row a category and series, on any axis.

    Args:
        rows: Columns direction or category, series, value, low, high; and text, what is said where
            there is no value.
        styles: Style of each series, from top to bottom.
        x: The axis.
        row_height: Pixels of one series.
        width: Of the plot; as wide as the figure leaves when 0.
        labels: Whether the categories are named.
        level: What to compare with, a rule from top to bottom.
    """
    drawn = with_whole_intervals(rows)
    if "category" not in drawn:
        drawn = drawn.assign(category=drawn["direction"].map(visible))
    if "text" not in drawn:
        drawn = drawn.assign(text="")
    order = in_order(drawn["category"])
    domain = list(styles)
    legend = alt.Legend(title=None, orient="top", columns=2) if labels else None
    axis = alt.Axis(
        grid=True,
        ticks=False,
        labels=labels,
        labelPadding=8,
        labelExpr="split(datum.label, '\\n')",
    )
    base = alt.Chart(inline(drawn[["category", "series", "value", "low", "high", "text"]])).encode(
        y=alt.Y("category:N", sort=order, title=None, axis=axis),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=domain, range=[style.colour for style in styles.values()]),
            legend=legend,
        ),
    )
    rule = alt.Chart(inline(pd.DataFrame([{"at": level}]))).mark_rule(color=MUTED)
    several = len(styles) > 1 and rows["series"].nunique() > 1
    if several:
        base = base.encode(yOffset=alt.YOffset("series:N", sort=domain))
    shapes = alt.Scale(domain=domain, range=[style.shape for style in styles.values()])
    marks = [
        rule.encode(x="at:Q"),
        base.mark_rule(strokeWidth=1.6, clip=True).encode(x="low:Q", x2="high:Q"),
        base.mark_point(filled=True, size=42, opacity=1, clip=True).encode(
            x=x, shape=alt.Shape("series:N", scale=shapes, legend=legend)
        ),
        base.mark_text(align="left", fontSize=10, dx=3).encode(x=alt.value(0), text="text:N"),
    ]
    n = rows["series"].nunique() if several else 1
    plot = alt.layer(*marks).properties(height=max(row_height * n * len(order), 40))
    return plot.properties(width=width) if width else fitted(plot)
