"""Estimates as the rows of a tidy table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from affectscope.stats.bootstrap import Estimate


def estimate_rows(
    keys: Mapping[str, Sequence[Any]], values: Sequence[Estimate], metric: str
) -> pd.DataFrame:
    """Tidy rows of estimates that share a metric.

    Args:
        keys: Column name to one entry for each estimate.
        values: The estimates.
        metric: What they are estimates of.
    """
    return pd.DataFrame(
        {"metric": metric, **{name: list(entries) for name, entries in keys.items()}}
        | {
            "value": [estimate.value for estimate in values],
            "low": [estimate.low for estimate in values],
            "high": [estimate.high for estimate in values],
            "n": [estimate.n for estimate in values],
        }
    )
