"""ISEAR's file is mended as far as it can be, and what cannot be read or used is listed."""

import csv

import pytest

from affectscope.data import load_corpus
from affectscope.data.isear import LABELS
from affectscope.errors import DataError, LabelError

BEFORE = ["ID", "CITY", "COUN", "SUBJ", "AGE", "EMOT", "Field1", "MYKEY"]
HEADER = "|".join([*BEFORE, "SIT", "STATE", ""])


def record(number, text, *, label=None, subject=None):
    """A line as it stands in the file."""
    person = number // 3 if subject is None else subject
    label = label or LABELS[number % 7]
    return f"1{person}|1|1|{person}|33|{number % 7}|{label}|key{number}|{text}|1|"


@pytest.fixture
def isear(tmp_path):
    def write(texts, *extra):
        lines = [HEADER, *(record(n, text) for n, text in enumerate(texts)), *extra]
        path = tmp_path / "some name.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_isear_is_recognised_by_its_header(isear):
    corpus = load_corpus(isear(["A deer ran out.", "It was dark.", "A letter came.", "I lied."]))
    assert corpus.name == "isear"
    assert corpus.labels == LABELS
    assert corpus.emotions == list(LABELS[:4])
    assert corpus.items["item_id"].tolist() == ["key0", "key1", "key2", "key3"]
    first, second, third, fourth = corpus.groups
    assert first == second == third != fourth  # by subject
    assert list(corpus.items.columns) == ["item_id", "text", "emotion", "group"]


# As an author may have written it, and as it stands in the file.
DAMAGED = [
    ("We met and especially when we talked.", "We met and á especially when we talked."),
    ("I feared it being found.", "I feared itá being found."),
    ("I went there.", "I went there.á á "),
    (
        'They needed "clever people" and said "you".',
        r'They needed \clever people\" and á|said \"you\"."',
    ),
    ('"No".', r'\No\"."'),
    ('He said "a three". NB: a mark.', r'He said \a three\". á|NB: a mark."'),
    ("Wikström made a 180° turn.", "Wikstr÷m made a 180¦ turn."),
    ("Two  spaces stay.", "Two  spaces stay. "),
]


@pytest.mark.parametrize(("meant", "stands"), DAMAGED)
def test_damaged_text_is_mended(isear, meant, stands):
    corpus = load_corpus(isear(["It was dark.", stands, "A letter came."]))
    assert corpus.texts == ["It was dark.", meant, "A letter came."]
    assert corpus.dropped == ()


def test_quotation_mark_that_came_after_the_next_field_is_found(isear):
    line = record(2, "X").replace("X|1|", r'He said \I am not a á|radiator\".|1"|')
    corpus = load_corpus(isear(["It was dark.", "A letter came."], line))
    assert corpus.texts[2] == 'He said "I am not a radiator".'


@pytest.mark.parametrize(
    "text",
    [
        "A bar | without a backslash",
        'A "mark" without a backslash',
        r"A \backslash\" without the last mark",
        r'Too \many\" \backslashes."',
        r'A mark "before" a \backslash\"."',
    ],
)
def test_record_that_cannot_be_mended_for_certain_is_left_out_and_listed(isear, text):
    corpus = load_corpus(isear(["It was dark.", text, "A letter came."]))
    assert corpus.texts == ["It was dark.", "A letter came."]
    (dropped,) = corpus.dropped
    assert dropped.reason == "the fields of the record cannot be told apart"
    assert (dropped.count, dropped.rows) == (1, (3,))


def test_record_that_is_cut_off_or_shifted_is_left_out_and_listed(isear):
    shifted = record(3, "I fell.").replace("|33|", "|")
    corpus = load_corpus(isear(["It was dark.", "A letter came."], shifted, record(4, "I w")[:-3]))
    assert len(corpus) == 2
    assert corpus.dropped[0].rows == (4, 5)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[ No response.]", "the answer tells of no situation"),
        ("NO RESPONSE", "the answer tells of no situation"),
        ("Doesn't apply.", "the answer tells of no situation"),
        ("[ I have never felt this emotion.]", "the answer tells of no situation"),
        ("Can't remember any such feelings now.", "the answer tells of no situation"),
        ("[ The same as in shame.]", "the answer refers to another one"),
        ("As for disgust.", "the answer refers to another one"),
    ],
)
def test_answer_without_a_situation_is_left_out_with_its_reason(isear, answer, reason):
    corpus = load_corpus(isear(["It was dark.", answer, "A letter came."]))
    assert [(d.reason, d.count, d.rows) for d in corpus.dropped] == [(reason, 1, (3,))]


@pytest.mark.parametrize(
    "answer",
    [
        "Nothing worked that day.",
        "I do not like spiders.",
        "[ Being close to another person.]",
        "My father did not respond.",
        "I had never felt so ashamed as when my mother had to come and fetch me from school.",
        "I was blank with fear.",
    ],
)
def test_answer_that_tells_of_a_situation_stays(isear, answer):
    assert answer in load_corpus(isear(["It was dark.", answer, "A letter came."])).texts


def test_isear_that_was_written_well_is_recognised_too(tmp_path):
    path = tmp_path / "mended.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*BEFORE, "SIT"])
        writer.writerow(["11", "1", "1", "1", "30", "1", "joy", "k1", 'He said "a|b".'])
        writer.writerow(["12", "1", "1", "2", "30", "2", "fear", "k2", "[ No response.]"])
        writer.writerow(["11", "1", "1", "1", "30", "2", "fear", "k3", "It was dark."])
    corpus = load_corpus(path)
    assert corpus.name == "isear"
    assert corpus.texts == ['He said "a|b".', "It was dark."]


def test_other_labels_than_the_seven_are_named_and_can_be_mapped(tmp_path):
    path = tmp_path / "mended.csv"
    rows = [["1", "1", "1", "1", "3", "1", e, f"k{e}", f"{e}!"] for e in ("joy", "envy", "fear")]
    path.write_text("\n".join(",".join(row) for row in [[*BEFORE, "SIT"], *rows]) + "\n")
    with pytest.raises(LabelError, match='"envy" is not one of the 7 emotions') as caught:
        load_corpus(path)
    assert "--label-map" in caught.value.remedy
    assert load_corpus(path, label_map={"envy": "anger"}).emotions == ["joy", "anger", "fear"]
    assert load_corpus(path, label_map={"envy": "-"}).labels == ("fear", "joy")


def test_another_label_column_makes_it_a_table_like_any_other(isear):
    path = isear(["It was dark.", "A letter came."], record(2, "A | bar"))
    corpus = load_corpus(path, text_column="SIT", label_column="EMOT")
    assert corpus.labels == ("0", "1")
    assert corpus.dropped[0].rows == (4,)


def test_header_without_a_record_is_refused(isear):
    with pytest.raises(DataError, match="no record that can be read"):
        load_corpus(isear([], "1|2|3|"))
