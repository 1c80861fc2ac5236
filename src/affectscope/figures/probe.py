"""Figures of ``probe``: where the emotion can be read off the activations."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import Figure, finished, need_columns, of_all_items
from affectscope.figures.layers import (
    Reference,
    describe_extremes,
    layer_curves,
    shares_end,
)
from affectscope.figures.maps import layer_map, site_map
from affectscope.figures.panels import curve_panels
from affectscope.figures.spans import only
from affectscope.figures.theme import SeriesStyle, in_site_order
from affectscope.figures.wording import percent, visible

_COLUMNS = ("metric", "site", "layer", "value", "low", "high", "n")

LEVEL = 0.05
"""The largest p of a layer at which the emotion counts as read above chance."""

_PROBE_STYLES = {
    "linear": SeriesStyle("#0072b2", (1, 0), "circle"),
    "non-linear": SeriesStyle("#b3541e", (4, 2), "diamond"),
}


def probe_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``probe``, by file name."""
    return {name: figure.chart for name, figure in probe_figures(table).items()}


def probe_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``probe``, by file name."""
    need_columns(table, _COLUMNS, "probe")
    table = of_all_items(table)
    read = table[(table["metric"] == "accuracy") & (table["layer"] >= 0)]
    rows = only(read, probe="linear", position=-1)
    if rows.empty:
        return {}
    baseline = table[table["metric"] == "baseline"]
    references = [
        Reference(value, f"most frequent label {percent(value)}")
        for value in baseline["value"].head(1)
    ]
    selective = table[table["metric"] == "selectivity"]
    found = describe_extremes(rows, "highest")
    compared = f" {references[0].text}." if references else ""
    title = "How well a linear probe reads the emotion"
    lines_text = f"Line chart by layer. {title}: {found}.{compared}"
    map_text = f"Map of layer by site. {title}: {found}."
    curves = layer_curves(rows, y_title="share of held-out items", references=references)
    grid = site_map(rows, value_title="share of held-out items named right")
    figures = {
        "probe_layers": finished(
            curves,
            title=title,
            rows=pd.concat([rows, baseline]),
            caption=(
                "For every layer and site, the share of items never trained on whose emotion a "
                "linear classifier names right from the activation alone. Bands are 95 % "
                "intervals, large points the best layer of each site, and the dashed line is what "
                "always naming the most frequent label gives. High values say that the emotion "
                "can be read there, not that the model uses it." + _significance(rows)
            ),
            alt_text=lines_text,
        ),
        "probe_heatmap": finished(
            grid,
            title="Probe accuracy by layer and site",
            rows=rows,
            caption="The same accuracies side by side: the darker, the better the probe reads.",
            alt_text=map_text,
        ),
    }
    if len(selective):
        figures["probe_selectivity"] = _selectivity(selective)
    if "probe" in read.columns and (read["probe"] == "mlp").any():
        figures["probe_mlp"] = _both_probes(only(read, position=-1), references)
    if "position" in read.columns and read["position"].nunique() > 1:
        figures["probe_positions"] = _by_position(only(read, probe="linear"))
    return figures


def _significance(rows: pd.DataFrame) -> str:
    """At how many layers the emotion can be read above chance, where that was tested."""
    if "p" not in rows.columns or rows["p"].isna().all():
        return ""
    counts = rows["p"].le(LEVEL).groupby(rows["site"]).sum()
    found = ", ".join(
        f"{visible(site)} {counts[site]} of {int((rows['site'] == site).sum())}"
        for site in in_site_order(rows["site"].tolist())
    )
    return (
        f" Layers at which it can be read above chance (p at most {LEVEL:g} over all layers and "
        f"sites together): {found}."
    )


def _selectivity(rows: pd.DataFrame) -> Figure:
    title = "What the probe reads beyond what it could learn"
    numbers = rows[["low", "value"]].to_numpy(dtype=float)
    lowest = min(numbers[np.isfinite(numbers)], default=0.0)
    bottom = next((end for end in (0.0, -0.1, -0.2, -0.4) if lowest >= end), -1.0)
    return finished(
        layer_curves(
            rows,
            y_title="accuracy minus control accuracy",
            domain=(bottom, shares_end(rows)),
            references=[Reference(0.0, "nothing beyond")] if bottom < 0 else (),
        ),
        title=title,
        rows=rows,
        caption=(
            "Selectivity: the probe's accuracy on the emotions minus that of the same probe on "
            "control labels, drawn at random for every text's last word. Bands are 95 % intervals; "
            "at zero the probe reads no more than it could have learnt by recognising words."
        ),
        alt_text=f"Line chart by layer. {title}: {describe_extremes(rows, 'highest')}.",
    )


def _both_probes(rows: pd.DataFrame, references: Sequence[Reference]) -> Figure:
    title = "A linear and a non-linear probe"
    sites = in_site_order(rows["site"].tolist())
    named = rows["probe"].map({"linear": "linear", "mlp": "non-linear"})
    prior = f" ({references[0].text})" if references else ""
    found = "; ".join(
        f"{name}: {describe_extremes(rows[named == name], 'highest')}" for name in _PROBE_STYLES
    )
    return finished(
        curve_panels(
            rows.assign(panel=rows["site"], series=named),
            panels=sites,
            styles=_PROBE_STYLES,
            y_title="share of held-out items",
            domain=(0.0, shares_end(rows)),
        ),
        title=title,
        rows=rows,
        caption=(
            "The accuracy of the linear probe beside that of a small neural network on the same "
            f"activations at the last token{prior}. Where the network reads more, the emotion is "
            "there in a form that no straight line separates. Bands are 95 % intervals."
        ),
        alt_text=f"Line charts by layer, one for each site. {title}. {found}.",
    )


def _by_position(rows: pd.DataFrame) -> Figure:
    title = "From which of the last tokens it can be read"
    positions = sorted(rows["position"].unique(), reverse=True)
    sites = in_site_order(rows["site"].tolist())
    found = "; ".join(
        f"token {position}: {describe_extremes(rows[rows['position'] == position], 'highest')}"
        for position in positions
    )
    return finished(
        layer_map(
            rows.assign(down=rows["position"].astype(str), panel=rows["site"]),
            order=[str(position) for position in positions],
            down_title="token",
            value_title="share of held-out items named right",
            panels=sites,
        ),
        title=title,
        rows=rows,
        caption=(
            "The linear probe's accuracy at each of the last tokens of the prompt, -1 being the "
            "last, where the answer is read off: the darker, the better the probe reads."
        ),
        alt_text=f"Maps of layer by token, one for each site. {title}. {found}.",
    )
