"""Tables of ``appraise``, ``geometry`` and ``surgery`` made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectscope.vocabulary import SITES
from synthetic_causal import EMOTION_NAMES, around, estimate

APPRAISAL_EXAMPLES = ("pleasantness", "other_responsblt", "self_responsblt", "effort")


def geometry_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Similarity rises with depth; the chosen layer is the last but two of resid_post."""
    rows: list[dict[str, Any]] = []
    rise = 1 / (1 + np.exp(-(np.arange(n_layers) - 0.5 * n_layers) / (0.08 * n_layers)))
    chosen = {"kind": "probe", "site": "resid_post", "layer": max(n_layers - 3, 0)}
    for rank, kind in enumerate(("probe", "means")):
        for metric in ("similarity", "profile_correlation", "valence_r"):
            rows.append({"metric": f"{metric}_critical", "kind": kind, "value": 0.5, "n": 5000})
            for site in sites:
                for layer, value in enumerate(0.7 * rise - 0.05 * rank):
                    where = {"metric": metric, "kind": kind, "site": site, "layer": layer}
                    p = {"p": 0.0002 if value > 0.5 else 1.0}
                    rows.append({**where, **around(value, 700, 0.15), **p})
    for i, emotion in enumerate(EMOTION_NAMES):
        for k in (1, 2):
            score = around(np.cos(2 * np.pi * i / 4 - k), 700, 0.1)
            rows.append({"metric": f"component_{k}", **chosen, "emotion": emotion, **score})
        for j, appraisal in enumerate(APPRAISAL_EXAMPLES):
            cell = {"emotion": emotion, "appraisal": appraisal}
            value = np.cos(i + 2 * j)
            rows.append({"metric": "cosine", **chosen, **cell, **around(0.4 * value, 700, 0.1)})
            rows.append({"metric": "people", **cell, **around(value, 700, 0.1)})
    for k, share in ((1, 0.4), (2, 0.2)):
        rows.append({"metric": f"component_{k}_share", **chosen, **estimate(share, 700)})
    rows.append({"metric": "human_similarity", **chosen, **around(0.65, 700, 0.2)})
    text = dict.fromkeys(("kind", "site", "emotion", "appraisal"), "")
    table = pd.DataFrame(rows).fillna(text)
    return table.assign(items="all", layer=table["layer"].fillna(-1).astype(int))


def appraise_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """r² rises with depth; people read twice as much."""
    rows: list[dict[str, Any]] = []
    for k, appraisal in enumerate(APPRAISAL_EXAMPLES):
        top = 0.5 - 0.12 * k
        for site in sites:
            for layer in range(n_layers):
                where = {"metric": "r2", "appraisal": appraisal, "site": site, "layer": layer}
                value = top * (layer + 1) / n_layers
                rows.append({**where, **around(value, 700, 0.1), "p": 0.002})
        for metric, value in (("r2_nested", top), ("human_r2", 2 * top), ("model_r2", top)):
            rows.append({"metric": metric, "appraisal": appraisal, **around(value, 120, 0.1)})
        for source, target in (("people", "author"), ("decoded", "model")):
            for j, emotion in enumerate(EMOTION_NAMES):
                where = {"source": source, "target": target, "emotion": emotion}
                cell = {"metric": "coefficient", "appraisal": appraisal, **where}
                rows.append({**cell, **around(np.cos(k + 2 * j), 700, 0.3)})
    for site in sites:
        for layer in range(n_layers):
            where = {"metric": "r2", "appraisal": "mean", "site": site, "layer": layer}
            rows.append({**where, **around(0.3 * (layer + 1) / n_layers, 700, 0.05)})
    for source, target in (("people", "author"), ("decoded", "model")):
        where = {"metric": "black_box", "source": source, "target": target}
        rows.append({**where, **estimate(0.35, 700)})
    keys = ("appraisal", "site", "source", "target", "emotion")
    table = pd.DataFrame(rows).fillna(dict.fromkeys(keys, ""))
    return table.assign(items="all", layer=table["layer"].fillna(-1).astype(int))


def surgery_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Pleasantness moves joy; holding leaks half as much as not holding."""
    rows: list[dict[str, Any]] = []
    edited = max(n_layers - 8, 0)
    for method, leak in (("held", 0.3), ("raw", 0.6)):
        rows += _of_method(n_layers, edited, method, leak)
    rows += _specific(n_layers, sites, edited)
    table = pd.DataFrame(rows)
    for column in ("p", "significant", "coefficient", "span", "layer"):
        table[column] = table[column].astype(float)
    return table.fillna(dict.fromkeys(("edit", "method", "site", "emotion", "read"), ""))


def _of_method(n_layers: int, edited: int, method: str, leak: float) -> list[dict[str, Any]]:
    """What is known with the others held, or without."""
    rows: list[dict[str, Any]] = []
    for k, appraisal in enumerate(APPRAISAL_EXAMPLES):
        for j, emotion in enumerate(EMOTION_NAMES):
            cell = {"edit": appraisal, "method": method, "emotion": emotion}
            value = np.cos(k + 2 * j)
            sure = {"p": 0.01, "significant": float(np.sign(value) * (abs(value) > 0.5))}
            rows.append({"metric": "move", **cell, **around(value, 200, 0.3), **sure})
        for j, read in enumerate(APPRAISAL_EXAMPLES):
            cell = {"edit": appraisal, "read": read, "method": method, "layer": edited}
            value = 1.0 if j == k else leak * (-1) ** j
            rows.append({"metric": "reading_change", **cell, **around(value, 200, 0.1)})
    for signs in ("pleasantness+ other_responsblt+", "pleasantness- other_responsblt+"):
        for j, emotion in enumerate(EMOTION_NAMES):
            cell = {"edit": signs, "method": method, "emotion": emotion, "coefficient": 0.2}
            rows.append({"metric": "rate_change", **cell, **around(0.2 * np.cos(j), 200, 0.1)})
    for layer in range(edited, n_layers):
        where = {"metric": "leakage", "method": method, "layer": layer}
        rows.append({**where, **around(leak, 200, 0.05)})
    for flipped in ("", "pleasantness", "other_responsblt"):
        where = {"metric": "pairs_agreement", "edit": flipped, "method": method}
        rows.append({**where, **estimate(0.65, 60)})
    return rows


def _specific(n_layers: int, sites: Sequence[str], best: int) -> list[dict[str, Any]]:
    """Where appraisals move answers."""
    rows: list[dict[str, Any]] = []
    for site in sites:
        for span in (1, 3):
            for layer in range(n_layers):
                where = {"metric": "specific", "site": site, "span": span, "layer": layer}
                value = 0.2 * np.exp(-((layer - best) ** 2) / 20) - 0.01
                rows.append({**where, **around(value, 24, 0.05)})
    return rows


def promote_table(n_layers: int = 30, sites: Sequence[str] = SITES) -> pd.DataFrame:
    """Each emotion rises with its own direction, most in the middle layers, and fear falls."""
    rows: list[dict[str, Any]] = []
    centre, emotions = n_layers // 2, ("anger", "fear", "joy")
    sizes = {"norm": (0.05, 0.1, 0.2), "raw": (1.0, 2.0, 4.0)}
    arms = (("means", "norm", "up"), ("means", "norm", "down"))
    arms += (("probe", "norm", "up"), ("probe", "raw", "up"))
    for kind, unit, sense in arms:
        for rank, size in enumerate(sizes[unit]):
            arm = {"kind": kind, "unit": unit, "sense": sense, "coefficient": size}
            for layer in range(n_layers):
                value = 0.3 * (rank + 1) * np.exp(-((layer - centre) ** 2) / 30)
                where = arm | {"layer": layer}
                rows.append({"metric": "mean_success", **where, **around(value, 200, 0.1)})
                for emotion in emotions:
                    cell = {"metric": "success", "emotion": emotion, **where}
                    rows.append({**cell, **around(value, 200, 0.1)})
            for emotion in emotions:
                for label in EMOTION_NAMES:
                    value = 0.3 if label == emotion else -0.05
                    cell = {"metric": "moved", "emotion": emotion, "label": label}
                    rows.append({**cell, **arm, "layer": centre, **around(value, 200, 0.05)})
    for kind in ("isotropic", "covariance"):
        at = {"metric": "random_success", "random": kind, "layer": centre, "coefficient": 0.1}
        rows += [{**at, "emotion": name, **around(0.01, 100, 0.03)} for name in emotions]
    table = pd.DataFrame(rows).assign(items="all", p=np.nan)
    keys = ("kind", "unit", "sense", "emotion", "label", "random")
    return table.fillna(dict.fromkeys(keys, ""))
