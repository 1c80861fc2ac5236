"""Figures of ``patch`` beyond its main curves: windows, tokens, heads, directions, emotions.

Each gets its rows of the table, and is None where they hold no comparison.
"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import Figure, finished, inline, records
from affectscope.figures.layers import describe_extremes
from affectscope.figures.maps import layer_map
from affectscope.figures.panels import curve_panels
from affectscope.figures.spans import span_names, span_styles
from affectscope.figures.theme import INK, OUTCOME_STYLES, SHADES, fitted, in_site_order
from affectscope.figures.wording import visible, with_interval
from affectscope.vocabulary import head_of

_DIRECTIONS = {"source": "brings source's answer", "broken": "breaks own answer"}

_NUMBERED_LABELS_LIMIT = 16


def _pairs(rows: pd.DataFrame) -> str:
    return f"{int(rows['n'].max())} pairs"


def span_figure(rows: pd.DataFrame) -> Figure | None:
    """Transfer in windows of several sizes."""
    spans = sorted(int(span) for span in rows["span"].unique())
    if len(spans) < 2:
        return None
    title = "Transfer, by the size of the window"
    words = " ".join(
        f"Windows of {span}: {describe_extremes(rows[rows['span'] == span], 'highest')}."
        for span in spans
    )
    return finished(
        curve_panels(
            rows.assign(panel=rows["site"], series=rows["span"].map(span_names(spans))),
            panels=in_site_order(rows["site"].tolist()),
            styles=span_styles(spans),
            y_title="share of pairs",
        ),
        title=title,
        subtitle=f"windows of {', '.join(map(str, spans))} layers; {_pairs(rows)}",
        rows=rows,
        caption=(
            "The share of pairs for which the model answers the source's emotion, when one layer "
            "or several around it are patched together; bands are 95 % intervals. A wide window "
            "carries more, and smears what one layer does over its neighbours: where a peak is, "
            "the narrowest tells. At resid_post a window is its last layer alone."
        ),
        alt_text=f"Line charts by layer, one for each site. {title}. {words}",
    )


def position_figure(rows: pd.DataFrame) -> Figure | None:
    """The logit difference recovered by patching one of the last tokens."""
    if "position" not in rows.columns or rows["position"].nunique() < 2:
        return None
    positions = sorted((int(position) for position in rows["position"].unique()), reverse=True)
    sites = in_site_order(rows["site"].tolist())
    title = "Logit difference recovered, token by token"
    words = " ".join(
        f"Token {position}: {describe_extremes(rows[rows['position'] == position], 'highest')}."
        for position in positions
    )
    return finished(
        layer_map(
            rows.assign(panel=rows["site"], down=rows["position"].astype(int).astype(str)),
            order=[str(position) for position in positions],
            down_title="token",
            value_title="share of the logit difference",
            panels=sites,
        ),
        title=title,
        subtitle=f"window of {int(rows['span'].iloc[0])} layers; {_pairs(rows)}",
        rows=rows,
        caption=(
            "One of the last tokens is patched, -1 being the last; the darker, the further the "
            "answer's scores move towards the source's emotion. What lies below 0 % is as pale as "
            "0 %. Where an earlier token is dark at some layers and the last token at later ones, "
            "the emotion is moved from the one to the other in between."
        ),
        alt_text=f"Maps of layer by token, one for each site. {title}. {words}",
    )


def head_figure(rows: pd.DataFrame) -> Figure:
    """The logit difference recovered by patching single heads."""
    heads = sorted({int(head_of(site) or 0) for site in rows["site"]})
    title = "Logit difference recovered by single heads"
    defined = rows[rows["value"].notna()].sort_values("value", ascending=False, kind="stable")
    words = "; ".join(
        f"layer {int(row['layer'])}, head {head_of(row['site'])} with "
        f"{with_interval(row['value'], row['low'], row['high'])}"
        for row in records(defined.head(3))
    )
    return finished(
        layer_map(
            rows.assign(down=rows["site"].map(lambda site: f"H{head_of(site)}")),
            order=[f"H{head}" for head in heads],
            down_title="head",
            value_title="share of the logit difference",
            row_height=max(8, min(18, 280 // len(heads))),
        ),
        title=title,
        subtitle=f"one head at a time, last token; {_pairs(rows)}",
        rows=rows,
        caption=(
            "What one head adds at the last token is replaced by what it adds for the source; the "
            "darker, the further the answer's scores move towards the source's emotion. What lies "
            "below 0 % is as pale as 0 %. Single heads seldom change an answer; intervals are in "
            "the table."
        ),
        alt_text=f"Map of layer by head. {title}. Furthest: {words or 'no value is defined'}.",
    )


def direction_figure(rows: pd.DataFrame) -> Figure | None:
    """What is sufficient beside what is necessary."""
    if rows["metric"].nunique() < 2:
        return None
    title = "Bringing an answer, and breaking one"
    words = " ".join(
        f"{name}: {describe_extremes(rows[rows['metric'] == metric], 'highest')}."
        for metric, name in _DIRECTIONS.items()
    )
    return finished(
        curve_panels(
            rows.assign(panel=rows["site"], series=rows["metric"].map(_DIRECTIONS)),
            panels=in_site_order(rows["site"].tolist()),
            styles={
                _DIRECTIONS["source"]: OUTCOME_STYLES["source"],
                _DIRECTIONS["broken"]: OUTCOME_STYLES["target"],
            },
            y_title="share of pairs",
        ),
        title=title,
        subtitle=f"window of {int(rows['span'].iloc[0])} layers; {_pairs(rows)}",
        rows=rows,
        caption=(
            "Sufficient: the source's activation in the target's pass brings the source's answer. "
            "Necessary: the target's activation in the source's pass breaks the source's own "
            "answer. Where much is broken and little brought over, the site is needed and does not "
            "decide by itself. Bands are 95 % intervals."
        ),
        alt_text=f"Line charts by layer, one for each site. {title}. {words}",
    )


def emotion_figure(rows: pd.DataFrame) -> Figure:
    """Transfer by source's and target's emotion, at the peak of attention's output."""
    site = in_site_order(rows["site"].tolist())[0]
    rows = rows[rows["site"] == site]
    layer = int(rows["layer"].iloc[0])
    labels = sorted({*rows["source_emotion"], *rows["target_emotion"]})
    title = f"Transfer by emotion, {visible(site)} at layer {layer}"
    most = rows[rows["value"].notna()].sort_values("n", ascending=False, kind="stable").head(3)
    words = "; ".join(
        f"{visible(row['source_emotion'])} into {visible(row['target_emotion'])}, "
        f"{with_interval(row['value'], row['low'], row['high'])} of {int(row['n'])} pairs"
        for row in records(most)
    )
    return finished(
        _emotion_grid(rows, labels),
        title=title,
        subtitle=f"window of {int(rows['span'].iloc[0])} layers",
        rows=rows,
        caption=(
            "The share of pairs, in percent, for which the model answers the source's emotion: "
            "that of the text whose activation is put in. Blank: too few pairs for an interval; "
            "most cells hold a few pairs, and the table has their intervals."
        ),
        alt_text=(
            f"Grid of {len(labels)} by {len(labels)} emotions. {title}. Most pairs: "
            f"{words or 'no value is defined'}."
        ),
    )


def _emotion_grid(rows: pd.DataFrame, labels: list[str]) -> Any:
    shown = [visible(label) for label in labels]
    drawn = pd.DataFrame(
        {
            "source": rows["source_emotion"].map(visible),
            "target": rows["target_emotion"].map(visible),
            "value": rows["value"],
            "number": [f"{100 * v:.0f}" if np.isfinite(v) else "" for v in rows["value"]],
        }
    )
    scale = alt.Scale(domain=shown)
    base = (
        alt.Chart(inline(drawn))
        .transform_filter("isValid(datum.value)")
        .encode(
            x=alt.X(
                "target:N",
                title="target's emotion",
                scale=scale,
                axis=alt.Axis(labelAngle=-90, labelLimit=80, labelOverlap="greedy", ticks=False),
            ),
            y=alt.Y(
                "source:N",
                title="source's emotion",
                scale=scale,
                axis=alt.Axis(labelLimit=70, ticks=False),
            ),
        )
    )
    cells = base.mark_rect(stroke="#e3e8ee", strokeWidth=0.5).encode(
        color=alt.Color(
            "value:Q", scale=alt.Scale(domain=[0, 1], range=list(SHADES), clamp=True), legend=None
        )
    )
    marks = [cells]
    if len(labels) <= _NUMBERED_LABELS_LIMIT:
        marks.append(
            base.mark_text(fontSize=10).encode(
                text="number:N",
                color=alt.condition("datum.value > 0.55", alt.value("white"), alt.value(INK)),
            )
        )
    height = max(12, min(40, 280 // max(len(labels), 1))) * len(labels)
    return fitted(alt.layer(*marks)).properties(height=height)
