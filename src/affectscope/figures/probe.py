"""Figures of ``probe``: where the emotion can be read off the activations."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import Figure, finished, need_columns, of_all_items
from affectscope.figures.layers import (
    Reference,
    describe_extremes,
    layer_curves,
    layer_heatmap,
    shares_end,
)
from affectscope.figures.wording import percent

_COLUMNS = ("metric", "site", "layer", "value", "low", "high", "n")


def probe_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``probe``, by file name."""
    return {name: figure.chart for name, figure in probe_figures(table).items()}


def probe_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``probe``, by file name."""
    need_columns(table, _COLUMNS, "probe")
    table = of_all_items(table)
    rows = table[(table["metric"] == "accuracy") & (table["layer"] >= 0)]
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
    grid = layer_heatmap(rows, value_title="share of held-out items named right")
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
                "can be read there, not that the model uses it."
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
    return figures


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
