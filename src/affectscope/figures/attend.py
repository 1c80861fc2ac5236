"""Figures of ``attend``: what the last token looks at, and what happens when it may not."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from affectscope.figures.figure import (
    NO_VALUES,
    Figure,
    finished,
    need_columns,
    of_all_items,
    records,
)
from affectscope.figures.kinds import head_map, kind_dots, kind_name, kind_panels, kinds_of
from affectscope.figures.layers import Unit
from affectscope.figures.theme import SeriesStyle
from affectscope.figures.wording import percent, with_interval

_COLUMNS = (
    *("metric", "kind", "blocked", "layer", "head", "span", "value", "low", "high", "n"),
    "p",
)
_MEAN = SeriesStyle("#0072b2", (1, 0), "circle")
_STRONGEST = SeriesStyle("#b3541e", (4, 2), "diamond")
_KIND = SeriesStyle("#882255", (1, 0), "circle")
_RANDOM = SeriesStyle("#7a7a7a", (3, 2), "triangle-up")


def attend_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``attend``, by file name."""
    return {name: figure.chart for name, figure in attend_figures(table).items()}


def attend_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``attend``, by file name."""
    need_columns(table, _COLUMNS, "attend")
    table = of_all_items(table)
    by_metric = {str(metric): rows for metric, rows in table.groupby("metric", sort=False)}
    windows = table[(table["blocked"] != "") & (table["layer"] >= 0)]
    figures: dict[str, Figure] = {}
    if {"weight", "weight_max"} <= set(by_metric):
        figures["attend_layers"] = _looked(by_metric["weight"], by_metric["weight_max"])
    if "most_attended" in by_metric:
        figures["attend_most"] = _most(by_metric["most_attended"].query("kind != 'special'"))
    heads = by_metric.get("head_weight", table.iloc[:0])
    for kind in ("content", "shot_label"):
        if (heads["kind"] == kind).any():
            figures[f"attend_heads_{kind}"] = _heads(heads[heads["kind"] == kind], kind)
    for metric, draw in (("kl", _divergence), ("agreement", _kept)):
        rows = windows[windows["metric"] == metric]
        if len(rows):
            figures[f"attend_knockout_{metric}"] = draw(rows)
    everywhere = table[
        (table["layer"] < 0) & (table["metric"] == "agreement") & table["value"].notna()
    ]
    if len(everywhere):
        figures["attend_all_layers"] = _everywhere(everywhere)
    return figures


def _highest(rows: pd.DataFrame, which: str = "highest", *, unit: Unit = "%") -> str:
    """A clause for each kind: where its curve is highest (lowest)."""
    clauses = []
    for kind in kinds_of(rows):
        values = rows[(rows["kind"] == kind) & rows["value"].notna()].sort_values("layer")
        if values.empty:
            continue
        found = values["value"].argmax() if which == "highest" else values["value"].argmin()
        row = values.iloc[int(found)]
        number = with_interval(row["value"], row["low"], row["high"], unit=unit)
        clauses.append(f"{kind_name(kind)}: {which} at layer {int(row['layer'])} with {number}")
    return "; ".join(clauses) if clauses else NO_VALUES


def _items(rows: pd.DataFrame) -> str:
    return f"{int(rows['n'].max())} items"


def _looked(mean: pd.DataFrame, strongest: pd.DataFrame) -> Figure:
    title = "What the last token attends to"
    series = {"mean over heads": _MEAN, "strongest head": _STRONGEST}
    rows = pd.concat(
        [part.assign(series=name) for part, name in zip((mean, strongest), series, strict=True)],
        ignore_index=True,
    )
    return finished(
        kind_panels(rows, series, y_title="share of attention", domain=(0, 1)),
        title=title,
        subtitle=_items(rows),
        rows=rows.drop(columns="series"),
        caption=(
            "At each layer, the share of the last token's attention that goes to each kind of "
            "token: means over items, with 95 % intervals. The means over heads add up to 100 %. "
            "Attention that has nowhere to go rests on the first token. Kinds differ in how many "
            "tokens they have; the table gives the weight per token as well."
        ),
        alt_text=f"Line charts by layer, one for each kind of token. {title}: {_highest(mean)}.",
    )


def _most(rows: pd.DataFrame) -> Figure:
    title = "The token attended to most, by kind"
    text = f"Line charts by layer, one for each kind of token. {title}: {_highest(rows)}."
    plot = kind_panels(
        rows.assign(series=title), {title: _MEAN}, y_title="share of items", domain=(0, 1)
    )
    return finished(
        plot,
        title=title,
        subtitle=_items(rows),
        rows=rows,
        caption=(
            "At each layer, for what share of items the token with the largest weight in any head "
            "is of this kind; the first token and special tokens aside (the measure of Tak et al. "
            "2025). Bands are 95 % intervals."
        ),
        alt_text=text,
    )


def _heads(rows: pd.DataFrame, kind: str) -> Figure:
    title = f"Heads that attend to: {kind_name(kind)}"
    most = NO_VALUES
    if rows["value"].notna().any():
        best = rows.iloc[int(rows["value"].argmax())]
        number = with_interval(best["value"], best["low"], best["high"])
        most = f"most at layer {int(best['layer'])}, head {int(best['head'])}, with {number}"
    return finished(
        head_map(rows),
        title=title,
        subtitle=_items(rows),
        rows=rows,
        caption=(
            "The share of the last token's attention that each head gives to these tokens, a mean "
            "over items: the darker, the more."
        ),
        alt_text=f"Map of layer by head. {title}: {most}.",
    )


_BLOCKED = {"kind": "this kind blocked", "random": "as many random tokens"}
_CASES = {_BLOCKED["kind"]: _KIND, _BLOCKED["random"]: _RANDOM}


def _knocked(rows: pd.DataFrame, **options: Any) -> Any:
    return kind_panels(rows.assign(series=rows["blocked"].map(_BLOCKED)), _CASES, **options)


def _window(rows: pd.DataFrame) -> str:
    span = int(rows["span"].iloc[0])
    window = f"window of {span} layers around the one shown" if span != 1 else "one layer at a time"
    return f"{window}; {_items(rows)}"


def _divergence(rows: pd.DataFrame) -> Figure:
    title = "How far answers move when a kind is not seen"
    found = _highest(rows[rows["blocked"] == "kind"], unit="nats")
    return finished(
        _knocked(rows, y_title="KL, nats", unit="nats"),
        title=title,
        subtitle=_window(rows),
        rows=rows,
        caption=(
            "The last token's attention to one kind of token is knocked out in a window of layers. "
            "Curves are the Kullback-Leibler divergence of its distribution over the labels from "
            "the undisturbed one, on a scale of roots, with 95 % intervals; the grey dashed curve "
            "blocks as many random tokens of the same prompt instead. A kind matters more than its "
            "number of tokens alone would where its curve lies above the grey one; the table has "
            "the difference and its p value, adjusted for all layers and kinds."
        ),
        alt_text=f"Line charts by layer, one for each kind of token. {title}: {found}.",
    )


def _kept(rows: pd.DataFrame) -> Figure:
    title = "Answers kept when a kind is not seen"
    found = _highest(rows[rows["blocked"] == "kind"], "lowest")
    return finished(
        _knocked(rows, y_title="same answer", domain=(0, 1)),
        title=title,
        subtitle=_window(rows),
        rows=rows,
        caption=(
            "The share of items whose answer stays the same while the last token's attention to "
            "one kind of token is knocked out in a window of layers, and (grey, dashed) to as many "
            "random tokens of the same prompt. Bands are 95 % intervals."
        ),
        alt_text=f"Line charts by layer, one for each kind of token. {title}: {found}.",
    )


def _everywhere(rows: pd.DataFrame) -> Figure:
    title = "Answers kept when no layer sees a kind"
    clauses = [
        f"{kind_name(row['kind'])} ({_BLOCKED[row['blocked']]}): {percent(row['value'])}"
        for row in records(rows)
    ]
    return finished(
        kind_dots(rows.assign(series=rows["blocked"].map(_BLOCKED)), _CASES),
        title=title,
        subtitle=_items(rows),
        rows=rows,
        caption=(
            "The last token sees no token of this kind at any layer; beside it, as many random "
            "tokens of the same prompt that it does not see. What it has not seen itself it may "
            "still learn from tokens that have. Lines are 95 % intervals."
        ),
        alt_text=f"Dot chart. {title}: {'; '.join(clauses)}.",
    )
