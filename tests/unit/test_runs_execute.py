"""Doing experiments unit by unit: stopped anywhere, the results are those of an undisturbed run."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectscope import atomic
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.errors import DiskFullError, RunError
from affectscope.runs.config import RunConfig
from affectscope.runs.execute import run_experiments
from affectscope.runs.folder import RunFolder
from affectscope.runs.identity import Identity
from affectscope.runs.progress import RunProgress
from affectscope.stats import Estimate

CONFIG = RunConfig(experiments="infer,patch")
IDENTITY = Identity.of(CONFIG, model_sha256="m", corpus_sha256="c", device="cpu", dtype="float32")


class Clean(Experiment):
    """Three blocks of activations, and no result of its own."""

    name = "clean"

    def __init__(self):
        self.computed = []

    def planned_cost(self):
        return 3.0

    def units(self):
        return [Unit(self.name, {"block": block}) for block in range(3)]

    def compute(self, unit):
        self.computed.append(unit.key)
        draws = np.random.default_rng(unit.key["block"]).normal(size=8).astype(np.float32)
        return UnitOutput(pd.DataFrame({"block": [unit.key["block"]]}), {"resid_post.0": draws})

    def result(self, observations):
        return Result(self.name, pd.DataFrame(), observations, {}, "", lambda _: {})


class Averages(Experiment):
    """The mean of every block of activations, and the mean of those."""

    def __init__(self, name, clean, folder):
        self.name = name
        self.clean = clean
        self.store = folder.units
        self.computed = []

    def planned_cost(self):
        return 30.0

    def units(self):
        return [Unit(self.name, {"of": dict(unit.key)}, cost=2.0) for unit in self.clean.units()]

    def compute(self, unit):
        self.computed.append(unit.key)
        draws = self.store.read_arrays(Unit("clean", unit.key["of"]))["resid_post.0"]
        return UnitOutput(pd.DataFrame({"mean": [float(draws.mean())]}))

    def result(self, observations):
        mean = observations["mean"]
        estimate = Estimate(float(mean.mean()), float(mean.min()), float("nan"), len(mean))
        table = pd.DataFrame([{"metric": "mean", **estimate.as_dict()}])
        summary = {f"{self.name}.mean": estimate, f"{self.name}.blocks": len(mean)}
        return Result(self.name, table, observations, summary, f"It is {estimate}.", lambda _: {})


def start(path: Path, make=None) -> dict[str, Result]:
    """One start of the run, as a process would do it."""
    folder = RunFolder(path)
    with folder.lock(), RunProgress(io.StringIO()) as progress:
        folder.open_or_create(IDENTITY, CONFIG, {"command": "affectscope run"})
        clean = Clean()
        experiments = [clean, *(Averages(name, clean, folder) for name in ("infer", "patch"))]
        with folder.session():
            results = run_experiments((make or list)(experiments), folder, progress)
            folder.complete()
        return results


def results_of(path: Path) -> dict[str, bytes]:
    stored = {p.name: p.read_bytes() for p in sorted((path / "results").iterdir())}
    return {**stored, "summary.json": (path / "summary.json").read_bytes()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed")
    start(path)
    return path


def test_a_run_leaves_tables_summary_answers_and_timings(undisturbed):
    assert sorted(results_of(undisturbed)) == [
        "infer.parquet",
        "infer_observations.parquet",
        "patch.parquet",
        "patch_observations.parquet",
        "summary.json",
    ]
    means = [
        float(np.random.default_rng(block).normal(size=8).astype(np.float32).mean())
        for block in range(3)
    ]
    folder = RunFolder(undisturbed)
    np.testing.assert_allclose(folder.observations("infer")["mean"], means)
    assert folder.estimates("patch")["value"].item() == pytest.approx(np.mean(means))
    summary = json.loads((undisturbed / "summary.json").read_text())
    assert summary["infer.blocks"] == 3
    assert summary["infer.mean"]["value"] == pytest.approx(np.mean(means))
    assert summary["infer.mean"]["high"] is None
    assert folder.record.state == "complete"
    assert folder.record.answers["infer"].startswith("It is ")
    assert set(folder.record.timings) == {"clean", "infer", "patch"}
    assert not (undisturbed / "activations").exists()


class PowerCut(BaseException):
    """The process is gone: nothing after this reaches the disk."""


def cut_after(monkeypatch, n_writes: int) -> None:
    write = atomic.write_bytes
    left = n_writes

    def write_until_the_cut(path, content):
        nonlocal left
        if left == 0:
            raise PowerCut
        left -= 1
        write(path, content)

    monkeypatch.setattr(atomic, "write_bytes", write_until_the_cut)


def count_writes(path: Path, monkeypatch) -> int:
    count = 0
    write = atomic.write_bytes

    def counted(*arguments):
        nonlocal count
        count += 1
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write_bytes", counted)
        start(path)
    return count


def test_cut_at_every_write_and_started_again_the_results_are_the_same_bytes(
    undisturbed, tmp_path, monkeypatch
):
    n_writes = count_writes(tmp_path / "counted", monkeypatch)
    assert n_writes > 20
    for n in range(n_writes):
        path = tmp_path / f"cut{n}"
        with monkeypatch.context() as patch:
            cut_after(patch, n)
            with pytest.raises(PowerCut):
                start(path)
        if n:
            assert RunFolder(path).record.state in {"running", "complete"}
        start(path)
        assert results_of(path) == results_of(undisturbed), n
        assert RunFolder(path).record.state == "complete"


def test_cut_again_and_again_it_still_ends(undisturbed, tmp_path, monkeypatch):
    for _ in range(40):
        with monkeypatch.context() as patch:
            cut_after(patch, 6)  # run.json, two units with arrays, and not much more
            try:
                start(tmp_path)
                break
            except PowerCut:
                continue
    start(tmp_path)
    assert results_of(tmp_path) == results_of(undisturbed)


def test_finished_units_are_not_computed_again(tmp_path, monkeypatch):
    starts = []

    def stop_after_first_unit_of_infer(experiments):
        starts.append(experiments)
        infer = experiments[1]
        compute = infer.compute

        def once(unit):
            if infer.computed:
                raise KeyboardInterrupt
            return compute(unit)

        infer.compute = once
        return experiments

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, stop_after_first_unit_of_infer)
    record = RunFolder(tmp_path).record
    assert (record.state, record.state_detail) == ("interrupted", "stopped by Ctrl-C or a signal")
    start(tmp_path, lambda experiments: starts.append(experiments) or experiments)
    first, second = starts
    assert [len(experiment.computed) for experiment in first] == [3, 1, 0]
    assert [len(experiment.computed) for experiment in second] == [0, 2, 3]


@pytest.mark.parametrize("folder", ["units/infer", "units/clean", "activations"])
def test_a_truncated_unit_is_computed_again_to_the_same_results(undisturbed, tmp_path, folder):
    def stop_before_patch(experiments):
        def stop(_):
            raise KeyboardInterrupt

        experiments[2].compute = stop
        return experiments

    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, stop_before_patch)
    path = sorted((tmp_path / folder).iterdir())[1]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seen = []
    start(tmp_path, lambda experiments: seen.extend(experiments) or experiments)
    assert sum(len(experiment.computed) for experiment in seen[:2]) == 1
    assert results_of(tmp_path) == results_of(undisturbed)


def test_a_failure_is_recorded_with_its_reason(tmp_path):
    def failing(experiments):
        def fail(_):
            raise RunError("the model gave NaN")

        experiments[1].compute = fail
        return experiments

    with pytest.raises(RunError):
        start(tmp_path, failing)
    record = RunFolder(tmp_path).record
    assert (record.state, record.state_detail) == ("failed", "the model gave NaN")


def test_a_full_disk_stops_the_run_and_with_space_it_goes_on(undisturbed, tmp_path, monkeypatch):
    fsync = os.fsync
    left = 12

    def filling(descriptor):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", filling)
        with pytest.raises(DiskFullError):
            start(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    start(tmp_path)
    assert results_of(tmp_path) == results_of(undisturbed)


def test_activations_are_kept_when_they_are_wanted(tmp_path):
    folder = RunFolder(tmp_path)
    config = CONFIG.model_copy(update={"keep_activations": True})
    with folder.lock(), RunProgress(io.StringIO()) as progress:
        folder.open_or_create(IDENTITY, config, {"command": "affectscope run"})
        run_experiments([Clean()], folder, progress)
        folder.complete()
    assert len(list((tmp_path / "activations").iterdir())) == 3
    assert not (tmp_path / "results").exists()
