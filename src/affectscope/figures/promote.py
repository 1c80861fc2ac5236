"""Figures of ``promote``: what adding an emotion's direction does to the answer."""

from __future__ import annotations

import math
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
    records,
)
from affectscope.figures.panels import curve_panels
from affectscope.figures.spans import only
from affectscope.figures.theme import INK, SeriesStyle, fitted
from affectscope.figures.wording import percent, visible, with_interval

_COLUMNS = (
    *("metric", "kind", "unit", "sense", "emotion", "label", "coefficient", "layer", "random"),
    *("value", "low", "high", "n"),
)

_MAIN = {"kind": "means", "unit": "norm", "sense": "up"}
"""What the figures of single emotions show."""

_WAYS: dict[tuple[str, str, str], str] = {
    ("means", "norm", "up"): "means, added",
    ("means", "norm", "down"): "means, away",
    ("probe", "norm", "up"): "probe, added",
    ("probe", "raw", "up"): "probe, raw",
}

_STYLES = (
    SeriesStyle("#0072b2", (1, 0), "circle"),
    SeriesStyle("#d55e00", (6, 3), "square"),
    SeriesStyle("#3a3a3a", (2, 2), "triangle-up"),
    SeriesStyle("#009e73", (8, 2, 2, 2), "diamond"),
    SeriesStyle("#cc79a7", (1, 3), "cross"),
    SeriesStyle("#b58900", (10, 3), "triangle-down"),
)
"""Of emotions in the order of the alphabet; a seventh looks as the first."""

_SERIES: dict[str, SeriesStyle] = {
    "its direction": SeriesStyle("#0072b2", (1, 0), "circle"),
    "random, anywhere": SeriesStyle("#8a8a8a", (2, 2), "triangle-up"),
    "random, as activations vary": SeriesStyle("#b3541e", (4, 2), "diamond"),
}
_RANDOM = {"isotropic": "random, anywhere", "covariance": "random, as activations vary"}

_FALL, _NONE, _RISE = "#b3541e", "#f7f7f7", "#08306b"


def promote_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``promote``, by file name."""
    return {name: figure.chart for name, figure in promote_figures(table).items()}


def promote_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``promote``, by file name."""
    need_columns(table, _COLUMNS, "promote")
    table = of_all_items(table)
    figures: dict[str, Figure] = {}
    success = only(table, metric="success", **_MAIN)
    if len(success):
        figures["promote_success"] = _success(success)
    means = only(table, metric="mean_success")
    if len(means):
        figures["promote_ways"] = _ways(means)
    random = only(table, metric="random_success")
    if len(random) and len(success):
        figures["promote_random"] = _against_random(success, random)
    moved = only(table, metric="moved", **_MAIN)
    if len(moved):
        figures["promote_moved"] = _moved(moved)
    return figures


def _step_names(rows: pd.DataFrame) -> dict[float, str]:
    """How the panel of each coefficient is called, in ascending order."""
    return {
        value: f"{value:g} of the norm" for value in sorted(rows["coefficient"].unique().tolist())
    }


def _bottom(rows: pd.DataFrame) -> float:
    """Where an axis of shares begins that may be below 0; far outliers are cut."""
    numbers = rows[["low", "value"]].to_numpy(dtype=float)
    lowest = min(numbers[np.isfinite(numbers)], default=0.0)
    return next((end for end in (0.0, -0.1, -0.2, -0.4) if lowest >= end), -0.6)


def _highest(rows: pd.DataFrame, by: str) -> str:
    """Where each series is highest, in words."""
    defined = rows[rows["value"].notna()]
    if defined.empty:
        return NO_VALUES
    best = defined.loc[defined.groupby(by, sort=False)["value"].idxmax()]
    return "; ".join(
        f"{visible(row[by])} is highest at layer {int(row['layer'])} with "
        f"{with_interval(row['value'], row['low'], row['high'])}"
        for row in records(best)
    )


def _success(rows: pd.DataFrame) -> Figure:
    title = "How often adding a direction succeeds"
    names = _step_names(rows)
    emotions = sorted(rows["emotion"].unique())
    styles = {name: _STYLES[k % len(_STYLES)] for k, name in enumerate(emotions)}
    words = " ".join(
        f"{name}: {_highest(rows[rows['coefficient'] == value], 'emotion')}."
        for value, name in names.items()
    )
    return finished(
        curve_panels(
            rows.assign(panel=rows["coefficient"].map(names), series=rows["emotion"]),
            panels=list(names.values()),
            styles=styles,
            y_title="success",
            domain=(_bottom(rows), 1.0),
        ),
        title=title,
        rows=rows,
        caption=(
            "The direction of an emotion (the difference of means, fitted on other authors' texts) "
            "is added to the last token's residual stream in a window of layers around the one "
            "shown; a panel for each size, in shares of the residual stream's mean norm. Success: "
            "of the items whose answer was another emotion, the share that now gets this one, less "
            "those that lose it. Bands are 95 % intervals."
        ),
        alt_text=f"Line charts by layer, one for each coefficient. {title}. {words}",
    )


def _ways(rows: pd.DataFrame) -> Figure:
    title = "Ways of promoting, mean success over emotions"
    keys = zip(rows["kind"], rows["unit"], rows["sense"], strict=True)
    rank = rows.groupby("unit")["coefficient"].rank("dense").astype(int)
    named = rows.assign(series=[_WAYS.get(key, " ".join(key)) for key in keys], rank=rank)
    sizes = {
        k: ", ".join(
            f"{value:g} {'raw' if unit == 'raw' else 'of the norm'}"
            for unit, value in dict.fromkeys(zip(of["unit"], of["coefficient"], strict=True))
        )
        for k, of in named.groupby("rank")
    }
    named = named.assign(panel=named["rank"].map(sizes))
    ways = [name for name in _WAYS.values() if (named["series"] == name).any()]
    words = " ".join(
        f"{panel}: {_highest(named[named['panel'] == panel], 'series')}."
        for panel in sizes.values()
    )
    return finished(
        curve_panels(
            named,
            panels=list(sizes.values()),
            styles={name: _STYLES[k] for k, name in enumerate(ways)},
            y_title="mean success",
            domain=(_bottom(rows), 1.0),
        ),
        title=title,
        rows=rows,
        caption=(
            "Directions of differences of means and of a probe's weights, added or taken away, in "
            "shares of the residual stream's mean norm at each layer; and in raw units, as in the "
            "paper, where the same number is a large change in early layers and a small one in "
            "late ones. Taking away succeeds when the emotion is no longer the answer where it "
            "was. Bands are 95 % intervals."
        ),
        alt_text=f"Line charts by layer, one for each coefficient. {title}. {words}",
    )


def _against_random(success: pd.DataFrame, random: pd.DataFrame) -> Figure:
    title = "An emotion's direction against random ones"
    layer, c = int(random["layer"].iloc[0]), float(random["coefficient"].iloc[0])
    real = success[(success["layer"] == layer) & (success["coefficient"] == c)]
    rows = pd.concat(
        [
            real.assign(series="its direction"),
            random.assign(series=random["random"].map(_RANDOM)),
        ]
    )
    order = real.sort_values("value", ascending=False)["emotion"].map(visible).tolist()
    drawn = rows.assign(category=rows["emotion"].map(visible))
    words = "; ".join(
        f"{visible(row['emotion'])} {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(real)
    )
    ranges = "; ".join(
        f"{_RANDOM[str(kind)]}, at most {percent(_largest(of))} for any emotion"
        for kind, of in random.groupby("random")
    )
    n = int(random["n"].max())
    return finished(
        _dots(drawn, order),
        title=title,
        subtitle=f"{c:g} of the norm around layer {layer}",
        rows=rows.drop(columns="series"),
        caption=(
            "Success of each emotion's own direction, with its 95 % interval, at the layer chosen "
            f"on other items; beside it the median and 5 to 95 % of {n} random directions of equal "
            "length: pointing anywhere, and drawn as activations vary among texts. A direction "
            "says something about the emotion only where it does more than these."
        ),
        alt_text=f"Dots, one row an emotion. {title}. Own direction: {words}. {ranges}.",
    )


def _largest(rows: pd.DataFrame) -> float:
    """The largest value or end of a range."""
    numbers = rows[["value", "high"]].to_numpy(dtype=float)
    return max(numbers[np.isfinite(numbers)], default=math.nan)


def _dots(rows: pd.DataFrame, order: list[str]) -> Any:
    """Values with a range, three series a category, on an axis that may go below 0."""
    scale_of = {"domain": list(_SERIES)}
    legend = alt.Legend(title=None, orient="top", direction="vertical")
    styles = list(_SERIES.values())
    base = alt.Chart(inline(rows[["category", "series", "value", "low", "high"]])).encode(
        y=alt.Y("category:N", sort=order, title=None, axis=alt.Axis(grid=True, ticks=False)),
        yOffset=alt.YOffset("series:N", sort=list(_SERIES)),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(**scale_of, range=[style.colour for style in styles]),
            legend=legend,
        ),
    )
    dots = base.mark_point(filled=True, size=42, opacity=1, clip=True).encode(
        x=alt.X(
            "value:Q",
            title="success",
            scale=alt.Scale(domain=[_bottom(rows), 1.0], nice=False),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        shape=alt.Shape(
            "series:N",
            scale=alt.Scale(**scale_of, range=[style.shape for style in styles]),
            legend=legend,
        ),
    )
    ranges = base.mark_rule(strokeWidth=1.6, clip=True).encode(x="low:Q", x2="high:Q")
    return fitted(ranges + dots).properties(height=max(34 * len(order), 60))


def _moved(rows: pd.DataFrame) -> Figure:
    title = "What else moves when an emotion is promoted"
    steps = sorted(rows["coefficient"].unique())
    c = steps[len(steps) // 2]
    rows = rows[rows["coefficient"] == c]
    others = rows[(rows["emotion"] != rows["label"]) & rows["value"].notna()]
    falls = others.loc[others.groupby("emotion")["value"].idxmin()]
    words = "; ".join(
        f"adding {visible(row['emotion'])} lowers {visible(row['label'])} most, by "
        f"{percent(-row['value'])}"
        for row in records(falls)
    )
    return finished(
        _cells(rows),
        title=title,
        subtitle=f"{c:g} of the norm around layer {int(rows['layer'].iloc[0])}",
        rows=rows,
        caption=(
            "By how many hundredths of all items the rate of each answer (down) changes when an "
            "emotion's direction (across) is added: blue and plus, given more often; brown and "
            "minus, less often. Columns sum to 0."
        ),
        alt_text=f"Map of answer by promoted emotion. {title}: {words or NO_VALUES}.",
    )


def _cells(rows: pd.DataFrame) -> Any:
    """Value by promoted emotion (across) and label (down), written into each cell."""
    values = rows["value"].to_numpy(dtype=float)
    end = max(float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0, 0.01)
    drawn = pd.DataFrame(
        {
            "emotion": rows["emotion"].map(visible),
            "label": rows["label"].map(visible),
            "value": rows["value"],
            "text": [_hundredths(value) for value in values],
            "dark": np.abs(values) > 0.6 * end,
        }
    )
    base = alt.Chart(inline(drawn)).encode(
        x=alt.X(
            "emotion:N",
            title="promoted",
            axis=alt.Axis(labelAngle=0, ticks=False, labelLimit=46, orient="top"),
        ),
        y=alt.Y("label:N", title="answer", axis=alt.Axis(ticks=False, labelLimit=75)),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "value:Q",
            legend=None,
            scale=alt.Scale(domain=[-end, 0, end], range=[_FALL, _NONE, _RISE], clamp=True),
        )
    )
    numbers = base.mark_text(fontSize=10).encode(
        text="text:N",
        color=alt.condition("datum.dark", alt.value("#ffffff"), alt.value(INK)),
    )
    return fitted(cells + numbers).properties(height=20 * rows["label"].nunique())


def _hundredths(value: float) -> str:
    """``+12``, ``-3``, ``0``; nothing where it is undefined."""
    if not np.isfinite(value):
        return ""
    rounded = round(100 * value)
    return f"{rounded:+d}" if rounded else "0"
