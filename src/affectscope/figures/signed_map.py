"""Maps of signed numbers: rising and falling, told by colour and by a sign in the cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.theme import INK, NO_VALUE, fitted
from affectscope.figures.wording import visible

FALLS_TO_RISES = ("#b3541e", "#e9b999", "#f7f7f7", "#9fc4e0", "#0f5ea8")
"""Orange for falling, blue for rising: told apart by colour-blind readers."""

LABEL_LIMIT = 118
"""Pixels of a row's name."""


def signed_map(
    rows: pd.DataFrame,
    *,
    down: Sequence[str],
    across: Sequence[str],
    down_title: str | None,
    across_title: str | None,
    value_title: str,
    panels: Sequence[str] = (),
    end: float | None = None,
    number_format: str = ".2~f",
    label_limit: int = LABEL_LIMIT,
) -> Any:
    """Values by ``down`` and ``across``; blue above 0, orange below, grey where undefined.

    Args:
        rows: Columns down, across, value, and ``mark``, a sign written in the cell or empty; and
            panel, where panels are given.
        down: What is down the side, from top to bottom.
        across: What is across, from left to right.
        down_title: What that is, if it has to be said.
        across_title: What that is, if it has to be said.
        value_title: What the value is.
        panels: A map for each of these, stacked; one map when empty.
        end: Where the shades end; at a round number beyond the largest when absent.
        number_format: How the legend writes numbers.
        label_limit: Pixels of a row's name.
    """
    limit = end or round_end(rows["value"])
    columns = ["down", "across", "value", "mark", *(["panel"] if panels else [])]
    drawn = rows[columns].assign(
        **{c: rows[c].map(visible) for c in columns if c not in ("value", "mark")}
    )
    x = alt.X(
        "across:N",
        title=across_title,
        sort=[visible(name) for name in across],
        axis=alt.Axis(labelAngle=-90, labelLimit=90, ticks=False, orient="bottom"),
    )
    y = alt.Y(
        "down:N",
        title=down_title,
        sort=[visible(name) for name in down],
        axis=alt.Axis(labelLimit=label_limit, ticks=False, labelOverlap=False),
    )
    legend = alt.Legend(
        title=value_title,
        orient="bottom",
        direction="horizontal",
        gradientLength=min(200, 320 - label_limit),
        gradientThickness=10,
        format=number_format,
        values=[-limit, -limit / 2, 0, limit / 2, limit],
        titleLimit=330,
    )
    colour = alt.Color(
        "value:Q",
        legend=legend,
        scale=alt.Scale(domain=[-limit, limit], range=list(FALLS_TO_RISES), clamp=True),
    )
    data = inline(drawn)
    base = alt.Chart(data).encode(x=x, y=y)
    empty = base.mark_rect(color=NO_VALUE)
    full = base.transform_filter("isValid(datum.value)").mark_rect().encode(color=colour)
    signs = base.mark_text(fontSize=10, color=INK).encode(text="mark:N")
    layered = (empty + full + signs).properties(height=13 * len(down))
    if not panels:
        return fitted(layered)
    above = alt.Header(labelAngle=0, labelAnchor="start", labelOrient="top", labelPadding=4)
    return layered.properties(width=11 * len(across), data=data).facet(
        row=alt.Row("panel:N", sort=[visible(name) for name in panels], title=None, header=above),
        spacing=12,
    )


def round_end(values: pd.Series) -> float:
    """A round number, 1, 2 or 5 of a power of ten, that no value exceeds."""
    defined = np.abs(values.to_numpy(dtype=float))
    largest = float(max(defined[np.isfinite(defined)], default=0.0))
    if largest == 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return float(next(step * power for step in (1, 2, 5, 10) if largest <= step * power))


def marks(values: pd.Series, significant: pd.Series) -> pd.Series:
    """``+`` and ``−`` where significant, else nothing."""
    signs = np.where(values > 0, "+", "\u2212")
    return pd.Series(np.where(significant.fillna(0) != 0, signs, ""), index=values.index)
