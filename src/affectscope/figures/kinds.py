"""Drawing by kind of token: a panel, a row of dots or a map for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.layers import Unit, curve_legend, largest_number, layer_axis, shares_end
from affectscope.figures.theme import SHADES, SeriesStyle, fitted, layer_ticks

KIND_NAMES: dict[str, str] = {
    "content": "situation: content words",
    "function": "situation: function words",
    "shot_label": "examples: labels",
    "shot_text": "examples: texts",
    "instruction": "instruction",
    "frame": "frame (Context:, Answer:)",
    "special": "first token, special tokens",
}
"""How the kinds of tokens are called, in the order of the panels."""

_PANEL_WIDTH = 296  # what the axis labels and the title leave of the figure's width
_DOTTED_LAYERS_LIMIT = 12  # one layer alone makes no line


def kinds_of(rows: pd.DataFrame) -> list[str]:
    """The kinds drawn, in the order of the panels; ones that are not known come last."""
    found = set(rows["kind"])
    return [*(k for k in KIND_NAMES if k in found), *sorted(found - set(KIND_NAMES))]


def kind_name(kind: str) -> str:
    """How a kind is called; one that is not known by its own name."""
    return KIND_NAMES.get(kind, kind)


def kind_panels(
    rows: pd.DataFrame,
    series: Mapping[str, SeriesStyle],
    *,
    y_title: str,
    unit: Unit = "%",
    domain: tuple[float, float] | None = None,
) -> Any:
    """A panel for each kind of token, with a curve and a band for each series.

    Args:
        rows: Columns kind, series, layer, value, low, high.
        series: How each is drawn, by its name in the legend.
        y_title: What the value is.
        unit: What it is measured in.
        domain: Range of the vertical axis; from 0 to the largest value when absent.
    """
    end = shares_end(rows) if unit == "%" else largest_number(rows)
    domain = domain or (0.0, end)
    names = [kind_name(kind) for kind in kinds_of(rows)]
    columns = ["panel", "series", "layer", "value", "low", "high"]
    drawn = rows.assign(panel=rows["kind"].map(kind_name)).sort_values("layer")[columns]
    legend = curve_legend("horizontal") if len(series) > 1 else None
    cases = list(series)
    colours = alt.Scale(domain=cases, range=[style.colour for style in series.values()])
    dashes = alt.Scale(domain=cases, range=[list(style.dash) for style in series.values()])
    base = alt.Chart(inline(drawn)).encode(
        x=layer_axis(rows["layer"]), color=alt.Color("series:N", scale=colours, legend=legend)
    )
    low, value = (_axis(y_title, domain, column, unit) for column in ("low", "value"))
    marks = [
        base.mark_area(opacity=0.16).encode(y=low, y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(
            y=value, strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend)
        ),
    ]
    if rows["layer"].nunique() <= _DOTTED_LAYERS_LIMIT:
        marks.append(base.mark_point(filled=True, size=14, opacity=1).encode(y=value))
    panel = alt.layer(*marks).properties(width=_PANEL_WIDTH, height=66)
    return panel.facet(
        row=alt.Row("panel:N", sort=names, title=None, header=alt.Header(
            labelAngle=0, labelAnchor="start", labelOrient="top", labelPadding=3,
        )),
        spacing=10,
    )  # fmt: skip


def _axis(title: str, domain: tuple[float, float], column: str, unit: Unit) -> alt.Y:
    """Of shares; or of divergences, on a scale of roots, so that small ones are seen too."""
    if unit == "%":
        scale = alt.Scale(domain=list(domain), nice=False)
        axis = alt.Axis(format=".0%", tickCount=3)
    else:
        scale = alt.Scale(domain=list(domain), nice=False, type="sqrt")
        axis = alt.Axis(format=".2~f", values=[part * domain[1] for part in (0, 0.05, 0.3, 1)])
    return alt.Y(f"{column}:Q", title=title, scale=scale, axis=axis)


def head_map(rows: pd.DataFrame) -> Any:
    """Value by layer (across) and head (down)."""
    first, last = int(rows["layer"].min()), int(rows["layer"].max())
    lowest, highest = int(rows["head"].min()), int(rows["head"].max())
    end = shares_end(rows)
    drawn = rows[["layer", "head", "value"]].assign(
        start=rows["layer"] - 0.5,
        end=rows["layer"] + 0.5,
        top=rows["head"] - 0.5,
        bottom=rows["head"] + 0.5,
    )
    legend = alt.Legend(
        title="share of attention",
        orient="bottom",
        direction="horizontal",
        gradientLength=200,
        gradientThickness=10,
        format=".0%",
        values=[end * quarter / 4 for quarter in range(5)],
    )
    chart = alt.Chart(inline(drawn)).mark_rect().encode(
        x=alt.X("start:Q", title="layer (from 0)",
            scale=alt.Scale(domain=[first - 0.5, last + 0.5], nice=False, zero=False),
            axis=alt.Axis(values=layer_ticks(first, last), format="d", grid=False)),
        x2="end:Q",
        y=alt.Y("top:Q", title="head (from 0)",
            scale=alt.Scale(
                domain=[lowest - 0.5, highest + 0.5], nice=False, zero=False, reverse=True
            ),
            axis=alt.Axis(values=layer_ticks(lowest, highest), format="d", grid=False)),
        y2="bottom:Q",
        color=alt.Color("value:Q", legend=legend,
            scale=alt.Scale(domain=[0, end], range=list(SHADES), clamp=True)),
    )  # fmt: skip
    return fitted(chart).properties(height=min(16 * (highest - lowest + 1), 320))


def kind_dots(rows: pd.DataFrame, series: Mapping[str, SeriesStyle]) -> Any:
    """A share and its interval for each kind of token and series.

    Args:
        rows: Columns kind, series, value, low, high.
        series: How each is drawn, by its name in the legend.
    """
    names = [kind_name(kind) for kind in kinds_of(rows)]
    drawn = rows.assign(name=rows["kind"].map(kind_name))
    legend = alt.Legend(title=None, orient="top", direction="vertical", labelLimit=165)
    cases = list(series)
    colours = alt.Scale(domain=cases, range=[style.colour for style in series.values()])
    shapes = alt.Scale(domain=cases, range=[style.shape for style in series.values()])
    base = alt.Chart(inline(drawn[["name", "series", "value", "low", "high"]])).encode(
        y=alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=165)),
        yOffset=alt.YOffset("series:N", sort=cases),
        color=alt.Color("series:N", legend=legend, scale=colours),
    )
    share = alt.X(
        "value:Q",
        title="share of items, same answer",
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    dots = base.mark_point(filled=True, size=52, opacity=1).encode(
        x=share, shape=alt.Shape("series:N", legend=legend, scale=shapes)
    )
    plot = base.mark_rule(strokeWidth=1.6).encode(x=alt.X("low:Q"), x2="high:Q") + dots
    return fitted(plot).properties(height=34 * len(names))
