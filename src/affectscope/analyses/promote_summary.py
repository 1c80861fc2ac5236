"""The few numbers of ``promote``, and its answer in words."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.promote_plan import ARMS, MAIN, Plan
from affectscope.stats import Estimate
from affectscope.stats.permutation import LEVEL

Summary = dict[str, SummaryValue]


def _at(table: pd.DataFrame, **where: Any) -> pd.DataFrame:
    keep = np.ones(len(table), dtype=bool)
    for column, value in where.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]))


def promote_summary(plan: Plan, layers: dict[str, Estimate], table: pd.DataFrame) -> Summary:
    """The main arm at the chosen centre and the middle coefficient."""
    centre, c = int(layers[""].value), plan.coefficients[plan.step]
    here = _at(table, layer=centre)
    main = _at(here, **ARMS[MAIN].names)
    summary: Summary = {"promote.layer": layers[""], "promote.coefficient": c}
    means = _at(here, metric="mean_success", coefficient=c)
    for arm in ARMS:
        found = _at(means, **arm.names)
        if len(found):
            ending = "" if arm == ARMS[MAIN] else f"_{arm.kind}_{arm.sense}"
            summary[f"promote.mean_success{ending}"] = _estimate(found.iloc[0])
    for name in plan.emotions:
        of = _at(main, emotion=name)
        success = _at(of, metric="success").sort_values("coefficient")
        summary[f"promote.{name}.success"] = _estimate(_at(success, coefficient=c).iloc[0])
        summary[f"promote.{name}.layer"] = layers[name]
        above = success.loc[success["low"] > 0, "coefficient"]
        if len(above):
            summary[f"promote.{name}.coefficient"] = float(above.iloc[0])
        summary[f"promote.{name}.random_p"] = float(_at(of, metric="over_random")["p"].max())
    return summary


def promote_answer(plan: Plan, summary: Summary) -> str:
    """What was found, in words."""
    found = cast(dict[str, Estimate], summary)
    arm, layer = ARMS[MAIN], found["promote.layer"]
    by_size = sorted(plan.emotions, key=lambda name: -found[f"promote.{name}.success"].value)
    each = ", ".join(f"{n} {percent(found[f'promote.{n}.success'])}" for n in by_size)
    significant = [n for n in plan.emotions if float(summary[f"promote.{n}.random_p"]) <= LEVEL]  # type: ignore[arg-type]
    answer = (
        f"Adding an emotion's direction ({arm.kind}, {plan.coefficients[plan.step]:g} of the "
        f"residual stream's norm) around layer {layer.value:.0f} "
        f"[{layer.low:.0f}, {layer.high:.0f}], chosen on other items, makes it the answer for "
        f"{percent(found['promote.mean_success'])} of the items where it was not, on average over "
        f"{len(plan.emotions)} emotions ({each}). {len(significant)} of them rise more than "
        f"under {plan.n_random} random directions of equal norm, of either kind (p ≤ {LEVEL:g} "
        "over all emotions)."
    )
    down = found.get(f"promote.mean_success_{arm.kind}_down")
    if down is not None and np.isfinite(down.value):
        answer += f" Taking it away there removes the emotion from {percent(down)} of its answers."
    return answer
