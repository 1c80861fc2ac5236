"""The leakage matrix: what moving one appraisal does to the readings of all the others.

Readers are of two kinds (:mod:`affectscope.analyses.surgery_readings`). Changes are
in standard deviations of the clean readings, so that appraisals which are read badly (and whose
readings hardly vary) count as much as others. Of a method at a layer,

    leakage = sum_a mean_h |change of h when a is moved| / sum_a |change of a when a is moved|,

h over the appraisals held, changes averaged over items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.surgery_readings import OWN
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws, estimate_rows

TENTH = 0.1
"""A held appraisal counts as held where it changes by less than this share of the intended."""


@dataclass(frozen=True, eq=False)
class Leakage:
    """How much else changes at a layer."""

    ratio: Estimate
    """Leakage, as above."""
    held: float
    """Share of (moved, held) cells below a tenth of the intended change."""


def leakage_table(
    rows: pd.DataFrame, names: Sequence[str], draws: GroupBootstrap
) -> tuple[pd.DataFrame, dict[tuple[str, str, int], Leakage]]:
    """Changes of every reading, and their leakage, by reader, method and layer.

    Args:
        rows: Columns item, edit, method, reader, layer and ``read.<appraisal>``, item by item.
        names: The appraisals.
        draws: Bootstrap of the items.

    Returns:
        Rows of metrics ``reading_change`` (by moved and read appraisal), ``leakage`` and
        ``cells_held``, with ``_own`` where the held probes themselves read; and the leakage by
        reader, method and layer.
    """
    tables, found = [], {}
    k = len(names)
    columns = [f"read.{name}" for name in names]
    for _, here in rows.groupby(["reader", "method", "layer"], sort=False):
        reader, method = str(here["reader"].iloc[0]), str(here["method"].iloc[0])
        layer, suffix = int(here["layer"].iloc[0]), "_own" if reader == OWN else ""
        changes = here.reindex(columns=columns).to_numpy(dtype=np.float64).reshape(-1, k * k)
        means = draws.ratio(changes)
        leak = _leakage(means, k)
        found[reader, method, layer] = leak
        keys: dict[str, list[Any]] = {
            "edit": np.repeat(names, k).tolist(),
            "read": list(names) * k,
            "method": [method] * k * k,
            "layer": [layer] * k * k,
        }
        one: dict[str, list[Any]] = {
            "edit": [""],
            "read": [""],
            "method": [method],
            "layer": [layer],
        }
        tables += [
            estimate_rows(keys, means.estimates(), f"reading_change{suffix}"),
            estimate_rows(one, [leak.ratio], f"leakage{suffix}"),
            estimate_rows(
                one, [Estimate(leak.held, np.nan, np.nan, k * (k - 1))], f"cells_held{suffix}"
            ),
        ]
    return pd.concat(tables, ignore_index=True), found


def _leakage(means: RatioDraws, k: int) -> Leakage:
    whole = np.vstack([means.value, means.draws]).reshape(-1, k, k)
    ratios = _ratio(whole)
    defined = ratios[1:][np.isfinite(ratios[1:])]
    sure = len(defined) and means.n_groups.max() >= 2
    low, high = np.quantile(defined, [0.025, 0.975]) if sure else (np.nan, np.nan)
    size = np.abs(means.value.reshape(k, k))
    intended = np.diag(size)[:, None]
    others = ~np.eye(k, dtype=bool)
    held = float((size < TENTH * intended)[others].mean()) if k > 1 else np.nan
    return Leakage(Estimate(float(ratios[0]), float(low), float(high), int(means.n.max())), held)


def _ratio(changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leakage of ``[draw, moved, read]``."""
    size = np.abs(changes)
    k = size.shape[1]
    intended = np.trace(size, axis1=1, axis2=2)
    if k < 2:
        return np.full(len(size), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((size.sum(axis=(1, 2)) - intended) / (k - 1) / intended)
