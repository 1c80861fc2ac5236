"""Any table loads by its columns; what cannot be loaded is explained."""

import math

import pandas as pd
import pytest

from affectscope.data import NAMED_CORPORA, check_corpus, load_corpus
from affectscope.errors import ColumnError, DataError, LabelError, UsageError


@pytest.fixture
def table(tmp_path):
    def write(text, name="events.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def test_any_table_loads_by_named_columns(table):
    path = table("who,situation,feeling\nx,I fell, Pain \ny,I won,JOY\nx,I lost,pain\n")
    corpus = load_corpus(path, text_column="situation", label_column="feeling", group_column="who")
    assert corpus.name == "events"
    assert corpus.source == str(path)
    assert corpus.labels == ("joy", "pain")
    assert corpus.emotions == ["pain", "joy", "pain"]
    assert list(corpus.items.columns) == ["item_id", "text", "emotion", "group"]
    first, second, third = corpus.groups
    assert first == third != second
    assert not {"x", "y"} & set(corpus.groups)


def test_usual_columns_need_no_naming(table):
    corpus = load_corpus(table("text\tlabel\nI fell\tpain\nI won\tjoy\n", "events.tsv"))
    assert corpus.texts == ["I fell", "I won"]
    assert len(set(corpus.groups)) == 2


def test_strings_are_strings_and_rows_are_numbered_from_zero(table):
    corpus = load_corpus(table("text,label\n,a\nNA,b\nnull,c\n1.0,null\n"))
    assert corpus.texts == ["NA", "null", "1.0"]
    assert corpus.labels == ("b", "c", "null")
    assert all(pd.api.types.is_string_dtype(corpus.items[c]) for c in ("item_id", "text", "group"))
    assert corpus.items.index.tolist() == [0, 1, 2]


def test_text_is_kept_to_the_last_space(table):
    text = ' a "b"\r\n\n  ünï 😀\u2028 '
    quoted = text.replace('"', '""')
    corpus = load_corpus(table(f'text,label\n"{quoted}",a\nx,b\n'))
    assert corpus.texts[0] == text


def test_ratings_in_any_table_are_kept_and_look_alikes_are_not(table):
    corpus = load_corpus(
        table(
            "text,label,effort,urgency,attention,standards,domain\n"
            "one,a,1,high,3,,work\ntwo,b,5,low,,NA,home\n"
        )
    )
    assert list(corpus.items.columns[4:]) == ["attention", "effort", "domain"]
    assert corpus.items["effort"].tolist() == [1.0, 5.0]
    assert math.isnan(corpus.items["attention"].tolist()[1])


def test_rows_that_cannot_be_used_are_counted_with_lines_and_reason(table):
    corpus = load_corpus(
        table(
            "text,label\n"
            "fine,a\n"
            '" \u00a0\n",a\n'  # lines 3 and 4
            f"{'word ' * 5000},b\n"
            "no label, \n"
            ",\n"
            f"{'word ' * 2000},b\n"
        )
    )
    assert len(corpus) == 2
    assert {d.reason: (d.count, d.rows) for d in corpus.dropped} == {
        "the text is empty": (2, (3, 7)),
        "the text is longer than 2,000 words": (1, (5,)),
        "the label is missing": (1, (6,)),
    }


def test_only_the_first_ten_dropped_rows_are_listed(table):
    corpus = load_corpus(table("text,label\na,x\nb,y\n" + " ,x\n" * 25))
    (dropped,) = corpus.dropped
    assert dropped.count == 25
    assert dropped.rows == tuple(range(4, 14))


def test_identifiers_are_lines_and_so_survive_dropped_rows(table):
    corpus = load_corpus(table("text,label\n,x\na,x\n,x\nb,y\n"))
    assert corpus.items["item_id"].tolist() == ["3", "5"]


def test_nothing_usable_is_an_error_that_says_why(table):
    with pytest.raises(DataError, match="none of the 3 rows") as caught:
        load_corpus(table("text,label\n ,x\n,y\na,\n"))
    assert "in 2 the text is empty; in 1 the label is missing" in caught.value.message


def test_one_label_is_not_enough(table):
    with pytest.raises(DataError, match='one label only: "joy"'):
        load_corpus(table("text,label\na,joy\nb, JOY\n"))


def test_missing_column_lists_what_there_is_and_suggests(table):
    path = table("Sentence,mood\na,joy\nb,fear\n")
    with pytest.raises(ColumnError, match='no column "sentense"') as caught:
        load_corpus(path, text_column="sentense", label_column="mood")
    assert caught.value.expected == "one of its columns: Sentence, mood"
    assert "--text-column Sentence" in caught.value.remedy


def test_missing_column_without_a_near_name_suggests_none(table):
    with pytest.raises(ColumnError, match='no column "xyz"') as caught:
        load_corpus(table("text,mood\na,joy\n"), label_column="xyz")
    assert "did you mean" not in caught.value.remedy
    assert "--label-column" in caught.value.remedy


def test_column_that_nobody_named_is_asked_for(table):
    with pytest.raises(ColumnError, match="holds the texts cannot be told") as caught:
        load_corpus(table("sentence,label\na,joy\n"))
    assert caught.value.expected == "one of its columns: sentence, label"
    assert "--text-column" in caught.value.remedy


def test_two_possible_label_columns_are_not_chosen_between(table):
    with pytest.raises(ColumnError, match="could be emotion or label"):
        load_corpus(table("text,emotion,label\na,joy,1\n"))


def test_misspelt_corpus_suggests_the_name():
    with pytest.raises(DataError, match='called "vignetes"') as caught:
        load_corpus("vignetes")
    assert all(name in caught.value.expected for name in NAMED_CORPORA)
    assert caught.value.remedy == 'did you mean "vignettes"?'


def test_word_like_no_corpus_is_given_no_suggestion():
    with pytest.raises(DataError) as caught:
        load_corpus("qqq")
    assert "did you mean" not in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "file"), [("crowd-envent", "enVent_gen_Data.csv"), ("isear", "isear.csv")]
)
def test_corpus_that_was_not_fetched_explains_where_to_get_it(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="has not been fetched") as caught:
        load_corpus(name)
    assert file in caught.value.expected
    assert f"affectscope data get {name}" in caught.value.remedy


def test_corpus_that_was_fetched_is_found_by_its_name(table, monkeypatch):
    path = table("text,label\na,x\nb,y\n")
    monkeypatch.setattr("affectscope.data.sources.corpus_file", {"isear": path}.get)
    corpus = load_corpus("isear")
    assert corpus.source == str(path)
    assert corpus.labels == ("x", "y")


def test_labels_are_mapped_and_left_out(table):
    path = table("text,label\na,Happiness\nb,other\nc,FEAR\nd,1\ne,\nf,joy\n")
    corpus = load_corpus(path, label_map={"happiness": "Joy", "Other": "-", 1: "fear"})
    assert corpus.emotions == ["joy", "fear", "fear", "joy"]
    assert corpus.labels == ("fear", "joy")
    assert {d.reason: d.rows for d in corpus.dropped} == {
        "the label map leaves the label out": (3,),
        "the label is missing": (6,),
    }


def test_label_map_of_a_label_that_is_not_there_suggests(table):
    path = table("text,label\na,happiness\nb,fear\n")
    with pytest.raises(LabelError, match='has "happines", which is no label') as caught:
        load_corpus(path, label_map={"happines": "joy"})
    assert caught.value.expected.endswith("fear, happiness")
    assert caught.value.remedy == 'did you mean "happiness"?'


def test_label_map_that_leaves_one_label_says_so(table):
    path = table("text,label\na,x\nb,y\n")
    with pytest.raises(DataError, match=r"one label only.*when the label map is followed"):
        load_corpus(path, label_map={"x": "y"})
    with pytest.raises(UsageError, match="label map cannot be used"):
        load_corpus(path, label_map={})


def test_dash_is_a_label_like_any_other_without_a_map(table):
    assert load_corpus(table("text,label\na,-\nb,y\n")).labels == ("-", "y")


def test_split_of_a_file_is_refused(table):
    for data in (table("text,label\na,x\nb,y\n"), "vignettes"):
        with pytest.raises(UsageError, match="has no splits"):
            load_corpus(data, split="train")


def test_long_texts_in_large_files_load(table):
    long = "word " * 1_900
    rows = "".join(f'{{"text": "{long}{n}", "label": "{n % 2}"}}\n' for n in range(200))
    assert len(load_corpus(table(rows, "a.jsonl"))) == 200


@pytest.mark.parametrize("path", ["gone/data.csv", "data.csv", "~nobody-of-that-name/data.csv"])
def test_absent_file_is_not_taken_for_a_name(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="there is no file"):
        load_corpus(path)


def test_home_is_found_and_the_path_recorded_as_given(table, tmp_path, monkeypatch):
    table("text,label\na,x\nb,y\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_corpus("~/events.csv").source == "~/events.csv"


def test_every_failure_names_the_way_out(table, tmp_path):
    for bad in (
        table("", "empty.csv"),
        table("text,label\na\n", "ragged.csv"),
        table("text,label\na\0,b\n", "binary.csv"),
        table("text,label\na,b\n", "one.csv"),
        table("text,label\n,b\n", "nothing.csv"),
        tmp_path,
        tmp_path / "absent.csv",
        "vignete",
        "crowd-envent",
    ):
        with pytest.raises(DataError) as caught:
            load_corpus(bad)
        assert caught.value.expected
        assert caught.value.remedy


def test_only_the_columns_asked_for_are_kept(table):
    path = table("text,label,age,who\na,x,31,p\nb,y,,q\n")
    assert not {"age", "who"} & set(load_corpus(path).items.columns)
    items = load_corpus(path, keep_columns=("age",)).items
    assert items["age"].tolist() == ["31", ""]
    assert "who" not in items.columns


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ("agee", ColumnError, 'has no column "agee"'),
        ("text", UsageError, "cannot be kept under its name"),
    ],
)
def test_a_column_that_cannot_be_kept_says_why(table, wanted, error, words):
    with pytest.raises(error, match=words):
        load_corpus(table("text,label,age\na,x,31\nb,y,40\n"), keep_columns=(wanted,))


def test_rows_of_records_are_not_called_lines(table):
    corpus = load_corpus(
        table(
            '[{"text": "a", "label": "x"}, {"text": "", "label": "y"}, '
            '{"text": "b", "label": "y"}]',
            "a.json",
        )
    )
    (dropped,) = corpus.dropped
    assert (dropped.unit, dropped.rows) == ("record", (2,))
    assert any("(record 2)" in line for line in check_corpus(corpus).lines())
