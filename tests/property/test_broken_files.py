"""A broken file gives a clear error or the right corpus, never another exception.

A right table is written by the csv module, json or pyarrow, and damaged in known ways. The oracle:
what was damaged in a way that must be seen gives an error; what was not damaged gives exactly the
rows that were written; whatever else is read has whole rows of the file as it stands.
"""

import csv
import io
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affectscope.data import load_corpus
from affectscope.data.any_table import corpus_from_table
from affectscope.data.sources import read_bytes
from affectscope.errors import AffectscopeError

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")

labels = st.sampled_from(["joy", "Fear ", "1", "0.5", "ünï"])
texts = st.text(
    st.one_of(
        st.sampled_from(",;|\t\"'\\\r\n {}[]\u2028\ufeff😀éàNA1.0"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=40,
)
rows_of_text = st.lists(st.tuples(texts, labels), min_size=2, max_size=12)

MUST_FAIL = {
    "header named twice": FORMATS,
    "no rows": FORMATS,
    "no column of texts": FORMATS,
    "NUL in a text": FORMATS,
    "half a character": ("jsonl", "json"),
    "cut off": ("csv", "tsv", "jsonl", "json", "parquet"),
    "a field too many": ("csv", "tsv"),
    "a field too few": ("csv", "tsv"),
    "not an object": ("jsonl", "json"),
    "texts are lists": ("jsonl", "json", "parquet"),
    "a page is changed": ("parquet",),
    "other bytes": FORMATS,
    "nothing": FORMATS,
}
"""Damage that no reader could read past, and the formats that it can be done to."""

ONE_BYTE = ("a byte changed or removed", "a byte put in")
"""Damage that may change one record, and no other."""

MAY_FAIL = (*ONE_BYTE, "a part repeated", "other encoding")
"""Damage that may leave a file whole; then the corpus read must be one of whole rows."""

damages = st.sampled_from(
    [("none", each) for each in FORMATS] * 4
    + [(damage, each) for damage, formats in MUST_FAIL.items() for each in formats]
    + [(damage, each) for damage in MAY_FAIL for each in FORMATS] * 2
)


def write(kind, names, rows):
    """The bytes of a right file, by a writer that is not affectscope's."""
    if kind in ("csv", "tsv"):
        buffer = io.StringIO()
        separator = "\t" if kind == "tsv" else ","
        writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        writer.writerows(rows)
        return buffer.getvalue().encode()
    if kind == "parquet":
        buffer = io.BytesIO()
        columns = [pa.array([row[k] for row in rows]) for k in range(len(names))]
        pq.write_table(pa.table(columns, names=list(names)), buffer, write_page_checksum=True)
        return buffer.getvalue()
    objects = [json_object(zip(names, row, strict=True)) for row in rows]
    return ("\n".join(objects) if kind == "jsonl" else f"[{','.join(objects)}]").encode()


def json_object(pairs):
    """Written pair by pair, since a dictionary could not have a name twice."""
    return "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs) + "}"


NAMES = ("text", "label")


def without_rows(kind, rows):
    return {"json": b"[]", "jsonl": b"\n"}.get(kind) or write(kind, NAMES, rows[:0])


def with_a_character(character):
    return lambda kind, rows: write(
        kind, NAMES, [(f"{rows[0][0]}{character}", rows[0][1]), *rows[1:]]
    )


def with_no_object(kind, rows):
    raw = write(kind, NAMES, rows)
    return raw + b'\n["text", "joy"]' if kind == "jsonl" else raw[:-1] + b", 3]"


STRUCTURE = {
    "header named twice": lambda kind, rows: write(
        kind, (*NAMES, "label"), [(*row, "x") for row in rows]
    ),
    "no rows": without_rows,
    "no column of texts": lambda kind, rows: write(kind, ("words", "label"), rows),
    "NUL in a text": with_a_character("\0"),
    "half a character": with_a_character("\ud800"),
    "texts are lists": lambda kind, rows: write(
        kind, NAMES, [([text], label) for text, label in rows]
    ),
    "a field too many": lambda kind, rows: write(kind, NAMES, [*rows, (*rows[-1], "x")]),
    "a field too few": lambda kind, rows: write(kind, NAMES, [*rows, rows[-1][:1]]),
    "not an object": with_no_object,
}
"""Tables that are wrong in themselves."""


def cut_off(kind, raw, data):
    # Within the last field: a CSV file cut after a whole line is a shorter file.
    fewest, most = (3, 4) if kind in ("csv", "tsv") else (1, 8)
    return raw[: -data.draw(st.integers(fewest, most))]


def with_changed_page(_, raw, __):
    chunk = pq.ParquetFile(io.BytesIO(raw)).metadata.row_group(0).column(0)
    last = (chunk.dictionary_page_offset or chunk.data_page_offset) - 1
    last += chunk.total_compressed_size
    return raw[:last] + bytes([raw[last] ^ 0x55]) + raw[last + 1 :]


def with_a_byte(n_before):
    """Put a byte in place of so many bytes."""

    def change(_, raw, data):
        at, byte = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.binary(max_size=1))
        return raw[:at] + byte + raw[at + n_before :]

    return change


def in_part_repeated(_, raw, data):
    at = data.draw(st.integers(0, len(raw) - 1))
    return raw[:at] + raw[at // 2 :]


def in_another_encoding(kind, raw, data):
    if kind == "parquet":
        return raw[::-1]
    codec = data.draw(st.sampled_from(["utf-16", "utf-16-le", "cp1252", "shift-jis"]))
    return raw.decode().encode(codec, errors="replace")


OTHER_BYTES = [b"PK\x03\x04", b"\x1f\x8b", b"%PDF", b"PAR1"]
NOTHING = [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\t"]
BYTES = {
    "none": lambda _, raw, __: raw,
    "cut off": cut_off,
    "a page is changed": with_changed_page,
    "other bytes": lambda _, raw, data: data.draw(st.sampled_from(OTHER_BYTES)) + raw,
    "nothing": lambda _, __, data: data.draw(st.sampled_from(NOTHING)),
    "a byte changed or removed": with_a_byte(1),
    "a byte put in": with_a_byte(0),
    "a part repeated": in_part_repeated,
    "other encoding": in_another_encoding,
}
"""What is done to the bytes of right files."""


def broken(damage, kind, rows, data):
    """The bytes of a file that is damaged."""
    if damage in STRUCTURE:
        return STRUCTURE[damage](kind, rows)
    return BYTES[damage](kind, write(kind, NAMES, rows), data)


def loaded(path):
    """The corpus, or the error of ours that says why there is none; no other is caught."""
    try:
        return load_corpus(path), None
    except AffectscopeError as error:
        return None, error


def used(rows):
    """The rows that are to be read: those with a text and a label."""
    return [(text, label.strip().lower()) for text, label in rows if text.strip()]


def readable(rows):
    return len({label for _, label in used(rows)}) >= 2


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows_of_text, damages, st.data())
def test_broken_file_gives_a_clear_error_or_the_right_corpus(tmp_path, rows, chosen, data):
    damage, kind = chosen
    path = tmp_path / f"made.{kind}"
    path.write_bytes(broken(damage, kind, rows, data))
    corpus, error = loaded(path)
    if error is not None:
        assert "made" in error.message
        assert error.remedy
        assert damage != "none" or not readable(rows), error
        return
    assert damage not in MUST_FAIL, "damage was not seen"
    if damage == "none":
        assert list(zip(corpus.texts, corpus.emotions, strict=True)) == used(rows)
    else:
        require_whole(corpus)
        if damage in ONE_BYTE and corpus.encoding == "utf-8":
            read = Counter(zip(corpus.texts, corpus.emotions, strict=True))
            assert (read - Counter(used(rows))).total() <= 1
            assert (Counter(used(rows)) - read).total() <= 1


def require_whole(corpus):
    """Every item has a text, a label, a group and an identifier of its own."""
    items = corpus.items
    assert not items.isna().any().any()
    assert items["item_id"].is_unique
    assert set(corpus.emotions) <= set(corpus.labels)
    assert all(text.strip() for text in corpus.texts)


@pytest.mark.parametrize(
    ("damage", "kind"), [(d, kind) for d, formats in MUST_FAIL.items() for kind in formats]
)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_damage_that_can_be_seen_is_seen_in_every_format(tmp_path, damage, kind, data):
    rows = [("I won, at last", "joy"), ('They said "no"', "1"), ("Ein Gespräch", "ünï")]
    path = tmp_path / f"made.{kind}"
    path.write_bytes(broken(damage, kind, rows, data))
    with pytest.raises(AffectscopeError) as caught:
        load_corpus(path)
    assert caught.value.remedy


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(texts, st.integers(-(10**20), 10**20)), min_size=2, max_size=8))
def test_numbers_are_labels_as_they_are_written(rows):
    path_rows = [(text, str(number)) for text, number in rows]
    for kind in ("csv", "jsonl"):
        raw = write(kind, ("text", "label"), rows)
        assert read_back(raw, kind) == (used(path_rows) if readable(path_rows) else None)


def read_back(raw, kind):
    try:
        found = read_bytes(raw, source=f"made.{kind}", name="made")
        corpus = corpus_from_table(found.table, name=found.name)
    except AffectscopeError:
        return None
    return list(zip(corpus.texts, corpus.emotions, strict=True))


@settings(max_examples=40, deadline=None)
@given(rows_of_text.filter(readable))
def test_every_format_gives_the_same_corpus(rows):
    read = Counter(str(read_back(write(kind, ("text", "label"), rows), kind)) for kind in FORMATS)
    assert read == {str(used(rows)): len(FORMATS)}
