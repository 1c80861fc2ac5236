"""Figures of ``geometry``: how emotions and appraisals lie to each other."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import (
    NO_VALUES,
    Figure,
    finished,
    inline,
    need_columns,
    of_all_items,
)
from affectscope.figures.layers import describe_extremes
from affectscope.figures.panels import curve_panels
from affectscope.figures.signed_map import marks, signed_map
from affectscope.figures.theme import INK, MUTED, SeriesStyle, fitted, in_site_order, site_styles
from affectscope.figures.wording import visible

_COLUMNS = ("metric", "kind", "site", "layer", "emotion", "appraisal", "value", "low", "high", "n")

_KIND_NAMES = {"probe": "directions of probes", "means": "directions of means"}
_CRITICAL = "p .05"
_CRITICAL_STYLE = SeriesStyle(MUTED, (8, 2, 2, 2), "cross")
_MODEL, _PEOPLE = "model: cosine of directions", "people: mean rating"


def geometry_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``geometry``, by file name."""
    return {name: figure.chart for name, figure in geometry_figures(table).items()}


def geometry_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``geometry``, by file name."""
    need_columns(table, _COLUMNS, "geometry")
    table = of_all_items(table)
    figures = {}
    if table["metric"].eq("similarity").any():
        figures["geometry_similarity"] = _similarity(table)
    chosen = table[table["metric"] == "human_similarity"]
    if chosen.empty:
        return figures
    place = {column: chosen[column].iloc[0] for column in ("kind", "site", "layer")}
    here = table
    for column, value in place.items():
        here = here[here[column] == value]
    people = table[table["metric"] == "people"]
    where = f"{visible(str(place['site']))}, layer {int(place['layer'])}"
    figures["geometry_profiles"] = _profiles(here[here["metric"] == "cosine"], people, where)
    if here["metric"].eq("component_1").any():
        figures["geometry_components"] = _components(here, where)
    return figures


def _similarity(table: pd.DataFrame) -> Figure:
    rows = table[table["metric"] == "similarity"]
    critical = table[table["metric"] == "similarity_critical"]
    needed = rows.drop(columns=["value", "low", "high"]).drop_duplicates(["kind", "layer"])
    needed = needed.merge(critical[["kind", "value"]], on="kind").assign(
        low=np.nan, high=np.nan, series=_CRITICAL
    )
    needed = needed[np.isfinite(needed["value"])]
    kinds = [kind for kind in _KIND_NAMES if (rows["kind"] == kind).any()]
    sites = in_site_order(rows["site"].tolist())
    styles = dict(zip(sites, site_styles(sites), strict=True))
    drawn = pd.concat([rows.assign(series=rows["site"]), needed])
    numbers = drawn[["value", "low"]].to_numpy(dtype=float)
    lowest = float(min(numbers[np.isfinite(numbers)], default=0.0))
    title = "Are emotions close as in people's ratings?"
    found = "; ".join(
        f"{_KIND_NAMES[kind]}: "
        + describe_extremes(rows[rows["kind"] == kind], "highest", unit="nats").replace(" nats", "")
        for kind in kinds
    )
    return finished(
        curve_panels(
            drawn.assign(panel=drawn["kind"].map(_KIND_NAMES)),
            panels=[_KIND_NAMES[kind] for kind in kinds],
            styles={**styles, _CRITICAL: _CRITICAL_STYLE},
            y_title="rank correlation",
            domain=(-0.5 if lowest >= -0.5 else -1.0, 1.0),
            unit="nats",
            panel_width=288,  # negative numbers take more room
        ),
        title=title,
        rows=pd.concat([rows, critical]),
        caption=(
            "For every layer and site, each emotion has a profile: the cosines of its direction "
            "with those of the appraisals. The value is the rank correlation between how unlike "
            "the model's profiles are, two emotions at a time, and how unlike people's ratings "
            "are. Bands are 95 % intervals. Dealing the emotions' names at random reaches the "
            "grey line (p = 0.05) anywhere in 5 % of the cases."
        ),
        alt_text=f"Line charts by layer. {title} {found}.",
    )


def _profiles(model: pd.DataFrame, people: pd.DataFrame, where: str) -> Figure:
    rows = pd.concat([model.assign(panel=_MODEL), people.assign(panel=_PEOPLE)])
    largest = rows.groupby("panel")["value"].transform(lambda values: values.abs().max())
    sure = (rows["low"] > 0) | (rows["high"] < 0)
    drawn = rows.assign(
        down=rows["emotion"],
        across=rows["appraisal"],
        mark=marks(rows["value"], sure),
        value=rows["value"] / largest.where(largest > 0),
    )
    title = "What each emotion is, in the model and in people"
    defined = model.dropna(subset="value")
    strongest = defined.loc[defined["value"].abs().sort_values(ascending=False).index[:3]]
    found = ", ".join(
        f"{visible(str(row.emotion))} with {visible(str(row.appraisal))} {row.value:.2f}"
        for row in strongest.itertuples()
    )
    return finished(
        signed_map(
            drawn,
            down=list(dict.fromkeys(model["emotion"])),
            across=list(dict.fromkeys(model["appraisal"])),
            down_title=None,
            across_title=None,
            value_title="part of the largest in the map",
            panels=[_MODEL, _PEOPLE],
            end=1.0,
        ),
        title=title,
        rows=rows.drop(columns="panel"),
        caption=(
            f"Above, the cosines of emotions' and appraisals' directions at {where}, fitted on "
            "different items; below, people's mean standardised ratings of each emotion's events. "
            "Each map is shaded relative to its own largest number; a sign stands where the 95 % "
            "interval excludes zero. The maps are alike where the model relates emotions to "
            "appraisals as people do."
        ),
        alt_text=(
            f"Two maps of emotion by appraisal at {where}. {title}. Largest cosines: "
            f"{found or NO_VALUES}."
        ),
    )


def _components(here: pd.DataFrame, where: str) -> Figure:
    first, second = (here[here["metric"] == f"component_{k}"] for k in (1, 2))
    sides = first.merge(second, on="emotion", suffixes=("_x", "_y"))
    sides = sides.dropna(subset=["value_x", "value_y"])
    names = sides["emotion"].map(lambda name: visible(str(name)))
    points = pd.DataFrame({"name": names, "x": sides["value_x"], "y": sides["value_y"]})
    shares = {
        k: float(value)
        for k in (1, 2)
        for value in here.loc[here["metric"] == f"component_{k}_share", "value"]
    }
    followed = ", ".join(
        f"{what} |r| = {value:.2f}"
        for what in ("valence", "arousal")
        for value in here.loc[here["metric"] == f"{what}_r", "value"]
    )
    order = ", ".join(points.sort_values("x")["name"]) or NO_VALUES
    title = "The space of the emotions' directions"
    return finished(
        _scatter(points, shares),
        title=title,
        rows=pd.concat([first, second]),
        caption=(
            f"The emotions on the first two principal components of their directions at {where}. "
            "The sign of a component is arbitrary. Largest correlation of one of the two with "
            f"people's view of the emotions: {followed or 'not computed'}."
        ),
        alt_text=(
            f"Scatter of {len(points)} emotions at {where}. {title}. From the lowest to the "
            f"highest on the first component: {order}."
        ),
    )


def _scatter(points: pd.DataFrame, shares: dict[int, float]) -> Any:
    """Points with their names; room to the right for the name of the last."""
    shown = points if len(points) else pd.DataFrame({"x": [0.0], "y": [0.0]})
    x, y = shown["x"].to_numpy(dtype=float), shown["y"].to_numpy(dtype=float)
    wide, high = (float(np.ptp(values)) or 1.0 for values in (x, y))

    def axis(k: int, name: str, domain: list[float]) -> dict[str, Any]:
        share = f" ({shares[k]:.0%} of variance)" if k in shares else ""
        return {
            "shorthand": f"{name}:Q",
            "title": f"component {k}{share}",
            "scale": alt.Scale(domain=domain, nice=False, zero=False),
            "axis": alt.Axis(format=".2f", tickCount=5),
        }

    base = alt.Chart(inline(points)).encode(
        x=alt.X(**axis(1, "x", [x.min() - 0.08 * wide, x.max() + 0.3 * wide])),
        y=alt.Y(**axis(2, "y", [y.min() - 0.1 * high, y.max() + 0.1 * high])),
    )
    dots = base.mark_point(filled=True, size=36, opacity=1, color="#0072b2")
    text = base.mark_text(align="left", dx=6, fontSize=11, color=INK).encode(text="name:N")
    return fitted(dots + text).properties(height=300)
