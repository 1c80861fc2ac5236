"""The readers' file: what is kept, what joins with the corpus, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import readers_file
from affectscope.data import load_readers
from affectscope.errors import ColumnError, DataError, LabelError, NotPossibleError


@pytest.fixture
def path(tmp_path):
    return readers_file.write(tmp_path / "readers.csv")


def test_ratings_of_a_text_are_together_and_nothing_personal_is_kept(path):
    readers = load_readers(path)
    assert list(readers.ratings.columns) == ["item_id", "author_emotion", "emotion", "pleasantness"]
    assert readers.ratings["item_id"].tolist() == [
        t for t, *_ in readers_file.RATINGS for _ in "1234"
    ]
    assert (readers.n_readers, readers.n_items) == (4, 4)
    assert readers.source == str(path)
    assert len(readers.sha256) == 64
    assert not readers.ratings.astype(str).isin(["person0", "33"]).any().any()


def test_no_emotion_is_neutral(path):
    ratings = load_readers(path).ratings.set_index("item_id")
    assert set(ratings.loc["12", "author_emotion"]) == {"neutral"}
    assert ratings.loc["12", "emotion"].tolist() == ["joy", "trust", "neutral", "fear"]


def test_items_are_joined_in_the_order_of_the_corpus(path):
    read = load_readers(path).of(readers_file.corpus())
    assert read.items.tolist() == [1, 2, 4, 5]
    assert read.said.tolist() == [
        list(said)
        for said in (
            ("disgust", "disgust", "anger", "disgust"),
            ("joy", "joy", "pride", "pride"),
            ("joy", "trust", "neutral", "fear"),
            ("fear", "fear", "fear", "anger"),
        )
    ]
    assert read.ratings["pleasantness"].tolist() == [
        [1, 1, 1, 4],
        [5, 4, 5, 4],
        [3, 5, 1, 4],
        [1, 2, 1, 1],
    ]
    assert read.distribution.sum(axis=1) == pytest.approx(np.ones(4))
    assert read.distribution[0, read.labels.index("disgust")] == 0.75


def test_a_map_of_labels_is_that_of_the_corpus(path):
    readers = load_readers(path, label_map={"Joy": "happiness", "no-emotion": "calm", "trust": "-"})
    by_item = readers.ratings.groupby("item_id", sort=False)["emotion"].agg(list)
    assert by_item["10"] == ["happiness", "happiness", "pride", "pride"]
    # a label that is left out of the corpus stays what a reader said
    assert by_item["12"] == ["happiness", "trust", "calm", "fear"]


def test_readers_may_name_what_the_corpus_does_not_have(path):
    corpus = readers_file.corpus()
    read = load_readers(path).of(replace(corpus, labels=("anger", "fear", "joy", "neutral")))
    assert read.labels == ("anger", "fear", "joy", "neutral", "disgust", "pride", "trust")
    assert read.votes.sum(axis=-1) == pytest.approx(np.ones((4, 4)))


def test_none_of_the_items_was_read(path):
    corpus = readers_file.corpus()
    with pytest.raises(NotPossibleError, match="none of the 2 items"):
        load_readers(path).of(corpus.without([1, 2, 4, 5], "a test"))


def test_readers_of_another_corpus(path):
    corpus = readers_file.corpus()
    corpus.items.loc[1, "emotion"] = "joy"
    with pytest.raises(DataError, match=r"1 of 4 texts .* text 13, .* joy .* anger"):
        load_readers(path).of(corpus)


def changed(row: int, **values: str) -> list[dict[str, str]]:
    records = readers_file.rows()
    records[row] |= values
    return records


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        (readers_file.rows()[:-1], DataError, "3 ratings of text 13"),
        (readers_file.rows()[:4], DataError, "one rating of each text"),
        (changed(5, annotator_emotion="calm"), LabelError, 'line 7: "calm"'),
        (changed(5, annotator_emotion=""), LabelError, 'line 7: ""'),
        (changed(5, pleasantness="7"), DataError, 'line 7: "7" is not a rating'),
        (changed(5, text_id=" "), DataError, "line 7: text_id is empty"),
        (changed(5, emotion="joy"), DataError, "line 7: the author of text 11 felt joy"),
        (changed(5, prolific_id="person0"), DataError, "line 7: .* text 11 again, after line 3"),
        (
            [
                {k: v for k, v in row.items() if k != "annotator_emotion"}
                for row in readers_file.rows()
            ],
            ColumnError,
            "lacks the column annotator_emotion",
        ),
        (
            [row | {"hidden_emo_text": "It rained."} for row in readers_file.rows()],
            DataError,
            "holds crowd-enVENT's texts",
        ),
    ],
)
def test_a_wrong_or_broken_file_is_explained(tmp_path, records, error, message):
    path = readers_file.write(tmp_path / "readers.csv", records)
    with pytest.raises(error, match=message) as caught:
        load_readers(path)
    assert caught.value.expected
    assert caught.value.remedy


def test_a_missing_rating_is_nan(tmp_path):
    path = readers_file.write(tmp_path / "readers.csv", changed(5, pleasantness=""))
    read = load_readers(path).of(readers_file.corpus())
    assert np.isnan(read.ratings["pleasantness"]).sum() == 1


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        load_readers(tmp_path / "absent.csv")


def test_by_name_from_the_cache_or_with_what_to_do(path, monkeypatch):
    found = {("crowd-envent", "enVent_val_Data.csv"): path}
    monkeypatch.setattr("affectscope.data.readers.corpus_file", lambda *key: found.get(key))
    assert len(load_readers("crowd-envent").ratings) == len(load_readers(path).ratings)
    found.clear()
    with pytest.raises(DataError, match="have not been fetched") as caught:
        load_readers("crowd-envent")
    assert "affectscope data get crowd-envent" in str(caught.value.remedy)
