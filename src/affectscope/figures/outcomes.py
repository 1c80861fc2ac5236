"""The three outcomes of patching along the layers, one panel for each site."""

from __future__ import annotations

from typing import Any

import pandas as pd

from affectscope.figures.panels import curve_panels
from affectscope.figures.theme import OUTCOME_STYLES, in_site_order

OUTCOMES: tuple[str, ...] = tuple(OUTCOME_STYLES)
"""The answer is the source's emotion, the target's, or neither."""

_NAMES = {"source": "source's emotion", "target": "target's emotion", "neither": "neither"}


def outcome_panels(rows: pd.DataFrame) -> Any:
    """A panel for each site, stacked, with one curve and band for each outcome.

    Args:
        rows: Columns metric (the outcome), site, layer, value, low, high.
    """
    return curve_panels(
        rows.assign(panel=rows["site"], series=rows["metric"].map(_NAMES)),
        panels=in_site_order(rows["site"].tolist()),
        styles={_NAMES[outcome]: style for outcome, style in OUTCOME_STYLES.items()},
        y_title="share of pairs",
    )
