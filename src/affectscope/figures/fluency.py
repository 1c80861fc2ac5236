"""What steering does to the writing itself: fluency, what is still known, and what is kept."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import NO_VALUES, Figure, finished, inline, records
from affectscope.figures.steered import METHOD_STYLES, METHODS, method_legend
from affectscope.figures.theme import MUTED
from affectscope.figures.wording import percent

_MEASURES: dict[str, str] = {
    "nll": "-log p, nats a token",
    "repeated": "4-grams repeated",
    "distinct": "distinct bigrams",
    "question": "questions right",
    "infer": "emotions right",
    "recall": "content recalled",
}
"""What is measured, in the order of the panels, and how it is called there."""

_WIDTH, _HEIGHT = 128, 84


def fluency(table: pd.DataFrame) -> Figure | None:
    """The figure; None where the table has none of the measures."""
    rows = table[table["metric"].isin(_MEASURES)]
    if rows.empty:
        return None
    means = rows.groupby(["metric", "method", "coefficient"], as_index=False)["value"].mean()
    means = means.assign(series=[METHODS.get(name, name) for name in means["method"]])
    title = "What steering does to the writing"
    names = [name for name in _MEASURES if (means["metric"] == name).any()]
    plots = [_panel(means[means["metric"] == name], name, means) for name in names]
    words = " ".join(_words(means[means["metric"] == name], name) for name in names)
    return finished(
        alt.concat(*plots, columns=2, spacing=14),
        title=title,
        subtitle="means over directions and layers",
        rows=rows,
        caption=(
            "By the vector's length, in mean lengths of the residual stream; a mean over targets, "
            "both ways and all layers, so that no range is drawn. Dashed: unsteered. At 0: asked "
            "in words. -log p is under the unsteered model; 4-grams and bigrams are within a text; "
            "questions are simple facts; emotions are those of the corpus's items; content is what "
            "a prompt fixes to be said."
        ),
        alt_text=f"Small panels, one for each measure. {title}. {words}",
    )


def _number(value: float, metric: str) -> str:
    if not np.isfinite(value):
        return "no value"
    return f"{value:.2f} nats" if metric == "nll" else percent(value)


def _words(means: pd.DataFrame, metric: str) -> str:
    """Unsteered, and each way at its greatest length."""
    bare = means[means["method"] == "none"]["value"]
    said = (
        [f"{_MEASURES[metric]}: unsteered {_number(float(bare.iloc[0]), metric)}"]
        if len(bare)
        else []
    )
    steered = means[~means["method"].isin(["none"])]
    ends = steered.loc[steered.groupby("method", sort=False)["coefficient"].idxmax()]
    said += [
        f"{row['series']} {_number(row['value'], metric)}"
        + (f" at {row['coefficient']:g}" if row["coefficient"] > 0 else "")
        for row in records(ends)
    ]
    return f"{'; '.join(said)}." if said else NO_VALUES


def _panel(means: pd.DataFrame, metric: str, everything: pd.DataFrame) -> Any:
    shown = [name for name in METHOD_STYLES if (everything["series"] == name).any()]
    steered = means[means["method"] != "none"]
    legend = method_legend()
    colours = alt.Scale(domain=shown, range=[METHOD_STYLES[name].colour for name in shown])
    dashes = alt.Scale(domain=shown, range=[list(METHOD_STYLES[name].dash) for name in shown])
    shapes = alt.Scale(domain=shown, range=[METHOD_STYLES[name].shape for name in shown])
    end = float(everything["coefficient"].max()) or 1.0
    base = alt.Chart(inline(steered[["series", "coefficient", "value"]])).encode(
        x=alt.X("coefficient:Q", title="length of the vector",
            scale=alt.Scale(domain=[-0.04 * end, 1.04 * end], nice=False),
            axis=alt.Axis(format="~g", tickCount=4, grid=False)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=_domain(means, metric), nice=False),
            axis=alt.Axis(format="~g" if metric == "nll" else ".0%", tickCount=4)),
        color=alt.Color("series:N", scale=colours, legend=legend),
    )  # fmt: skip
    marks = [
        base.mark_line(strokeWidth=1.6).encode(
            strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=None)
        ),
        base.mark_point(filled=True, size=34, opacity=1).encode(
            shape=alt.Shape("series:N", scale=shapes, legend=legend)
        ),
    ]
    bare = means[means["method"] == "none"][["value"]]
    rule = alt.Chart(inline(bare)).mark_rule(strokeDash=[3, 3], color=MUTED).encode(y="value:Q")
    name = alt.TitleParams(_MEASURES[metric], anchor="start", frame="group", fontSize=12, offset=4)
    return alt.layer(rule, *marks).properties(width=_WIDTH, height=_HEIGHT, title=name)


def _domain(means: pd.DataFrame, metric: str) -> list[float]:
    """From 0, or from near the least of what never comes near 0, to the largest."""
    values = means["value"].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    top = max([*values, 0.05 if metric != "nll" else 1.0])
    return [0.0, float(1.05 * top)]
