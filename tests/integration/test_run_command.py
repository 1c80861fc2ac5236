"""``affectscope run`` on the real model: complete, stopped, killed, repeated."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from commands import affectscope

pytestmark = pytest.mark.integration

SMALL = (
    "--positions=-1,-2 --spans 1 --no-heads --no-probe-mlp --attend-items 8 "
    "--control-items 26 --control-pairs 4 --robust-items 26 --robust-pairs 4 --templates shots_1"
)
OPTIONS = tuple(f"run --limit 78 --pairs 48 --seed 1 --folds 2 {SMALL}".split())
EXPERIMENTS = (
    *("infer", "pairs", "probe", "ablate", "patch", "attend", "control", "robust", "localise"),
)


def hashes(run: Path) -> dict[str, str]:
    """Content of every file of results, and of the summary."""
    paths = [*sorted((run / "results").iterdir()), run / "summary.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = affectscope(*OPTIONS, "--out", "run", cwd=folder)
    assert done.stdout.strip().endswith("report.html")
    return folder / "run"


def test_a_run_holds_what_it_promises(undisturbed):
    summary = json.loads((undisturbed / "summary.json").read_text())
    names = ["infer.accuracy_raw", "infer.accuracy", "infer.chance"]
    for site in ("attn_out", "mlp_out", "resid_post"):
        names += [f"probe.{site}.best_layer", f"probe.{site}.accuracy"]
        names += [f"ablate.{kind}.{site}.lowest_layer" for kind in ("zero", "noise")]
        names += [f"patch.{site}.peak_layer", f"patch.{site}.peak_transfer"]
    for name in names:
        assert set(summary[name]) == {"value", "low", "high", "n"}, name
        assert summary[name]["low"] <= summary[name]["value"] <= summary[name]["high"], name
    record = json.loads((undisturbed / "run.json").read_text())
    assert record["state"] == "complete"
    assert set(record["answers"]) == set(EXPERIMENTS)
    assert record["corpus"]["n_used"] == 78
    assert len(record["model"]["sha256"]) == 64
    for name in EXPERIMENTS:
        table = pd.read_parquet(undisturbed / "results" / f"{name}.parquet")
        assert {"metric", "value", "low", "high", "n"} <= set(table.columns)
    assert (undisturbed / "report.html").stat().st_size > 50_000
    for name in ("infer_confusion", "probe_layers", "ablate_agreement", "patch_layers"):
        for ending in ("html", "svg", "png", "csv"):
            assert (undisturbed / "figures" / f"{name}.{ending}").is_file()
    assert [path for path in undisturbed.rglob("*") if path.suffix == ".tmp"] == []


def test_the_last_residual_stream_carries_everything(undisturbed):
    table = pd.read_parquet(undisturbed / "results" / "patch.parquet")
    last = table.query(
        "metric == 'source' and site == 'resid_post' and layer == 29 and position == -1 "
        "and direction == 'sufficient'"
    )
    assert set(last["span"]) == {1, 3}
    assert set(last["value"]) == {1.0}


def test_the_same_command_again_changes_nothing(undisturbed):
    before = hashes(undisturbed)
    began = time.monotonic()
    affectscope(*OPTIONS, "--out", "run", cwd=undisturbed.parent)
    assert hashes(undisturbed) == before
    assert time.monotonic() - began < 120


def test_another_question_in_the_same_folder_is_refused(undisturbed):
    other = [*OPTIONS]
    other[other.index("--seed") + 1] = "2"
    done = affectscope(*other, "--out", "run", cwd=undisturbed.parent, check=False)
    assert done.returncode != 0
    assert "seed" in done.stderr
    assert "Traceback" not in done.stderr


def start(folder: Path) -> subprocess.Popen[bytes]:
    # A shell's background job inherits an ignored SIGINT; a user's terminal does not.
    return subprocess.Popen(
        [sys.executable, "-m", "affectscope", *OPTIONS, "--out", "run"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    )


def units_of(run: Path, experiment: str = "*") -> int:
    return len(list((run / "units" / experiment).glob("*.parquet")))


def test_killed_five_times_it_ends_with_the_same_results(undisturbed, tmp_path):
    """SIGKILL at five random moments, of which each experiment's work has at least one."""
    seed = time.time_ns() % 2**32
    print(f"seed of the moments: {seed}")
    moments = random.Random(seed)
    totals = {name: units_of(undisturbed, name) for name in ("probe", "ablate", "patch")}
    assert min(totals.values()) >= 3, totals
    half = totals["probe"] // 2
    plan = [
        ("clean", 1),
        ("probe", moments.randrange(1, half)),
        ("probe", moments.randrange(half, totals["probe"])),
        ("ablate", moments.randrange(1, totals["ablate"])),
        ("patch", moments.randrange(1, totals["patch"])),
    ]
    for name, units in plan:
        process = start(tmp_path)
        while process.poll() is None and units_of(tmp_path / "run", name) < units:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.3)
        assert process.poll() is None, f"the run ended before it was killed in {name}"
        process.kill()
        process.wait()
    affectscope(*OPTIONS, "--out", "run", cwd=tmp_path)
    assert hashes(tmp_path / "run") == hashes(undisturbed)


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_interrupted_it_says_how_to_go_on(tmp_path):
    process = start(tmp_path)
    while process.poll() is None and not list((tmp_path / "run" / "units").rglob("*.parquet")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert b"same command" in errors
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "interrupted"
