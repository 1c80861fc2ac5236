"""Which setting to use for a direction, and what it does on prompts it was not chosen on.

*Collapse*: a setting under which more than :data:`MOST_REPEATED` of the 4-grams stood in the same
text before, or what is written is :data:`MOST_NATS` nats a token less likely to the unsteered model
than what it writes itself.

*Recommended*: of the settings whose damage is at most :data:`MOST_DAMAGE` and that do not collapse,
the one with the largest effect on every other prompt; its effect is then given on the others.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.generate_effects import wrong_ways
from affectscope.analyses.generate_found import Found
from affectscope.analyses.generate_plan import Condition
from affectscope.stats import GroupBootstrap, estimate_rows

MOST_REPEATED = 0.5
MOST_NATS = 2.0
LEAST_PROMPTS = 8
"""Fewest prompts whose bootstrap says how sure an effect is; of fewer there is no interval."""

MOST_DAMAGE = 0.5
"""Nats a token. Doubling every probability ratio at every token would be 0.69."""


def recommended(found: Found, target: str, sign: int) -> Condition | None:
    """The setting to use, chosen on half of the prompts; None where none has an effect."""
    choose, _ = _halves(found)
    at = [k for k in found.meant(target, sign) if found.texts.settings[k].layer >= 0]
    settings = [found.texts.settings[k] for k in at]
    effect = found.shifts("judge", target, sign, at)[choose].mean(axis=0)
    allowed = (found.damage(settings).value <= MOST_DAMAGE) & ~_collapsed(found, at, choose)
    effect = np.where(allowed & np.isfinite(effect), effect, -np.inf)
    best = int(effect.argmax())
    return settings[best] if effect[best] > 0 else None


def at_recommended(found: Found, setting: Condition, target: str, sign: int) -> pd.DataFrame:
    """What the recommended setting does on the other prompts, and costs."""
    _, measure = _halves(found)
    rows = measure if measure.any() else np.ones(len(measure), dtype=bool)
    k = found.texts.settings.index(setting)
    draws = GroupBootstrap(
        tuple(p for p, here in zip(found.texts.prompts, rows, strict=True) if here),
        seed=found.seed,
    )
    shifts = found.shifts("judge", target, sign, [k])[rows]
    own = found.shifts("own", target, sign, [k])[rows]
    estimates = {
        "recommended_effect": draws.ratio(shifts).estimates(),
        "recommended_own_effect": draws.ratio(own).estimates(),
        "recommended_wrong_way": draws.ratio(wrong_ways(shifts)).estimates(),
        "recommended_damage": found.damage([setting]).estimates(),
    }
    keys = found.keys([k])
    if len(set(draws.groups)) < LEAST_PROMPTS:
        unsure = [name for name in estimates if name != "recommended_damage"]
        estimates |= {
            name: [replace(one, low=np.nan, high=np.nan) for one in estimates[name]]
            for name in unsure
        }
    return pd.concat([estimate_rows(keys, each, name) for name, each in estimates.items()])


def _collapsed(found: Found, at: list[int], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which settings collapse, judged on some rows."""
    repeated = np.nanmean(found.texts.columns["repeated"][rows][:, at], axis=0)
    likely = np.nanmean(found.texts.columns["nll"][rows][:, at], axis=0)
    own = np.nanmean(found.texts.clean["nll"][rows])
    return np.asarray((repeated > MOST_REPEATED) | (likely - own > MOST_NATS))


def _halves(found: Found) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows to choose on, and rows to measure on: every other prompt of each kind."""
    ranks: dict[str, int] = {}
    counts: dict[str, int] = {}
    for prompt, kind in zip(found.texts.prompts, found.texts.kinds, strict=True):
        if prompt not in ranks:
            ranks[prompt] = counts.get(kind, 0)
            counts[kind] = ranks[prompt] + 1
    even = np.array([ranks[prompt] % 2 == 0 for prompt in found.texts.prompts])
    return even, ~even
