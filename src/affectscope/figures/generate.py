"""Figures of ``generate``: effect against damage, matched damage, what to use, and fluency."""

from __future__ import annotations

import altair as alt
import pandas as pd

from affectscope.figures.figure import Figure, need_columns
from affectscope.figures.fluency import fluency
from affectscope.figures.frontier import frontier
from affectscope.figures.generate_dots import by_kind, matched, recommended

_COLUMNS = (
    *("metric", "direction", "reader", "method", "target", "sign", "layer", "coefficient"),
    *("draw", "kind", "value", "low", "high", "n", "p"),
)


def generate_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``generate``, by file name."""
    return {name: figure.chart for name, figure in generate_figures(table).items()}


def generate_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``generate``, by file name."""
    need_columns(table, _COLUMNS, "generate")
    table = table.reset_index(drop=True)
    made = {
        "generate_frontier": frontier(table),
        "generate_matched": matched(table),
        "generate_recommended": recommended(table),
        "generate_fluency": fluency(table),
        "generate_kinds": by_kind(table),
    }
    return {name: figure for name, figure in made.items() if figure is not None}
