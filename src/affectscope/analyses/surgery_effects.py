"""What surgery changes: scores and answers, against random directions, theory and people.

The effect of an appraisal on an emotion is the odd part of what moving it up and down does,

    move = (score after up - score after down) / 2,

in nats of the emotion's log probability among the labels: what any push does, whichever way it
goes, drops out. For a random direction it is the same with + and -. An effect counts as significant
where its interval excludes 0 and it is larger than what random directions do to *any* label: with
each label's effects divided by their root mean square over the random directions, p is from the
largest over labels (Westfall and Young 1993), of isotropic and of covariance-matched directions,
whichever is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.random_directions import RandomKind
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws, estimate_rows

LEVEL = 0.05
RANDOM_KINDS: tuple[RandomKind, ...] = ("isotropic", "covariance")
"""The kinds of random direction that stand beside every claim."""


@dataclass(frozen=True, eq=False)
class PlaceScores:
    """Label scores at the chosen place, under every edit.

    Args:
        rows: Columns item, edit, method, coefficient and ``score.<label>``, item by item.
        labels: The labels.
    """

    rows: pd.DataFrame
    labels: tuple[str, ...]

    def of(self, method: str, coefficient: float) -> tuple[list[str], NDArray[np.float64]]:
        """Names of the edits, and the scores ``[item, edit, label]``."""
        here = self.rows[
            (self.rows["method"] == method) & np.isclose(self.rows["coefficient"], coefficient)
        ]
        names = here["edit"][here["item"] == here["item"].iloc[0]].tolist()
        columns = [f"score.{label}" for label in self.labels]
        values = here[columns].to_numpy(dtype=np.float64)
        return names, values.reshape(-1, len(names), len(self.labels))

    @cached_property
    def clean(self) -> NDArray[np.float64]:
        """Scores without an edit, ``[item, label]``."""
        return self.of("clean", 0.0)[1][:, 0]

    @cached_property
    def items(self) -> NDArray[np.int64]:
        """The items, in order."""
        return self.rows["item"][self.rows["method"] == "clean"].to_numpy(dtype=np.int64)

    def moves(self, method: str, coefficient: float, names: Sequence[str]) -> NDArray[np.float64]:
        """The odd part of the effects, ``[item, name, label]``."""
        edits, scores = self.of(method, coefficient)
        up = [edits.index(f"{name}+") for name in names]
        down = [edits.index(f"{name}-") for name in names]
        return np.asarray((scores[:, up] - scores[:, down]) / 2)


@dataclass(frozen=True, eq=False)
class Moves:
    """Effects of every appraisal on every emotion."""

    draws: RatioDraws
    """Mean effects, ``[appraisal * label]``."""
    p: NDArray[np.float64]
    """Against random directions, ``[appraisal, label]``."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Mean effects in nats, ``[appraisal, label]``."""
        return self.draws.value.reshape(self.p.shape)

    @property
    def signs(self) -> NDArray[np.int8]:
        """1 and -1 for significant effects, 0 for others, ``[appraisal, label]``."""
        estimates = self.draws.estimates()
        sure = np.array([one.low > 0 or one.high < 0 for one in estimates]).reshape(self.p.shape)
        return np.where(sure & (self.p <= LEVEL), np.sign(self.values), 0).astype(np.int8)

    def table(self, names: Sequence[str], labels: Sequence[str], method: str) -> pd.DataFrame:
        """Tidy rows."""
        n, k = self.p.shape
        keys = {
            "edit": np.repeat(names, k).tolist(),
            "method": [method] * (n * k),
            "emotion": list(labels) * n,
        }
        rows = estimate_rows(keys, self.draws.estimates(), "move")
        return rows.assign(p=self.p.ravel(), significant=self.signs.ravel().astype(float))


def appraisal_moves(
    scores: PlaceScores,
    draws: GroupBootstrap,
    names: Sequence[str],
    *,
    method: str,
    coefficient: float,
    n_random: int,
) -> Moves:
    """Effects of moving each appraisal, tested against random directions of the same length."""
    moved = scores.moves(method, coefficient, names)
    found = draws.ratio(moved.reshape(len(moved), -1))
    values = found.value.reshape(moved.shape[1:])
    numbers = [str(k) for k in range(n_random)]
    p = np.zeros_like(values)
    for kind in RANDOM_KINDS:
        random = scores.moves(kind, coefficient, numbers).mean(axis=0)
        p = np.maximum(p, _against(values, random))
    return Moves(found, p)


def _against(values: NDArray[np.float64], random: NDArray[np.float64]) -> NDArray[np.float64]:
    """P of effects ``[appraisal, label]`` by the largest over labels of ``[random, label]``."""
    scale = np.sqrt((random**2).mean(axis=0))
    scale = np.where(scale > 0, scale, np.nan)
    largest = np.nanmax(np.abs(random) / scale, axis=1, initial=0)
    as_large = (largest[:, None, None] >= np.abs(values / scale)).sum(axis=0)
    return np.asarray((1 + as_large) / (1 + len(random)))


def changes_table(
    scores: PlaceScores, draws: GroupBootstrap, method: str, coefficient: float
) -> pd.DataFrame:
    """What each setting does to each label: its share of answers, and its score.

    Metrics ``rate`` (share of answers under the edit), ``rate_change`` and ``score_change``.
    """
    names, after = scores.of(method, coefficient)
    labels, before = scores.labels, scores.clean[:, None]
    k = len(labels)
    keys = {
        "edit": np.repeat(names, k).tolist(),
        "method": [method] * (len(names) * k),
        "coefficient": [coefficient] * (len(names) * k),
        "emotion": list(labels) * len(names),
    }
    answers = np.eye(k)[after.argmax(axis=-1)]
    clean = np.eye(k)[before.argmax(axis=-1)]
    found = {
        "rate": answers,
        "rate_change": answers - clean,
        "score_change": after - before,
    }
    return pd.concat(
        [
            estimate_rows(keys, draws.ratio(values.reshape(len(values), -1)).estimates(), metric)
            for metric, values in found.items()
        ],
        ignore_index=True,
    )


def changed_by_centre(
    rows: pd.DataFrame, clean: NDArray[np.int64], draws: GroupBootstrap
) -> pd.DataFrame:
    """Share of items whose answer changes, by setting, coefficient and centre.

    Args:
        rows: Columns item, coefficient, layer and ``answer.<setting>``.
        clean: Label numbers of the clean answers, in the order of the items.
        draws: Bootstrap of the items.
    """
    columns = [name for name in rows.columns if name.startswith("answer.")]
    names = [name.removeprefix("answer.") for name in columns]
    tables = []
    for (coefficient, layer), here in rows.groupby(["coefficient", "layer"], sort=True):
        changed = (here[columns].to_numpy() != clean[:, None]).astype(float)
        keys: dict[str, list[Any]] = {
            "edit": names,
            "method": ["held"] * len(names),
            "coefficient": [coefficient] * len(names),
            "layer": [layer] * len(names),
        }
        tables.append(estimate_rows(keys, draws.ratio(changed).estimates(), "changed"))
    return pd.concat(tables, ignore_index=True)


def random_rates(scores: PlaceScores, coefficient: float) -> pd.DataFrame:
    """What random directions do to the share of each label: mean and 2.5 to 97.5 % range."""
    tables = []
    clean = np.eye(len(scores.labels))[scores.clean.argmax(axis=-1)].mean(axis=0)
    for kind in RANDOM_KINDS:
        _, after = scores.of(kind, coefficient)
        rates = np.eye(len(scores.labels))[after.argmax(axis=-1)].mean(axis=0) - clean
        low, high = np.quantile(rates, [0.025, 0.975], axis=0)
        values = [
            Estimate(float(v), float(a), float(b), len(rates))
            for v, a, b in zip(rates.mean(axis=0), low, high, strict=True)
        ]
        keys: dict[str, list[Any]] = {
            "edit": ["random"] * len(values),
            "method": [kind] * len(values),
            "coefficient": [coefficient] * len(values),
            "emotion": list(scores.labels),
        }
        tables.append(estimate_rows(keys, values, "rate_change"))
    return pd.concat(tables, ignore_index=True)
