"""A table of ``generate`` made by hand, and the texts that would stand behind it.

Planted: the difference of means moves most for its damage, around the later layer; asking in words
moves ``pleasantness+`` more than the rest; ``self_responsblt-`` does not move at all, and has no
recommended setting; long vectors make texts that repeat themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectscope.texts import PROMPT_KINDS, writing_prompts
from synthetic_causal import around, estimate

TARGETS = ("pleasantness", "other_responsblt", "self_responsblt")
METHODS = {"held": 0.9, "probe": 0.7, "means": 1.4}
"""How far each way moves a reading, at the greatest length."""
LAYERS = (15, 22)
COEFFICIENTS = (0.1, 0.2, 0.35, 0.6)
RECOMMENDED = ("means", 22, 0.2)
STUCK = "self_responsblt-"
COLUMNS = ("metric", "direction", "reader", "method", "target", "sign", "layer", "coefficient")
COLUMNS += ("draw", "kind", "value", "low", "high", "n", "p")


def directions(targets: Sequence[str] = TARGETS) -> list[tuple[str, str, int]]:
    """Each target both ways: name, target and sign."""
    return [(f"{t}{'+' if s > 0 else '-'}", t, s) for t in targets for s in (1, -1)]


def effect(name: str, method: str, layer: int, c: float) -> float:
    """Standard deviations that a vector of length ``c`` moves a reading."""
    if name == STUCK:
        return -0.1 * c
    return METHODS[method] * np.tanh(3 * c) * (1.0 if layer == LAYERS[-1] else 0.6)


def damage(layer: int, c: float) -> float:
    """Nats a token."""
    return (8.0 if layer == LAYERS[-1] else 5.0) * c**2


def generate_table(targets: Sequence[str] = TARGETS) -> pd.DataFrame:
    """The table of estimates."""
    rows: list[dict[str, Any]] = []
    for name, target, sign in directions(targets):
        rows += _of_direction(name, target, sign)
    rows += _of_texts({"method": "none"}, 0.0, -1) + _of_texts({"method": "random"}, 0.2, 22)
    rows.append({"metric": "divergence", "method": "none", **around(0.0, 12, 0.0)})
    for layer in LAYERS:
        for c in COEFFICIENTS:
            at = {"method": "random", "layer": layer, "coefficient": c}
            rows.append({"metric": "divergence", **at, **around(damage(layer, c), 12, 0.02)})
    rows += [
        {"metric": "judge_r2", "reader": "judge", "target": target, "value": 0.4, "n": 600}
        for target in targets
    ]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    texts = dict.fromkeys(("direction", "reader", "method", "target", "kind"), "")
    return table.fillna({**texts, "sign": 0, "layer": -1, "coefficient": 0.0, "draw": -1}).astype(
        {"sign": int, "layer": int, "draw": int}
    )


def _of_direction(name: str, target: str, sign: int) -> list[dict[str, Any]]:
    of = {"direction": name, "target": target, "sign": sign}
    asked = {"method": "prompt", **of}
    words = 0.4 if name == "pleasantness+" else 0.1
    rows = _effects(asked, words) + _of_texts(asked, 0.0, -1)
    rows.append({"metric": "divergence", **asked, **around(0.05, 12, 0.02)})
    for method in METHODS:
        for layer in LAYERS:
            for c in COEFFICIENTS:
                at = {**of, "method": method, "layer": layer, "coefficient": c}
                rows += _effects(at, effect(name, method, layer, c)) + _of_texts(at, c, layer)
                rows.append({"metric": "divergence", **at, **around(damage(layer, c), 12, 0.02)})
    for layer in LAYERS:
        for c in COEFFICIENTS:
            at = {"direction": name, "method": "random", "layer": layer, "coefficient": c}
            spread = around(0.0, 10, 0.3 + c)
            rows.append({"metric": "random_effect", "reader": "judge", **at, **spread})
    for method, strength in {"prompt": words, **METHODS}.items():
        least = around(0.4 / strength, 32, 0.1) if strength > 0.5 and name != STUCK else {}
        rows.append({"metric": "matched_damage", **of, "method": method, "n": 32, **least})
    return rows + (_recommended(name, of) if name != STUCK else [])


def _effects(at: dict[str, Any], value: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for reader, share in (("judge", 1.0), ("own", 0.5)):
        of = {**at, "reader": reader}
        rows.append({"metric": "effect", **of, **around(share * value, 32, 0.25)})
        rows.append({"metric": "wrong_way", **of, **estimate(max(0.5 - value / 4, 0), 32, 0.1)})
        for k, kind in enumerate(PROMPT_KINDS):
            moved = around(share * value * (1 + 0.1 * k), 8, 0.4)
            rows.append({"metric": "effect_of_kind", "kind": kind, **of, **moved})
    return rows


def _of_texts(at: dict[str, Any], c: float, layer: int) -> list[dict[str, Any]]:
    """Fluency; those that are asked in words answer no questions."""
    at = {"layer": layer, "coefficient": c, **at}
    c *= {"held": 0.8, "probe": 0.9}.get(at["method"], 1.0)
    values = {
        "nll": around(2.0 + 6 * c**2, 32, 0.2),
        "repeated": estimate(0.02 + c**2, 32, 0.02),
        "distinct": estimate(0.95 - 0.5 * c**2, 32, 0.02),
        "recall": estimate(0.5 - 0.4 * c, 32, 0.1),
    }
    if at["method"] != "prompt":
        values["question"] = estimate(0.8 - 0.5 * c, 60, 0.1)
        values["infer"] = estimate(0.3 - 0.2 * c, 60, 0.1)
    return [{"metric": metric, **at, **numbers} for metric, numbers in values.items()]


def _recommended(name: str, of: dict[str, Any]) -> list[dict[str, Any]]:
    method, layer, c = RECOMMENDED
    value = effect(name, method, layer, c)
    at = {**of, "method": method, "layer": layer, "coefficient": c}
    numbers = {
        "recommended_effect": around(value, 16, 0.35),
        "recommended_own_effect": around(0.5 * value, 16, 0.3),
        "recommended_wrong_way": estimate(0.25, 16, 0.12),
        "recommended_damage": around(damage(layer, c), 12, 0.02),
    }
    return [{"metric": metric, **at, **each} for metric, each in numbers.items()]


def generate_observations(targets: Sequence[str] = TARGETS, n_prompts: int = 2) -> pd.DataFrame:
    """A text of every setting and prompt, which says under which setting it was written."""
    settings = [("none", "", 0, -1, 0.0), ("random", "", 0, LAYERS[0], COEFFICIENTS[0])]
    for _, target, sign in directions(targets):
        settings.append(("prompt", target, sign, -1, 0.0))
        settings += [
            (method, target, sign, layer, c)
            for method in METHODS
            for layer in LAYERS
            for c in COEFFICIENTS
        ]
    prompts = writing_prompts().groupby("kind", sort=False).head(n_prompts)
    rows = [
        {
            **dict(zip(("method", "target", "sign", "layer", "coefficient"), setting, strict=True)),
            "draw": 0 if setting[0] == "random" else -1,
            "what": "text",
            "id": prompt,
            "kind": kind,
            "repeat": repeat,
            "text": f"text of {prompt} no {repeat}: {' '.join(map(str, setting))}",
        }
        for setting in settings
        for prompt, kind in zip(prompts["id"], prompts["kind"], strict=True)
        for repeat in (0, 1)
    ]
    cost = {"method": "none", "target": "", "sign": 0, "layer": -1, "coefficient": 0.0, "draw": -1}
    return pd.concat(
        [pd.DataFrame(rows), pd.DataFrame([{**cost, "what": "divergence", "id": "n1"}])],
        ignore_index=True,
    )
