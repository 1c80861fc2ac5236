"""Who may use a run's folder, and what is said to the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from affectscope.errors import DiskFullError, RunBusyError, RunFolderError
from affectscope.runs.config import RunConfig
from affectscope.runs.folder import RunFolder
from affectscope.runs.identity import Identity
from affectscope.runs.record import read_record

CONFIG = RunConfig()


def identity_of(config: RunConfig, **changes: str) -> Identity:
    facts = {
        "model_sha256": "m" * 64,
        "corpus_sha256": "c" * 64,
        "device": "cpu",
        "dtype": "float32",
    }
    return Identity.of(config, **{**facts, **changes})


def opened(path: Path, config: RunConfig = CONFIG, **changes: str) -> RunFolder:
    folder = RunFolder(path)
    with folder.lock():
        folder.open_or_create(
            identity_of(config, **changes), config, {"command": "affectscope run"}
        )
    return folder


def changed(path: Path, **entries: object) -> None:
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**record, **entries}))


@pytest.mark.parametrize("exists", [True, False])
def test_an_absent_or_empty_folder_becomes_a_run(tmp_path, exists):
    path = tmp_path / "runs" / "one"
    if exists:
        path.mkdir(parents=True)
    folder = RunFolder(path)
    with folder.lock():
        opening = folder.open_or_create(identity_of(CONFIG), CONFIG, {"command": "affectscope run"})
    assert not opening.resumed
    record = json.loads((path / "run.json").read_text())
    assert record["schema_version"] == 1
    assert record["state"] == "running"
    assert record["pid"] == os.getpid()
    assert record["config"]["pairs"] == 200
    assert record["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["created"].endswith("+00:00")


def test_the_same_run_is_gone_on_with_and_how_much_is_there_is_said(tmp_path):
    opened(tmp_path)
    for name in ("a", "b"):
        unit = tmp_path / "units" / "infer" / f"{name}.parquet"
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_bytes(b"")
    said = []
    folder = RunFolder(tmp_path, said.append)
    with folder.lock():
        opening = folder.open_or_create(identity_of(CONFIG), CONFIG, {"command": "again"})
    assert opening.resumed
    assert opening.n_units == 2
    assert opening.previous_state == "running"
    assert any("pieces of work: 2" in text for text in said)
    assert folder.record.command == "again"


def test_another_run_is_refused_naming_what_differs(tmp_path):
    opened(tmp_path)
    other = CONFIG.model_copy(update={"seed": 7, "template": "other_0"})
    with pytest.raises(RunFolderError) as caught:
        opened(tmp_path, other, model_sha256="x" * 64)
    message = str(caught.value)
    for difference in (
        "--seed: 0 -> 7",
        "--template: joy_sadness_0 -> other_0",
        "the model's files: mmmmmmmmmmmm -> xxxxxxxxxxxx",
    ):
        assert difference in message
    assert "--pairs" not in message
    assert "--out" in str(caught.value.remedy)
    assert read_record(tmp_path).config["seed"] == 0


def test_other_options_are_refused_before_anything_is_loaded(tmp_path):
    opened(tmp_path)
    RunFolder(tmp_path).require_same_options(CONFIG)
    with pytest.raises(RunFolderError, match="--limit: None -> 5"):
        RunFolder(tmp_path).require_same_options(CONFIG.model_copy(update={"limit": 5}))


def test_options_that_change_no_number_may_differ(tmp_path):
    opened(tmp_path)
    update = {
        "experiments": ("infer",),
        "batch_size": 4,
        "out": tmp_path,
        "data": "../elsewhere/vignettes",
        "strict": True,
        "keep_activations": True,
        "device": "cuda:1",
    }
    other = CONFIG.model_copy(update=update)
    assert identity_of(CONFIG, device="cuda:0").hash == identity_of(other, device="cuda:1").hash
    assert identity_of(CONFIG).hash != identity_of(CONFIG, device="cuda:0").hash
    assert identity_of(CONFIG).hash != identity_of(CONFIG, corpus_sha256="d" * 64).hash


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match=r"thesis\.tex"), RunFolder(tmp_path).lock():
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b'{"schema_version": 1, "comm', "cannot read"), (b"[]", "list"), (b"", "cannot read")],
)
def test_an_unreadable_record_is_refused(tmp_path, content, reason):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=reason), RunFolder(tmp_path).lock():
        pass


def test_a_record_that_lacks_an_entry_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"schema_version": 1}')
    with pytest.raises(RunFolderError, match="affectscope_version"):
        read_record(tmp_path)


def test_a_newer_layout_is_refused(tmp_path):
    opened(tmp_path)
    changed(tmp_path, schema_version=2, affectscope_version="9.0", unheard_of=1)
    with pytest.raises(RunFolderError, match=r"layout version 2, written by affectscope 9\.0"):
        opened(tmp_path)


def test_a_file_in_the_way_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunFolderError, match="is a file"), RunFolder(path).lock():
            pass


def test_a_folder_that_may_not_be_written_is_explained(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(RunFolderError, match="Permission denied"), RunFolder(tmp_path / "x").lock():
        pass


HOLD = """
import sys
from pathlib import Path
from affectscope.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out_and_told_who_is_in(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "locked\n"
        with (
            pytest.raises(RunBusyError, match=f"process {holder.pid} on "),
            RunFolder(tmp_path).lock(),
        ):
            pass
        holder.kill()
        holder.wait()
        with RunFolder(tmp_path).lock():  # the lock of a killed process is gone with it
            pass


def test_a_folder_that_nothing_came_into_is_removed(tmp_path):
    path = tmp_path / "run"
    with RunFolder(path).lock():
        assert path.is_dir()
    assert not path.exists()


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    opened(tmp_path)
    leftover = tmp_path / "units" / "infer" / ".x.parquet.0badcafe.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    opened(tmp_path)
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [
        (KeyboardInterrupt(), "interrupted", "stopped by Ctrl-C"),
        (DiskFullError("no space"), "failed", "no space"),
        (OSError(5, "Input/output error"), "failed", "Input/output error"),
        (ZeroDivisionError("a bug"), "failed", "crash.log"),
    ],
)
def test_how_a_session_ended_is_recorded(tmp_path, error, state, detail):
    folder = opened(tmp_path)
    with pytest.raises(type(error)), folder.session():
        raise error
    record = read_record(tmp_path)
    assert record.state == state
    assert detail in record.state_detail
    assert opened(tmp_path).record.state == "running"


def test_a_full_disk_does_not_hide_what_happened(tmp_path, monkeypatch):
    folder = opened(tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="the first failure"), folder.session():
        raise ValueError("the first failure")


def test_the_summary_merges_experiments_and_replaces_an_experiments_own(tmp_path):
    folder = opened(tmp_path)
    folder.write_summary("probe", {"probe.x": 1, "probe.old": 2})
    folder.write_summary("infer", {"infer.accuracy": {"value": float("nan"), "n": 3}})
    folder.write_summary("probe", {"probe.x": 5})
    text = (tmp_path / "summary.json").read_text()
    assert json.loads(text) == {"infer.accuracy": {"n": 3, "value": None}, "probe.x": 5}
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_a_damaged_summary_is_written_anew(tmp_path):
    folder = opened(tmp_path)
    (tmp_path / "summary.json").write_text('{"infer.')
    with pytest.raises(RunFolderError, match=r"summary\.json"):
        folder.summary()
    folder.write_summary("probe", {"probe.x": 5})
    assert folder.summary() == {"probe.x": 5}


def test_experiments_add_up_over_starts(tmp_path):
    first = CONFIG.model_copy(update={"experiments": ("infer",)})
    folder = opened(tmp_path, first)
    folder.add_time("infer", 1.5)
    folder.update(answers={"infer": "It can."})
    second = CONFIG.model_copy(update={"experiments": ("patch",)})
    folder = opened(tmp_path, second)
    folder.add_time("infer", 1.0)
    assert folder.record.config["experiments"] == ["infer", "patch"]
    assert folder.record.answers == {"infer": "It can."}
    assert folder.record.timings == {"infer": 2.5}


def test_going_on_with_other_versions_is_a_warning(tmp_path):
    opened(tmp_path)
    versions = read_record(tmp_path).versions
    changed(tmp_path, versions={**versions, "numpy": "1.0"})
    opened(tmp_path)
    folder = opened(tmp_path)
    assert len(folder.record.warnings) == 1
    assert f"numpy 1.0 -> {versions['numpy']}" in folder.record.warnings[0]


def test_whether_all_that_is_asked_is_there(tmp_path):
    folder = opened(tmp_path)
    table = pd.DataFrame({"value": [1.0]})
    assert not folder.holds(["infer"])
    folder.write_estimates("infer", table, table)
    folder.write_summary("infer", {"infer.accuracy": 1.0})
    folder.update(answers={"infer": "Yes."})
    assert folder.holds(["infer"])
    assert folder.finished() == ("infer",)
    assert not folder.holds(["infer", "patch"])
    observations = tmp_path / "results" / "infer_observations.parquet"
    whole = observations.read_bytes()
    observations.write_bytes(whole[:-10])
    assert not folder.holds(["infer"])
    observations.unlink()
    assert not folder.holds(["infer"])
    observations.write_bytes(whole)
    assert folder.holds(["infer"])
    path = tmp_path / "results" / "infer.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    assert not folder.holds(["infer"])
    with pytest.raises(RunFolderError, match=r"infer\.parquet"):
        folder.estimates("infer")


def test_a_complete_run_whose_session_then_fails_is_not_complete(tmp_path):
    folder = opened(tmp_path)

    def complete_and_fail():
        with folder.session():
            folder.complete()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        complete_and_fail()
    assert read_record(tmp_path).state == "failed"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "there is no folder"),
        ("file", "is a file, not the folder of a run"),
        ("empty", "holds no run"),
        ("damaged", "cannot read"),
    ],
)
def test_readers_are_not_told_to_choose_or_remove_a_folder(tmp_path, name, message):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=message) as caught:
        RunFolder(tmp_path / name).record  # noqa: B018
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.remedy == "give the folder that 'affectscope run' printed"
