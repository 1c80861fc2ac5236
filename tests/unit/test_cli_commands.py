"""The commands: what they ask of the parts below, and what they print where."""

import io
import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from affectscope.cli import health, main
from affectscope.data import load_corpus
from affectscope.errors import DiskFullError
from affectscope.models.self_check import Check
from affectscope.runs.config import RunConfig
from affectscope.runs.folder import RunFolder
from affectscope.runs.identity import Identity
from affectscope.vocabulary import EMOTIONS

CHECKS = (Check("branches", True, 1e-6, 1e-4, "branches against full passes"),)


class FakeTask:
    """Scores a text by its length: the longer, the sadder."""

    warnings = ("shame and guilt share a token",)

    def __init__(self, lm, *, template="joy_sadness_0", calibration="batch", labels=EMOTIONS):
        self.made_with = SimpleNamespace(lm=lm, template=template, calibration=calibration)
        FakeTask.last = self

    def score_texts(self, texts):
        rows = []
        for i, text in enumerate(texts):
            sad = min(0.9, len(text.split()) / 10)
            rows += [
                {"text": i, "label": "joy", "logit": 1.0, "p_raw": 0.5, "p": 1 - sad},
                {"text": i, "label": "sadness", "logit": 2.0, "p_raw": 0.5, "p": sad},
            ]
        return pd.DataFrame(rows)

    def describe(self):
        token = {"tokens": ["joy"], "token_ids": [5], "n_tokens": 1}
        rows = [
            {"label": "joy", **token, "shares_first_token_with": []},
            {"label": "joyless", **token, "shares_first_token_with": ["joy"]},
        ]
        return {"template": "joy_sadness_0", "label_tokens": rows}


@pytest.fixture
def loaded(monkeypatch):
    """Fake the model and the task; collects what was asked of the loader."""
    asked = []
    lm = SimpleNamespace(
        engine="sweep",
        checks=CHECKS,
        sites=("attn_out", "mlp_out", "resid_post", "attn_out_prenorm"),
        n_heads=9,
        describe=lambda: {"name": "tiny", "n_layers": 4},
    )

    def load_model(name, **options):
        asked.append((name, options))
        return lm

    monkeypatch.setattr("affectscope.models.load_model", load_model)
    monkeypatch.setattr("affectscope.prompts.EmotionTask", FakeTask)
    return SimpleNamespace(asked=asked, lm=lm)


def given_stdin(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_infer_prints_the_most_probable_first(loaded, capsys):
    assert main(["infer", "--model", "tiny", "--dtype", "float32", "It was a long sad day."]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        "emotion  content-free     raw",
        "sadness        60.0 %  50.0 %",
        "joy            40.0 %  50.0 %",
    ]
    assert "share a token" in captured.err
    name, options = loaded.asked[0]
    assert (name, options["dtype"]) == ("tiny", "float32")
    assert FakeTask.last.made_with.calibration == "content-free"


def test_infer_gives_json_for_programs(loaded, capsys):
    assert main(["infer", "--json", "--calibration", "batch", "One two.", "Three."]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["calibration"] == "batch"
    assert answer["model"]["name"] == "tiny"
    assert [text["text"] for text in answer["texts"]] == ["One two.", "Three."]
    first = answer["texts"][0]
    assert first["label"] == "joy"
    assert first["labels"][0] == {"label": "joy", "logit": 1.0, "p_raw": 0.5, "p": 0.8}


def test_infer_reads_stdin(loaded, capsys, monkeypatch):
    given_stdin(monkeypatch, "  Café\nclosed. ".encode())
    assert main(["infer", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["texts"][0]["text"] == "Café\nclosed."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the text is empty"),
        (b" \n\t", "the text is empty"),
        (b"word " * 2001, "the text has 2,001 words"),
        (b"caf\xe9", "not UTF-8 (byte 0xe9 at 3)"),
    ],
)
def test_infer_refuses_what_is_no_text(loaded, capsys, monkeypatch, content, reason):
    given_stdin(monkeypatch, content)
    assert main(["infer", "-"]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.out == ""
    assert loaded.asked == []


def test_infer_takes_two_thousand_words(loaded, monkeypatch):
    given_stdin(monkeypatch, b"word " * 2000)
    assert main(["infer", "-"]) == 0


def test_batch_calibration_needs_a_batch(loaded, capsys):
    assert main(["infer", "--calibration", "batch", "One text."]) == 2
    assert "content-free" in capsys.readouterr().err


def test_without_calibration_there_is_one_column(loaded, capsys):
    assert main(["infer", "--calibration", "none", "One."]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "emotion     raw"


def test_models_check_says_what_was_checked(loaded, capsys):
    assert main(["models", "check", "tiny"]) == 0
    out = capsys.readouterr().out
    assert (
        "sites: attn_out, mlp_out, resid_post, attn_out_prenorm and head_out[0] to head_out[8]"
        in out
    )
    assert "passed  branches  1e-06 (at most 0.0001)" in out
    assert "engine: sweep\n" in out
    assert "first token shared with joy" in out


def test_a_model_that_fails_its_check_is_exit_1_and_says_so(loaded, capsys):
    loaded.lm.engine = "full pass"
    loaded.lm.checks = (Check("branches", False, 0.5, 1e-4, "branches"),)
    assert main(["models", "check", "tiny", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["engine"] == "full pass"
    assert found["self_check"][0]["passed"] is False
    assert main(["models", "check", "tiny"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_data_check_counts_what_is_in_a_file(tmp_path, capsys):
    rows = ["text,emotion", *(f"It happened on day {i}.,joy" for i in range(3)), "No.,fear", ",joy"]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows) + "\n")
    columns = ["--text-column", "text", "--label-column", "emotion"]
    assert main(["data", "check", str(path), *columns, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["items"]) == (5, 4)
    assert {k: v for k, v in found["labels"].items() if v} == {"fear": 1, "joy": 3}
    assert main(["data", "check", str(path), *columns]) == 0
    assert "mine: 4 of 5 rows used" in capsys.readouterr().out


def test_data_check_names_a_missing_column(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("story,emotion\nIt rained.,joy\n")
    assert main(["data", "check", str(path), "--text-column", "text"]) == 1
    err = capsys.readouterr().err
    assert "text" in err
    assert "story" in err


def test_data_check_follows_a_label_map(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nIt rained.,happiness\nNo.,fear\nSo.,other\n")
    assert main(["data", "check", str(path), "--label-map", "happiness=joy,other=-", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {label: n for label, n in found["labels"].items() if n} == {"fear": 1, "joy": 1}
    assert [(each["count"], each["rows"]) for each in found["dropped"]] == [(1, [4])]


def test_data_check_tells_personal_columns(tmp_path, capsys):
    path = tmp_path / "mine.csv"
    path.write_text("text,label,Age,phone\nIt rained.,joy,31,555\nNo.,fear,40,556\n")
    assert main(["data", "check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["personal"] == {"found": ["Age", "phone"], "kept": []}
    assert "31" not in load_corpus(path).items.to_csv()


READERS = (
    "emotion,text_id,prolific_id,annotator_emotion,age,effort\n"
    "joy,7,p1,joy,20,3\njoy,7,p2,relief,30,\nfear,8,p1,fear,20,1\nfear,8,p3,no-emotion,40,5\n"
)


def test_data_check_recognises_the_readers_file(tmp_path, capsys):
    path = tmp_path / "readers.csv"
    path.write_text(READERS)
    assert main(["data", "check", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ratings"], found["texts"], found["readers"], found["own"]) == (4, 2, 2, 2)
    assert found["emotions"] == {"fear": 1, "joy": 1, "neutral": 1, "relief": 1}
    assert found["missing"] == {"effort": 1}
    assert found["personal"] == {"found": ["prolific_id", "age"], "kept": []}
    assert main(["data", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "ratings: 4, of 2 texts by 2 readers each" in out
    assert "named in 2 ratings (50.0%)" in out
    assert "1 of 21 appraisals, 1 values missing" not in out
    assert "1 of 21 appraisals, 1 value missing" in out


@pytest.fixture
def started(monkeypatch):
    """Fake the run itself: makes a folder with one answer. Collects what was asked."""
    asked = []

    def start_run(config: RunConfig, *, command, progress, write_report):
        asked.append((config, command))
        folder = RunFolder(config.run_path)
        identity = Identity.of(
            config, model_sha256="m", corpus_sha256="c", device="cpu", dtype="float32"
        )
        with folder.lock():
            folder.open_or_create(identity, config, {"command": command})
            progress.note("working")
            folder.write_summary("infer", {"infer.accuracy": {"value": float("nan"), "n": 3}})
            folder.update(answers={"infer": "It names 1 of 3."})
            write_report(folder.path, folder.record.as_complete())
            folder.complete()
        return folder

    monkeypatch.setattr("affectscope.runs.start.start_run", start_run)
    return asked


def test_run_passes_the_options_and_prints_the_reports_path(started, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["run", "--out", str(out), "--limit", "7", "--experiments", "infer", "--strict"]
    assert main(arguments) == 0
    config, command = started[0]
    assert (config.limit, config.experiments, config.strict) == (7, ("infer",), True)
    assert command == " ".join(["affectscope", *arguments])
    captured = capsys.readouterr()
    assert captured.out == f"{out}/report.html\n"
    assert "infer: It names 1 of 3." in captured.err
    assert "working" in captured.err


def test_run_gives_the_summary_as_json(started, tmp_path, capsys):
    assert main(["run", "--out", str(tmp_path / "run"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"infer.accuracy": {"value": None, "n": 3}}
    assert "report.html" in captured.err


def test_run_takes_options_from_a_file(started, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(f"out: {tmp_path / 'run'}\nseed: 5\npairs: 9\n")
    assert main(["run", "--config", str(file), "--seed", "6"]) == 0
    config, _ = started[0]
    assert (config.seed, config.pairs) == (6, 9)


def test_a_stopped_run_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def stopped(*_, **__):
        (tmp_path / "a b").mkdir()
        (tmp_path / "a b" / "run.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("affectscope.runs.start.start_run", stopped)
    assert main(["run", "--out", str(tmp_path / "a b")]) == 130
    err = capsys.readouterr().err
    assert f"finished work is kept in {tmp_path / 'a b'}" in err
    assert f"affectscope run --out '{tmp_path / 'a b'}'" in err


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), DiskFullError("full", remedy="finished work is kept")]
)
def test_a_run_that_ended_before_anything_was_stored_promises_nothing(
    monkeypatch, tmp_path, capsys, error
):
    def ended(*_, **__):
        raise error

    monkeypatch.setattr("affectscope.runs.start.start_run", ended)
    assert main(["run", "--out", str(tmp_path)]) in {1, 130}
    assert "kept" not in capsys.readouterr().err


def test_run_says_at_once_what_it_is_about(started, tmp_path, capsys):
    main(["run", "--out", str(tmp_path / "run"), "--model", "org/tiny"])
    assert capsys.readouterr().err.startswith("affectscope run: org/tiny on vignettes\n")


def test_the_page_of_a_run_says_that_it_is_complete(started, tmp_path):
    assert main(["run", "--out", str(tmp_path / "run")]) == 0
    page = tmp_path / "run" / "report.html"
    assert main(["report", str(tmp_path / "run")]) == 0  # drawn from the record on disk
    assert "The page shows what was finished" not in page.read_text()
    page.unlink()
    assert main(["run", "--out", str(tmp_path / "run")]) == 0  # drawn before it is on disk
    assert "The page shows what was finished" not in page.read_text()


def test_report_needs_a_run(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for name, message in (
        ("", "holds no run"),
        ("none", "there is no folder"),
        ("file", "is a file, not the folder of a run"),
    ):
        assert main(["report", str(tmp_path / name)]) == 1
        err = capsys.readouterr().err
        assert message in err
        assert "--out" not in err
        assert "remove" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_report_waits_for_nobody_in_a_folder_where_a_run_works(started, tmp_path, capsys):
    path = tmp_path / "run"
    assert main(["run", "--out", str(path)]) == 0
    with RunFolder(path).lock():
        assert main(["report", str(path)]) == 1
    captured = capsys.readouterr()
    assert "is working in" in captured.err
    assert main(["report", str(path)]) == 0


@pytest.mark.parametrize(
    "command", [["infer", "A text."], ["models", "check", "tiny"]], ids=lambda given: given[0]
)
def test_an_unknown_template_is_wrong_usage(loaded, capsys, command):
    assert main([*command, "--template", "nope"]) == 2
    assert "there is no template 'nope'" in capsys.readouterr().err
    assert loaded.asked == []


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_doctor_fails_when_something_needed_is_missing(monkeypatch, capsys, state, code):
    findings = [
        health.Finding("python", "ok", "3.11"),
        health.Finding("disk", state, "1 GiB free", "free some space"),
    ]
    monkeypatch.setattr(health, "look", lambda: iter(findings))
    assert main(["doctor"]) == code
    assert "to do: free some space" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == code
    assert json.loads(capsys.readouterr().out)[1] == {
        "name": "disk",
        "state": state,
        "detail": "1 GiB free",
        "remedy": "free some space",
    }


def test_doctor_looks_at_everything_without_a_network(monkeypatch, tmp_path):
    monkeypatch.setenv("AFFECTSCOPE_OFFLINE", "1")
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    found = {finding.name: finding for finding in health.look()}
    assert list(found) == [
        "python",
        "packages",
        "device",
        "memory",
        "disk",
        "cache",
        "default model",
        "pip",
        "hub",
        "chromium",
    ]
    assert found["python"].state == "ok"
    assert found["packages"].state == "ok"
    assert str(tmp_path / "cache") in found["cache"].detail
    assert "offline" in found["pip"].detail
    assert "offline" in found["hub"].detail
    assert all(finding.remedy for finding in found.values() if finding.state != "ok")


def test_doctor_tells_of_a_package_that_does_not_load(monkeypatch):
    monkeypatch.setattr(health, "IMPORTED", ("affectscope_has_no_such_package",))
    found = {finding.name: finding for finding in [health._packages()]}
    assert found["packages"].state == "fail"
    assert "affectscope_has_no_such_package" in found["packages"].detail


def test_doctor_warns_of_little_memory_and_disk(monkeypatch):
    monkeypatch.setattr(health, "NEEDED_MEMORY_GIB", 1e9)
    monkeypatch.setattr(health, "NEEDED_DISK_GIB", 1e9)
    assert health._memory().state == "warn"
    assert health._disk().state == "warn"
