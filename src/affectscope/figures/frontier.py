"""The frontier of steered writing: how far a direction moves what is written, and at what damage.

A panel for each direction. Each way of steering is a line along the lengths of its vector, at one
layer; being asked in words has one strength and is a single mark; random directions are the range
that anything has to leave.
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import NO_VALUES, Figure, finished, inline, records
from affectscope.figures.steered import (
    ALLOWED,
    EFFECT_TITLE,
    METHOD_STYLES,
    METHODS,
    SETTING,
    damage_axis,
    effect_domain,
    in_order,
    method_legend,
    recommended_of,
    setting_name,
    with_whole_intervals,
)
from affectscope.figures.theme import INK, MUTED
from affectscope.figures.wording import visible, with_interval

_WIDTH, _HEIGHT = 140, 112


def frontier(table: pd.DataFrame) -> Figure | None:
    """The figure; None where the table has no effects."""
    effects = table[(table["metric"] == "effect") & (table["reader"] == "judge")]
    if effects.empty:
        return None
    directions = in_order(effects["direction"])
    damages = table[table["metric"] == "divergence"]
    parts = [_of_direction(table, name, damages) for name in directions]
    points = pd.concat(parts, ignore_index=True)
    title = "Effect of steering, and its damage"
    words = " ".join(_words(table, points, name) for name in directions)
    used = table.index.isin(points["index"])
    damage_used = table.index.isin(points["damage_index"].dropna())
    return finished(
        _panels(points, directions),
        title=title,
        subtitle="read by the judge of words",
        rows=table[used | damage_used],
        caption=(
            "A panel for each direction (+ more of it, - less). Up: how far the judge's reading "
            "moves as meant, in standard deviations of unsteered texts, with 95 % intervals. "
            "Across: how far the vector moves what the model expects of neutral text. A line for "
            "each way of steering, at the layer at which it does most for a damage of at most "
            f"{ALLOWED:g} nats (dotted), points growing with the vector's length. Grey: 5 to 95 % "
            "of random directions. Ringed: the recommended setting, at its own layer."
        ),
        alt_text=f"Small panels, one for each direction. {title}. {words}",
    )


def _of_direction(table: pd.DataFrame, name: str, damages: pd.DataFrame) -> pd.DataFrame:
    """Points of a panel: what is drawn of every way, and the damage at which it is."""
    of = table[(table["direction"] == name) & (table["reader"] == "judge")]
    effects = of[of["metric"] == "effect"]
    target = [*SETTING, "target", "sign"]
    own = _with_damage(effects[effects["method"] != "random"], damages, target)
    random = _with_damage(of[of["metric"] == "random_effect"], damages, SETTING)
    chosen = recommended_of(table, name)
    kept = []
    for method, rows in own.groupby("method", sort=False):
        recommended = chosen is not None and chosen["method"] == method
        layer = int(chosen["layer"]) if recommended and chosen else _best_layer(rows)
        at = rows[rows["layer"] == layer]
        ring = recommended & (at["coefficient"] == (chosen["coefficient"] if chosen else math.nan))
        kept.append(at.assign(ring=ring))
    return pd.concat([*kept, random.assign(ring=False)], ignore_index=True).assign(panel=name)


def _with_damage(rows: pd.DataFrame, damages: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Rows with the damage of their setting, and where both stand in the table."""
    pairs = damages.reset_index(names="damage_index")[[*on, "damage_index", "value"]]
    pairs = pairs.rename(columns={"value": "damage"})
    return rows.reset_index().merge(pairs, on=on, how="left")


def _best_layer(rows: pd.DataFrame) -> int:
    """Where the effect is largest at an allowed damage, or the damage is least."""
    allowed = rows[(rows["damage"] <= ALLOWED) & rows["value"].notna()]
    if len(allowed):
        allowed = allowed.sort_values("value", ascending=False, kind="stable")
        return int(allowed["layer"].iloc[0])
    return int(rows.sort_values("damage", kind="stable")["layer"].iloc[0])


def _words(table: pd.DataFrame, points: pd.DataFrame, name: str) -> str:
    """What a panel shows, with its main numbers."""
    chosen = recommended_of(table, name)
    here = points[points["panel"] == name]
    if chosen is not None:
        ringed = records(here[here["ring"]].head(1))
        if ringed:
            at = ringed[0]
            moved = with_interval(at["value"], at["low"], at["high"], unit="standard deviations")
            cost = with_interval(at["damage"], math.nan, math.nan, unit="nats")
            cost = cost.replace(" (no interval)", "")
            return f"{visible(name)}: recommended is {setting_name(chosen)}, {moved} at {cost}."
    best = here[(here["damage"] <= ALLOWED) & here["value"].notna() & (here["method"] != "random")]
    if best.empty:
        return f"{visible(name)}: {NO_VALUES}; nothing is recommended."
    row = records(best.loc[[best["value"].idxmax()]])[0]
    moved = with_interval(row["value"], row["low"], row["high"], unit="standard deviations")
    return f"{visible(name)}: nothing is recommended; at most {moved}, {setting_name(row)}."


def _panels(points: pd.DataFrame, directions: list[str]) -> Any:
    drawn = with_whole_intervals(points).assign(
        panel=points["panel"].map(visible),
        series=[METHODS.get(name, visible(name)) for name in points["method"]],
        size=_sizes(points["coefficient"]),
    )
    drawn = drawn.sort_values(["layer", "coefficient"], kind="stable")
    columns = ["panel", "series", "damage", "value", "low", "high", "coefficient", "size", "ring"]
    data = inline(drawn[columns])
    shown = [name for name in METHOD_STYLES if (drawn["series"] == name).any()]
    base = alt.Chart(data).encode(
        x=damage_axis(points["damage"], column="damage", wide=False)[0],
        y=_up(drawn),
        color=alt.Color("series:N", scale=alt.Scale(
            domain=shown, range=[METHOD_STYLES[name].colour for name in shown],
        ), legend=method_legend()),
    )  # fmt: skip
    above = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=3, labelLimit=_WIDTH)
    return (
        alt.layer(*_marks(base, shown))
        .properties(width=_WIDTH, height=_HEIGHT)
        .facet(
            facet=alt.Facet("panel:N", sort=[visible(d) for d in directions], title=None,
                            header=above),
            columns=2,
            spacing={"row": 12, "column": 12},
        )
    )  # fmt: skip


def _marks(base: Any, shown: list[str]) -> list[Any]:
    """From back to front: the limit, zero, random directions, lines, intervals, points, ring."""
    random = "datum.series === 'random directions'"
    limit = base.mark_rule(color=MUTED, strokeDash=[1, 3]).encode(
        x=alt.datum(ALLOWED), y=alt.value(0), y2=alt.value(_HEIGHT), color=alt.value(MUTED)
    )
    zero = base.mark_rule(color=MUTED).encode(
        y=alt.datum(0), x=alt.value(0), x2=alt.value(_WIDTH), color=alt.value("#9a9a9a")
    )
    ranges = base.transform_filter(random).mark_rule(
        strokeWidth=5, opacity=0.45, clip=True
    ).encode(y="low:Q", y2="high:Q")  # fmt: skip
    own = base.transform_filter(f"!({random})")
    dashes = alt.Scale(domain=shown, range=[list(METHOD_STYLES[name].dash) for name in shown])
    shapes = alt.Scale(domain=shown, range=[METHOD_STYLES[name].shape for name in shown])
    lines = own.mark_line(strokeWidth=1.6, clip=True).encode(
        strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=None), order="coefficient:Q"
    )
    intervals = own.mark_rule(strokeWidth=1.2, opacity=0.75, clip=True).encode(
        y="low:Q", y2="high:Q"
    )
    dots = own.mark_point(filled=True, opacity=1, clip=True).encode(
        shape=alt.Shape("series:N", scale=shapes, legend=method_legend()),
        size=alt.Size("size:Q", scale=None),
    )
    ring = base.transform_filter("datum.ring").mark_point(
        filled=False, size=190, strokeWidth=1.8, shape="circle", opacity=1, clip=True
    ).encode(color=alt.value(INK))  # fmt: skip
    return [limit, zero, ranges, lines, intervals, dots, ring]


def _sizes(coefficients: pd.Series) -> pd.Series:
    """Area of each point: larger for longer vectors, middling for what has no length."""
    lengths = coefficients.where(coefficients > 0)
    share = (lengths.rank(method="dense") - 1) / max(lengths.nunique() - 1, 1)
    return (18 + 40 * share).fillna(40)


def _up(rows: pd.DataFrame) -> alt.Y:
    return alt.Y(
        "value:Q",
        title=EFFECT_TITLE,
        scale=alt.Scale(domain=effect_domain(rows), nice=False),
        axis=alt.Axis(format="~g", tickCount=5),
    )
