"""Estimates of ``generate``: effects, damages, the frontier between them, and what to use.

*Effect*: how far a target's reading moves in the direction meant, against the unsteered text of the
same prompt and draws, in standard deviations of the readings of unsteered texts. *Damage*: how far
the vector moves what the model expects of neutral text, in nats a token
(:mod:`affectscope.analyses.generate_cost`); a text that repeats itself is probable and worth
nothing, so that the likelihood of what was written says less. Intervals draw prompts, and of
divergences passages.

*Collapse*: a setting under which more than :data:`MOST_REPEATED` of the 4-grams stood in the same
text before, or what is written is :data:`MOST_NATS` nats a token less likely to the unsteered model
than what it writes itself.

*Recommended*: of the settings whose damage is at most :data:`MOST_DAMAGE` and that do not collapse,
the one with the largest effect on every other prompt; its effect is then given on the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.generate_matched import least_damage
from affectscope.analyses.generate_plan import METHODS, Condition, Plan, directions_of
from affectscope.analyses.generate_rows import OF_TEXTS, SETTING, setting_of, texts_of
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws, estimate_rows
from affectscope.texts import Judge

MOST_REPEATED = 0.5
MOST_NATS = 2.0
LEAST_PROMPTS = 8
"""Fewest prompts whose bootstrap says how sure an effect is; of fewer there is no interval."""

MOST_DAMAGE = 0.5
"""Nats a token. Doubling every probability ratio at every token would be 0.69."""

COLUMNS = ["metric", "direction", "reader", *SETTING, "kind", "value", "low", "high", "n", "p"]

Array = NDArray[np.float64]
Summary = dict[str, SummaryValue]


def generate_estimates(
    plan: Plan, observations: pd.DataFrame, judge: Judge, *, seed: int
) -> tuple[pd.DataFrame, Summary]:
    """The table of estimates, and the summary."""
    found = Found(plan, observations, seed)
    parts = [found.of_texts(), found.of_costs(), _quality(judge)]
    summary: Summary = {}
    for name, target, sign in directions_of(plan.targets):
        effects = found.effects(target, sign)
        chosen = found.recommended(target, sign)
        parts += [
            effects.assign(direction=name),
            found.against_random(target, sign).assign(direction=name),
            found.matched(target, sign).assign(direction=name),
        ]
        if chosen is None:
            summary[f"generate.{name}.recommended"] = "none"
            continue
        rows = found.at_recommended(chosen, target, sign).assign(direction=name)
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


class Found:
    """What was written, and estimates of it.

    Args:
        plan: What was written.
        observations: Rows of all units.
        seed: Of the bootstrap.
    """

    def __init__(self, plan: Plan, observations: pd.DataFrame, seed: int) -> None:
        self.plan = plan
        self._seed = seed
        self._rows = observations
        self.texts = texts_of(observations[observations["what"] == "text"], plan)
        self._draws = GroupBootstrap(tuple(self.texts.prompts), seed=seed)
        self._damage = self._divergences()

    def _divergences(self) -> tuple[dict[Condition, int], RatioDraws]:
        """Damage of every setting; of none it is 0."""
        rows = self._rows[self._rows["what"] == "divergence"]
        wide = rows.pivot(index="id", columns=SETTING, values="value")
        keys = {setting_of(column): k for k, column in enumerate(wide.columns)}
        draws = GroupBootstrap(tuple(map(str, wide.index)), seed=self._seed)
        return keys, draws.ratio(wide.to_numpy(dtype=np.float64))

    def damage(self, settings: list[Condition]) -> RatioDraws:
        """Nats a token, of some settings."""
        keys, draws = self._damage
        return draws.columns([keys[setting] for setting in settings])

    def _shifts(self, reader: str, target: str, sign: int, at: list[int]) -> Array:
        """Effects ``[row, setting]`` of some settings, in standard deviations."""
        column = f"{reader}.{target}"
        clean = self.texts.clean[column]
        spread = float(clean.std(ddof=1)) if len(clean) > 1 else np.nan
        moved = sign * (self.texts.columns[column][:, at] - clean[:, None])
        return np.asarray(moved / (spread if spread > 0 else np.nan))

    def _meant(self, target: str, sign: int) -> list[int]:
        """Settings that mean a direction."""
        return self.texts.index(target=target, sign=sign)

    def _keys(self, at: list[int]) -> dict[str, list[Any]]:
        chosen = [self.texts.settings[k] for k in at]
        return {name: [getattr(key, name) for key in chosen] for name in SETTING}

    def effects(self, target: str, sign: int) -> pd.DataFrame:
        """Effect by both readers, wrong ways, and echoes, of every setting that means it."""
        at = self._meant(target, sign)
        parts = []
        for reader in ("judge", "own"):
            shifts = self._shifts(reader, target, sign, at)
            measured = {"effect": shifts, "wrong_way": _where(shifts, shifts < 0)}
            for metric, values in measured.items():
                rows = estimate_rows(self._keys(at), self._draws.ratio(values).estimates(), metric)
                parts.append(rows.assign(reader=reader))
            parts += self._by_kind(reader, shifts, at)
        echo = self.texts.columns[f"echo.{target}"][:, at]
        parts.append(estimate_rows(self._keys(at), self._draws.ratio(echo).estimates(), "echo"))
        unnamed = np.where(echo > 0, np.nan, self._shifts("judge", target, sign, at))
        rows = estimate_rows(
            self._keys(at), self._draws.ratio(unnamed).estimates(), "effect_unnamed"
        )
        return pd.concat([*parts, rows.assign(reader="judge")], ignore_index=True)

    def _by_kind(self, reader: str, shifts: Array, at: list[int]) -> list[pd.DataFrame]:
        kinds = np.array(self.texts.kinds)
        parts = []
        for kind in sorted(set(kinds)):
            of_kind = np.where((kinds == kind)[:, None], shifts, np.nan)
            estimates = self._draws.ratio(of_kind).estimates()
            rows = estimate_rows(self._keys(at), estimates, "effect_of_kind")
            parts.append(rows.assign(reader=reader, kind=kind))
        return parts

    def of_texts(self) -> pd.DataFrame:
        """Fluency, valence, length and kept content of every setting, random draws pooled."""
        parts = []
        pooled = [k for k in range(len(self.texts.settings)) if self.texts.settings[k].draw < 0]
        for metric in OF_TEXTS:
            values = self.texts.columns[metric]
            estimates = self._draws.ratio(values[:, pooled]).estimates()
            parts.append(estimate_rows(self._keys(pooled), estimates, metric))
            for keys, members in self._random_places():
                mean = _mean_of_defined(values[:, members])
                parts.append(estimate_rows(keys, self._draws.ratio(mean).estimates(), metric))
        return pd.concat(parts, ignore_index=True)

    def _random_places(self) -> list[tuple[dict[str, list[Any]], list[int]]]:
        """Places and lengths at which random directions were added, and those settings."""
        found: dict[tuple[int, float], list[int]] = {}
        for k in self.texts.index(method="random"):
            setting = self.texts.settings[k]
            found.setdefault((setting.layer, setting.coefficient), []).append(k)
        return [
            (
                {"method": ["random"], "layer": [layer], "coefficient": [c]},
                members,
            )
            for (layer, c), members in sorted(found.items())
        ]

    def of_costs(self) -> pd.DataFrame:
        """Divergence on neutral text, and answers that stay right."""
        parts = []
        for what in ("divergence", "question", "infer"):
            rows = self._rows[self._rows["what"] == what]
            if rows.empty:
                continue
            over = [name for name in SETTING if name != "draw"]
            mean = rows.groupby([*over, "id"], as_index=False)["value"].mean()
            wide = mean.pivot(index="id", columns=over, values="value")
            draws = GroupBootstrap(tuple(map(str, wide.index)), seed=self._seed)
            keys = {name: [column[j] for column in wide.columns] for j, name in enumerate(over)}
            estimates = draws.ratio(wide.to_numpy(dtype=np.float64)).estimates()
            parts.append(estimate_rows(keys, estimates, what))
        return pd.concat(parts, ignore_index=True)

    def against_random(self, target: str, sign: int) -> pd.DataFrame:
        """Median and 5 to 95 % of random directions' effects, at each place and length.

        A random direction and its opposite are equally random, so that both signs count.
        """
        parts = []
        for keys, members in self._random_places():
            mean = self._shifts("judge", target, 1, members).mean(axis=0)
            both = np.concatenate([mean, -mean])
            low, middle, high = np.quantile(both, [0.05, 0.5, 0.95])
            spread = [Estimate(float(middle), float(low), float(high), len(members))]
            parts.append(estimate_rows(keys, spread, "random_effect"))
            parts.append(self._over_random(target, sign, keys, both))
        return pd.concat(parts, ignore_index=True).assign(reader="judge") if parts else _nothing()

    def _over_random(
        self, target: str, sign: int, keys: Mapping[str, list[Any]], null: Array
    ) -> pd.DataFrame:
        """P of each direction's effect among random ones of the same place and length."""
        layer, c = keys["layer"][0], keys["coefficient"][0]
        at = self.texts.index(target=target, sign=sign, layer=layer, coefficient=c)
        if not at:
            return _nothing()
        effect = self._shifts("judge", target, sign, at).mean(axis=0)
        p = [(1 + int((null >= value).sum())) / (1 + len(null)) for value in effect]
        nan = [np.nan] * len(at)
        rows = {"metric": "over_random", **self._keys(at), "value": effect, "low": nan, "high": nan}
        return pd.DataFrame({**rows, "n": len(null), "p": p})

    def matched(self, target: str, sign: int) -> pd.DataFrame:
        """Damage of each way at an effect of :data:`MATCHED`, at the layer where it is least.

        Along the lengths of a layer, effect and damage are joined by straight lines from (0, 0);
        the least damage at which the effect is reached is taken. NaN where it is not reached.
        """
        parts = []
        for method in [m for m in METHODS if m in (*self.plan.methods, "prompt")]:
            at = self.texts.index(target=target, sign=sign, method=method)
            if not at:
                continue
            effect = self._draws.ratio(self._shifts("judge", target, sign, at))
            damage = self.damage([self.texts.settings[k] for k in at])
            layers = np.array([self.texts.settings[k].layer for k in at])
            value = least_damage(effect.value[None], damage.value[None], layers)[0]
            draws = least_damage(effect.draws, damage.draws, layers)
            low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
            at_end = [float(x) if np.isfinite(x) else np.nan for x in (value, low, high)]
            reached = Estimate(at_end[0], at_end[1], at_end[2], len(self.texts.prompts))
            keys: dict[str, list[Any]] = {"method": [method], "target": [target], "sign": [sign]}
            parts.append(estimate_rows(keys, [reached], "matched_damage"))
        return pd.concat(parts, ignore_index=True)

    def collapsed(self, at: list[int], rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which settings collapse, judged on some rows."""
        repeated = np.nanmean(self.texts.columns["repeated"][rows][:, at], axis=0)
        likely = np.nanmean(self.texts.columns["nll"][rows][:, at], axis=0)
        own = np.nanmean(self.texts.clean["nll"][rows])
        return np.asarray((repeated > MOST_REPEATED) | (likely - own > MOST_NATS))

    def _halves(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows to choose on, and rows to measure on: every other prompt of each kind."""
        ranks: dict[str, int] = {}
        counts: dict[str, int] = {}
        for prompt, kind in zip(self.texts.prompts, self.texts.kinds, strict=True):
            if prompt not in ranks:
                ranks[prompt] = counts.get(kind, 0)
                counts[kind] = ranks[prompt] + 1
        even = np.array([ranks[prompt] % 2 == 0 for prompt in self.texts.prompts])
        return even, ~even

    def recommended(self, target: str, sign: int) -> Condition | None:
        """The setting to use, chosen on half of the prompts; None where none has an effect."""
        choose, _ = self._halves()
        at = [k for k in self._meant(target, sign) if self.texts.settings[k].layer >= 0]
        settings = [self.texts.settings[k] for k in at]
        effect = self._shifts("judge", target, sign, at)[choose].mean(axis=0)
        allowed = (self.damage(settings).value <= MOST_DAMAGE) & ~self.collapsed(at, choose)
        effect = np.where(allowed & np.isfinite(effect), effect, -np.inf)
        best = int(effect.argmax())
        return settings[best] if effect[best] > 0 else None

    def at_recommended(self, setting: Condition, target: str, sign: int) -> pd.DataFrame:
        """What the recommended setting does on the other prompts, and costs."""
        _, measure = self._halves()
        rows = measure if measure.any() else np.ones(len(measure), dtype=bool)
        k = self.texts.settings.index(setting)
        draws = GroupBootstrap(
            tuple(p for p, here in zip(self.texts.prompts, rows, strict=True) if here),
            seed=self._seed,
        )
        shifts = self._shifts("judge", target, sign, [k])[rows]
        own = self._shifts("own", target, sign, [k])[rows]
        found = {
            "recommended_effect": draws.ratio(shifts).estimates(),
            "recommended_own_effect": draws.ratio(own).estimates(),
            "recommended_wrong_way": draws.ratio(_where(shifts, shifts < 0)).estimates(),
            "recommended_damage": self.damage([setting]).estimates(),
        }
        keys = self._keys([k])
        if len(set(draws.groups)) < LEAST_PROMPTS:
            unsure = [name for name in found if name != "recommended_damage"]
            found |= {
                name: [replace(one, low=np.nan, high=np.nan) for one in found[name]]
                for name in unsure
            }
        return pd.concat([estimate_rows(keys, each, name) for name, each in found.items()])


def _mean_of_defined(values: Array) -> Array:
    """Mean of each row over what is defined, ``[row, 1]``; NaN where nothing is."""
    there = np.isfinite(values)
    n = there.sum(axis=1, keepdims=True)
    total = np.where(there, values, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(np.where(n > 0, total, np.nan) / np.maximum(n, 1))


def _where(defined: Array, truth: NDArray[np.bool_]) -> Array:
    """1 and 0, and NaN where there is nothing."""
    return np.where(np.isfinite(defined), truth.astype(float), np.nan)


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["metric", *SETTING, "value", "low", "high", "n"])
