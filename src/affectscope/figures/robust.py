"""Figures of ``robust``: does the peak stay where it is under another prompt?"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import (
    NO_VALUES,
    Figure,
    finished,
    inline,
    need_columns,
    records,
)
from affectscope.figures.layers import layer_axis, share_axis, shares_end
from affectscope.figures.theme import CALIBRATED, MUTED, in_site_order, site_styles
from affectscope.figures.wording import shortened, visible, with_interval

_COLUMNS = ("metric", "template", "own", "site", "layer", "value", "low", "high", "n", "p")

_WIDTH = 296  # what the axis labels and the title leave of the figure's width
_NAME_LENGTH = 24


def robust_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``robust``, by file name."""
    return {name: figure.chart for name, figure in robust_figures(table).items()}


def robust_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``robust``, by file name."""
    need_columns(table, _COLUMNS, "robust")
    figures: dict[str, Figure] = {}
    for metric, draw in (("peak", _peaks), ("transfer", _curves), ("accuracy", _accuracy)):
        rows = table[table["metric"] == metric]
        if len(rows):
            figures[f"robust_{metric}"] = draw(rows)
    return figures


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With the templates' names as they are written, the run's own marked."""
    names = rows["template"].map(lambda name: shortened(visible(name), _NAME_LENGTH))
    return rows.assign(category=names.where(~rows["own"].astype(bool), names + " (own)"))


def _peaks(rows: pd.DataFrame) -> Figure:
    title = "The layer where patching peaks, by prompt"
    drawn = _named(rows).assign(series=rows["site"].map(visible))
    sites = in_site_order(rows["site"].tolist())
    said = "; ".join(
        f"{visible(row['template'])} at layer {row['value']:.0f}"
        for row in records(rows[(rows["site"] == sites[0]) & rows["value"].notna()])
    )
    plot = dot_plot(
        drawn,
        order=drawn["category"].drop_duplicates().tolist(),
        x_title="layer of the peak (from 0)",
        series=dict(zip(map(visible, sites), site_styles(sites), strict=True)),
        number_format="d",
        label_limit=OWN_WORDS_LIMIT,
    )
    return finished(
        plot,
        title=title,
        subtitle=f"at most {int(rows['n'].max())} pairs under each",
        rows=rows,
        caption=(
            "The layer at which patching carries most answers over, for the same items under each "
            "prompt; lines are 95 % intervals. If the finding is about the model and not about the "
            "prompt, the marks of a site stand above each other."
        ),
        alt_text=f"Dot plot by prompt. {title}: {visible(sites[0])} {said or NO_VALUES}.",
    )


def _accuracy(rows: pd.DataFrame) -> Figure:
    title = "How often the model names the emotion, by prompt"
    drawn = _named(rows).assign(series="")
    said = "; ".join(
        f"{visible(row['template'])} {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(rows)
    )
    plot = dot_plot(
        drawn,
        order=drawn["category"].drop_duplicates().tolist(),
        x_title="share of items",
        series={"": CALIBRATED},
        label_limit=OWN_WORDS_LIMIT,
    )
    return finished(
        plot,
        title=title,
        subtitle=f"{int(rows['n'].max())} items",
        rows=rows,
        caption="Calibrated answers to the same items; lines are 95 % intervals.",
        alt_text=f"Dot plot by prompt. {title}: {said or NO_VALUES}.",
    )


def _curves(rows: pd.DataFrame) -> Figure:
    title = "Answers that follow the patch, by prompt"
    sites = in_site_order(rows["site"].tolist())
    n_prompts = rows["template"].nunique()
    highest = rows[rows["value"].notna()].groupby("site")["value"].max()
    said = "; ".join(
        f"{visible(site)} at most {highest[site]:.0%}" for site in sites if site in highest
    )
    return finished(
        _panels(rows, sites),
        title=title,
        subtitle=f"one line for each of {n_prompts} prompts, the run's own in colour",
        rows=rows,
        caption=(
            "Patching curves of the same items under every prompt. The run's own has its 95 % "
            "interval as a band; the others are grey, since only their places matter here."
        ),
        alt_text=f"Line charts by layer, one for each site. {title}: {said or NO_VALUES}.",
    )


def _panels(rows: pd.DataFrame, sites: list[str]) -> Any:
    """A panel for each site, stacked, with one line for each prompt."""
    low, value = (
        share_axis("share of pairs", (0.0, shares_end(rows)), column=column)
        for column in ("low", "value")
    )
    panels = []
    for site, style in zip(sites, site_styles(sites), strict=True):
        here = rows[rows["site"] == site].sort_values(["template", "layer"])
        columns = ["template", "layer", "value", "low", "high"]
        mine = here["own"].astype(bool)
        own = alt.Chart(inline(here[mine][columns])).encode(x=layer_axis(rows["layer"]))
        others = alt.Chart(inline(here[~mine][columns])).encode(
            x=layer_axis(rows["layer"]), y=value, detail="template:N"
        )
        layers = alt.layer(
            others.mark_line(strokeWidth=1, color=MUTED, opacity=0.55),
            own.mark_area(opacity=0.16, color=style.colour).encode(y=low, y2="high:Q"),
            own.mark_line(strokeWidth=2.2, color=style.colour).encode(y=value),
        )
        heading = alt.TitleParams(visible(site), fontSize=12, offset=2)
        panels.append(layers.properties(width=_WIDTH, height=110, title=heading))
    return alt.vconcat(*panels, spacing=10)
