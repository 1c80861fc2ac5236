"""Growth, drawn: what each tool takes as the job gets larger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

INK = {"affectscope": "#1f5fa8", "plain": "#b3541e", "kept_past": "#7a7a7a"}
"""One colour for each tool, apart for colour-blind eyes and in grey."""

LABELS = {
    "affectscope": "affectscope",
    "plain": "plain Hugging Face, full passes",
    "kept_past": "plain Hugging Face, keys and values kept",
}

WIDTH, HEIGHT = 300, 200


def growth_figure(results: dict[str, Any]) -> alt.TopLevelMixin:
    """Four panels: interventions, length, items, memory."""
    interventions, length = _frame(results["by_interventions"]), _frame(results["by_length"])
    items = pd.DataFrame(results["by_items"])
    items["name"] = LABELS["affectscope"]
    items["mib"] = items["peak_bytes"] / 2**20
    panels = [
        _lines(
            interventions,
            ("x", "interventions a prompt"),
            ("seconds", "seconds (peers extrapolated)"),
            "More interventions (16 prompts)",
        ),
        _lines(
            length,
            ("x", "tokens a prompt"),
            ("ms_per_intervention", "ms an intervention"),
            "Longer prompts",
        ),
        _lines(
            items,
            ("items", "items"),
            ("seconds", "seconds for the corpus"),
            "More items: time",
        ),
        _lines(
            items, ("items", "items"), ("mib", "peak memory, MiB"), "More items: memory", log=False
        ),
    ]
    grid = alt.vconcat(alt.hconcat(*panels[:2]), alt.hconcat(*panels[2:]))
    return grid.configure(font="sans-serif", background="white").configure_axis(
        labelFontSize=11, titleFontSize=12
    )


def save_growth(results: dict[str, Any], folder: Path) -> None:
    """Write growth.svg and growth.png."""
    chart = growth_figure(results)
    chart.save(folder / "growth.svg")
    chart.save(folder / "growth.png", scale_factor=2)


def _frame(points: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(points)
    frame["name"] = frame["tool"].map(LABELS)
    return frame


def _lines(
    frame: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], title: str, *, log: bool = True
) -> alt.Chart:
    numbers = sorted(frame[x[0]].unique().tolist())
    scale = alt.Scale(type="log") if log else alt.Scale(zero=True)
    return (
        alt.Chart(frame, title=title, width=WIDTH, height=HEIGHT)
        .mark_line(point=alt.OverlayMarkDef(size=50))
        .encode(
            x=alt.X(
                x[0],
                title=x[1],
                scale=alt.Scale(type="log", nice=False, padding=20),
                axis=alt.Axis(values=numbers, format=",d", grid=False),
            ),
            y=alt.Y(
                y[0],
                title=y[1],
                scale=scale,
                axis=alt.Axis(format="~s" if log else ",d", tickCount=5),
            ),
            color=alt.Color(
                "name",
                title=None,
                scale=alt.Scale(domain=[LABELS[tool] for tool in INK], range=list(INK.values())),
                legend=alt.Legend(orient="bottom", labelLimit=400),
            ),
            shape=alt.Shape("name", title=None, legend=None),
        )
    )
