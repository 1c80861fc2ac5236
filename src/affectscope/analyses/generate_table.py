"""Estimates of ``generate`` as one table, and its summary.

*Effect*, and what it costs at a match: :mod:`affectscope.analyses.generate_effects`. *Damage*: how
far the vector moves what the model expects of neutral text, in nats a token
(:mod:`affectscope.analyses.generate_cost`); a text that repeats itself is probable and worth
nothing, so that the likelihood of what was written says less. *Recommended*:
:mod:`affectscope.analyses.generate_recommended`. Intervals draw prompts, and of divergences
passages.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.generate_effects import against_random, effects, matched
from affectscope.analyses.generate_found import Found
from affectscope.analyses.generate_plan import Plan, directions_of
from affectscope.analyses.generate_recommended import at_recommended, recommended
from affectscope.analyses.generate_rows import OF_TEXTS, SETTING
from affectscope.stats import Estimate, GroupBootstrap, estimate_rows
from affectscope.texts import Judge

COLUMNS = ["metric", "direction", "reader", *SETTING, "kind", "value", "low", "high", "n", "p"]

Array = NDArray[np.float64]
Summary = dict[str, SummaryValue]


def generate_estimates(
    plan: Plan, observations: pd.DataFrame, judge: Judge, *, seed: int
) -> tuple[pd.DataFrame, Summary]:
    """The table of estimates, and the summary."""
    found = Found(plan, observations, seed)
    parts = [_of_texts(found), _of_costs(found), _quality(judge)]
    summary: Summary = {}
    for name, target, sign in directions_of(plan.targets):
        moved = effects(found, target, sign)
        chosen = recommended(found, target, sign)
        parts += [
            moved.assign(direction=name),
            against_random(found, target, sign).assign(direction=name),
            matched(found, target, sign).assign(direction=name),
        ]
        if chosen is None:
            summary[f"generate.{name}.recommended"] = "none"
            continue
        rows = at_recommended(found, chosen, target, sign).assign(direction=name)
        parts.append(rows)
        value = {row["metric"]: row for _, row in rows.iterrows()}
        summary[f"generate.{name}.effect"] = _estimate(value["recommended_effect"])
        summary[f"generate.{name}.damage"] = _estimate(value["recommended_damage"])
        summary[f"generate.{name}.recommended"] = (
            f"{chosen.method}, layer {chosen.layer}, coefficient {chosen.coefficient:g}"
        )
    table = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    for column in ("direction", "reader", "method", "target", "kind"):
        table[column] = table[column].fillna("")
    numbers = {"sign": 0, "layer": -1, "draw": -1}
    table = table.fillna(numbers).astype(dict.fromkeys(numbers, int))
    return table.assign(coefficient=table["coefficient"].fillna(0.0)), summary


def _estimate(row: pd.Series) -> Estimate:
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]))


def _quality(judge: Judge) -> pd.DataFrame:
    """How good the judge is on texts that it had not seen."""
    rows = judge.quality
    return pd.DataFrame(
        {
            "metric": "judge_" + rows["metric"].astype(str),
            "target": rows["target"],
            "reader": "judge",
            "value": rows["value"],
            "n": rows["n"],
        }
    )


def _of_texts(found: Found) -> pd.DataFrame:
    """Fluency, valence, length and kept content of every setting, random draws pooled."""
    parts = []
    pooled = [k for k in range(len(found.texts.settings)) if found.texts.settings[k].draw < 0]
    for metric in OF_TEXTS:
        values = found.texts.columns[metric]
        estimates = found.draws.ratio(values[:, pooled]).estimates()
        parts.append(estimate_rows(found.keys(pooled), estimates, metric))
        for keys, members in found.random_places():
            mean = _mean_of_defined(values[:, members])
            parts.append(estimate_rows(keys, found.draws.ratio(mean).estimates(), metric))
    return pd.concat(parts, ignore_index=True)


def _of_costs(found: Found) -> pd.DataFrame:
    """Divergence on neutral text, and answers that stay right."""
    parts = []
    for what in ("divergence", "question", "infer"):
        rows = found.rows[found.rows["what"] == what]
        if rows.empty:
            continue
        over = [name for name in SETTING if name != "draw"]
        mean = rows.groupby([*over, "id"], as_index=False)["value"].mean()
        wide = mean.pivot(index="id", columns=over, values="value")
        draws = GroupBootstrap(tuple(map(str, wide.index)), seed=found.seed)
        keys = {name: [column[j] for column in wide.columns] for j, name in enumerate(over)}
        estimates = draws.ratio(wide.to_numpy(dtype=np.float64)).estimates()
        parts.append(estimate_rows(keys, estimates, what))
    return pd.concat(parts, ignore_index=True)


def _mean_of_defined(values: Array) -> Array:
    """Mean of each row over what is defined, ``[row, 1]``; NaN where nothing is."""
    there = np.isfinite(values)
    n = there.sum(axis=1, keepdims=True)
    total = np.where(there, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(np.where(n > 0, total, np.nan) / np.maximum(n, 1))
