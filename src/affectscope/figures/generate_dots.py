"""Dots of ``generate``, a row a direction: damage at equal effect, and what is recommended."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import NO_VALUES, Figure, finished, records
from affectscope.figures.signed_dots import signed_dots
from affectscope.figures.steered import (
    EFFECT_TITLE,
    METHOD_STYLES,
    METHODS,
    SETTING,
    damage_axis,
    effect_domain,
    in_order,
    recommended_of,
    setting_name,
    with_whole_intervals,
)
from affectscope.figures.theme import CALIBRATED, RAW, SeriesStyle
from affectscope.figures.wording import visible, with_interval

_READERS = {"judge of words": CALIBRATED, "model's own probes": RAW}

_KINDS: dict[str, str] = {
    "continue": "a text gone on with",
    "answer": "an answer",
    "story": "a story",
    "report": "a report of given facts",
}
_KIND_COLOURS = ("#0072b2", "#d55e00", "#117a5a", "#882255")
_KIND_SHAPES = ("circle", "square", "triangle-up", "diamond")

_SD = "standard deviations"
_LEFT, _RIGHT = 130, 70


def matched(table: pd.DataFrame) -> Figure | None:
    """Damage at an effect of half a standard deviation; None where it was not asked."""
    rows = table[table["metric"] == "matched_damage"]
    if rows.empty:
        return None
    drawn = rows.assign(series=[METHODS.get(name, visible(name)) for name in rows["method"]])
    numbers = pd.concat([drawn["value"], drawn["high"]])
    x, end = damage_axis(numbers, column="value", wide=True)
    reached = drawn["value"].notna()
    drawn = drawn.assign(
        low=drawn["low"].where(reached),
        high=drawn["high"].where(_finite(drawn["high"]) | drawn["low"].isna(), end),
        text=np.where(reached, "", "not reached"),
    )
    shown = [name for name in METHOD_STYLES if (drawn["series"] == name).any()]
    title = "Damage at half a standard deviation"
    return finished(
        signed_dots(drawn, {name: METHOD_STYLES[name] for name in shown}, x, row_height=13),
        title=title,
        subtitle="each way of steering at the layer where it does least",
        rows=rows,
        caption=(
            "The least damage at which the judge's reading moves by half a standard deviation as "
            "meant, between the lengths tried; less is better. With 95 % intervals; one that runs "
            "to the edge has no upper end, since some draws of prompts never reach the effect. A "
            "way that does not reach it at any length tried says so."
        ),
        alt_text=f"Dots, one row a direction. {title}. {_matched_words(rows)}",
    )


def _finite(values: pd.Series) -> pd.Series:
    return pd.Series(np.isfinite(values.to_numpy(dtype=float)), index=values.index)


def _matched_words(rows: pd.DataFrame) -> str:
    said = []
    for name in in_order(rows["direction"]):
        of = rows[rows["direction"] == name].sort_values("value", kind="stable")
        ways = [
            f"{METHODS.get(row['method'], visible(row['method']))} "
            f"{with_interval(row['value'], row['low'], row['high'], unit='nats')}"
            for row in records(of[of["value"].notna()])
        ]
        missed = [METHODS.get(m, visible(m)) for m in of.loc[of["value"].isna(), "method"]]
        if not ways:
            said.append(f"{visible(name)}: reached by none.")
            continue
        rest = f"; not reached by {', '.join(missed)}" if missed else ""
        said.append(f"{visible(name)}: {'; '.join(ways)}{rest}.")
    return " ".join(said)


def recommended(table: pd.DataFrame) -> Figure | None:
    """What the recommended settings do; None where nothing is recommended."""
    rows = table[table["metric"].str.startswith("recommended_")]
    if rows.empty:
        return None
    readers = {"recommended_effect": 0, "recommended_own_effect": 1}
    names = list(_READERS)
    drawn = rows.assign(
        category=[f"{visible(row['direction'])}\n{setting_name(row)}" for row in records(rows)]
    )
    effects = drawn[drawn["metric"].isin(readers)]
    effects = effects.assign(series=[names[readers[m]] for m in effects["metric"]])
    wrong = drawn[drawn["metric"] == "recommended_wrong_way"].assign(series=names[0])
    title = "What the recommended settings do"
    left = signed_dots(effects, _READERS, _effect_axis(effects), width=_LEFT, row_height=20)
    plot = left
    if len(wrong):
        share = alt.X(
            "value:Q",
            title="wrong way",
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=alt.Axis(format=".0%", values=[0, 0.5, 1]),
        )
        right = signed_dots(
            wrong, _READERS, share, width=_RIGHT, row_height=40, labels=False, level=0.5
        )
        plot = alt.hconcat(left, right, spacing=12)
    return finished(
        plot,
        title=title,
        subtitle="on prompts that they were not chosen on",
        rows=rows,
        caption=(
            "Under each direction (+ more of it, - less) is its setting. Left: how far two readers "
            "say that the texts move as meant, in standard deviations of unsteered texts. Right: "
            "the share of texts that the judge reads as moved against what was meant; half would "
            f"be chance. With 95 % intervals.{_judged(table)}"
        ),
        alt_text=f"Dots, one row a direction. {title}. {_recommended_words(rows)}",
    )


def _judged(table: pd.DataFrame) -> str:
    """How well the judge reads each target, in a sentence; nothing where it is not known."""
    rows = table[(table["metric"] == "judge_r2") & table["value"].notna()]
    directed = set(table.loc[table["direction"] != "", "target"])
    rows = rows[rows["target"].isin(directed)]
    if rows.empty:
        return ""
    each = ", ".join(f"{visible(row['target'])} {row['value']:.2f}" for row in records(rows))
    return f" The judge's share of explained variance on texts that it had not seen: {each}."


def _recommended_words(rows: pd.DataFrame) -> str:
    said = []
    for name in in_order(rows["direction"]):
        of = rows[rows["direction"] == name].drop_duplicates("metric").set_index("metric")
        row = records(of)[0]
        number = {str(metric): each for metric, each in zip(of.index, records(of), strict=True)}
        parts = [
            f"{word} {with_interval(each['value'], each['low'], each['high'], unit=unit)}"
            for metric, word, unit in (
                ("recommended_effect", "judge", _SD),
                ("recommended_own_effect", "own probes", _SD),
                ("recommended_wrong_way", "wrong way", "%"),
                ("recommended_damage", "damage", "nats"),
            )
            if (each := number.get(metric)) is not None
        ]
        said.append(f"{visible(name)} ({setting_name(row)}): {'; '.join(parts)}.")
    return " ".join(said)


def by_kind(table: pd.DataFrame) -> Figure | None:
    """Effect of the recommended settings by kind of prompt; None where nothing is recommended."""
    rows = table[(table["metric"] == "effect_of_kind") & (table["reader"] == "judge")]
    chosen = {name: recommended_of(table, name) for name in in_order(rows["direction"])}
    at = [
        (found := chosen[row["direction"]]) is not None
        and all(found[key] == row[key] for key in SETTING)
        for row in records(rows)
    ]
    rows = rows[at]
    if rows.empty:
        return None
    kinds = [
        *(k for k in _KINDS if k in set(rows["kind"])),
        *sorted(set(rows["kind"]) - set(_KINDS)),
    ]
    names = {kind: _KINDS.get(kind, visible(kind)) for kind in kinds}
    styles = {
        name: SeriesStyle(_KIND_COLOURS[k % 4], (1, 0), _KIND_SHAPES[k % 4])
        for k, name in enumerate(names.values())
    }
    title = "Recommended settings, by kind of prompt"
    words = " ".join(
        _kind_words(rows[rows["direction"] == name], names) for name in in_order(rows["direction"])
    )
    drawn = rows.assign(series=rows["kind"].map(names))
    return finished(
        signed_dots(drawn, styles, _effect_axis(drawn), row_height=13),
        title=title,
        rows=rows,
        caption=(
            "How far the judge's reading moves as meant, in standard deviations of unsteered "
            "texts, with 95 % intervals, for each kind of prompt that is written from. All prompts "
            "count, those too that the settings were chosen on."
        ),
        alt_text=f"Dots, one row a direction. {title}. {words}",
    )


def _kind_words(rows: pd.DataFrame, names: Mapping[str, str]) -> str:
    defined = rows[rows["value"].notna()]
    name = visible(rows["direction"].iloc[0])
    if defined.empty:
        return f"{name}: {NO_VALUES}."
    ends = records(defined.loc[[defined["value"].idxmax(), defined["value"].idxmin()]])
    most, least = (
        f"{names[row['kind']]} {with_interval(row['value'], row['low'], row['high'], unit=_SD)}"
        for row in ends
    )
    return f"{name}: most in {most}; least in {least}."


def _effect_axis(rows: pd.DataFrame) -> alt.X:
    return alt.X(
        "value:Q",
        title=EFFECT_TITLE,
        scale=alt.Scale(domain=effect_domain(with_whole_intervals(rows)), nice=False),
        axis=alt.Axis(format="~g", tickCount=4),
    )
