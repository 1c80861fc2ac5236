"""Smear, drawn: transfer by the centre of the window, one panel a span."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pandas as pd

INK = {"attn_out": "#1f5fa8", "mlp_out": "#7a7a7a", "resid_post": "#b3541e"}


def smear_figure(curves: pd.DataFrame, *, layer: int = 4) -> alt.TopLevelMixin:
    """One panel for each span.

    Args:
        curves: ``site``, ``span``, ``layer`` and ``transfer``, from ``benchmarks.planted.smear``.
        layer: Where the emotion was planted.
    """
    spans = sorted(curves["span"].unique())
    return (
        alt.hconcat(*(_panel(curves[curves["span"] == span], span, layer) for span in spans))
        .configure(font="sans-serif", background="white")
        .configure_axis(labelFontSize=11, titleFontSize=12)
    )


def _panel(curves: pd.DataFrame, span: int, layer: int) -> alt.LayerChart:
    lines = (
        alt.Chart(curves, title=f"span {span}", width=190, height=170)
        .mark_line(point=alt.OverlayMarkDef(size=40))
        .encode(
            x=alt.X("layer:O", title="centre of the window (layer)", axis=alt.Axis(labelAngle=0)),
            y=alt.Y(
                "transfer:Q",
                title="pairs that follow the source",
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color(
                "site:N",
                title=None,
                scale=alt.Scale(domain=list(INK), range=list(INK.values())),
                legend=alt.Legend(orient="bottom"),
            ),
            shape=alt.Shape("site:N", title=None, legend=None),
        )
    )
    planted = pd.DataFrame({"layer": [layer]})
    rule = alt.Chart(planted).mark_rule(strokeDash=[4, 3], color="#444").encode(x="layer:O")
    return alt.layer(rule, lines)


def save_smear(curves: pd.DataFrame, folder: Path) -> None:
    """Write planted.svg and planted.png."""
    chart = smear_figure(curves)
    chart.save(folder / "planted.svg")
    chart.save(folder / "planted.png", scale_factor=2)
