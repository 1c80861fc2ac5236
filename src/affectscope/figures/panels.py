"""Small panels of curves over the layers, stacked, or in a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.layers import Unit, curve_legend, layer_axis, share_axis
from affectscope.figures.theme import SeriesStyle
from affectscope.figures.wording import visible

_DOTTED_LAYERS_LIMIT = 12  # one layer alone makes no line; many dots hide the dashes
_PANEL_WIDTH = 296  # what the axis labels and the title leave of the figure's width
_GRID_WIDTH = 290  # the last column's last tick label stands out
_COLUMN_GAP = 8
_LEGEND_WIDTH = 330
_SYMBOL_WIDTH, _LETTER_WIDTH = 26, 6.2  # of a legend's entry, in pixels at its font's size


def curve_panels(
    rows: pd.DataFrame,
    *,
    panels: Sequence[str],
    styles: Mapping[str, SeriesStyle],
    y_title: str,
    domain: tuple[float, float] = (0.0, 1.0),
    unit: Unit = "%",
    across: Sequence[str] = (),
    height: int = 110,
    panel_width: int = _PANEL_WIDTH,
) -> Any:
    """A panel for each name in ``panels``, with one curve and 95 % band for each series.

    Args:
        rows: Columns panel, series, layer, value, low, high; and across, where that is given.
        panels: The panels from top to bottom.
        styles: Style of each series, in the legend's order.
        y_title: What the value is a share of.
        domain: Range of the vertical axes.
        unit: What the values are measured in.
        across: The columns of a grid of panels; one column when empty.
        height: Of a panel.
        panel_width: Of a panel without its axis, in pixels, where there is no grid.
    """
    shown = [visible(name) for name in panels]
    drawn = rows.assign(panel=rows["panel"].map(visible), series=rows["series"].map(visible))
    columns = ["panel", "series", "layer", "value", "low", "high"]
    if across:
        drawn = drawn.assign(across=rows["across"].map(visible))
        columns.append("across")
    scale_of = {"domain": [visible(name) for name in styles]}
    legend = curve_legend("horizontal", columns=_legend_columns(scale_of["domain"]))
    base = alt.Chart(inline(drawn.sort_values("layer", kind="stable")[columns])).encode(
        x=layer_axis(rows["layer"], n_ticks=3 if across else 12),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(**scale_of, range=[style.colour for style in styles.values()]),
            legend=legend,
        ),
    )
    low, value = (
        share_axis(y_title, domain, column=column, unit=unit, n_ticks=2 if across else 5)
        for column in ("low", "value")
    )
    marks = [
        base.mark_area(opacity=0.16).encode(y=low, y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(
            y=value,
            strokeDash=alt.StrokeDash(
                "series:N",
                scale=alt.Scale(**scale_of, range=[list(s.dash) for s in styles.values()]),
                legend=legend,
            ),
        ),
    ]
    if rows["layer"].nunique() <= _DOTTED_LAYERS_LIMIT:
        marks.append(base.mark_point(filled=True, size=14, opacity=1).encode(y=value))
    n = len(across)
    width = (_GRID_WIDTH - _COLUMN_GAP * (n - 1)) // n if n else panel_width
    panel = alt.layer(*marks).properties(width=width, height=height)
    above = alt.Header(labelAngle=0, labelAnchor="start", labelOrient="top", labelPadding=4)
    row = alt.Row("panel:N", sort=shown, title=None, header=above)
    if not across:
        return panel.facet(row=row, spacing=14)
    column = alt.Column(
        "across:N",
        sort=[visible(name) for name in across],
        title=None,
        header=alt.Header(labelOrient="top", labelPadding=2, labelFontSize=11),
    )
    return panel.facet(row=row, column=column, spacing={"row": 14, "column": _COLUMN_GAP})


def _legend_columns(names: Sequence[str]) -> int:
    """How many columns of the longest name fit into a figure; 0, one row, where all do."""
    widths = [_SYMBOL_WIDTH + _LETTER_WIDTH * len(name) for name in names]
    if sum(widths) <= _LEGEND_WIDTH:
        return 0
    return max(int(_LEGEND_WIDTH // max(widths)), 1)
