"""Figures of ``infer``: how often the model names the author's emotion, and what it says."""

from __future__ import annotations

import altair as alt
import pandas as pd

from affectscope.figures.confusion import confusion_figure
from affectscope.figures.dots import dot_plot
from affectscope.figures.figure import NO_VALUES, Figure, finished, need_columns, records
from affectscope.figures.layers import Reference
from affectscope.figures.readers import beside_readers
from affectscope.figures.theme import AUTHORS, CALIBRATED, RAW
from affectscope.figures.wording import percent, quoted_token, visible, with_interval

_COLUMNS = ("metric", "emotion", "predicted", "value", "low", "high", "n")
_SERIES = {"calibrated": CALIBRATED, "raw": RAW, "authors": AUTHORS}


def infer_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``infer``, by file name."""
    return {name: figure.chart for name, figure in infer_figures(table).items()}


def infer_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``infer``, by file name.

    When calibration changed nothing, only the raw scores are drawn.
    """
    need_columns(table, _COLUMNS, "infer")
    table = table.assign(
        emotion=table["emotion"].fillna(""), predicted=table["predicted"].fillna("")
    )
    suffixes = _suffixes(table)
    figures = {
        "infer_accuracy": _accuracy(table, suffixes),
        "infer_readers": beside_readers(table),
        "infer_recall": _recall(table, suffixes),
        "infer_predicted": _predicted(table, suffixes),
        "infer_open_vocabulary": _open_vocabulary(table),
    }
    for series, suffix in suffixes.items():
        name = (
            "infer_confusion" if suffix == "" or len(suffixes) == 1 else f"infer_confusion{suffix}"
        )
        figures[name] = _confusion(table, series, suffix)
    return {name: figure for name, figure in figures.items() if figure is not None}


def _suffixes(table: pd.DataFrame) -> dict[str, str]:
    """Which scores there are, and how the names of their metrics end."""
    found = {
        series: suffix
        for series, suffix in (("calibrated", ""), ("raw", "_raw"))
        if table["metric"].isin([f"accuracy{suffix}", f"confusion{suffix}"]).any()
    }
    if len(found) == 2 and all(
        _same(table, metric) for metric in ("accuracy", "recall", "confusion", "predicted_share")
    ):
        return {"raw": "_raw"}
    return found


def _same(table: pd.DataFrame, metric: str) -> bool:
    keys = ["emotion", "predicted"]
    calibrated = table[table["metric"] == metric].set_index(keys)["value"].sort_index()
    raw = table[table["metric"] == f"{metric}_raw"].set_index(keys)["value"].sort_index()
    return calibrated.equals(raw)


def _accuracy(table: pd.DataFrame, suffixes: dict[str, str]) -> Figure | None:
    names = {f"accuracy{suffix}": f"{series} scores" for series, suffix in suffixes.items()}
    names["open_accuracy"] = "free answer"
    names["bag_of_words"] = "bag of words"
    rows = table[table["metric"].isin(names)]
    if rows.empty:
        return None
    order = [name for metric, name in names.items() if metric in set(rows["metric"])]
    chance = table.loc[table["metric"] == "chance", "value"]
    reference = (
        None if chance.empty else Reference(chance.iloc[0], f"chance {percent(chance.iloc[0])}")
    )
    text = "; ".join(
        f"{names[row['metric']]}: {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(rows)
    )
    if reference:
        text += f"; {reference.text}"
        rows = pd.concat([rows, table[table["metric"] == "chance"]])
    words = (
        " The bag of words is a naive Bayes classifier of word counts, trained on the other items."
        if "bag of words" in order
        else ""
    )
    title = "How often the model names the author's emotion"
    drawn = table[table["metric"].isin(names)].assign(
        category=lambda t: t["metric"].map(names), series=""
    )
    alt_text = f"Dots with intervals. {title}: {text}."
    plot = dot_plot(drawn, order=order, x_title="share of items", reference=reference)
    return finished(
        plot,
        title=title,
        rows=rows,
        caption=(
            "Each dot is the share of items whose emotion the model names as the author did; the "
            "line through it is the 95 % interval. Scores compare the label words only; the free "
            "answer is the model's first choice among all tokens of its vocabulary. The dashed "
            "line is chance: what the same answers would score if dealt to the texts at random."
            f"{words}"
        ),
        alt_text=alt_text,
    )


def _by_label(
    table: pd.DataFrame, metric: str, column: str, suffixes: dict[str, str]
) -> pd.DataFrame:
    """Rows of ``metric`` and ``metric_raw``, with the label as category, the scores as series."""
    parts = [
        table[table["metric"] == f"{metric}{suffix}"].assign(series=series)
        for series, suffix in suffixes.items()
    ]
    rows = pd.concat(parts) if parts else table.iloc[:0].assign(series="")
    return rows.assign(category=rows[column].map(visible))


def _most_and_least(rows: pd.DataFrame) -> str:
    defined = rows[rows["value"].notna()].sort_values("value", kind="stable")
    if defined.empty:
        return NO_VALUES
    most, least = defined.iloc[-1], defined.iloc[0]
    return (
        f"most for {most['category']}, {percent(most['value'])}, "
        f"least for {least['category']}, {percent(least['value'])}"
    )


def _recall(table: pd.DataFrame, suffixes: dict[str, str]) -> Figure | None:
    rows = _by_label(table, "recall", "emotion", suffixes)
    if rows.empty:
        return None
    series = {name: _SERIES[name] for name in suffixes}
    title = "Accuracy for each emotion"
    text = "; ".join(f"{name}: {_most_and_least(rows[rows['series'] == name])}" for name in series)
    alt_text = (
        f"Dots with intervals. Share of an emotion's items that the model names right: {text}."
    )
    plot = dot_plot(
        rows,
        order=list(dict.fromkeys(rows["category"])),
        series=series,
        x_title="share of the emotion's items (recall)",
    )
    return finished(
        plot,
        title=title,
        rows=rows.drop(columns=["category", "series"]),
        caption=(
            "For each emotion, the share of the texts their authors gave that label to which the "
            "model gives it too. Lines are 95 % intervals, wide for an emotion with few texts."
        ),
        alt_text=alt_text,
    )


def _predicted(table: pd.DataFrame, suffixes: dict[str, str]) -> Figure | None:
    rows = _by_label(table, "predicted_share", "predicted", suffixes)
    if rows.empty:
        return None
    order = list(dict.fromkeys(rows["category"]))
    authors = _authors_share(table).query("category in @order")
    series = {name: _SERIES[name] for name in suffixes}
    if len(authors):
        series["authors"] = AUTHORS
    title = "How often each emotion is named"
    text = "; ".join(
        f"{name}: {_most_and_least(rows[rows['series'] == name])}" for name in suffixes
    )
    alt_text = f"Dots with intervals. Share of all items for which the model names a label: {text}."
    plot = dot_plot(
        pd.concat([rows, authors]), order=order, series=series, x_title="share of items"
    )
    return finished(
        plot,
        title=title,
        rows=rows.drop(columns=["category", "series"]),
        caption=(
            "How often the model names each emotion, whatever the text says, and how often the "
            "authors do. A model that answers one label for nearly everything shows it here; "
            "calibration should bring the dots closer to the authors' mark."
        ),
        alt_text=alt_text,
    )


def _authors_share(table: pd.DataFrame) -> pd.DataFrame:
    """How often the authors give each label, from the number of items behind each recall."""
    recall = table[table["metric"].isin(["recall", "recall_raw"])].drop_duplicates("emotion")
    counts = recall["n"].astype(float)
    return pd.DataFrame(
        {
            "category": recall["emotion"].map(visible),
            "series": "authors",
            "value": counts / counts.sum(),
            "low": float("nan"),
            "high": float("nan"),
        }
    )


def _open_vocabulary(table: pd.DataFrame) -> Figure | None:
    rows = table[table["metric"] == "open_token"].sort_values(
        "value", ascending=False, kind="stable"
    )
    if rows.empty:
        return None
    drawn = rows.assign(category=rows["predicted"].map(quoted_token), series="")
    order = list(dict.fromkeys(drawn["category"]))
    title = "Free answers: the model's first choice"
    share = table.loc[table["metric"] == "open_label_share", "value"]
    subtitle = f"a label's token for {percent(share.iloc[0])} of items" if len(share) else ""
    first = ", ".join(
        f"{row['category']} {percent(row['value'])}" for row in records(drawn.head(5))
    )
    alt_text = f"Dots with intervals. Most frequent first tokens of a free answer: {first}."
    if subtitle:
        alt_text += f" The answer is {subtitle}."
    plot = dot_plot(drawn, order=order, x_title="share of items")
    return finished(
        plot,
        title=title,
        subtitle=subtitle,
        rows=rows,
        caption=(
            f"The {len(order)} tokens that are most often the model's first choice among its whole "
            "vocabulary, in quotation marks because most begin with a space. Lines are 95 % "
            "intervals."
        ),
        alt_text=alt_text,
    )


def _confusion(table: pd.DataFrame, series: str, suffix: str) -> Figure | None:
    return confusion_figure(
        table[table["metric"] == f"confusion{suffix}"],
        title=f"Which emotion is taken for which ({series} scores)",
        named_by="the model",
        remark="; a dark column is an emotion the model names too readily",
    )
