"""How far steering moves what is written, beside random directions, and what that costs at a match.

*Effect*: how far a target's reading moves in the direction meant, against the unsteered text of the
same prompt and draws, in standard deviations of the readings of unsteered texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.generate_found import Found
from affectscope.analyses.generate_matched import least_damage
from affectscope.analyses.generate_plan import METHODS
from affectscope.analyses.generate_rows import SETTING
from affectscope.stats import Estimate, estimate_rows

Array = NDArray[np.float64]


def effects(found: Found, target: str, sign: int) -> pd.DataFrame:
    """Effect by both readers, wrong ways, and echoes, of every setting that means it."""
    at = found.meant(target, sign)
    parts = []
    for reader in ("judge", "own"):
        shifts = found.shifts(reader, target, sign, at)
        measured = {"effect": shifts, "wrong_way": wrong_ways(shifts)}
        for metric, values in measured.items():
            rows = estimate_rows(found.keys(at), found.draws.ratio(values).estimates(), metric)
            parts.append(rows.assign(reader=reader))
        parts += _by_kind(found, reader, shifts, at)
    echo = found.texts.columns[f"echo.{target}"][:, at]
    parts.append(estimate_rows(found.keys(at), found.draws.ratio(echo).estimates(), "echo"))
    unnamed = np.where(echo > 0, np.nan, found.shifts("judge", target, sign, at))
    rows = estimate_rows(found.keys(at), found.draws.ratio(unnamed).estimates(), "effect_unnamed")
    return pd.concat([*parts, rows.assign(reader="judge")], ignore_index=True)


def _by_kind(found: Found, reader: str, shifts: Array, at: list[int]) -> list[pd.DataFrame]:
    kinds = np.array(found.texts.kinds)
    parts = []
    for kind in sorted(set(kinds)):
        of_kind = np.where((kinds == kind)[:, None], shifts, np.nan)
        estimates = found.draws.ratio(of_kind).estimates()
        rows = estimate_rows(found.keys(at), estimates, "effect_of_kind")
        parts.append(rows.assign(reader=reader, kind=kind))
    return parts


def against_random(found: Found, target: str, sign: int) -> pd.DataFrame:
    """Median and 5 to 95 % of random directions' effects, at each place and length.

    A random direction and its opposite are equally random, so that both signs count.
    """
    parts = []
    for keys, members in found.random_places():
        mean = found.shifts("judge", target, 1, members).mean(axis=0)
        both = np.concatenate([mean, -mean])
        low, middle, high = np.quantile(both, [0.05, 0.5, 0.95])
        spread = [Estimate(float(middle), float(low), float(high), len(members))]
        parts.append(estimate_rows(keys, spread, "random_effect"))
        parts.append(_over_random(found, target, sign, keys, both))
    return pd.concat(parts, ignore_index=True).assign(reader="judge") if parts else _nothing()


def _over_random(
    found: Found, target: str, sign: int, keys: Mapping[str, list[Any]], null: Array
) -> pd.DataFrame:
    """P of each direction's effect among random ones of the same place and length."""
    layer, c = keys["layer"][0], keys["coefficient"][0]
    at = found.texts.index(target=target, sign=sign, layer=layer, coefficient=c)
    if not at:
        return _nothing()
    effect = found.shifts("judge", target, sign, at).mean(axis=0)
    p = [(1 + int((null >= value).sum())) / (1 + len(null)) for value in effect]
    nan = [np.nan] * len(at)
    rows = {"metric": "over_random", **found.keys(at), "value": effect, "low": nan, "high": nan}
    return pd.DataFrame({**rows, "n": len(null), "p": p})


def matched(found: Found, target: str, sign: int) -> pd.DataFrame:
    """Damage of each way at an effect of :data:`MATCHED`, at the layer where it is least.

    Along the lengths of a layer, effect and damage are joined by straight lines from (0, 0);
    the least damage at which the effect is reached is taken. NaN where it is not reached.
    """
    parts = []
    for method in [m for m in METHODS if m in (*found.plan.methods, "prompt")]:
        at = found.texts.index(target=target, sign=sign, method=method)
        if not at:
            continue
        effect = found.draws.ratio(found.shifts("judge", target, sign, at))
        damage = found.damage([found.texts.settings[k] for k in at])
        layers = np.array([found.texts.settings[k].layer for k in at])
        value = least_damage(effect.value[None], damage.value[None], layers)[0]
        draws = least_damage(effect.draws, damage.draws, layers)
        low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
        at_end = [float(x) if np.isfinite(x) else np.nan for x in (value, low, high)]
        reached = Estimate(at_end[0], at_end[1], at_end[2], len(found.texts.prompts))
        keys: dict[str, list[Any]] = {"method": [method], "target": [target], "sign": [sign]}
        parts.append(estimate_rows(keys, [reached], "matched_damage"))
    return pd.concat(parts, ignore_index=True)


def wrong_ways(shifts: Array) -> Array:
    """1 where a text moved against the direction meant, 0 where not, NaN where nothing is read."""
    return np.where(np.isfinite(shifts), (shifts < 0).astype(float), np.nan)


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["metric", *SETTING, "value", "low", "high", "n"])
