"""The real corpora get into the cache, from a server or a folder, and are then used by name."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from affectscope.cli import main
from affectscope.data import catalogue, load_corpus
from affectscope.data.catalogue import KNOWN, corpus_folder
from http_server import serving, whole

pytestmark = pytest.mark.integration

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED") or Path(__file__).parents[3] / "shared") / "data"
FETCHED = ("crowd-envent", "isear")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    if not SHARED.exists():
        pytest.skip(f"the corpora are not at {SHARED}")
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path))
    monkeypatch.delenv("AFFECTSCOPE_OFFLINE", raising=False)


@pytest.mark.parametrize("name", FETCHED)
def test_from_a_folder(name, capsys):
    assert main(["data", "get", name, "--from-file", str(SHARED / name)]) == 0
    paths = capsys.readouterr().out.split()
    assert paths == [str(corpus_folder(name) / file.name) for file in KNOWN[name].files]
    assert main(["data", "list", "--json"]) == 0
    listed = {corpus["name"]: corpus for corpus in json.loads(capsys.readouterr().out)}
    assert [each for each in listed if listed[each]["here"]] == ["vignettes", name]


@pytest.mark.parametrize("name", FETCHED)
def test_by_download_with_a_cut_connection(name, monkeypatch):
    for file in KNOWN[name].files:
        content = (SHARED / name / file.name).read_bytes()
        with serving(whole(content, cut_at=len(content) // 3), whole(content)) as served:
            here = replace(file, url=served.url)
            corpus = replace(KNOWN[name], files=(here,))
            with monkeypatch.context() as patched:
                patched.setattr(catalogue, "KNOWN", {**KNOWN, name: corpus})
                assert main(["data", "get", name]) == 0
        assert served.ranges == [None, f"bytes={len(content) // 3}-"]
        assert (corpus_folder(name) / file.name).read_bytes() == content


@pytest.mark.parametrize("name", FETCHED)
def test_used_by_name(name):
    assert main(["data", "get", name, "--from-file", str(SHARED / name)]) == 0
    corpus = load_corpus(name)
    assert corpus.name == name
    assert corpus.labels == KNOWN[name].labels
    assert len(corpus) + sum(each.count for each in corpus.dropped) == KNOWN[name].rows


def test_personal_columns_of_the_real_files_are_told(capsys):
    assert main(["data", "check", str(SHARED / "isear/isear.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["personal"]
    assert found["found"] == "CITY COUN SUBJ SEX AGE RELI PRAC FOCC MOCC FIEL".split()
    assert found["kept"] == []
    assert main(["data", "check", str(SHARED / "crowd-envent/enVent_val_Data.csv"), "--json"]) == 0
    readers = json.loads(capsys.readouterr().out)
    assert (readers["ratings"], readers["texts"], readers["readers"]) == (6000, 1200, 5)
    assert round(readers["own"] / readers["ratings"], 3) == 0.504  # the paper's single reader
    assert "prolific_id" in readers["personal"]["found"]
