"""The texts that come with the package are what their card says."""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from affectscope.data.duplicates import text_key
from affectscope.data.label_words import find_label_words
from affectscope.texts import (
    PROMPT_KINDS,
    content_recall,
    kept_meaning,
    neutral_accounts,
    neutral_texts,
    questions,
    valence,
    writing_prompts,
)
from affectscope.vocabulary import EMOTIONS

TABLES = {
    "prompts.csv": (writing_prompts, "prompt", 36),
    "neutral.csv": (neutral_texts, "text", 120),
    "accounts.csv": (neutral_accounts, "text", 120),
    "questions.csv": (questions, "question", 60),
}


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_whole_and_unlike_each_other(name):
    load, column, least = TABLES[name]
    table = load()
    assert len(table) >= least
    assert table["id"].is_unique
    assert len({text_key(text) for text in table[column]}) == len(table)
    for text in table[column]:
        assert text == text.strip()
        assert not re.search(r"\s\s|[“”‘’–—]", text), text


@pytest.mark.parametrize("name", TABLES)
def test_files_are_utf8_with_lf(name):
    content = resources.files("affectscope.texts").joinpath(name).read_bytes()
    assert b"\r" not in content
    assert not content.startswith(b"\xef\xbb\xbf")
    assert content.decode("utf-8").endswith("\n")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_changed_stays_whole(name):
    load, column, _ = TABLES[name]
    table = load()
    table[column] = "changed"
    assert (load()[column] != "changed").all()


@pytest.mark.parametrize("name", TABLES)
def test_no_text_names_an_emotion(name):
    load, column, _ = TABLES[name]
    found = {text: find_label_words(text, EMOTIONS) for text in load()[column]}
    assert not {text: words for text, words in found.items() if words}


def test_prompts_are_of_their_kind():
    table = writing_prompts()
    counts = Counter(table["kind"])
    assert set(counts) == set(PROMPT_KINDS)
    assert min(counts.values()) >= 9
    by_kind = dict(list(table.groupby("kind")))
    assert not by_kind["continue"]["prompt"].str.contains(r"[.?!,:;]$").any()
    assert by_kind["continue"]["prompt"].str.contains(r"\b(?:I|My|my|me|We)\b").all()
    for kind in ("answer", "story", "report"):
        assert by_kind[kind]["prompt"].str.contains(r"[.?]$").all()
    assert (
        by_kind["answer"]["prompt"]
        .str.contains(r"\b(?:I|My|my|me)\b.*\b(?:you|your|Please)\b")
        .all()
    )


def test_only_reports_fix_their_content_and_ask_for_it():
    table = writing_prompts()
    fixed = table["kind"] == "report"
    assert (table.loc[~fixed, ["content", "required"]] == "").all(axis=None)
    reports = table[fixed]
    required = [words.split() for words in reports["required"]]
    assert min(map(len, required)) >= 3
    assert (content_recall(reports["prompt"].tolist(), required) == 1).all()
    assert (content_recall(reports["content"].tolist(), required) == 1).all()
    others = np.roll(np.array(reports["content"]), 1).tolist()
    assert content_recall(others, required).max() < 0.5
    own = kept_meaning(reports["content"].tolist(), reports["content"].tolist())
    np.testing.assert_allclose(own, 1)
    assert kept_meaning(others, reports["content"].tolist()).max() < 0.4


def test_neutral_passages_are_short_varied_and_without_valence():
    table = neutral_texts()
    lengths = table["text"].str.split().str.len()
    assert lengths.between(30, 60).all()
    assert table["topic"].nunique() >= 40
    assert table["topic"].value_counts().max() <= 8
    assert table["text"].str.endswith(".").all()
    scores = valence(table["text"].tolist())
    assert np.abs(scores).max() < 0.6
    assert abs(scores.mean()) < 0.05


def test_accounts_are_of_one_person_of_all_lengths_and_without_valence():
    table = neutral_accounts()
    lengths = table["text"].str.split().str.len()
    assert lengths.between(4, 60).all()
    for least, most in ((4, 11), (12, 30), (40, 60)):
        assert lengths.between(least, most).sum() >= 35
    assert table["topic"].nunique() >= 40
    assert table["topic"].value_counts().max() <= 8
    assert table["text"].str.contains(r"\b(?:I|We|My|my|me)\b").all()
    assert table["text"].str.endswith(".").all()
    scores = valence(table["text"].tolist())
    assert np.abs(scores).max() < 0.6
    assert abs(scores.mean()) < 0.05


def test_questions_have_four_single_words_of_which_one_is_right():
    table = questions()
    options = table[["answer", "wrong1", "wrong2", "wrong3"]]
    assert options.apply(lambda column: column.str.fullmatch(r"[A-Za-z]+")).all(axis=None)
    assert (options.apply(lambda row: len(set(map(str.lower, row))), axis=1) == 4).all()
    assert not table["question"].str.contains(r"[.?!]$").any()
    for _, row in table.iterrows():
        assert row["answer"].lower() not in row["question"].lower().split(), row["id"]
    # nothing to be had by always taking the longest option, or words that are right elsewhere
    lengths = options.apply(lambda column: column.str.len())
    assert (lengths["answer"] > lengths.drop(columns="answer").max(axis=1)).mean() < 0.35
    assert table["answer"].value_counts().max() <= 3
    assert len(set(table["answer"]) & set(options.drop(columns="answer").stack())) > 25


@pytest.mark.parametrize("name", ["neutral.csv", "accounts.csv", "questions.csv"])
def test_the_beginning_of_a_file_is_of_many_topics(name):
    topics = TABLES[name][0]()["topic"]
    assert topics.iloc[: topics.nunique()].is_unique
