"""Figures of ``pairs``: whether the answer moves as a changed appraisal predicts."""

from __future__ import annotations

import altair as alt
import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import Figure, finished, need_columns, records
from affectscope.figures.layers import Reference
from affectscope.figures.wording import with_interval

_COLUMNS = ("metric", "flipped", "value", "low", "high", "n")
_ALL = "all pairs"


def pairs_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``pairs``, by file name."""
    return {name: figure.chart for name, figure in pairs_figures(table).items()}


def pairs_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``pairs``, by file name."""
    need_columns(table, _COLUMNS, "pairs")
    flipped = table["flipped"].fillna("")
    rows = table.assign(flipped=flipped)[table["metric"] == "moved"]
    if rows.empty:
        return {}
    named = rows["flipped"].where(rows["flipped"] != "", _ALL)
    drawn = rows.assign(
        category=named + " (" + rows["n"].astype(int).astype(str) + ")", series=""
    ).sort_values(["flipped"])
    by_size = drawn[drawn["flipped"] != ""].sort_values(["n", "flipped"], ascending=[False, True])
    order = [*drawn.loc[drawn["flipped"] == "", "category"], *by_size["category"]]
    title = "Does the answer move as predicted?"
    text = "; ".join(
        f"{row['category']}: {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(drawn)
    )
    plot = dot_plot(
        drawn,
        order=order,
        x_title="share of pairs",
        reference=Reference(0.5, "chance"),
        label_limit=OWN_WORDS_LIMIT,
    )
    return {
        "pairs_moved": finished(
            plot,
            title=title,
            rows=drawn.drop(columns=["category", "series"]),
            caption=(
                "Two texts of a pair share their wording and differ in one appraisal. Each dot is "
                "the share of pairs in which the change brings the answer nearer to the emotion "
                "that appraisal theory predicts, over all pairs and by the appraisal that was "
                "changed (number of pairs in brackets); the line through it is the 95 % interval, "
                "resampled by scenario. The dashed line is a model that does not read the change."
            ),
            alt_text=f"Dots with intervals. {title}: {text}.",
        )
    }
