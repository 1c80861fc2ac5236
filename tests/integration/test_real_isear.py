"""The ISEAR file that is passed around is read whole, with the texts that its authors wrote."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from affectscope.data import load_corpus

pytestmark = pytest.mark.integration

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED") or Path(__file__).parents[3] / "shared")
FILE = SHARED / "data/isear/isear.csv"


@pytest.fixture(scope="module")
def lines():
    if not FILE.exists():
        pytest.skip(f"ISEAR is not at {FILE}")
    return FILE.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def corpus(lines):
    return load_corpus(FILE)


def test_every_record_is_read(corpus, lines):
    assert len(corpus) + sum(each.count for each in corpus.dropped) == len(lines) - 1
    assert {each.reason: each.count for each in corpus.dropped} == {
        "the answer tells of no situation": 153,
        "the answer refers to another one": 9,
    }


def test_identifiers_and_labels_are_those_that_the_numbers_beside_them_say(corpus, lines):
    """``MYKEY`` ends with the number of the emotion, and begins with the subject's."""
    emotions = "joy fear anger sadness disgust shame guilt".split()
    for item_id, emotion in zip(corpus.items["item_id"], corpus.emotions, strict=True):
        assert emotions[int(item_id[-1]) - 1] == emotion
    assert min(Counter(corpus.emotions).values()) > 1000


def test_nothing_of_the_damage_is_left(corpus):
    assert not [text for text in corpus.texts if re.search(r'[á÷¦|\\]|\w"\w', text)]
    assert all(text.count('"') % 2 == 0 for text in corpus.texts)


def test_mended_texts_have_the_letters_of_the_file(corpus, lines):
    """Marks, spaces and line breaks apart, each text stands in its line letter by letter."""
    line_of = {line.split("|")[39]: line for line in lines[1:]}
    letters = str.maketrans("", "", ' á|\\"\u00a0')
    for item_id, text in zip(corpus.items["item_id"], corpus.texts, strict=True):
        written = line_of[item_id].translate(str.maketrans("÷¦", "ö°")).translate(letters)
        assert text.translate(letters) in written, item_id


def test_one_subject_is_one_person_in_one_city(lines):
    fields = [line.split("|") for line in lines[1:]]
    people = {(row[0], *row[1:4], *row[4:11]) for row in fields}
    answers = Counter(row[0] for row in fields)
    assert len(people) == len(answers) == len({tuple(row[1:4]) for row in fields}) == 1096
    assert max(answers.values()) == 7


def test_answers_of_a_subject_are_one_group(corpus, lines):
    subject_of = {row[39]: row[0] for row in (line.split("|") for line in lines[1:])}
    pairs = {
        (subject_of[i], g) for i, g in zip(corpus.items["item_id"], corpus.groups, strict=True)
    }
    assert len(pairs) == len({subject for subject, _ in pairs})
