"""Maps along the layers: sites down the side, or something else, with a map for each site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.theme import NO_VALUE, SHADES, fitted, in_site_order, layer_ticks
from affectscope.figures.wording import visible

_PANEL_WIDTH = 300


def site_map(rows: pd.DataFrame, *, value_title: str) -> Any:
    """Value by layer (across) and site (down).

    Args:
        rows: Columns site, layer, value.
        value_title: What the value is a share of.
    """
    return layer_map(
        rows.assign(down=rows["site"]),
        order=in_site_order(rows["site"].tolist()),
        down_title="site",
        value_title=value_title,
        row_height=26,
    )


def layer_map(
    rows: pd.DataFrame,
    *,
    order: Sequence[str],
    down_title: str,
    value_title: str,
    panels: Sequence[str] = (),
    row_height: int = 18,
) -> Any:
    """Value by layer (across) and ``down``; the darker a cell, the larger.

    What lies below 0 is as pale as 0; an undefined value leaves a grey cell.

    Args:
        rows: Columns down, layer, value; and panel, where panels are given.
        order: What is down the side, from top to bottom.
        down_title: What that is.
        value_title: What the value is a share of.
        panels: A map for each of these, stacked; one map when empty.
        row_height: Of a cell.
    """
    first, last = int(rows["layer"].min()), int(rows["layer"].max())
    end = _round_end(rows["value"])
    drawn = pd.DataFrame(
        {
            "down": rows["down"].map(visible),
            "start": rows["layer"] - 0.5,
            "end": rows["layer"] + 0.5,
            "value": rows["value"],
        }
    )
    if panels:
        drawn["panel"] = rows["panel"].map(visible)
    across = alt.X(
        "start:Q",
        title="layer (from 0)",
        scale=alt.Scale(domain=[first - 0.5, last + 0.5], nice=False, zero=False),
        axis=alt.Axis(values=layer_ticks(first, last), format="d", grid=False),
    )
    down = alt.Y(
        "down:N",
        title=down_title,
        sort=[visible(name) for name in order],
        axis=alt.Axis(labelLimit=75, labelOverlap="greedy", ticks=False),
    )
    legend = alt.Legend(
        title=value_title,
        orient="bottom",
        direction="horizontal",
        gradientLength=200,
        gradientThickness=10,
        format=".0%",
        values=[end * quarter / 4 for quarter in range(5)],
        titleLimit=300,
    )
    colour = alt.Color(
        "value:Q",
        legend=legend,
        scale=alt.Scale(domain=[0, end], range=list(SHADES), clamp=True),
    )
    data = inline(drawn)
    empty = alt.Chart(data).mark_rect(color=NO_VALUE).encode(x=across, x2="end:Q", y=down)
    full = (
        alt.Chart(data)
        .transform_filter("isValid(datum.value)")
        .mark_rect()
        .encode(x=across, x2="end:Q", y=down, color=colour)
    )
    layered = (empty + full).properties(height=row_height * len(order))
    if not panels:
        return fitted(layered)
    above = alt.Header(labelAngle=0, labelAnchor="start", labelOrient="top", labelPadding=4)
    return layered.properties(width=_PANEL_WIDTH, data=data).facet(
        row=alt.Row("panel:N", sort=[visible(name) for name in panels], title=None, header=above),
        spacing=12,
    )


def _round_end(values: pd.Series) -> float:
    """Where the shades end: a round share, so that small shares are seen too."""
    defined = values.to_numpy(dtype=float)
    largest = max(defined[np.isfinite(defined)], default=0.0)
    return next((end for end in (0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if largest <= end), 1.0)
