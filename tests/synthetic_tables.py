"""Tables of ``probe``, ``attend``, ``control``, ``robust`` and ``localise`` made by hand.

No model is involved. The curves are those of :mod:`synthetic_causal`, so that all experiments tell
of the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectscope.vocabulary import SITES
from synthetic_causal import around, curve, estimate, peak_layer

KINDS = ("special", "instruction", "shot_text", "shot_label", "frame", "content", "function")
TEMPLATES = ("joy_sadness_0", "joy_sadness_3", "shots_12", "chat")
METHODS = ("probe", "ablate.zero", "ablate.resample", "patch", "patch.necessary")


def probe_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Accuracy rises with depth, and towards the last token; the baseline is 8.3 %."""
    baseline = {"metric": "baseline", "probe": "", "position": -1, "site": "", "layer": -1}
    rows = [{**baseline, **estimate(0.083, 700, 0.01)}]
    rise = 1 / (1 + np.exp(-(np.arange(n_layers) - 0.5 * n_layers) / (0.08 * n_layers)))
    for rank, site in enumerate(sites):
        for layer, value in enumerate(0.12 + (0.25 + 0.04 * rank) * rise):
            parts = {"control_word": 0.1, "control_item": 0.08, "selectivity": value - 0.1}
            where = {"site": site, "layer": layer}
            for probe, position in [("linear", -k) for k in range(1, 6)] + [("mlp", -1)]:
                at = {"probe": probe, "position": position, "p": 0.001 if value > 0.2 else 1.0}
                share = value / -position + 0.02 * (probe == "mlp")
                rows.append({"metric": "accuracy", **where, **at, **estimate(share, 700)})
            for metric, share in parts.items():
                at = {"probe": "linear", "position": -1}
                rows.append({"metric": metric, **where, **at, **estimate(share, 700)})
    return pd.DataFrame(rows).assign(items="all", emotion="")


def attend_table(n_layers: int = 30, n_heads: int = 4) -> pd.DataFrame:
    """The labels of the examples are looked at where patching peaks; blocking them matters."""
    rows: list[dict[str, Any]] = []
    bump = curve("attn_out", n_layers)
    for rank, kind in enumerate(KINDS):
        matters = 1.0 if kind == "shot_label" else 0.2
        for layer in range(n_layers):
            share = (0.3 if rank == 0 else 0.1) + 0.2 * matters * bump[layer]
            looked = {"kind": kind, "blocked": "", "layer": layer, "span": 0}
            for metric, factor in (("weight", 1), ("weight_max", 2), ("most_attended", 0.8)):
                rows.append({"metric": metric, **looked, "head": -1, **estimate(factor * share)})
            for head in range(n_heads):
                numbers = estimate(share * (head + 1) / n_heads)
                rows.append({"metric": "head_weight", **looked, "head": head, **numbers})
        for layer in range(-1, n_layers):
            moved = matters * (1.0 if layer < 0 else bump[layer])
            for blocked, effect in (("kind", moved), ("random", 0.3 * moved)):
                where = {"kind": kind, "blocked": blocked, "layer": layer, "span": 5, "head": -1}
                rows.append({"metric": "agreement", **where, **estimate(1 - 0.8 * effect)})
                rows.append({"metric": "kl", **where, **around(effect, 200, 0.05)})
            where = {"kind": kind, "blocked": "kind", "layer": layer, "span": 5, "head": -1}
            p = {"p": 0.001 if moved > 0.3 else 1.0}
            numbers = around(0.7 * moved, 200, 0.05)
            rows.append({"metric": "kl_difference", **where, **numbers, **p})
    return pd.DataFrame(rows).assign(items="all")


def control_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """The first word peaks three layers after the emotion; shuffled labels are at chance."""
    rows: list[dict[str, Any]] = []
    for part, later in (("emotion", 0), ("first_word", 3)):
        for site in sites:
            values = np.roll(curve(site, n_layers), later)
            for layer, value in enumerate(values):
                where = {"part": part, "metric": "transfer", "site": site, "layer": layer}
                rows.append({**where, **estimate(value, 100)})
            for metric in ("peak", "centre"):
                where = {"part": part, "metric": metric, "site": site, "layer": -1}
                rows.append({**where, **around(int(values.argmax()), 100, 1)})
    for metric in ("centre_difference", "peak_difference"):
        where = {"part": "difference", "metric": metric, "site": "attn_out", "layer": -1}
        rows.append({**where, **around(-3, 100, 1), "p": 0.002})
    for part, height in (("first_word", 0.8), ("no_question", 0.2), ("shuffled", 0.08)):
        for site in sites:
            for layer in range(n_layers):
                where = {"part": part, "metric": "probe", "site": site, "layer": layer}
                rows.append({**where, **estimate(height, 300)})
        where = {"part": part, "metric": "baseline", "site": "", "layer": -1}
        rows.append({**where, **estimate(0.083, 300, 0.02)})
    where = {"part": "first_word", "metric": "accuracy", "site": "", "layer": -1}
    rows.append({**where, **estimate(0.97, 300)})
    return pd.DataFrame(rows).assign(items="all")


def robust_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """No prompt moves the peak by more than a layer."""
    rows: list[dict[str, Any]] = []
    for rank, template in enumerate(TEMPLATES):
        own = {"template": template, "own": rank == 0}
        nowhere = {**own, "site": "", "layer": -1}
        rows.append({"metric": "accuracy", **nowhere, **estimate(0.28 + 0.02 * rank, 200)})
        for site in sites:
            values = curve(site, n_layers)
            for layer, value in enumerate(values):
                where = {**own, "site": site, "layer": layer}
                rows.append({"metric": "transfer", **where, **estimate(value, 60)})
            at = {**own, "site": site, "layer": -1}
            rows.append({"metric": "peak", **at, **around(int(values.argmax()) + rank % 2, 60, 1)})
    return pd.DataFrame(rows).assign(items="right", p=np.nan)


def localise_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """All methods peak where patching does, give or take a layer."""
    rows: list[dict[str, Any]] = []
    for rank, method in enumerate(METHODS):
        for site in sites:
            where = {"method": method, "other": "", "items": "right", "site": site}
            peak = around(peak_layer(n_layers) + rank % 2, 200, 1)
            rows.append({"metric": "peak_layer", **where, "layer": np.nan, **peak})
            for layer, value in enumerate(curve(site, n_layers)):
                profile = {"metric": "profile", **where, "layer": layer}
                rows.append({**profile, **estimate(value / (rank + 1))})
    where = {"method": "probe", "other": "patch", "items": "right", "site": "attn_out"}
    rows.append({"metric": "rank_correlation", **where, "layer": np.nan, **around(0.8, 200, 0.1)})
    return pd.DataFrame(rows)
