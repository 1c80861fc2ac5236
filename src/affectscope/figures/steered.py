"""What figures of steering share: names, styles and scales of ways, damages and effects."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.figure import records
from affectscope.figures.theme import SeriesStyle
from affectscope.figures.wording import visible

METHODS: dict[str, str] = {
    "means": "difference of means",
    "probe": "probe",
    "held": "probe, others held",
    "prompt": "asked in words",
    "random": "random directions",
}
"""Ways of steering, as figures name them."""

_BAR = "M-0.25,-1L0.25,-1L0.25,1L-0.25,1Z"

METHOD_STYLES: dict[str, SeriesStyle] = {
    "difference of means": SeriesStyle("#0072b2", (1, 0), "circle"),
    "probe": SeriesStyle("#d55e00", (6, 3), "square"),
    "probe, others held": SeriesStyle("#117a5a", (2, 2), "triangle-up"),
    "asked in words": SeriesStyle("#882255", (8, 2, 2, 2), "diamond"),
    "random directions": SeriesStyle("#8a8a8a", (3, 4), _BAR),
}

ALLOWED = 0.5
"""The damage, in nats a token, beyond which no setting is recommended."""

SETTING = ["method", "layer", "coefficient"]

DAMAGE_TITLE = "damage, nats a token"

EFFECT_TITLE = "effect, SD"

_FEW_TICKS = (0.0, 0.1, 0.5, 2.0, 10.0)
_MANY_TICKS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_MOST = 5.0
"""Effects beyond this, in standard deviations, are cut: their texts have long collapsed."""


def in_order(values: pd.Series) -> list[str]:
    """Distinct texts as they first come."""
    return list(dict.fromkeys(values.astype(str)))


def recommended_of(table: pd.DataFrame, direction: str) -> dict[str, Any] | None:
    """The row of a direction's recommended setting; None where there is none."""
    rows = table[(table["metric"] == "recommended_effect") & (table["direction"] == direction)]
    return records(rows.head(1))[0] if len(rows) else None


def setting_name(row: dict[str, Any]) -> str:
    """A setting in a few words: ``means, layer 22, 0.2``."""
    return f"{visible(row['method'])}, layer {int(row['layer'])}, {row['coefficient']:g}"


def with_whole_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose interval lacks an end left without one: no bar runs to where nothing is."""
    ends = rows[["low", "high"]].to_numpy(dtype=float)
    gone = ~np.isfinite(ends).all(axis=1)
    return rows.assign(
        low=np.where(gone, np.nan, ends[:, 0]), high=np.where(gone, np.nan, ends[:, 1])
    )


def damage_axis(numbers: pd.Series, *, column: str, wide: bool) -> tuple[alt.X, float]:
    """An axis on which small damages are seen beside large ones, and where it ends."""
    finite = numbers[np.isfinite(numbers.to_numpy(dtype=float))]
    end = 1.4 * max(float(finite.max()) if len(finite) else 0.0, ALLOWED)
    ticks = [tick for tick in (_MANY_TICKS if wide else _FEW_TICKS) if tick <= end]
    axis = alt.X(
        f"{column}:Q",
        title=DAMAGE_TITLE,
        scale=alt.Scale(type="symlog", constant=0.05, domain=[0, end], nice=False),
        axis=alt.Axis(values=ticks, format="~g", grid=wide),
    )
    return axis, end


def effect_domain(rows: pd.DataFrame) -> list[float]:
    """From the least to the largest effect drawn, 0 among them, far ones cut."""
    numbers = rows[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = np.clip(numbers[np.isfinite(numbers)], -_MOST, _MOST)
    low, high = min([-0.25, *numbers]), max([0.5, *numbers])
    pad = 0.05 * (high - low)
    return [float(low - pad), float(high + pad)]


def method_legend() -> alt.Legend:
    """Of ways of steering: their colours and shapes, whatever the marks."""
    return alt.Legend(
        title=None,
        orient="top",
        direction="horizontal",
        columns=2,
        symbolOpacity=1,
        symbolStrokeWidth=0,
    )
