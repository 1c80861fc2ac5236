"""Figures of ``human``: how people who read the texts do, and how far the model is from them."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.confusion import confusion_figure
from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import NO_VALUES, Figure, finished, need_columns, records
from affectscope.figures.theme import AUTHORS, CALIBRATED, SeriesStyle
from affectscope.figures.wording import percent, visible, with_interval

_COLUMNS = ("metric", "emotion", "predicted", "appraisal", "value", "low", "high", "n")
_ACCURACIES = {"reader_accuracy": "one reader", "plurality_accuracy": "plurality of readers"}
_DISTANCES = {
    "js_model": "model",
    "js_null": "model, other text",
    "js_answer": "model's answer",
    "js_reader": "one reader",
}
_R2: dict[str, tuple[str, SeriesStyle]] = {
    "r2": ("mean of the readers", CALIBRATED),
    "reader_r2": ("one reader", AUTHORS),
}


def human_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``human``, by file name."""
    return {name: figure.chart for name, figure in human_figures(table).items()}


def human_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``human``, by file name."""
    need_columns(table, _COLUMNS, "human")
    keys = ["emotion", "predicted", "appraisal"]
    table = table.assign(**{key: table[key].fillna("") for key in keys})
    figures = {
        "human_accuracy": _accuracy(table),
        "human_recall": _recall(table),
        "human_appraisals": _appraisals(table),
        "human_distance": _distance(table),
        "human_confusion": _confusion(table),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _named(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The rows of some metrics, in the order of their names."""
    rows = table[table["metric"].isin(list(names))]
    return rows.sort_values("metric", key=lambda metrics: metrics.map([*names].index))


def _as_drawn(rows: pd.DataFrame, names: dict[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """Rows with a category each, and the categories in order."""
    drawn = rows.assign(category=rows["metric"].map(names), series="")
    return drawn, list(drawn["category"])


def _accuracy(table: pd.DataFrame) -> Figure | None:
    rows = _named(table, _ACCURACIES)
    if rows.empty:
        return None
    drawn, order = _as_drawn(rows, _ACCURACIES)
    title = "How often readers name the author's emotion"
    text = "; ".join(
        f"{row['category']}: {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(drawn)
    )
    return finished(
        dot_plot(
            drawn, order=order, x_title="share of answers, or of texts", label_limit=OWN_WORDS_LIMIT
        ),
        title=title,
        rows=rows,
        caption=(
            "One reader: the share of all readers' answers that are the author's emotion. "
            "Plurality: the share of texts for which the label that most of its readers named is "
            "the author's; labels named equally often share the text. Lines are 95 % intervals."
        ),
        alt_text=f"Dots with intervals. {title}: {text}.",
    )


def _recall(table: pd.DataFrame) -> Figure | None:
    rows = table[table["metric"] == "recall"]
    if rows.empty:
        return None
    drawn = rows.assign(category=rows["emotion"].map(visible), series="")
    ordered = records(drawn[drawn["value"].notna()].sort_values("value", kind="stable"))
    text = NO_VALUES
    if ordered:
        most, least = ordered[-1], ordered[0]
        text = (
            f"most for {most['category']}, {percent(most['value'])}, "
            f"least for {least['category']}, {percent(least['value'])}"
        )
    title = "Readers' accuracy for each emotion"
    return finished(
        dot_plot(drawn, order=list(drawn["category"]), x_title="share of readers (recall)"),
        title=title,
        rows=rows,
        caption=(
            "For each emotion, the share of its texts' readers who name it. Lines are 95 % "
            "intervals."
        ),
        alt_text=f"Dots with intervals. {title}: {text}.",
    )


def _appraisals(table: pd.DataFrame) -> Figure | None:
    rows = table[table["metric"].isin(list(_R2))]
    if rows.empty:
        return None
    drawn = rows.assign(
        category=rows["appraisal"].map(visible),
        series=rows["metric"].map({metric: name for metric, (name, _) in _R2.items()}),
    )
    of_mean = drawn[drawn["metric"] == "r2"].sort_values("value", ascending=False, kind="stable")
    series = {name: style for name, style in _R2.values() if name in set(drawn["series"])}
    title = "How well readers rate the author's appraisals"
    defined = records(of_mean[of_mean["value"].notna()])
    ends = dict.fromkeys(
        f"{row['category']} {percent(row['value'])}" for row in (*defined[:1], *defined[-1:])
    )
    text = ", ".join(ends) or NO_VALUES
    return finished(
        dot_plot(
            drawn,
            order=list(dict.fromkeys(of_mean["category"])),
            series=series,
            x_title="share of variance in common with the author (r²)",
        ),
        title=title,
        rows=rows,
        caption=(
            "For each appraisal, the squared correlation with the author's own rating, of one "
            "reader and of the mean of a text's readers. Lines are 95 % intervals. What people "
            "cannot tell from a text, no model should be expected to."
        ),
        alt_text=f"Dots with intervals. {title}; the mean of the readers, highest and lowest: "
        f"{text}.",
    )


def _distance(table: pd.DataFrame) -> Figure | None:
    rows = _named(table, _DISTANCES)
    if rows.empty:
        return None
    drawn, order = _as_drawn(rows, _DISTANCES)
    title = "How far the model is from the readers"
    text = "; ".join(f"{row['category']}: {_in_words(row)}" for row in records(drawn))
    return finished(
        dot_plot(
            drawn,
            order=order,
            x_title="Jensen-Shannon distance",
            number_format=".2f",
            label_limit=OWN_WORDS_LIMIT,
        ),
        title=title,
        rows=rows,
        caption=(
            "Mean distance between distributions over the labels: 0 when equal, 1 when they have "
            "no label in common. The model's scores against its text's readers; against those of "
            "other texts, dealt out at random (the line holds 95 % of the deals); then its one "
            "answer, and one reader's, against the text's other readers: these two compare like "
            "with like. The other lines are 95 % intervals."
        ),
        alt_text=f"Dots with intervals. {title}, as the mean Jensen-Shannon distance: {text}.",
    )


def _in_words(row: dict[str, Any]) -> str:
    """A distance with its interval, if it has one."""
    value, *ends = (float(row[name]) for name in ("value", "low", "high"))
    if not math.isfinite(value):
        return "no value"
    interval = f" ({ends[0]:.3f} to {ends[1]:.3f})" if all(map(math.isfinite, ends)) else ""
    return f"{value:.3f}{interval}"


def _confusion(table: pd.DataFrame) -> Figure | None:
    return confusion_figure(
        table[table["metric"] == "confusion"],
        title="Which emotion readers take for which",
        named_by="readers",
    )
