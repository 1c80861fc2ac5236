"""Many tests at once: the false discovery rate."""

from __future__ import annotations

import numpy as np
from scipy.stats import false_discovery_control

from affectscope.stats.bootstrap import Array


def false_discovery_rate(p: Array) -> Array:
    """The least false discovery rate at which each test is a discovery.

    Of the tests whose q is at most 0.05, at most 5 % are expected to be without effect (Benjamini
    and Hochberg 1995, J. R. Stat. Soc. B 57(1); valid for independent tests and for positively
    dependent ones: Benjamini and Yekutieli 2001, Ann. Stat. 29(4)).

    Args:
        p: p values of any shape, of one family; NaN where there was no test.

    Returns:
        q values, NaN where p is.
    """
    values = np.asarray(p, dtype=np.float64)
    q = np.full(values.shape, np.nan)
    tested = np.isfinite(values)
    if tested.any():
        q[tested] = false_discovery_control(values[tested], method="bh")
    return q
