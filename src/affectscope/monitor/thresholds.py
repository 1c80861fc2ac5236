"""When a reading becomes an alarm: one threshold for all that is watched, from neutral texts.

Each watched statistic is brought to one scale by its mean and deviation over some neutral texts;
a text's *excess* is the largest of them. An alarm is an excess above the threshold: the
``ceil((n + 1)(1 - rate))``-th smallest excess of n *other* neutral texts (split conformal; Vovk,
Gammerman and Shafer 2005; Lei et al. 2018, JASA 113(523)). If a further neutral text is
exchangeable with these n, the chance that it raises any alarm, over all that is watched together,
is at most the rate; and at least ``rate - 1 / (n + 1)`` where no two excesses are equal. Scale and
threshold come from different texts, since otherwise the n would not be exchangeable with a new one.

Neutral texts of several sorts (passages that tell how things are, accounts of a day) each have such
a threshold; the largest counts, so that the claim holds for a text of any one of them.

A maximum over more tokens is larger. So the claim is for turns of the lengths that were calibrated
on: a longer one raises an alarm more often, a shorter one mostly less often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import UsageError

TurnKind = Literal["text", "user", "assistant"]
"""How a turn reaches the model: as a text of its own, or in the chat format, by role."""

TURN_KINDS: tuple[TurnKind, ...] = get_args(TurnKind)

WATCHED: tuple[str, ...] = ("anger", "disgust", "fear", "guilt", "sadness", "shame")
"""What is watched unless said otherwise: the negative emotions that call for attention."""

SCALE_SHARE = 1 / 3
"""Share of the neutral texts that make the scale; the others make the threshold."""

_LEAST_SCALE = 5
"""Fewest texts that a deviation is taken from."""


@dataclass(frozen=True)
class Thresholds:
    """When a turn of some kind raises an alarm."""

    kind: TurnKind
    """How the neutral texts reached the model."""
    watched: tuple[str, ...]
    """Emotions and appraisals that can raise an alarm."""
    centre: tuple[float, ...]
    """Mean statistic of each over neutral texts, in log-odds or rating units."""
    scale: tuple[float, ...]
    """Its standard deviation over them."""
    limit: float
    """What the largest standardised statistic must exceed, in standard deviations."""
    false_alarm_rate: float
    """Claimed share of neutral turns that raise any alarm."""
    n_texts: int
    """Neutral texts that made the limit, of all sorts, not counting those that made the scale."""
    n_tokens: tuple[int, int]
    """Fewest and most tokens of a neutral text."""

    def standardised(self, statistic: NDArray[np.floating]) -> NDArray[np.float64]:
        """Statistics of turns ``[..., watched]``, in deviations above neutral texts."""
        return np.asarray((statistic - np.array(self.centre)) / np.array(self.scale))


def fit_thresholds(
    statistic: NDArray[np.floating],
    n_tokens: Sequence[int],
    *,
    kind: TurnKind,
    watched: Sequence[str],
    false_alarm_rate: float,
    seed: int,
    sorts: Sequence[int] | None = None,
) -> Thresholds:
    """The threshold that at most a claimed share of neutral turns exceeds.

    Args:
        statistic: Of every neutral text and watched score, ``[text, watched]``.
        n_tokens: Tokens read of each text.
        kind: How they reached the model.
        watched: Names of the scores.
        false_alarm_rate: The claim.
        seed: Decides which texts make the scale.
        sorts: Which sort each text is of; all of one when None. The claim is for each sort.

    Raises:
        UsageError: A rate outside its range, or too few texts of a sort for it.
    """
    of_sort = np.zeros(len(statistic), dtype=int) if sorts is None else np.asarray(sorts)
    rng = np.random.default_rng(seed)
    scaling_rows, limiting_rows = [], []
    for sort in np.unique(of_sort):
        rows = np.flatnonzero(of_sort == sort)
        require_enough(len(rows), false_alarm_rate)
        order = rows[rng.permutation(len(rows))]
        scaling_rows.append(order[: _n_scale(len(rows))])
        limiting_rows.append(order[_n_scale(len(rows)) :])
    scaling = statistic[np.concatenate(scaling_rows)]
    deviation = scaling.std(axis=0, ddof=1)
    found = Thresholds(
        kind=kind,
        watched=tuple(watched),
        centre=tuple(map(float, scaling.mean(axis=0))),
        scale=tuple(float(d) if d > 0 else 1.0 for d in deviation),
        limit=math.inf,
        false_alarm_rate=float(false_alarm_rate),
        n_texts=sum(map(len, limiting_rows)),
        n_tokens=(int(min(n_tokens)), int(max(n_tokens))),
    )
    limits = []
    for rows in limiting_rows:
        excess = np.sort(found.standardised(statistic[rows]).max(axis=1))
        limits.append(float(excess[_rank(len(excess), false_alarm_rate) - 1]))
    return replace(found, limit=max(limits))


def require_enough(n: int, false_alarm_rate: float) -> None:
    """Raise :class:`UsageError` when n neutral texts cannot back the claimed rate."""
    if not 0 < false_alarm_rate < 1:
        raise UsageError(
            f"a false-alarm rate of {false_alarm_rate}",
            expected="a share above 0 and below 1, such as 0.05",
        )
    left = n - _n_scale(n)
    if _n_scale(n) < _LEAST_SCALE or _rank(left, false_alarm_rate) > left:
        needed = next(
            m
            for m in range(3 * _LEAST_SCALE, 10**9)
            if _rank(m - _n_scale(m), false_alarm_rate) <= m - _n_scale(m)
        )
        raise UsageError(
            f"{n} neutral texts cannot back a false-alarm rate of {false_alarm_rate:g}",
            expected=f"at least {needed} for this rate",
            remedy="give more neutral texts, or claim a higher rate",
        )


def _n_scale(n: int) -> int:
    return int(n * SCALE_SHARE)


def _rank(n: int, rate: float) -> int:
    """``ceil((n + 1)(1 - rate))``, without the rounding of 1 - rate."""
    return math.ceil((n + 1) * (1 - rate) - 1e-9)
