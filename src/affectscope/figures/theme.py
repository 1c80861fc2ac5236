"""One look for all figures: legible at phone width, in grey, and to colour-blind readers.

Colours are from the palettes of Okabe and Ito (2008) and Tol (2021); whatever a colour tells, a
dash pattern and a point shape tell too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from affectscope.vocabulary import SITES

FIGURE_WIDTH = 360
"""Width of a whole figure in CSS pixels: what a phone of 400 pixels shows unscaled."""

INK = "#1f1f1f"
MUTED = "#595959"
GRID = "#e6e6e6"
NO_VALUE = "#ededed"
SHADES = ("#f7fafd", "#c9dff0", "#74add6", "#2571b3", "#08306b")
"""From nothing to all: one hue, evenly darker, so that it reads in grey too."""

FONT = "Arial, Liberation Sans, Helvetica, sans-serif"


@dataclass(frozen=True)
class SeriesStyle:
    """How one series is told from the others."""

    colour: str
    dash: tuple[int, ...]
    shape: str


CALIBRATED = SeriesStyle("#0072b2", (1, 0), "circle")
RAW = SeriesStyle("#b3541e", (4, 2), "diamond")
AUTHORS = SeriesStyle("#1f1f1f", (1, 0), "triangle-down")

OUTCOME_STYLES: dict[str, SeriesStyle] = {
    "source": SeriesStyle("#882255", (1, 0), "circle"),
    "target": SeriesStyle("#2a8f83", (6, 3), "square"),
    "neither": SeriesStyle("#7a7a7a", (2, 2), "triangle-up"),
}

_SITE_STYLES: dict[str, SeriesStyle] = {
    "attn_out": SeriesStyle("#0072b2", (1, 0), "circle"),
    "mlp_out": SeriesStyle("#d55e00", (6, 3), "square"),
    "resid_post": SeriesStyle("#3a3a3a", (2, 2), "triangle-up"),
}
_OTHER_STYLES: tuple[SeriesStyle, ...] = (
    SeriesStyle("#009e73", (8, 2, 2, 2), "diamond"),
    SeriesStyle("#cc79a7", (1, 3), "cross"),
    SeriesStyle("#b58900", (10, 3), "triangle-down"),
    SeriesStyle("#5b4b9a", (3, 6), "triangle-right"),
)


def in_site_order(sites: Sequence[str]) -> list[str]:
    """The distinct sites: those of the vocabulary first, in its order, then the rest by name."""
    known = [site for site in SITES if site in sites]
    return [*known, *sorted(set(sites) - set(known))]


def site_styles(sites: Sequence[str]) -> list[SeriesStyle]:
    """The style of each site; a site always looks the same, in whichever figure it is."""
    others = [site for site in in_site_order(sites) if site not in _SITE_STYLES]
    extra = {site: _OTHER_STYLES[k % len(_OTHER_STYLES)] for k, site in enumerate(others)}
    return [_SITE_STYLES.get(site) or extra[site] for site in sites]


def themed(chart: Any, *, title: str, description: str, subtitle: str = "") -> alt.TopLevelMixin:
    """The finished figure: ``chart`` with its title, description and the house's look."""
    heading: dict[str, Any] = {"text": title}
    if subtitle:
        heading["subtitle"] = subtitle
    return (
        chart.properties(
            title=alt.TitleParams(**heading), description=description, background="white", padding=4
        )
        .configure(font=FONT)
        .configure_view(stroke=None)
        .configure_title(
            anchor="start", frame="bounds", fontSize=13, color=INK, offset=8, limit=350,
            subtitleFontSize=11, subtitleColor=MUTED, subtitlePadding=4,
        )
        .configure_axis(
            labelFontSize=11, titleFontSize=11, titleFontWeight="normal", labelColor=INK,
            titleColor=MUTED, gridColor=GRID, domainColor="#9a9a9a", tickColor="#9a9a9a",
            tickSize=4, labelLimit=110, titlePadding=6,
        )
        .configure_legend(
            labelFontSize=11, titleFontSize=11, titleFontWeight="normal", labelColor=INK,
            titleColor=MUTED, labelLimit=320, symbolSize=70, symbolStrokeWidth=2, rowPadding=2,
        )
        .configure_header(labelFontSize=12, labelColor=INK, labelFontWeight="bold", title=None)
    )  # fmt: skip


def fitted(chart: Any) -> Any:
    """``chart`` (a single or layered view) scaled so that axes and legends end at the width."""
    return chart.properties(
        width=FIGURE_WIDTH, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )


def layer_ticks(first: int, last: int) -> list[int]:
    """About eight whole-number ticks from the first to the last layer."""
    span = max(last - first, 1)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if span / step <= 10)
    return [layer for layer in range(first, last + 1) if layer % step == 0] or [first]
