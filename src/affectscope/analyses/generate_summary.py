"""What ``generate`` found, in words."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.generate_plan import Plan, directions_of
from affectscope.stats import Estimate

Summary = dict[str, SummaryValue]


def generate_answer(plan: Plan, summary: Summary, table: pd.DataFrame) -> str:
    """The recommended settings and their effects, what has none, and how the ways compare."""
    works: list[str] = []
    fails: list[str] = []
    for name, _, _ in directions_of(plan.targets):
        effect = cast(Estimate | None, summary.get(f"generate.{name}.effect"))
        if effect is None:
            fails.append(name)
            continue
        damage = cast(Estimate, summary[f"generate.{name}.damage"])
        sure = f"[{effect.low:+.2f}, {effect.high:+.2f}]"
        said = (
            f"{name} {effect.value:+.2f} {sure if np.isfinite(effect.low) else '(few prompts)'} at "
            f"{damage.value:.2f} nats ({summary[f'generate.{name}.recommended']})"
        )
        (works if effect.low > 0 else fails).append(said)
    parts = [
        "Effects in standard deviations of unsteered texts, on prompts that the setting was not "
        "chosen on, and damage in nats a token of neutral text. "
    ]
    parts.append(f"Moved as meant: {'; '.join(works)}. " if works else "Nothing moved as meant. ")
    if fails:
        parts.append(f"Not shown to move: {'; '.join(fails)}. ")
    parts.append(_compared(table))
    return "".join(parts).strip()


def _compared(table: pd.DataFrame) -> str:
    """For how many directions each way does least damage at the same effect."""
    rows = table[table["metric"] == "matched_damage"]
    reached = rows[np.isfinite(rows["value"].to_numpy(dtype=float))]
    if reached.empty:
        return "No way reaches half a standard deviation."
    best = reached.loc[reached.groupby("direction")["value"].idxmin(), "method"].value_counts()
    ways = ", ".join(f"{method} for {count}" for method, count in best.items())
    n = rows["direction"].nunique()
    return f"Of {n} directions, least damage at half a standard deviation: {ways}."
