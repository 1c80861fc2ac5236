"""Figures of ``control``: is what was found special to emotion?"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import Figure, finished, inline, need_columns, records
from affectscope.figures.layers import (
    curve_legend,
    describe_extremes,
    layer_axis,
    layer_curves,
    share_axis,
    shares_end,
)
from affectscope.figures.theme import SeriesStyle
from affectscope.figures.wording import visible, with_interval

_COLUMNS = ("part", "metric", "site", "layer", "value", "low", "high", "n", "p")

TASK_STYLES = {
    "emotion": SeriesStyle("#0072b2", (1, 0), "circle"),
    "first word": SeriesStyle("#b3541e", (5, 3), "diamond"),
}
"""What is asked of the same texts."""

_PARTS = {"emotion": "emotion", "first_word": "first word"}
_SITES = ("attn_out", "mlp_out", "resid_post")
_WIDTH = 292  # what the axis labels and the title leave of the figure's width

_PROBED = {
    "first_word": (
        "How well a probe reads the first word",
        "the first word of the text, where the model is asked for that",
    ),
    "no_question": (
        "How well a probe reads the emotion unasked",
        "the emotion, where the prompt asks for nothing",
    ),
    "shuffled": (
        "How well a probe reads shuffled labels",
        "emotions dealt to the texts at random: above chance anywhere would be an artefact",
    ),
}


def control_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``control``, by file name."""
    return {name: figure.chart for name, figure in control_figures(table).items()}


def control_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``control``, by file name."""
    need_columns(table, _COLUMNS, "control")
    figures: dict[str, Figure] = {}
    patched = table[table["metric"].isin(["transfer", "peak"])]
    if (patched["metric"] == "transfer").any():
        figures["control_patch"] = _patching(patched)
    for part, (title, what) in _PROBED.items():
        rows = table[(table["part"] == part) & (table["metric"] == "probe")]
        if len(rows):
            level = table[(table["part"] == part) & (table["metric"] == "baseline")]
            figures[f"control_probe_{part}"] = _probing(rows, level, title, what)
    return figures


def _patching(table: pd.DataFrame) -> Figure:
    title = "Where patching carries each answer over"
    rows = table.assign(task=table["part"].map(_PARTS))
    curves, peaks = rows[rows["metric"] == "transfer"], rows[rows["metric"] == "peak"]
    said = "; ".join(
        f"{task}, {describe_extremes(here, 'highest')}"
        for task, here in curves.groupby("task", sort=False)
    )
    return finished(
        _panels(curves, peaks),
        title=title,
        subtitle=f"at most {int(curves['n'].max())} pairs of each task",
        rows=table,
        caption=(
            "The share of pairs for which the model answers as the source text would, when asked "
            "for the emotion and when asked for the first word of the same texts. Bands are 95 % "
            "intervals; the bar at the top of each panel is the 95 % interval of the peak's layer, "
            "its mark the peak. Tasks that are done in the same place peak at the same layers."
        ),
        alt_text=f"Line charts by layer, one for each site. {title}: {said}.",
    )


def _panels(curves: pd.DataFrame, peaks: pd.DataFrame) -> Any:
    """A panel for each site, stacked: both tasks' curves, and above them their peaks' intervals."""
    end = shares_end(curves)
    names = [name for name in TASK_STYLES if (curves["task"] == name).any()]
    styles = [TASK_STYLES[name] for name in names]
    heights = {name: end * (1.06 + 0.07 * k) for k, name in enumerate(names)}
    panels = [
        _panel(
            curves[curves["site"] == site],
            peaks[peaks["site"] == site].assign(height=lambda rows: rows["task"].map(heights)),
            names,
            styles,
            end,
        ).properties(title=alt.TitleParams(visible(site), fontSize=12, offset=2))
        for site in _SITES
        if (curves["site"] == site).any()
    ]
    return alt.vconcat(*panels, spacing=10)


def _panel(
    curves: pd.DataFrame,
    peaks: pd.DataFrame,
    names: list[str],
    styles: list[SeriesStyle],
    end: float,
) -> Any:
    legend = curve_legend("horizontal")
    colour = alt.Color(
        "task:N",
        scale=alt.Scale(domain=names, range=[style.colour for style in styles]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "task:N",
        scale=alt.Scale(domain=names, range=[list(style.dash) for style in styles]),
        legend=legend,
    )
    domain = (0.0, end * (1.1 + 0.07 * len(names)))
    low, value, height = (
        share_axis("share of pairs", domain, column=column) for column in ("low", "value", "height")
    )
    for axis in (low, value, height):  # above the largest share there are only the peaks' bars
        axis["axis"] = alt.Axis(format=".0%", values=[end * k / 4 for k in range(5)])
    columns = ["task", "layer", "value", "low", "high"]
    base = alt.Chart(inline(curves.sort_values("layer")[columns])).encode(
        x=layer_axis(curves["layer"]), color=colour
    )
    bars = alt.Chart(inline(peaks[["task", "value", "low", "high", "height"]])).encode(
        y=height, color=colour
    )
    marks = [
        base.mark_area(opacity=0.16).encode(y=low, y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=value, strokeDash=dash),
        bars.mark_rule(strokeWidth=1.6).encode(x="low:Q", x2="high:Q"),
    ]
    for name, style in zip(names, styles, strict=True):
        here = inline(peaks[peaks["task"] == name][["value", "height"]])
        marks.append(
            alt.Chart(here)
            .mark_point(shape=style.shape, filled=True, size=55, color=style.colour, opacity=1)
            .encode(x="value:Q", y="height:Q")
        )
    return alt.layer(*marks).properties(width=_WIDTH, height=120)


def _probing(rows: pd.DataFrame, level: pd.DataFrame, title: str, what: str) -> Figure:
    found = describe_extremes(rows, "highest")
    tested = rows[np.isfinite(rows["p"].astype(float))]
    text = f"Line chart by layer. {title}: {found}."
    caption = (
        f"For every layer and site, the share of items never trained on whose label a linear "
        f"classifier names right: {what}. Bands are 95 % intervals, large points the best layer of "
        "each site."
    )
    for row in records(level.head(1)):
        said = with_interval(row["value"], row["low"], row["high"])
        caption += f" Always naming the most frequent label is right for {said}."
    if len(tested):
        count = int((tested["p"] <= 0.05).sum())
        said = f"{count} of {len(tested)} places are significant after correction for all of them."
        caption += f" {said}"
        text += f" {said}"
    return finished(
        layer_curves(
            rows,
            y_title="share of held-out items",
        ),
        title=title,
        subtitle=f"{int(rows['n'].max())} items",
        rows=pd.concat([rows, level]),
        caption=caption,
        alt_text=text,
    )
