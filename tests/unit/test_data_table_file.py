"""Tables are read exactly as written, and a shifted or cut-off one is not read at all."""

import csv
import hashlib
from pathlib import Path

import pytest

from affectscope.data.sources import read_bytes
from affectscope.data.table_file import parse_table, read_file
from affectscope.errors import DataError


def parse(text, source="x.csv"):
    return parse_table(text.encode(), source=source)


def test_quotes_newlines_and_unicode_survive():
    text = 'She said "no",\nthen left.\r\n😀 ünï NA \u2028 end'
    table = parse('text,label\n"She said ""no"",\nthen left.\r\n😀 ünï NA \u2028 end",joy\n')
    assert table.values("text") == [text]
    assert table.values("label") == ["joy"]


def test_values_stay_strings():
    table = parse("text,label\nNA,1\n007,1.0\n,null\n")
    assert table.values("text") == ["NA", "007", ""]
    assert table.values("label") == ["1", "1.0", "null"]


def test_lines_count_embedded_line_breaks_and_blank_lines():
    table = parse('\ntext,label\n"one\ntwo\nthree",a\n\n   \nfour,b\n')
    assert table.lines == (3, 8)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_read(ending):
    table = parse(ending.join(["text,label", "one,a", "two,b", ""]))
    assert table.records == (("one", "a"), ("two", "b"))
    assert table.lines == (2, 3)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_read_off_the_header(separator):
    table = parse(f'"a, b; c | d"{separator}text{separator}label\n1{separator}2{separator}3\n')
    assert table.columns == ("a, b; c | d", "text", "label")
    assert table.records == (("1", "2", "3"),)


def test_tsv_ending_means_tabs_whatever_the_header_holds():
    table = parse("a,b,c\tlabel\nx\ty\n", source="x.TSV")
    assert table.columns == ("a,b,c", "label")


def test_column_names_are_stripped_and_the_hash_is_of_the_bytes():
    raw = b"\xef\xbb\xbftext , label\nx,y\n"
    table = parse_table(raw, source="x.csv")
    assert table.columns == ("text", "label")
    assert table.sha256 == hashlib.sha256(raw).hexdigest()


def test_field_beyond_the_readers_own_limit_is_read():
    long_text = "word " * 100_000
    limit = csv.field_size_limit()
    assert len(long_text) > limit
    assert parse(f"text,label\n{long_text},joy\n").values("text") == [long_text]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("raw", [b"", b" \n\n\t\n", b"\xef\xbb\xbf", b'""'])
def test_empty_file_is_refused(raw):
    with pytest.raises(DataError, match=r"nothing\.csv is empty") as caught:
        parse_table(raw, source="nothing.csv")
    assert "header" in caught.value.expected


def test_header_alone_is_refused():
    with pytest.raises(DataError, match="has a header and no rows"):
        parse("text,label\n")


@pytest.mark.parametrize("row", ["only one", "one,two,three"])
def test_ragged_row_is_refused_with_its_line(row):
    n_fields = row.count(",") + 1
    with pytest.raises(
        DataError, match=rf"x\.csv, line 4: {n_fields} fields where the header has 2"
    ) as caught:
        parse(f'text,label\n"a\nb",joy\n{row}\nfine,joy\n')
    assert "quotation marks" in caught.value.remedy


def test_row_cut_off_at_the_end_is_told_as_such():
    with pytest.raises(DataError, match="line 3: 1 fields") as caught:
        parse("text,label\nfine,joy\nI was walking to wor")
    assert "cut off" in caught.value.remedy


@pytest.mark.parametrize(
    "rows", ['fine,joy\n"never closed,joy\nfine,joy\n', 'fine,joy\n"Hello" he said,joy\n']
)
def test_stray_quotation_mark_is_refused_with_its_line(rows):
    with pytest.raises(DataError, match=r"x\.csv, line 3: a quotation mark") as caught:
        parse("text,label\n" + rows)
    assert "doubled" in caught.value.expected


def test_column_named_twice_is_refused():
    with pytest.raises(DataError, match="more than one column named label, text"):
        parse("text,label,text,label\n1,2,3,4\n")


@pytest.mark.parametrize(
    "text",
    [
        '[{"text": "I won"}, {"text": "I fell"}]',
        '{"text": "I won"}\n{"text": "I fell"}\n',
        '\ufeff[\n  {\n    "text": "I won"\n  },\n {"text": "I fell"}]\n',
    ],
)
@pytest.mark.parametrize("source", ["x.json", "x.jsonl", "x.csv"])
def test_json_is_known_by_its_content(text, source):
    table = read_bytes(text.encode(), source=source, name="x").table
    assert table.values("text") == ["I won", "I fell"]


def test_header_in_brackets_is_no_json():
    found = read_bytes(b"[id],{text}\n1,joy\n", source="x.csv", name="x")
    assert found.table.columns == ("[id]", "{text}")


def test_absent_file_is_named_with_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"there is no file gone/data\.csv") as caught:
        read_file(Path("gone/data.csv"))
    assert str(tmp_path / "gone/data.csv") in caught.value.remedy


def test_folder_is_refused_naming_the_tables_in_it(tmp_path):
    with pytest.raises(DataError, match="is a folder") as caught:
        read_file(tmp_path)
    assert caught.value.remedy == "give the path of the file itself"
    (tmp_path / "events.CSV").touch()
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError) as caught:
        read_file(tmp_path)
    assert caught.value.remedy == "give a file in it, such as events.CSV"


def test_path_that_the_system_refuses_says_why(tmp_path):
    (tmp_path / "file.csv").touch()
    with pytest.raises(DataError, match="cannot be read: Not a directory"):
        read_file(tmp_path / "file.csv" / "data.csv")
