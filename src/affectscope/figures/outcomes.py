"""The three outcomes of patching along the layers, one panel for each site."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import inline
from affectscope.figures.layers import curve_legend, layer_axis, share_axis
from affectscope.figures.theme import OUTCOME_STYLES, in_site_order
from affectscope.figures.wording import visible

OUTCOMES: tuple[str, ...] = tuple(OUTCOME_STYLES)
"""The answer is the source's emotion, the target's, or neither."""

_NAMES = {"source": "source's emotion", "target": "target's emotion", "neither": "neither"}
_DOTTED_LAYERS_LIMIT = 12  # one layer alone makes no line; many dots hide the dashes
_PANEL_WIDTH = 296  # what the axis labels and the title leave of the figure's width


def outcome_panels(rows: pd.DataFrame) -> Any:
    """A panel for each site, stacked, with one curve and band for each outcome.

    Args:
        rows: Columns metric (the outcome), site, layer, value, low, high.
    """
    sites = [visible(site) for site in in_site_order(rows["site"].tolist())]
    drawn = rows.assign(outcome=rows["metric"].map(_NAMES), site=rows["site"].map(visible))
    names = list(_NAMES.values())
    styles = list(OUTCOME_STYLES.values())
    legend = curve_legend("horizontal")
    columns = ["site", "outcome", "layer", "value", "low", "high"]
    base = alt.Chart(inline(drawn.sort_values("layer")[columns])).encode(
        x=layer_axis(rows["layer"]),
        color=alt.Color(
            "outcome:N",
            scale=alt.Scale(domain=names, range=[style.colour for style in styles]),
            legend=legend,
        ),
    )
    low, value = (share_axis("share of pairs", (0, 1), column=c) for c in ("low", "value"))
    band = base.mark_area(opacity=0.16).encode(y=low, y2="high:Q")
    line = base.mark_line(strokeWidth=1.8).encode(
        y=value,
        strokeDash=alt.StrokeDash(
            "outcome:N",
            scale=alt.Scale(domain=names, range=[list(style.dash) for style in styles]),
            legend=legend,
        ),
    )
    marks = [band, line]
    if rows["layer"].nunique() <= _DOTTED_LAYERS_LIMIT:
        marks.append(base.mark_point(filled=True, size=14, opacity=1).encode(y=value))
    panel = alt.layer(*marks).properties(width=_PANEL_WIDTH, height=110)
    return panel.facet(
        row=alt.Row("site:N", sort=sites, title=None, header=alt.Header(
            labelAngle=0, labelAnchor="start", labelOrient="top", labelPadding=4,
        )),
        spacing=14,
    )  # fmt: skip
