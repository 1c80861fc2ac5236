"""Figures of ``patch``: which activations carry the answer from one text to another."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import Figure, finished, need_columns
from affectscope.figures.layers import Reference, describe_extremes, layer_curves
from affectscope.figures.maps import site_map
from affectscope.figures.outcomes import OUTCOMES, outcome_panels
from affectscope.figures.patch_parts import (
    direction_figure,
    emotion_figure,
    head_figure,
    position_figure,
    span_figure,
)
from affectscope.figures.spans import main_span, only
from affectscope.vocabulary import head_of

_COLUMNS = ("metric", "site", "layer", "span", "value", "low", "high", "n")


def patch_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``patch``, by file name."""
    return {name: figure.chart for name, figure in patch_figures(table).items()}


def patch_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``patch``, by file name.

    The main window first; then other windows, tokens, single heads, the other direction, and
    emotions, as far as the table has them.
    """
    need_columns(table, _COLUMNS, "patch")
    if table.empty:
        return {}
    span = main_span(table)
    is_head = table["site"].map(lambda site: head_of(site) is not None).astype(bool)
    heads, sites = table[is_head], table[~is_head]
    sufficient = only(sites, direction="sufficient")
    windows = only(sufficient, position=-1)
    main = windows[windows["span"] == span]
    source = main[main["metric"] == "source"]
    parts = {
        "patch_layers": (_transfer, source),
        "patch_heatmap": (_map, source),
        "patch_outcomes": (_outcomes, main[main["metric"].isin(OUTCOMES)]),
        "patch_recovered": (_recovered, main[main["metric"] == "recovered"]),
        "patch_spans": (span_figure, windows[windows["metric"] == "source"]),
        "patch_positions": (position_figure, _of(sufficient, span, "recovered")),
        "patch_heads": (head_figure, heads[heads["metric"] == "recovered"]),
        "patch_directions": (direction_figure, _both_directions(sites, span)),
        "patch_emotions": (emotion_figure, main[main["metric"] == "source_by_pair"]),
    }
    made = {name: make(rows) for name, (make, rows) in parts.items() if len(rows)}
    return {name: figure for name, figure in made.items() if figure is not None}


def _of(rows: pd.DataFrame, span: int, metric: str) -> pd.DataFrame:
    return rows[(rows["span"] == span) & (rows["metric"] == metric)]


def _both_directions(sites: pd.DataFrame, span: int) -> pd.DataFrame:
    """The answers carried over, and the answers broken, of the main window."""
    if "direction" not in sites.columns:
        return sites.iloc[:0]
    here = sites[(sites["span"] == span) & (sites["position"] == -1)]
    sufficient = (here["direction"] == "sufficient") & (here["metric"] == "source")
    return here[sufficient | (here["metric"] == "broken")]


def _subtitle(rows: pd.DataFrame) -> str:
    span = int(rows["span"].iloc[0])
    window = f"window of {span} layers around the one shown" if span != 1 else "one layer at a time"
    return f"{window}; {int(rows['n'].max())} pairs"


def _transfer(rows: pd.DataFrame) -> Figure:
    title = "Answers that follow the patched-in activation"
    text = f"Line chart by layer. {title}: {describe_extremes(rows, 'highest')}."
    plot = layer_curves(rows, y_title="share of pairs, source's emotion")
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            "A source text's activation replaces a target text's at the last token; the two differ "
            "in emotion. The curve is the share of pairs for which the model then answers the "
            "source's emotion; bands are 95 % intervals, large points the peak of each site. The "
            "same pairs are used at every layer. Where attn_out peaks, attention brings the "
            "emotion in; resid_post carries all that has been gathered so far."
        ),
        alt_text=text,
    )


def _map(rows: pd.DataFrame) -> Figure:
    title = "Transfer by layer and site"
    text = f"Map of layer by site. {title}: {describe_extremes(rows, 'highest')}."
    plot = site_map(rows, value_title="share of pairs, source's emotion")
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption="The same shares side by side: the darker, the more answers follow the source.",
        alt_text=text,
    )


def _outcomes(rows: pd.DataFrame) -> Figure:
    title = "What the model answers after patching"
    by_outcome = "; ".join(
        f"{outcome}: {describe_extremes(rows[rows['metric'] == outcome], 'highest')}"
        for outcome in OUTCOMES
        if (rows["metric"] == outcome).any()
    )
    text = f"Line charts by layer, one for each site. {title}. {by_outcome}."
    return finished(
        outcome_panels(rows),
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            "The three outcomes add up to 100 % at each layer: the answer becomes the source's "
            "emotion, stays the target's, or is neither. Much of neither means that the patch "
            "breaks the answer rather than carrying it over. Bands are 95 % intervals."
        ),
        alt_text=text,
    )


def _recovered(rows: pd.DataFrame) -> Figure:
    title = "Logit difference recovered by patching"
    text = f"Line chart by layer. {title}: {describe_extremes(rows, 'highest')}."
    numbers = rows[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = min([0.0, *numbers]), max([1.0, *numbers])
    room = 0.04 * (high - low)
    plot = layer_curves(
        rows,
        y_title="share of the logit difference",
        domain=(low - room * (low < 0), high + room),
        references=[Reference(1.0, "the source's own pass", "below, left")],
    )
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            "How far the patch moves the difference between the scores of the source's and the "
            "target's emotion, from the target's own pass (0 %) to the source's own (100 %). It "
            "shows movement that is too small to change the answer; values below 0 % move it the "
            "other way. Bands are 95 % intervals."
        ),
        alt_text=text,
    )
