"""Figures of ``appraise``: which appraisals can be read, where, and what they say of emotions."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import NO_VALUES, Figure, finished, need_columns, records
from affectscope.figures.layers import describe_extremes, layer_curves
from affectscope.figures.maps import layer_map
from affectscope.figures.signed_map import marks, signed_map
from affectscope.figures.theme import SeriesStyle, in_site_order
from affectscope.figures.wording import visible

_COLUMNS = (
    *("metric", "items", "appraisal", "site", "layer", "source", "target", "emotion"),
    *("value", "low", "high", "n", "p"),
)

_STYLES = {
    "probe": SeriesStyle("#0072b2", (1, 0), "circle"),
    "probe, read items": SeriesStyle("#0072b2", (1, 0), "circle"),
    "people": SeriesStyle("#b3541e", (4, 2), "diamond"),
}


def appraise_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``appraise``, by file name."""
    return {name: figure.chart for name, figure in appraise_figures(table).items()}


def appraise_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``appraise``, by file name."""
    need_columns(table, _COLUMNS, "appraise")
    rows = table[table["items"] == "all"]
    figures: dict[str, Figure] = {}
    nested = rows[(rows["metric"] == "r2_nested") & (rows["appraisal"] != "mean")]
    if len(nested):
        figures["appraise_r2"] = _dots(nested, rows)
    means = rows[(rows["metric"] == "r2") & (rows["appraisal"] == "mean")]
    if len(means):
        figures["appraise_layers"] = _curves(means)
    single = rows[(rows["metric"] == "r2") & (rows["appraisal"] != "mean")]
    if len(single):
        figures["appraise_map"] = _map(single)
    for source, target in (("people", "author"), ("decoded", "model")):
        here = rows[
            (rows["metric"] == "coefficient")
            & (rows["source"] == source)
            & (rows["target"] == target)
        ]
        if len(here):
            figures[f"appraise_black_box_{source}"] = _coefficients(here, rows, source, target)
    return figures


def _dots(nested: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    title = "How well each appraisal can be read"
    people = rows[rows["metric"] == "human_r2"]
    probe = rows[rows["metric"] == "model_r2"] if len(people) else nested
    name = "probe, read items" if len(people) else "probe"
    drawn = pd.concat([probe.assign(series=name), people.assign(series="people")])
    drawn = drawn.assign(category=drawn["appraisal"])
    order = probe.sort_values("value", ascending=False)["appraisal"].tolist()
    text = "; ".join(
        f"{row['appraisal']} {row['value']:.2f}"
        for row in records(
            probe.dropna(subset="value").sort_values("value", ascending=False).head(5)
        )
    )
    caption = (
        "r² of each appraisal, read by a probe at the layer and site that read it best on other "
        "items, with 95 % intervals."
    )
    if len(people):
        caption = (
            "Squared correlation with the author's rating, over the items that people read: of the "
            "probe's reading, at the layer and site that read best on other items, and of the mean "
            "of the readers' ratings. Lines are 95 % intervals."
        )
    shown = drawn[["category", "series", "value", "low", "high"]].copy()
    numbers = ["value", "low", "high"]
    shown[numbers] = shown[numbers].clip(lower=0)
    return finished(
        dot_plot(
            shown,
            order=order,
            x_title="r²",
            series={each: _STYLES[each] for each in dict.fromkeys(drawn["series"])},
            number_format=".1f",
            label_limit=OWN_WORDS_LIMIT,
        ),
        title=title,
        rows=drawn.drop(columns=["category", "series"]),
        caption=caption,
        alt_text=f"Dots with intervals. {title}: {text or NO_VALUES}.",
    )


def _curves(rows: pd.DataFrame) -> Figure:
    title = "How well appraisals can be read, by layer"
    numbers = rows[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return finished(
        layer_curves(
            rows, y_title="mean r² of all appraisals", domain=(min([0.0, *numbers]),
            max([0.05, *numbers]))
        ),
        title=title,
        rows=rows,
        caption=(
            "Mean over the appraisals of r² out of fold; below 0 the probe reads worse than the "
            "training items' mean. Bands are 95 % intervals."
        ),
        alt_text=f"Line chart by layer. {title}: {describe_extremes(rows, 'highest')}.",
    )  # fmt: skip


def _map(rows: pd.DataFrame) -> Figure:
    title = "Each appraisal by layer"
    rows = rows[rows["site"] == in_site_order(rows["site"].tolist())[-1]]
    best = rows.groupby("appraisal")["value"].max().sort_values(ascending=False)
    text = "; ".join(f"{name} at most {value:.2f}" for name, value in best.dropna().head(5).items())
    return finished(
        layer_map(
            rows.assign(down=rows["appraisal"]),
            order=best.index.tolist(),
            down_title="appraisal",
            value_title="r²",
            row_height=14,
        ),
        title=title,
        subtitle=f"at {visible(rows['site'].iloc[0])}",
        rows=rows,
        caption="r² out of fold of every appraisal at every layer: the darker, the better read.",
        alt_text=f"Map of appraisals by layer. {title}: {text or NO_VALUES}.",
    )


def _coefficients(here: pd.DataFrame, rows: pd.DataFrame, source: str, target: str) -> Figure:
    whose = "people's own ratings" if source == "people" else "ratings decoded from the model"
    what = "the author's emotion" if target == "author" else "the model's answer"
    title = "From appraisals to emotions"
    accuracy = rows[
        (rows["metric"] == "black_box") & (rows["source"] == source) & (rows["target"] == target)
    ]
    sure = (here["low"] > 0) | (here["high"] < 0)
    drawn = here.assign(
        down=here["appraisal"],
        across=here["emotion"],
        mark=marks(here["value"], sure.astype(float)),
    )
    largest = here.dropna(subset="value").sort_values("value", key=abs, ascending=False).head(4)
    text = "; ".join(
        f"{row['emotion']} with {row['appraisal']} {row['value']:+.2f}" for row in records(largest)
    )
    found = "".join(
        f", right for {value:.0%} of items" for value in accuracy["value"].dropna().head(1)
    )
    return finished(
        signed_map(
            drawn,
            down=list(dict.fromkeys(here["appraisal"])),
            across=list(dict.fromkeys(here["emotion"])),
            down_title=None,
            across_title=None,
            value_title="log-odds for a standard deviation of the rating",
        ),
        title=title,
        subtitle=f"{whose} to {what}{found}",
        rows=pd.concat([accuracy, here]),
        caption=(
            f"A logistic regression from {whose} to {what}: how much each counts, all others being "
            "equal. + and − mark coefficients whose 95 % interval excludes 0."
        ),
        alt_text=(
            f"Map of appraisals by emotions. {title}: {whose} to {what}{found}; "
            f"{text or NO_VALUES}."
        ),
    )
