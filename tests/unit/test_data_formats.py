"""JSON, Parquet and data sets of ``datasets`` load as the same corpus as a CSV file would."""

import json
import os
import subprocess
import sys

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from affectscope.data import load_corpus
from affectscope.errors import ColumnError, DataError, UsageError

TEXTS = ["I fell", "007 came, I hid", "NA"]
LABELS = ["sadness", "fear", "joy"]


def json_lines(rows):
    return "\n".join(json.dumps(row) for row in rows)


@pytest.fixture
def file(tmp_path):
    def write(text, name="events.jsonl"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


ROWS = [{"text": t, "label": n} for t, n in zip(TEXTS, LABELS, strict=True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.txt"])
def test_json_lines_load_whatever_their_ending(file, name):
    corpus = load_corpus(file(json_lines(ROWS), name))
    assert (corpus.texts, corpus.emotions) == (TEXTS, LABELS)
    assert corpus.items["item_id"].tolist() == ["1", "2", "3"]


def test_json_list_loads(file):
    corpus = load_corpus(file(json.dumps(ROWS, indent=2), "a.json"))
    assert (corpus.texts, corpus.emotions) == (TEXTS, LABELS)


def test_json_numbers_are_kept_as_written_and_null_is_missing(file):
    lines = '{"text":1.50,"label":0}\n\n{"text":"b","label":1.0}\n{"text":"c","label":null}'
    corpus = load_corpus(file(lines + '\n{"label":"x"}\n{"text":"d","label":true}'))
    assert corpus.texts == ["1.50", "b", "d"]
    assert corpus.emotions == ["0", "1.0", "true"]
    assert {d.reason: d.rows for d in corpus.dropped} == {
        "the label is missing": (4,),
        "the text is empty": (5,),
    }


def test_json_in_another_encoding_is_read_and_said(file):
    raw = '{"text":"un café noir","label":"joy"}\n{"text":"déçu","label":"anger"}'
    corpus = load_corpus(file(raw.encode("cp1252")))
    assert corpus.texts[0] == "un café noir"
    assert corpus.encoding == "iso-8859-1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"text":"a","label":"b"}\n{"text":"a",', "line 2 is not JSON"),
        ('{"text":"a","label":"b"}\n["a"]', "line 2 is not an object"),
        ('[{"text":"a","label":"b"}, 3]', "record 2 is not an object"),
        ('{"text":"a","label":"b","text":"c"}', "line 1 has more than one value named text"),
        ('{"text":"a"," text":"b","label":"c"}', "more than one column named text"),
        ('{"text":"a\\u0000","label":"b"}', "line 1 holds a NUL character"),
        ('{"text":"a\\ud800","label":"b"}', "half of a character"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "holds no object"),
        (" \n", "is empty"),
        ('{\n "text": "a",\n "label": "b"\n}', "line 1 is not JSON"),
    ],
)
def test_what_is_wrong_with_json_is_said_with_its_place(file, text, problem):
    with pytest.raises(DataError, match=problem) as caught:
        load_corpus(file(text))
    assert caught.value.remedy


def test_column_of_lists_is_told_apart_and_does_not_hinder(file):
    rows = [{**row, "tags": ["x"], "more": {"a": 1}} for row in ROWS]
    assert load_corpus(file(json_lines(rows))).texts == TEXTS
    with pytest.raises(ColumnError, match=r'"tags" of .* holds lists') as caught:
        load_corpus(file(json_lines(rows)), label_column="tags")
    assert "(text, label)" in caught.value.remedy


def test_parquet_loads_and_numbers_are_labels(tmp_path):
    path = tmp_path / "events.parquet"
    frame = pd.DataFrame(
        {"text": TEXTS, "label": [3, 1, 2], "who": ["a", None, "a"], "x": [[1]] * 3}
    )
    frame.to_parquet(path)
    corpus = load_corpus(path, group_column="who")
    assert corpus.texts == TEXTS
    assert corpus.emotions == ["3", "1", "2"]
    assert corpus.groups[0] == corpus.groups[2] != corpus.groups[1]
    with pytest.raises(ColumnError, match="holds lists"):
        load_corpus(path, text_column="x")


def test_missing_labels_in_parquet_are_counted_by_row(tmp_path):
    path = tmp_path / "no ending"
    pq.write_table(pa.table({"text": TEXTS, "label": ["a", None, "b"]}), path)
    (dropped,) = load_corpus(path).dropped
    assert (dropped.reason, dropped.rows) == ("the label is missing", (2,))


def test_damaged_parquet_says_so(file, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), path)
    for raw in (path.read_bytes()[:-20], b"text,label\na,b\n"):
        with pytest.raises(DataError, match="cannot be read as a Parquet file"):
            load_corpus(file(raw, "b.parquet"))


def test_bytes_are_no_text(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [b"a", b"b"], "label": ["x", "y"]}), path)
    with pytest.raises(ColumnError, match="cannot be told"):
        load_corpus(path)


@pytest.mark.parametrize("name", ["a.parquet", "folder"])
def test_encoding_and_split_are_refused_where_they_mean_nothing(tmp_path, name):
    path = tmp_path / name
    if name == "folder":
        two_classes().save_to_disk(path)
    else:
        pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), path)
        with pytest.raises(UsageError, match="has no splits"):
            load_corpus(path, split="test")
    with pytest.raises(UsageError, match="is no text file"):
        load_corpus(path, encoding="utf-8")


def two_classes(texts=TEXTS):
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["Joy", "Fear"])
    )
    rows = {"text": list(texts), "label": [0, 1, -1][: len(texts)]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_saved_data_set_has_the_names_of_its_classes(tmp_path):
    two_classes().save_to_disk(tmp_path / "saved")
    corpus = load_corpus(tmp_path / "saved")
    assert corpus.name == "saved"
    assert corpus.emotions == ["joy", "fear"]
    assert corpus.dropped[0].reason == "the label is missing"
    again = load_corpus(tmp_path / "saved", label_map={"joy": "1", "fear": "0"})
    assert again.sha256 == corpus.sha256
    assert again.emotions == ["1", "0"]


def test_classes_are_named_in_a_parquet_file_of_the_library_too(tmp_path):
    two_classes().to_parquet(tmp_path / "a.parquet")
    assert load_corpus(tmp_path / "a.parquet").emotions == ["joy", "fear"]


def test_split_is_chosen_and_train_goes_without_saying(tmp_path):
    splits = {"train": two_classes(), "test": two_classes(["one", "two"])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "both")
    assert load_corpus(tmp_path / "both").texts == TEXTS[:2]
    test = load_corpus(tmp_path / "both", split="test")
    assert test.texts == ["one", "two"]
    assert test.sha256 != load_corpus(tmp_path / "both").sha256
    with pytest.raises(UsageError, match="no split dev") as caught:
        load_corpus(tmp_path / "both", split="dev")
    assert caught.value.expected == "one of its splits: train, test"


def test_several_splits_without_train_have_to_be_chosen_between(tmp_path):
    splits = {"dev": two_classes(), "test": two_classes()}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "both")
    with pytest.raises(UsageError, match="has several splits") as caught:
        load_corpus(tmp_path / "both")
    assert "--split" in caught.value.remedy


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("own_cache")
def test_folder_of_files_loads(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.jsonl").write_text(json_lines(ROWS))
    (folder / "test.jsonl").write_text(json_lines(ROWS[:2]))
    assert load_corpus(folder).texts == TEXTS
    assert load_corpus(folder, split="test").emotions == LABELS[:2]


@pytest.mark.usefixtures("own_cache")
def test_folder_that_is_no_data_set_says_what_to_do(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises(DataError, match="a folder without files"):
        load_corpus(folder)
    (folder / "train.jsonl").write_text('{"text": ')
    with pytest.raises(DataError, match="cannot be read as a data set") as caught:
        load_corpus(folder)
    assert "one file" in caught.value.remedy


@pytest.mark.usefixtures("own_cache")
def test_script_of_a_data_set_is_never_run(tmp_path):
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "scripted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DataError, match="cannot be read as a data set"):
        load_corpus(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("variable", ["AFFECTSCOPE_OFFLINE", "HF_HUB_OFFLINE"])
def test_data_set_of_the_hub_without_a_network_says_so(tmp_path, variable):
    code = "import affectscope.data as d; d.load_corpus('someone/some-data')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, variable: "1", "HF_HOME": str(tmp_path / "home")},
    )
    last = done.stderr.split("affectscope.errors.DataError: ")[-1]
    assert last.startswith("there is no file someone/some-data; as a data set of the Hub")
    assert "no network is to be used" in last


FAILURES = [
    (datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist"), "has no data set"),
    (datasets.exceptions.DatasetNotFoundError("'a/b' is a gated dataset"), "is gated"),
    (ConnectionError("Couldn't reach 'a/b' on the Hub"), "cannot be fetched: Couldn't reach"),
    (RuntimeError("Dataset scripts are no longer supported"), "scripts are no longer"),
    (ValueError("Config name is missing. Please pick one"), "Config name is missing"),
]


@pytest.mark.parametrize(("failure", "message"), FAILURES)
def test_failures_of_the_hub_are_explained(monkeypatch, failure, message):
    def fail(*_):
        raise failure

    monkeypatch.delenv("AFFECTSCOPE_OFFLINE", raising=False)
    monkeypatch.setattr("affectscope.data.hugging_face._hub_is_away", lambda _: None)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(DataError, match=message) as caught:
        load_corpus("a/b")
    assert caught.value.remedy
    assert ("a/b:NAME" in caught.value.remedy) == ("Config name" in str(failure))


def test_missing_library_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    two_classes().save_to_disk(tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="library datasets cannot be loaded") as caught:
        load_corpus(tmp_path / "saved")
    assert "pip install datasets" in caught.value.remedy


def test_hub_that_cannot_be_reached_is_given_up_soon(tmp_path):
    code = "import affectscope.data as d; d.load_corpus('someone/some-data')"
    kept = {k: v for k, v in os.environ.items() if "OFFLINE" not in k}
    away = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**kept, **away},
        timeout=40,
    )
    assert "cannot be fetched" in done.stderr.split("affectscope.errors.DataError: ")[-1]
    assert "Retry" not in done.stderr


def test_configuration_stands_after_a_colon(monkeypatch):
    asked = []
    monkeypatch.setattr("affectscope.data.hugging_face._hub_is_away", lambda _: None)
    monkeypatch.setattr(
        "datasets.load_dataset", lambda *given: asked.append(given) or two_classes()
    )
    corpus = load_corpus("someone/set:simplified")
    assert asked == [("someone/set", "simplified")]
    assert corpus.source == "someone/set:simplified"


def test_library_of_data_sets_is_loaded_for_them_alone(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,b\nc,d\n")
    code = (
        "import sys, affectscope.cli, affectscope.data as d; d.load_corpus('a.csv'); "
        "sys.exit('datasets' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
