"""Observations of ``promote``: one row for each item and intervention, in numbers.

``part`` tells which kind of row, ``arm`` is an index into
:data:`~affectscope.analyses.promote_plan.ARMS` (of random directions: into
:data:`~affectscope.analyses.promote_plan.RANDOM`), ``emotion`` into the promoted emotions, ``step``
into the coefficients, ``predicted`` into the task's labels; ``draw`` numbers the random directions;
-1 where there is none. ``value`` is the change of the emotion's log-probability among the labels
(the calibration cancels), in rows of directions the mean norm at the layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

DIRECTIONS, CHOOSING, PROMOTED, RANDOMLY = range(4)
"""Parts of the observations."""

_TYPES: dict[str, type[np.generic]] = {
    "part": np.int8,
    "item": np.int32,
    "arm": np.int8,
    "emotion": np.int8,
    "step": np.int8,
    "layer": np.int16,
    "draw": np.int16,
    "predicted": np.int16,
    "value": np.float32,
}

Array = NDArray[np.float64]


def observed(
    part: int, *, items: NDArray[np.int64] | None = None, **columns: ArrayLike
) -> pd.DataFrame:
    """Rows of observations, with all columns.

    Args:
        part: What kind of rows.
        items: The items; each has a row for each intervention, and columns of one entry for each
            intervention are repeated for each.
        columns: Numbers for all rows, ``[intervention]`` or ``[item, intervention]``.
    """
    n = 1 if items is None else len(items)
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    k = max(array.shape[-1] for array in arrays.values() if array.ndim)
    found: dict[str, Any] = {"part": np.full(n * k, part)}
    if items is not None:
        found["item"] = np.repeat(items, k)
    for name, array in arrays.items():
        found[name] = np.broadcast_to(array, (n, k)).ravel()
    missing = {name: np.full(n * k, -1) for name in _TYPES if name not in found}
    return pd.DataFrame(found | missing)[list(_TYPES)].astype(_TYPES)


def wide(rows: pd.DataFrame, column: str) -> Array:
    """A column as ``[item, intervention]``, items ascending, interventions as they were written."""
    ordered = rows.sort_values("item", kind="stable")
    return ordered[column].to_numpy(dtype=np.float64).reshape(rows["item"].nunique(), -1)


def items_of(rows: pd.DataFrame) -> NDArray[np.int64]:
    """The items that rows are of, ascending."""
    return np.unique(rows["item"].to_numpy()).astype(np.int64)
