"""A run folder made by hand, as ``run.json`` and ``results/`` are laid out; no model is involved.

The curves are planted: attn_out peaks at a known layer, resid_post climbs to all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS
from synthetic_appraisals import appraise_table, geometry_table, promote_table, surgery_table
from synthetic_causal import ablate_table, estimate, patch_table, peak_layer
from synthetic_generate import generate_observations, generate_table
from synthetic_tables import (
    attend_table,
    control_table,
    localise_table,
    probe_table,
    robust_table,
)

__all__ = ["ablate_table", "patch_table", "peak_layer", "probe_table", "write_run"]

HOSTILE = ('<script>document.title="executed"</script>', '"><img src=x onerror=alert(1)>')
"""What must never be markup, wherever it is found."""


def infer_table(labels: Sequence[str] = EMOTIONS, *, calibrated: bool = True) -> pd.DataFrame:
    """Right for 35 % of each emotion when calibrated; raw answers are mostly the middle label."""
    rows: list[dict[str, Any]] = []

    def add(metric: str, emotion: str = "", predicted: str = "", **numbers: Any) -> None:
        rows.append({"metric": metric, "emotion": emotion, "predicted": predicted, **numbers})

    k = len(labels)
    add("accuracy_raw", **estimate(0.104, 700, 0.02))
    add("accuracy", **estimate(0.283 if calibrated else 0.104, 700, 0.033 if calibrated else 0.02))
    add("chance", **estimate(1 / k, 700, 0.0))
    for suffix in ("", "_raw"):
        noise = np.random.default_rng(0).dirichlet(np.full(k, 0.5), k)
        if suffix or not calibrated:
            noise[:, k // 2] += 3
            noise /= noise.sum(axis=1, keepdims=True)
        shares = 0.65 * noise + 0.35 * np.eye(k)
        for i, emotion in enumerate(labels):
            add(f"recall{suffix}", emotion, **estimate(shares[i, i], 40 + i, 0.1))
            add(f"predicted_share{suffix}", "", emotion, **estimate(shares[:, i].mean(), 700, 0.02))
            for j, predicted in enumerate(labels):
                add(f"confusion{suffix}", emotion, predicted, **estimate(shares[i, j], 40 + i))
    add("open_accuracy", **estimate(0.071, 700, 0.02))
    add("bag_of_words", **estimate(0.244, 700, 0.03))
    add("read_accuracy", **estimate(0.27, 120, 0.08))
    add("reader_accuracy", **estimate(0.504, 120, 0.06))
    add("plurality_accuracy", **estimate(0.578, 120, 0.07))
    add("above_reader", value=-0.23, low=-0.33, high=-0.13, n=120)
    add("open_label_share", **estimate(0.62, 700, 0.03))
    for rank, token in enumerate((" sadness", " joy", "\n", " the", " I", " fear", "\x00", " It")):
        add("open_token", "", token, **estimate(0.4 / (rank + 1), 700, 0.02))
    return pd.DataFrame(rows)


def pairs_table() -> pd.DataFrame:
    """The answer moves as predicted in 64 % of the pairs, in most when pleasantness changes."""
    shares = {"": (0.64, 360), "pleasantness": (0.78, 120), "self_responsblt": (0.55, 80)}
    rows = []
    for flipped, (share, n) in shares.items():
        for metric, value in (("moved", share), ("followed", share / 3), ("both_right", share / 4)):
            rows.append({"metric": metric, "flipped": flipped, **estimate(value, n)})
    return pd.DataFrame(rows)


def human_table(labels: Sequence[str] = EMOTIONS) -> pd.DataFrame:
    """Readers are right for half; the model's distances lie between theirs and the null."""
    rows: list[dict[str, Any]] = []

    def add(metric: str, emotion: str = "", predicted: str = "", appraisal: str = "", **numbers):
        keys = {"emotion": emotion, "predicted": predicted, "appraisal": appraisal}
        rows.append({"metric": metric, **keys, **numbers})

    add("reader_accuracy", **estimate(0.504, 600))
    add("plurality_accuracy", **estimate(0.578, 120))
    shares = np.random.default_rng(1).dirichlet(np.full(len(labels), 0.3), len(labels))
    shares = 0.5 * shares + 0.5 * np.eye(len(labels))
    for i, emotion in enumerate(labels):
        add("recall", emotion, **estimate(shares[i, i], 50))
        add("predicted_share", "", emotion, **estimate(shares[:, i].mean(), 600))
        for j, predicted in enumerate(labels):
            add("confusion", emotion, predicted, **estimate(shares[i, j], 50))
    for k, name in enumerate(APPRAISAL_NAMES):
        add("r2", appraisal=name, **estimate(0.67 - 0.03 * k, 120))
        add("reader_r2", appraisal=name, **estimate(0.5 - 0.024 * k, 600))
    for name, value in (
        ("js_model", 0.72),
        ("js_answer", 0.81),
        ("js_reader", 0.53),
        ("js_null", 0.85),
    ):
        add(name, **estimate(value, 120))
    return pd.DataFrame(rows)


TABLES = {
    "infer": infer_table,
    "pairs": pairs_table,
    "probe": probe_table,
    "ablate": ablate_table,
    "patch": patch_table,
    "attend": attend_table,
    "control": control_table,
    "robust": robust_table,
    "localise": localise_table,
    "appraise": appraise_table,
    "geometry": geometry_table,
    "promote": promote_table,
    "surgery": surgery_table,
    "generate": generate_table,
    "human": human_table,
}


def record(**changes: Any) -> dict[str, Any]:
    """The content of a ``run.json``, with some entries changed."""
    sizes = {"n_layers": 30, "d_model": 576, "n_parameters": 134_515_008}
    return {
        "schema_version": 1,
        "affectscope_version": "0.1.0",
        "command": "affectscope run --model smollm2-135m --data enVent_gen_Data.csv --limit 700",
        "state": "complete",
        "state_detail": "",
        "pid": 1,
        "identity": "1f" * 32,
        "identity_of": {"seed": 0},
        "config": {
            "model": "smollm2-135m",
            "data": "enVent_gen_Data.csv",
            "experiments": list(TABLES),
            "limit": 700,
            "seed": 0,
        },
        "created": "2025-06-01T10:00:00+00:00",
        "updated": "2025-06-01T10:21:00+00:00",
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"},
        "model": {
            "name": "smollm2-135m",
            "requested_revision": None,
            "revision": "b179c9523d0e",
            "architecture": "LlamaForCausalLM",
            **sizes,
            "dtype": "float32",
            "device": "cpu",
            "attn_implementation": "sdpa",
            "sha256": "b1" * 32,
            "path": "/home/user/.cache/affectscope/models/smollm2-135m",
        },
        "corpus": {
            "name": "crowd-envent",
            "source": "../shared/data/crowd-envent/enVent_gen_Data.csv",
            "sha256": "c0" * 32,
            "encoding": "iso-8859-1",
            "n_rows": 6600,
            "n_used": 700,
            "dropped": [
                {"reason": "the text is one of the prompt's shots", "count": 2},
                {"reason": "the text is empty", "count": 1},
            ],
            "emotions": dict.fromkeys(EMOTIONS, 54),
        },
        "prompts": {
            "template": "joy_sadness_0",
            "text": "What are the inferred emotions in the following contexts? Context: My first "
            "child was born. Answer: joy Context: My dog died last week. Answer: sadness "
            "Context: {x} Answer:",
            "calibration": "batch",
            "label_tokens": [
                {
                    "label": emotion,
                    "tokens": [f" {emotion}"],
                    "token_ids": [1000 + k],
                    "n_tokens": 1,
                    "shares_first_token_with": [],
                }
                for k, emotion in enumerate(EMOTIONS)
            ],
        },
        "self_check": [
            {
                "name": "branches",
                "passed": True,
                "value": 3.1e-6,
                "tolerance": 1e-4,
                "detail": "edited branches against plain full passes",
            }
        ],
        "engine": "sweep",
        "seeds": {"seed": 0},
        "timings": {"load": 9.2, "clean": 210.0, "infer": 0.4, "probe": 160.1, "patch": 95.0},
        "answers": {
            "infer": "The model names the author's emotion for 28.3% [25.0%, 31.6%] of items.",
            "pairs": "The answer moves as predicted in 64.0% [60.0%, 68.0%] of 360 pairs.",
            "probe": "The emotion is read off best at resid_post, layer 29 [25, 29].",
            "ablate": "Zeroing attn_out changes the answer most at layer 21 [20, 22].",
            "patch": "Patching attn_out carries most at layer 21 [21, 22], for 52.0% of 200 pairs.",
            "attend": "The last token attends most to example labels at layer 21 [20, 22].",
            "control": "The first word is patched 3 layers later (p = 0.002).",
            "robust": "No prompt moves the curve (p = 0.60).",
            "localise": "The emotion is brought to the last token by attn_out at layer 21.",
            "appraise": "Read best is pleasantness, with r² 0.45 [0.40, 0.50] at resid_post.",
            "geometry": "Emotions lie to appraisals as in people (0.65 [0.45, 0.85]).",
            "promote": "Adding an emotion's direction makes it the answer for 35.0% of the items.",
            "surgery": "Appraisals change emotions significantly in 30 of 273 cases.",
            "generate": "Moved as meant: pleasantness+ +0.75 [+0.40, +1.10] at 0.32 nats.",
            "human": "One reader names the author's emotion for 50.4% [46.4%, 54.4%] of items.",
        },
        "warnings": [],
        "settings": {"patch": "200 pairs, windows of 3 layers, seed 0."},
        **changes,
    }


def write_run(folder: Path, tables: dict[str, pd.DataFrame] | None = None, **changes: Any) -> Path:
    """Write a run folder: all experiments of ``TABLES`` unless ``tables`` says otherwise.

    Args:
        folder: Made by this call.
        tables: Estimates by experiment.
        changes: Entries of ``run.json`` that differ from :func:`record`.
    """
    (folder / "results").mkdir(parents=True)
    made = {name: make() for name, make in TABLES.items()} if tables is None else tables
    for name, table in made.items():
        table.to_parquet(folder / "results" / f"{name}.parquet")
    if "generate" in made:
        generate_observations().to_parquet(folder / "results" / "generate_observations.parquet")
    summary = {
        "infer.accuracy": {"value": 0.283, "low": 0.25, "high": 0.316, "n": 700},
        "infer.undefined": {"value": None, "low": None, "high": None, "n": 0},
        "patch.attn_out.peak_layer": {"value": 21, "low": 21, "high": 22, "n": 200},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(record(**changes)), encoding="utf-8")
    return folder
