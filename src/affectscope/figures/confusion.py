"""Which emotion the model names for which: a grid that stays readable at phone width."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import Figure, finished, inline, records
from affectscope.figures.theme import INK, SHADES, fitted
from affectscope.figures.wording import percent, visible

NUMBERED_LABELS_LIMIT = 16
"""With more labels than this the cells are too small for numbers."""


def confusion_figure(
    rows: pd.DataFrame, *, title: str, named_by: str, remark: str = ""
) -> Figure | None:
    """The grid with its words; None when there are no rows.

    Args:
        rows: Columns emotion, predicted, value.
        title: The figure's title.
        named_by: Who names the emotions across.
        remark: What the caption says besides, after its last clause.
    """
    if rows.empty:
        return None
    labels = sorted({*rows["emotion"], *rows["predicted"]})
    off_diagonal = rows[(rows["emotion"] != rows["predicted"]) & (rows["value"] > 0)]
    mistakes = off_diagonal.sort_values("value", ascending=False, kind="stable").head(3)
    text = "; ".join(
        f"{visible(row['emotion'])} taken for {visible(row['predicted'])}, {percent(row['value'])}"
        for row in records(mistakes)
    )
    numbers = (
        " Numbers are percentages; a blank cell is below half a percent."
        if len(labels) <= NUMBERED_LABELS_LIMIT
        else " The numbers are in the figure's table."
    )
    return finished(
        confusion_grid(rows, labels, named_by=named_by),
        title=title,
        rows=rows,
        caption=(
            "Each row is an emotion as the authors gave it and adds up to 100 %; columns are what "
            f"{named_by} named. Outlined cells, from corner to corner, are right answers{remark}."
            f"{numbers}"
        ),
        alt_text=(
            f"Grid of {len(labels)} by {len(labels)} emotions. {title}. Most frequent confusions: "
            f"{text or 'none'}."
        ),
    )


def confusion_grid(rows: pd.DataFrame, labels: list[str], *, named_by: str) -> Any:
    """Author's emotion down, the one named across; a cell is its share of the author's items.

    Args:
        rows: Columns emotion, predicted, value.
        labels: The label set, in the order of the axes.
        named_by: Who names the emotions across.
    """
    shown = [visible(label) for label in labels]
    drawn = rows[["emotion", "predicted", "value"]].assign(
        emotion=rows["emotion"].map(visible), predicted=rows["predicted"].map(visible)
    )
    across = alt.X(
        "predicted:N",
        sort=shown,
        title=f"emotion named by {named_by}",
        scale=alt.Scale(domain=shown),
        axis=alt.Axis(labelAngle=-90, labelLimit=80, labelOverlap="greedy", ticks=False),
    )
    down = alt.Y(
        "emotion:N",
        sort=shown,
        title="emotion of the author",
        scale=alt.Scale(domain=shown),
        axis=alt.Axis(labelLimit=70, ticks=False),
    )
    colour = alt.Color(
        "value:Q", scale=alt.Scale(domain=[0, 1], range=list(SHADES), clamp=True), legend=None
    )
    base = alt.Chart(inline(drawn)).transform_filter("isValid(datum.value)").encode(across, down)
    marks = [base.mark_rect(stroke="#e3e8ee", strokeWidth=0.5).encode(color=colour)]
    marks.append(
        base.transform_filter("datum.emotion === datum.predicted").mark_rect(
            fill=None, stroke=INK, strokeWidth=1
        )
    )
    if len(labels) <= NUMBERED_LABELS_LIMIT:
        marks.append(_numbers(base))
    height = max(12, min(40, 280 // max(len(labels), 1))) * len(labels)
    return fitted(alt.layer(*marks)).properties(height=height)


def _numbers(base: Any) -> Any:
    """Whole percentages; a share that rounds to nothing is left blank, so that patterns show."""
    return (
        base.transform_filter("datum.value >= 0.005")
        .transform_calculate(number="format(100 * datum.value, '.0f')")
        .mark_text(fontSize=10)
        .encode(
            text="number:N",
            color=alt.condition("datum.value > 0.55", alt.value("white"), alt.value(INK)),
        )
    )
