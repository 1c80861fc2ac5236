"""Estimates of ``promote``: success, what else moves, and what random directions do.

The observations are described in :mod:`affectscope.analyses.promote_rows`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.layers import ALL
from affectscope.analyses.promote_plan import ARMS, MAIN, RANDOM, Arm, Plan
from affectscope.analyses.promote_rows import CHOOSING, PROMOTED, RANDOMLY, items_of, wide
from affectscope.analyses.promote_summary import promote_summary
from affectscope.analyses.study import Study, estimate_rows
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws, maximum_test

COLUMNS = ["metric", "items", "kind", "unit", "sense", "emotion", "label", "coefficient", "layer"]
COLUMNS += ["random", "value", "low", "high", "n", "p"]

Array = NDArray[np.float64]
Summary = dict[str, SummaryValue]


def _gains(study: Study, plan: Plan, observations: pd.DataFrame) -> dict[str, RatioDraws]:
    """How much each promoted emotion gains at every centre on the choosing items.

    Their mean is under the empty name.
    """
    rows = observations[observations["part"] == CHOOSING]
    change = wide(rows, "value")
    by_emotion = change.reshape(len(change), len(plan.emotions), plan.n_layers)
    draws = study.bootstrap(items_of(rows))
    gains = {name: draws.ratio(by_emotion[:, k]) for k, name in enumerate(plan.emotions)}
    return {**gains, "": draws.ratio(by_emotion.mean(axis=1))}


def centre_of(study: Study, plan: Plan, observations: pd.DataFrame) -> Estimate:
    """Where promoted emotions gain most on the choosing items: mean change of log-probability."""
    return _gains(study, plan, observations)[""].peak(range(plan.n_layers))


def promote_estimates(
    study: Study, plan: Plan, observations: pd.DataFrame
) -> tuple[pd.DataFrame, Summary]:
    """The table of estimates, and the summary."""
    gains = _gains(study, plan, observations)
    layers = {name: gain.peak(range(plan.n_layers)) for name, gain in gains.items()}
    found = _Found(study, plan, observations, int(layers[""].value))
    parts = [_gain_rows(plan, gains), found.clean_rows(), *found.by_arm(), found.moved()]
    parts += [found.random_rows(), found.tests()]
    table = pd.concat(parts, ignore_index=True).assign(items=ALL).reindex(columns=COLUMNS)
    for column in ("kind", "unit", "sense", "emotion", "label", "random"):
        table[column] = table[column].fillna("")
    table = table.assign(layer=table["layer"].fillna(-1).astype(int))
    return table, promote_summary(plan, layers, table)


def _gain_rows(plan: Plan, gains: dict[str, RatioDraws]) -> pd.DataFrame:
    arm = ARMS[MAIN]
    return pd.concat(
        [
            estimate_rows(
                {"emotion": [name] * plan.n_layers, "layer": list(range(plan.n_layers))},
                gain.estimates(),
                "choosing_gain",
            )
            for name, gain in gains.items()
        ]
    ).assign(**arm.names, coefficient=plan.coefficients[plan.step])


def success_of(draws: GroupBootstrap, after: Array, before: Array, sign: int) -> RatioDraws:
    """The share of what could change that did.

    ``sum(after - before) / sum(1 - before)`` for adding, ``sum(before - after) / sum(before)`` for
    taking away: the change of the rate over the room it had.

    Args:
        draws: Bootstrap over items.
        after: Whether the answer is the emotion, 0 or 1, ``[item, statistic]``.
        before: The same without an edit.
        sign: +1 for adding, -1 for taking away.
    """
    return draws.ratio(sign * (after - before), 1 - before if sign > 0 else before)


class _Found:
    """What was seen on the test items, and the estimates of it."""

    def __init__(self, study: Study, plan: Plan, observations: pd.DataFrame, centre: int) -> None:
        self.study, self.plan, self.centre = study, plan, centre
        self.rows = observations[observations["part"] == PROMOTED]
        self.random = observations[observations["part"] == RANDOMLY]
        self.items = items_of(self.rows)
        self.draws = study.bootstrap(self.items)
        self.columns = np.array([study.task.labels.index(name) for name in plan.emotions])
        answers = study.clean.predicted[self.items]
        self.clean = np.equal.outer(answers, np.arange(len(study.task.labels))).astype(float)
        """The clean answer, ``[item, label]``."""
        self.before = self.clean[:, self.columns]

    @property
    def _shape(self) -> tuple[int, int, int]:
        """Emotions, coefficients and centres of an arm."""
        return len(self.plan.emotions), len(self.plan.coefficients), self.plan.n_layers

    def clean_rows(self) -> pd.DataFrame:
        """How often each emotion is the answer without an edit."""
        found = self.draws.ratio(self.before).estimates()
        return estimate_rows({"emotion": list(self.plan.emotions)}, found, "rate_clean")

    def _keys(self, arm: Arm) -> dict[str, list[Any]]:
        """Of an arm's interventions, in order."""
        n_emotions, n_steps, n_layers = self._shape
        values = self.plan.raw if arm.unit == "raw" else self.plan.coefficients
        return {
            "emotion": np.repeat(self.plan.emotions, n_steps * n_layers).tolist(),
            "coefficient": np.tile(np.repeat(values, n_layers), n_emotions).tolist(),
            "layer": np.tile(np.arange(n_layers), n_emotions * n_steps).tolist(),
        }

    def by_arm(self) -> list[pd.DataFrame]:
        """Success, rate, change of log-probability and items moved the wrong way, everywhere."""
        n_emotions, n_steps, n_layers = self._shape
        before = np.repeat(self.before, n_steps * n_layers, axis=1)
        own = np.repeat(self.columns, n_steps * n_layers)
        parts = []
        for number, arm in enumerate(ARMS):
            rows, keys = self.rows[self.rows["arm"] == number], self._keys(arm)
            after = (wide(rows, "predicted") == own).astype(float)
            change = wide(rows, "value")
            success = success_of(self.draws, after, before, arm.sign)
            found = {
                "success": success,
                "rate": self.draws.ratio(after),
                "change": self.draws.ratio(change),
                "wrong_way": self.draws.ratio((arm.sign * change < 0).astype(float)),
            }
            rows_of = [estimate_rows(keys, r.estimates(), name) for name, r in found.items()]
            mean = mean_of_blocks(success, n_emotions).estimates()
            first = {name: keys[name][: n_steps * n_layers] for name in ("coefficient", "layer")}
            rows_of.append(estimate_rows(first, mean, "mean_success"))
            parts.append(pd.concat(rows_of).assign(**arm.names))
        return parts

    def moved(self) -> pd.DataFrame:
        """By how much the rate of every label changes, at the chosen centre."""
        labels, here = self.study.task.labels, self.rows[self.rows["layer"] == self.centre]
        parts = []
        for number, arm in enumerate(ARMS):
            answers = wide(here[here["arm"] == number], "predicted")
            after = np.equal.outer(answers, np.arange(len(labels))).astype(float)
            change = (after - self.clean[:, None]).reshape(len(answers), -1)
            n_emotions, n_steps, _ = self._shape
            values = self.plan.raw if arm.unit == "raw" else self.plan.coefficients
            keys: dict[str, list[Any]] = {
                "emotion": np.repeat(self.plan.emotions, n_steps * len(labels)).tolist(),
                "coefficient": np.tile(np.repeat(values, len(labels)), n_emotions).tolist(),
                "label": list(labels) * n_emotions * n_steps,
            }
            rows = estimate_rows(keys, self.draws.ratio(change).estimates(), "moved")
            parts.append(rows.assign(**arm.names))
        return pd.concat(parts).assign(layer=self.centre)

    def _random(self, number: int) -> tuple[Array, Array]:
        """Whether the answer is the emotion, and the change, ``[item, draw, emotion]``."""
        rows = self.random[self.random["arm"] == number]
        shape = (len(self.items), -1, len(self.plan.emotions))
        after = wide(rows, "predicted").reshape(shape) == self.columns
        return after.astype(float), wide(rows, "value").reshape(shape)

    def random_rows(self) -> pd.DataFrame:
        """Median and 5 to 95 % of random directions, of the change and of success."""
        parts = []
        for number, kind in enumerate(RANDOM):
            after, change = self._random(number)
            room = np.maximum((1 - self.before).sum(axis=0), 1e-12)
            success = (after - self.before[:, None]).sum(axis=0) / room
            for metric, values in {
                "random_change": change.mean(axis=0),
                "random_success": success,
            }.items():
                low, middle, high = np.quantile(values, [0.05, 0.5, 0.95], axis=0)
                spread = [
                    Estimate(m, lo, hi, len(values))
                    for m, lo, hi in zip(middle, low, high, strict=True)
                ]
                keys = {"emotion": list(self.plan.emotions)}
                parts.append(estimate_rows(keys, spread, metric).assign(random=kind))
        return pd.concat(parts).assign(**self._at_centre)

    @property
    def _at_centre(self) -> dict[str, Any]:
        """Where random directions are added."""
        c = self.plan.coefficients[self.plan.step]
        return {"layer": self.centre, "coefficient": c, "unit": "norm"}

    def tests(self) -> pd.DataFrame:
        """What a direction does beyond the mean of random ones, and whether any of them does more.

        p is family-wise over emotions, each standardised. The direction that is taken away is
        compared with what random ones take away: the opposite of a random direction is one as well.
        """
        at = (self.rows["layer"] == self.centre) & (self.rows["step"] == self.plan.step)
        parts = []
        for number, arm in enumerate(ARMS):
            if arm.unit == "raw":
                continue
            real = arm.sign * wide(self.rows[at & (self.rows["arm"] == number)], "value")
            for of, kind in enumerate(RANDOM):
                null = arm.sign * self._random(of)[1]
                pooled = standardised(np.vstack([real.mean(axis=0), null.mean(axis=0)]))
                test = maximum_test(pooled[0], pooled[1:])
                beyond = self.draws.ratio(real - null.mean(axis=1)).estimates()
                rows = estimate_rows({"emotion": list(self.plan.emotions)}, beyond, "over_random")
                parts.append(rows.assign(p=test.p, random=kind, **arm.names))
        return pd.concat(parts).assign(**self._at_centre)


def standardised(values: Array) -> Array:
    """Each column less its mean, over its standard deviation; 0 where it does not vary.

    With the observed row among them: under the null the rows stay exchangeable, and emotions that
    every direction moves much do not decide the maximum alone.
    """
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.asarray(np.where(spread > 0, centred, 0.0) / np.where(spread > 0, spread, 1.0))


def mean_of_blocks(draws: RatioDraws, n_blocks: int) -> RatioDraws:
    """The mean over equal blocks of statistics, draw by draw; undefined ones are left out."""
    value = draws.value.reshape(n_blocks, -1)
    replicates = draws.draws.reshape(len(draws.draws), n_blocks, -1)

    def mean(values: Array, axis: int) -> Array:
        there = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(there, values, 0.0).sum(axis=axis) / there.sum(axis=axis))

    return RatioDraws(
        mean(value, 0),
        mean(replicates, 1),
        draws.n.reshape(n_blocks, -1).max(axis=0),
        draws.n_groups.reshape(n_blocks, -1).max(axis=0),
        np.zeros(value.shape[1], dtype=bool),
    )
