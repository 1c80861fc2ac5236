"""From options to a finished run, on a tiny random model."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from affectscope import atomic
from affectscope.data import Readers, load_corpus
from affectscope.errors import DataError, DiskFullError, RunBusyError, RunFolderError, UsageError
from affectscope.runs import start
from affectscope.runs.config import RunConfig
from affectscope.runs.folder import RunFolder
from affectscope.runs.prepare import prepare
from affectscope.runs.progress import RunProgress
from affectscope.runs.record import RunRecord
from affectscope.runs.units import UnitFolder
from affectscope.vocabulary import EXPERIMENTS


@pytest.fixture
def go(lm, monkeypatch):
    """Do a run on the tiny model; tells what the user was told."""
    asked, reported = [], []

    def load_model(name, **options):
        asked.append((name, options))
        return lm

    monkeypatch.setattr("affectscope.runs.prepare.load_model", load_model)

    def write_page(folder: Path, record: RunRecord) -> None:
        reported.append((RunFolder(folder).record.state, record.state))
        atomic.write_bytes(folder / "report.html", b"the report")

    def run(path: Path, write_report=write_page, **options) -> str:
        settings = {"limit": 39, "experiments": "infer,ablate", "out": path}
        told = io.StringIO()
        with RunProgress(told) as progress:
            config = RunConfig(**{**settings, **options})
            start.start_run(
                config, command="affectscope run", progress=progress, write_report=write_report
            )
        return told.getvalue()

    run.asked = asked
    run.reported = reported
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

    monkeypatch.setattr("affectscope.runs.execute.run_experiments", never)
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
    monkeypatch.setattr("affectscope.runs.prepare.load_model", lambda *_, **__: other)
    with pytest.raises(RunFolderError, match="the model's files: 000000000000 -> 111111111111"):
        go(tmp_path)


def test_a_model_on_the_slow_way_is_a_warning(go, tmp_path, lm, monkeypatch):
    slow = dataclasses.replace(lm, reader=dataclasses.replace(lm.reader, plain=True))
    monkeypatch.setattr("affectscope.runs.prepare.load_model", lambda *_, **__: slow)
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


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: os.truncate(path, 100)])
def test_observations_that_are_gone_are_made_again_by_the_same_command(go, tmp_path, spoil):
    go(tmp_path)
    before = results_of(tmp_path)
    spoil(tmp_path / "results" / "infer_observations.parquet")
    go(tmp_path)
    assert results_of(tmp_path) == before


def test_a_run_is_complete_once_its_report_is_there(go, tmp_path):
    go(tmp_path)
    assert go.reported == [("running", "complete")]  # on disk, and as the page shows it
    assert RunFolder(tmp_path).record.state == "complete"


def test_a_report_that_is_there_is_not_written_again(go, tmp_path):
    go(tmp_path, experiments="infer")
    assert "the report was written before" in go(tmp_path, experiments="infer")
    assert len(go.reported) == 1
    go(tmp_path, experiments="ablate")
    assert len(go.reported) == 2
    (tmp_path / "report.html").unlink()
    go(tmp_path)
    assert len(go.reported) == 3


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DiskFullError("the disk is full"), "failed"),
        (ZeroDivisionError(), "failed"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_a_report_that_fails_leaves_no_complete_run_and_is_written_next_time(
    go, tmp_path, error, state
):
    def fail(*_):
        raise error

    go(tmp_path, experiments="infer")
    with pytest.raises(type(error)):
        go(tmp_path, write_report=fail)
    assert RunFolder(tmp_path).record.state == state
    go(tmp_path)  # although there is a page, of the first start
    assert len(go.reported) == 2
    assert RunFolder(tmp_path).record.state == "complete"


def test_a_disk_that_stays_full_during_the_report_leaves_no_complete_run(go, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def fill_the_disk(folder, _):
        monkeypatch.setattr(os, "fsync", full)
        atomic.write_bytes(folder / "report.html", b"the report")

    with pytest.raises(DiskFullError):
        go(tmp_path, write_report=fill_the_disk)
    assert RunFolder(tmp_path).record.state == "running"


def test_others_are_kept_out_until_the_report_is_written(go, tmp_path):
    def ask_for_the_folder(folder, _):
        with pytest.raises(RunBusyError), RunFolder(folder).lock():
            pass
        asked.append(folder)

    asked = []
    go(tmp_path, write_report=ask_for_the_folder)
    assert asked == [tmp_path]


def test_rows_left_out_and_warnings_are_said_before_the_experiments(go, tmp_path):
    rows = [f"It was joyful on day {i}.,joy" for i in range(20)]
    rows += [f"It was frightening on day {i}.,fear" for i in range(19)]
    rows += [",joy", f"{'word ' * 2001},fear"]
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(["text,emotion", *rows]))
    told = go(
        tmp_path / "run", data=str(file), text_column="text", label_column="emotion", limit=None
    )
    record = RunFolder(tmp_path / "run").record
    lines = told.splitlines()
    (left_out,) = [line for line in lines if "left out" in line]
    assert left_out.startswith("2 of 41 rows are left out: ")
    assert all(f"{each['reason']} (1)" in left_out for each in record.corpus["dropped"])
    first = lines.index("clean passes ...")
    assert lines.index(left_out) < first
    assert all(lines.index(warning) < first for warning in record.warnings)


def test_warnings_are_said(go, tmp_path, lm, monkeypatch):
    slow = dataclasses.replace(lm, reader=dataclasses.replace(lm.reader, plain=True))
    monkeypatch.setattr("affectscope.runs.prepare.load_model", lambda *_, **__: slow)
    lines = go(tmp_path, experiments="infer").splitlines()
    (warning,) = [line for line in lines if "runs on full passes" in line]
    assert lines.index(warning) < lines.index("clean passes ...")


def test_what_happens_while_a_model_loads_is_told_like_the_rest(go, tmp_path, lm, monkeypatch):
    def load_model(_name, *, progress, **_):
        progress("fetching the model")
        return lm

    monkeypatch.setattr("affectscope.runs.prepare.load_model", load_model)
    assert "fetching the model" in go(tmp_path, experiments="infer").splitlines()


def test_an_unknown_template_is_wrong_usage_before_the_model_is_loaded(go, tmp_path):
    with pytest.raises(UsageError, match="no template 'joy_sadnes_1'") as caught:
        go(tmp_path / "run", template="joy_sadnes_1")
    assert caught.value.exit_code == 2
    assert "joy_sadness_1" in caught.value.remedy
    assert go.asked == []
    assert not (tmp_path / "run").exists()


MISSING_CORPUS = """
import io, sys
from pathlib import Path
from affectscope.errors import AffectscopeError
from affectscope.runs.config import RunConfig
from affectscope.runs.progress import RunProgress
from affectscope.runs.start import start_run
config = RunConfig(data=sys.argv[1], out=Path(sys.argv[2]))
try:
    start_run(config, command="", progress=RunProgress(io.StringIO()), write_report=print)
except AffectscopeError as error:
    print(type(error).__name__, [m for m in ("torch", "transformers") if m in sys.modules])
"""


@pytest.mark.parametrize(
    ("data", "error"), [("none.csv", DataError), ("vignettes", RunFolderError)]
)
def test_what_is_wrong_with_corpus_or_folder_is_said_before_the_libraries_load(
    tmp_path, data, error
):
    (tmp_path / "out").write_text("a file")
    out = tmp_path / ("out" if data == "vignettes" else "new")
    done = subprocess.run(
        [sys.executable, "-c", MISSING_CORPUS, str(tmp_path / data if "." in data else data), out],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{error.__name__} []\n"


def labelled(path: Path, rows: int = 40) -> Path:
    labels = ["glad" if n % 4 else "other" for n in range(rows)]
    lines = [f"Number {n} {'won' * n},{label},{n % 3}" for n, label in enumerate(labels)]
    path.write_text("\n".join(["text,label,who", *lines]) + "\n")
    return path


def test_labels_are_mapped_and_another_map_is_another_run(go, tmp_path):
    data = str(labelled(tmp_path / "a.csv"))
    options = {"data": data, "experiments": "infer", "limit": None}
    names = {"glad": "joy", "other": "fear"}
    go(tmp_path / "run", label_map=names, **options)
    record = RunFolder(tmp_path / "run").record
    assert record.corpus["emotions"] == {"fear": 10, "joy": 30}
    assert record.config["label_map"] == names
    with pytest.raises(RunFolderError, match="--label-map") as caught:
        go(tmp_path / "run", label_map={"glad": "joy", "other": "anger"}, **options)
    assert "'fear'" in caught.value.message
    assert "'anger'" in caught.value.message


def test_split_is_handed_on(go, tmp_path):
    with pytest.raises(UsageError, match="the split test was asked for"):
        go(tmp_path / "run", data=str(labelled(tmp_path / "a.csv")), split="test")


def test_readers_are_loaded_before_the_model_and_recorded(go, lm, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="there is no file gone"):
        go(tmp_path / "run", readers="gone.csv")
    assert go.asked == []
    told = {}
    table = pd.DataFrame({"item_id": ["1", "1"], "author_emotion": "joy", "emotion": "joy"})
    readers = Readers(table, 2, "here.csv", "f" * 64, "utf-8")

    def load(path, *, label_map):
        told.update(path=path, label_map=label_map)
        return readers

    def stop(prepared, _store):
        assert prepared.readers is readers
        raise DataError("enough is known")

    monkeypatch.setattr("affectscope.runs.start.load_readers", load)
    monkeypatch.setattr("affectscope.runs.prepare.Prepared.experiments", stop)
    monkeypatch.setattr("affectscope.runs.folder.RunFolder.holds", lambda *_: False)
    with pytest.raises(DataError, match="enough"):
        go(tmp_path / "run", readers="here.csv")
    assert told == {"path": Path("here.csv"), "label_map": None}
    record = RunFolder(tmp_path / "run").record
    assert record.identity_of["readers_sha256"] == "f" * 64
    assert record.corpus["readers"]["n_items"] == 1
    assert record.config["readers"] == "here.csv"


def test_experiments_that_nobody_named_are_those_that_apply(lm, tmp_path, monkeypatch):
    monkeypatch.setattr("affectscope.runs.prepare.load_model", lambda *_, **__: lm)
    plain = load_corpus(labelled(tmp_path / "a.csv"))
    prepared = prepare(RunConfig(), plain, print)
    rare = ("pairs", "appraise", "geometry", "promote", "surgery", "generate", "human")
    always = tuple(name for name in EXPERIMENTS if name not in rare)
    assert prepared.config.experiments == always
    joined = prepare(RunConfig(experiments="localise"), plain, print)
    assert joined.config.experiments == ("probe", "ablate", "patch", "localise")
    named = prepare(RunConfig(experiments="probe"), plain, print)
    assert named.config.experiments == ("probe",)
