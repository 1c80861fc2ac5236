"""Curves along the layers, with their bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import NO_VALUES, inline, records
from affectscope.figures.theme import (
    MUTED,
    SeriesStyle,
    fitted,
    in_site_order,
    layer_ticks,
    site_styles,
)
from affectscope.figures.wording import shortened, visible, with_interval

Unit = Literal["%", "nats"]
"""What a value is measured in: a share, or a divergence."""

Extreme = Literal["highest", "lowest"]
"""Which end of a curve is the finding: a peak, or the deepest knock-out."""

MARKED_LAYERS_LIMIT = 48
"""Models deeper than this get lines without a point at every layer."""


@dataclass(frozen=True)
class Reference:
    """A level to compare with, drawn as a dashed rule."""

    value: float
    text: str
    place: Literal["below, right", "below, left"] = "below, right"
    """Where the label goes: where the curves are not."""


def extremes(rows: pd.DataFrame, which: Extreme) -> pd.DataFrame:
    """The row of each site's highest (lowest) value, earlier layers first among equals.

    Sites without any defined value are absent.
    """
    defined = rows[rows["value"].notna()].sort_values("layer", kind="stable")
    if defined.empty:
        return defined
    by_site = defined.groupby("site", sort=False)["value"]
    found = defined.loc[by_site.idxmax() if which == "highest" else by_site.idxmin()]
    order = in_site_order(found["site"].tolist())
    return found.sort_values("site", key=lambda sites: sites.map(order.index))


def describe_extremes(rows: pd.DataFrame, which: Extreme, *, unit: Unit = "%") -> str:
    """One clause per site: where its curve is highest (lowest), and its value there."""
    found = extremes(rows, which)
    clauses = [
        f"{visible(row['site'])} is {which} at layer {int(row['layer'])} with "
        f"{with_interval(row['value'], row['low'], row['high'], unit=unit)}"
        for row in records(found)
    ]
    return "; ".join(clauses) if clauses else NO_VALUES


def layer_axis(layers: pd.Series, *, n_ticks: int = 12) -> alt.X:
    """The horizontal axis: whole layers, counted from 0, with at most about ``n_ticks`` ticks."""
    first, last = int(layers.min()), int(layers.max())
    pad = 0.5 if last == first else 0.02 * (last - first)
    ticks = layer_ticks(first, last)
    return alt.X(
        "layer:Q",
        title="layer (from 0)",
        scale=alt.Scale(domain=[first - pad, last + pad], nice=False, zero=False),
        axis=alt.Axis(values=ticks[:: -(-len(ticks) // n_ticks)], format="d", grid=False),
    )


def share_axis(
    title: str,
    domain: tuple[float, float] = (0.0, 1.0),
    *,
    column: str = "value",
    unit: Unit = "%",
    n_ticks: int = 5,
) -> alt.Y:
    """The vertical axis: shares in ``column``, written in percent, or plain numbers."""
    return alt.Y(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(domain=list(domain), nice=False),
        axis=alt.Axis(format=".0%" if unit == "%" else ".2f", tickCount=n_ticks),
    )


def curve_legend(direction: Literal["horizontal", "vertical"], columns: int = 0) -> alt.Legend:
    """A legend above the plot whose samples are long enough to show a dash pattern.

    Args:
        direction: Entries side by side, or below each other.
        columns: How many stand side by side; 0 for all, or, of a vertical one, one.
    """
    return alt.Legend(
        title=None,
        orient="top",
        direction=direction,
        labelLimit=265,
        columns=columns or int(direction == "vertical"),
        symbolType="stroke",
        symbolSize=330,
        symbolOpacity=1,
    )


def shares_end(rows: pd.DataFrame) -> float:
    """Where an axis of shares ends, so that small shares still fill the figure."""
    largest = largest_number(rows)
    return next((end for end in (0.1, 0.2, 0.4, 0.6, 0.8) if largest <= end), 1.0)


def largest_number(rows: pd.DataFrame) -> float:
    """The largest number drawn, intervals included; 1 where there is none above zero."""
    numbers = rows[["value", "high"]].to_numpy(dtype=float)
    return max(numbers[np.isfinite(numbers)], default=0.0) or 1.0


def layer_curves(
    rows: pd.DataFrame,
    *,
    y_title: str,
    which: Extreme = "highest",
    references: Sequence[Reference] = (),
    domain: tuple[float, float] | None = None,
    unit: Unit = "%",
) -> Any:
    """Value by layer, a curve and a 95 % band for each site, its extreme marked and written out.

    Args:
        rows: Columns site, layer, value, low, high; one metric only.
        y_title: What the value is a share of.
        which: Whether the highest or the lowest value is the finding.
        references: Levels to compare with.
        domain: Range of the vertical axis; from 0 to a round share when absent.
        unit: What the values are measured in.
    """
    domain = domain or (0.0, shares_end(rows) if unit == "%" else largest_number(rows))
    sites = in_site_order(rows["site"].tolist())
    styles = dict(zip(sites, site_styles(sites), strict=True))
    peaks = extremes(rows, which)
    names = {site: _legend_text(site, peaks, which, unit) for site in sites}
    drawn = rows.sort_values(["site", "layer"]).assign(name=rows["site"].map(names))
    drawn = drawn[["site", "name", "layer", "value", "low", "high"]]
    scale_of = {"domain": list(names.values())}
    legend = curve_legend("vertical")
    colour = alt.Color(
        "name:N",
        scale=alt.Scale(**scale_of, range=[style.colour for style in styles.values()]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "name:N",
        scale=alt.Scale(**scale_of, range=[list(style.dash) for style in styles.values()]),
        legend=legend,
    )
    base = alt.Chart(inline(drawn)).encode(x=layer_axis(rows["layer"]), color=colour)
    low, value = (
        share_axis(y_title, domain, column=column, unit=unit) for column in ("low", "value")
    )
    marks = [
        base.mark_area(opacity=0.16).encode(y=low, y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=value, strokeDash=dash),
    ]
    for site, style in styles.items():
        marks += _points(drawn[drawn["site"] == site], peaks[peaks["site"] == site], style)
    marks += [_rule(reference) for reference in references if math.isfinite(reference.value)]
    return fitted(alt.layer(*marks)).properties(height=190)


def _points(rows: pd.DataFrame, peak: pd.DataFrame, style: SeriesStyle) -> list[Any]:
    """Small points at the layers of one site, and a large one at its peak.

    Their shape is given outright: as a scale it would replace the legend's dash patterns.
    """
    shown = [(peak, {"size": 95, "stroke": "white", "strokeWidth": 1.2})]
    if rows["layer"].nunique() <= MARKED_LAYERS_LIMIT:
        shown.insert(0, (rows, {"size": 16}))
    return [
        alt.Chart(inline(part[["layer", "value"]]))
        .mark_point(shape=style.shape, filled=True, color=style.colour, opacity=1, **look)
        .encode(x="layer:Q", y="value:Q")
        for part, look in shown
        if len(part)
    ]


def _legend_text(site: str, peaks: pd.DataFrame, which: Extreme, unit: Unit) -> str:
    name = shortened(visible(site), 20)
    peak = peaks[peaks["site"] == site]
    if peak.empty:
        return f"{name}: no value"
    value = peak["value"].iloc[0]
    number = f"{100 * value:.0f} %" if unit == "%" else f"{value:.2f} {unit}"
    return f"{name}: {which} at layer {int(peak['layer'].iloc[0])}, {number}"


def _rule(reference: Reference) -> Any:
    """A dashed rule with its label."""
    right = reference.place == "below, right"
    data = inline(pd.DataFrame([{"value": reference.value, "text": reference.text}]))
    base = alt.Chart(data).encode(y="value:Q")
    rule = base.mark_rule(strokeDash=[3, 3], color=MUTED)
    text = base.mark_text(
        align="right" if right else "left", dx=-3 if right else 3, dy=8, fontSize=10, color=MUTED
    ).encode(x=alt.value("width" if right else 0), text="text:N")
    return rule + text
