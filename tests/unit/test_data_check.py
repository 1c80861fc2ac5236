"""The check tells everything questionable about a corpus, with the right counts."""

import json

import pytest

from affectscope.data import check_corpus, load_corpus

EVENTS = (
    "text,label,who,effort\n"
    "I felt JOY and fear,joy,ann,5\n"  # line 2: its own label, and another
    "Joyful and fearless people enjoy it,fear,ann,\n"  # line 3: no label word
    "It rained.,fear,bob,1\n"  # 4
    "It rained.,fear,eve,2\n"  # 5: identical
    "it rained,joy,eve,2\n"  # 6: alike, under another label
    "enjoy-joy,fear,kim,2\n"  # 7
    ",joy,kim,2\n"  # 8: dropped
    "unlabelled,,kim,2\n"  # 9: dropped
)


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(EVENTS, encoding="utf-8")
    return load_corpus(path, group_column="who")


def test_counts(events):
    check = check_corpus(events)
    assert (check.rows, check.items) == (8, 6)
    assert check.labels == {"fear": 4, "joy": 2}
    assert (check.words.min, check.words.median, check.words.max) == (1, 2, 6)
    assert (check.groups, check.group_sizes.max) == (3, 3)  # bob and eve share a text
    assert check.ratings == {"effort": 5}
    assert check.odd_characters == 0


def test_repeats(events):
    repeats = check_corpus(events).duplicates
    assert (repeats.identical, repeats.alike, repeats.conflicting) == (1, 2, 1)


def test_label_words_are_whole_words_in_any_case(events):
    found = check_corpus(events).label_words
    assert found.items == 2
    assert found.own_label == 1
    assert found.by_label == {"fear": 1, "joy": 2}
    assert found.examples == ("2", "7")


def test_words_that_give_a_label_away_are_counted_apart(events):
    found = check_corpus(events).giveaways
    assert found.items == 3  # "Joyful and fearless" too
    assert found.own_label == 2
    assert found.by_label == {"fear": 2, "joy": 3}


NEAR = (
    "text,label\n"
    "My brother took the car on Monday without asking me first,anger\n"  # line 2
    "My brother took the car on Sunday without asking me first,joy\n"  # 3: near, another label
    "my brother took the car on Monday - without asking me first!,anger\n"  # 4: alike
    "We walked along the river until the lamps came on,joy\n"  # 5
    "We walked along the river until the lamps went on,joy\n"  # 6: near
    "Nobody had told me about the letter from the bank,anger\n"  # 7
)


def test_near_repeats_are_counted_without_mere_repeats(tmp_path):
    path = tmp_path / "near.csv"
    path.write_text(NEAR, encoding="utf-8")
    corpus = load_corpus(path)
    check = check_corpus(corpus)
    assert check.duplicates.alike == 1
    near = check.near_duplicates
    assert (near.clusters, near.texts, near.conflicting) == (2, 2, 1)
    assert near.examples == (("2", "3"), ("5", "6"))
    assert check.groups == len(set(corpus.groups)) == 3
    assert (
        "2 beyond the first of 2 clusters (overlap of 0.7 or more), 1 cluster under"
        in "\n".join(check.lines())
    )
    assert check.as_dict()["near_duplicates"]["examples"] == [["2", "3"], ["5", "6"]]


def test_a_text_that_is_only_repeated_has_no_near_repeats(tmp_path):
    path = tmp_path / "same.csv"
    path.write_text("text,label\nIt rained.,a1\nit RAINED,b1\nNo.,b1\n", encoding="utf-8")
    near = check_corpus(load_corpus(path)).near_duplicates
    assert (near.clusters, near.texts, near.examples) == (0, 0, ())


def test_personal_columns_are_told_and_not_kept(events):
    check = check_corpus(events, columns=("text", "label", "who", "effort", "age", "e-mail"))
    assert check.personal.found == ("age", "e-mail")
    assert check.personal.kept == ()
    assert "personal columns in the file: age, e-mail; none is kept" in check.lines()
    values = check.as_dict()
    assert values["personal"] == {"found": ["age", "e-mail"], "kept": []}
    assert values == json.loads(json.dumps(values))


def test_nothing_left_out_is_said(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\none,a1\ntwo,b1\n", encoding="utf-8")
    assert check_corpus(load_corpus(path)).lines()[-1] == "left out: nothing"


def test_label_of_several_words_is_found_whole(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "text,label\nsuch relief and joy now,relief and joy\na relief,relief\n", encoding="utf-8"
    )
    assert check_corpus(load_corpus(path)).label_words.by_label == {
        "relief": 1,
        "relief and joy": 1,
    }


def test_json_says_the_same_as_the_check(events):
    check = check_corpus(events)
    values = json.loads(json.dumps(check.as_dict()))
    assert values == check.as_dict()
    assert values["labels"] == {"fear": 4, "joy": 2}
    assert values["dropped"] == [
        {"reason": "the text is empty", "count": 1, "rows": [8]},
        {"reason": "the label is missing", "count": 1, "rows": [9]},
    ]
    assert values["label_words"]["examples"] == ["2", "7"]


def test_lines_tell_people_everything(events):
    text = "\n".join(check_corpus(events).lines())
    for part in (
        "events: 6 of 8 rows used",
        events.sha256,
        "encoding: utf-8",
        "fear 4, joy 2",
        "1 to 6 words, median 2",
        "1 identical to an earlier one; 2 when case",
        "1 text under different labels",
        "label words in the texts: in 2 items, their own label in 1 (fear 1, joy 2); for example "
        "item_id 2, 7",
        "close synonyms: in 3 items, their own label in 2 (fear 2, joy 3); for example item_id 2, "
        "3, 7",
        "nearly repeated texts: none (overlap of 0.7 or more)",
        "groups: 3, of up to 3 items",
        "1 of 21 appraisals, 1 value missing",
        "left out: 1 row: the text is empty (line 8)",
        "left out: 1 row: the label is missing (line 9)",
    ):
        assert part in text


def test_lines_of_a_plain_corpus(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\none,a1\ntwo,b1\n" + " ,a1\n" * 11, encoding="utf-8")
    text = "\n".join(check_corpus(load_corpus(path)).lines())
    assert "label words in the texts: none" in text
    assert "groups: 2, every item its own" in text
    assert "appraisal ratings: none" in text
    assert "personal" not in text  # the file's columns are not known here
    assert "left out: 11 rows: the text is empty (line 4, 5, 6, " in text
    assert "12, 13, ...)" in text


def test_signs_of_a_wrong_encoding_are_told(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("text,label\nI didn’t,a\ncafé,b\n".encode("cp1252"))
    assert check_corpus(load_corpus(path)).odd_characters == 0
    check = check_corpus(load_corpus(path, encoding="iso-8859-1"))
    assert check.odd_characters == 1
    assert "1 text with control or replacement characters" in "\n".join(check.lines())
    assert "--encoding cp1252" in "\n".join(check.lines())
