"""From options to a finished run, on a tiny random model."""

import dataclasses
import io
import json
from pathlib import Path

import pytest

from affectscope.errors import RunFolderError
from affectscope.runs import start
from affectscope.runs.config import RunConfig
from affectscope.runs.folder import RunFolder
from affectscope.runs.progress import RunProgress
from affectscope.runs.units import UnitFolder


@pytest.fixture
def go(lm, monkeypatch):
    """Do a run on the tiny model; tells what the user was told."""
    asked = []

    def load_model(name, **options):
        asked.append((name, options))
        return lm

    monkeypatch.setattr(start, "load_model", load_model)

    def run(path: Path, **options) -> str:
        settings = {"limit": 39, "experiments": "infer,ablate", "out": path}
        told = io.StringIO()
        with RunProgress(told) as progress:
            config = RunConfig(**{**settings, **options})
            start.start_run(config, command="affectscope run", progress=progress)
        return told.getvalue()

    run.asked = asked
    return run


@pytest.fixture(scope="module")
def stopping():
    """Interrupt after so many units were stored."""

    def after(n_units: int, monkeypatch) -> None:
        write = UnitFolder.write
        left = n_units

        def write_until(self, unit, output):
            nonlocal left
            if not left:
                raise KeyboardInterrupt
            left -= 1
            write(self, unit, output)

        monkeypatch.setattr(UnitFolder, "write", write_until)

    return after


def results_of(path: Path) -> dict[str, bytes]:
    stored = {p.name: p.read_bytes() for p in sorted((path / "results").iterdir())}
    return {**stored, "summary.json": (path / "summary.json").read_bytes()}


def test_the_record_says_of_what_the_run_is(go, tmp_path):
    go(tmp_path, batch_size=8, dtype="float32")
    name, options = go.asked[0]
    assert name == "smollm2-135m"
    assert (options["batch_size"], options["dtype"], options["strict"]) == (8, "float32", False)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["state"] == "complete"
    assert record["model"]["name"] == "tiny"
    assert record["model"]["requested_revision"] is None
    assert record["corpus"]["name"] == "vignettes"
    assert record["corpus"]["n_used"] == 39
    assert sum(record["corpus"]["emotions"].values()) == 39
    assert record["identity_of"]["corpus_sha256"] == record["corpus"]["sha256"]
    assert len(record["prompts"]["label_tokens"]) == 13
    assert record["engine"] == "sweep"
    assert all(check["passed"] for check in record["self_check"])
    assert set(record["answers"]) == {"infer", "ablate"}
    assert {"load", "clean", "infer", "ablate"} <= set(record["timings"])
    assert record["seeds"] == {"seed": 0}


def test_a_run_that_is_done_is_not_done_again(go, tmp_path, monkeypatch):
    go(tmp_path)
    before = results_of(tmp_path)

    def never(*_, **__):
        raise AssertionError("something is computed again")

    monkeypatch.setattr(start, "run_experiments", never)
    assert "all of it was done before" in go(tmp_path, experiments="ablate")
    assert results_of(tmp_path) == before
    record = RunFolder(tmp_path).record
    assert record.state == "complete"
    assert record.config["experiments"] == ["infer", "ablate"]


def test_an_experiment_can_be_added_to_a_run(go, tmp_path):
    go(tmp_path / "both")
    go(tmp_path / "added", experiments="ablate")
    go(tmp_path / "added", experiments="infer")
    assert results_of(tmp_path / "added") == results_of(tmp_path / "both")


def test_other_options_are_refused_before_the_model_is_loaded(go, tmp_path):
    go(tmp_path)
    with pytest.raises(RunFolderError, match="--seed: 0 -> 1"):
        go(tmp_path, seed=1)
    assert len(go.asked) == 1


def test_another_model_under_the_same_name_is_refused(go, tmp_path, lm, monkeypatch):
    go(tmp_path)
    other = dataclasses.replace(lm, pretrained=dataclasses.replace(lm.pretrained, sha256="1" * 64))
    monkeypatch.setattr(start, "load_model", lambda *_, **__: other)
    with pytest.raises(RunFolderError, match="the model's files: 000000000000 -> 111111111111"):
        go(tmp_path)


def test_a_model_on_the_slow_way_is_a_warning(go, tmp_path, lm, monkeypatch):
    slow = dataclasses.replace(lm, reader=dataclasses.replace(lm.reader, plain=True))
    monkeypatch.setattr(start, "load_model", lambda *_, **__: slow)
    go(tmp_path, experiments="infer")
    record = RunFolder(tmp_path).record
    assert record.engine == "full pass"
    assert any("full passes" in warning for warning in record.warnings)


def test_stopped_after_any_unit_the_tables_are_the_same(go, tmp_path, stopping, monkeypatch):
    go(tmp_path / "undisturbed")
    n_units = sum(1 for _ in (tmp_path / "undisturbed").glob("units/*/*.parquet"))
    assert n_units >= 3
    for n in range(0, n_units, max(1, n_units // 4)):
        path = tmp_path / f"stopped{n}"
        with monkeypatch.context() as patch:
            stopping(n, patch)
            with pytest.raises(KeyboardInterrupt):
                go(path)
        assert RunFolder(path).record.state == "interrupted"
        go(path)
        assert results_of(path) == results_of(tmp_path / "undisturbed"), n
