"""CSV and TSV files as strings, exactly as written, with the line every record begins on.

The standard library's reader is used because it can be strict: pandas pads short records and
swallows an unclosed quotation mark, and a corpus with shifted columns must not pass unnoticed.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal, NoReturn

from affectscope.data.encoding import decode
from affectscope.errors import DataError

_DELIMITERS = ",\t;|"

Unit = Literal["line", "record", "row"]
"""What a record of a table is counted as: a file's line, or where there are none, its place."""

_SHOWN_FILES = 5


@dataclass(frozen=True)
class Table:
    """A table of strings."""

    source: str
    """What the file is called in messages: the path as given, or ``embedded``."""
    columns: tuple[str, ...]
    """Column names, without surrounding spaces."""
    records: tuple[tuple[str, ...], ...]
    """Records in file order, one value a column."""
    lines: tuple[int, ...]
    """Line of the file on which each record begins (the header is line 1), or its place from 1."""
    encoding: str
    """Encoding that the file was read in."""
    sha256: str
    """Hash of the file's bytes."""
    unit: Unit = "line"
    """What ``lines`` counts."""
    not_text: Mapping[str, str] = field(default_factory=dict)
    """Columns that cannot be used, and what they hold, such as ``lists``."""
    label_map: Mapping[str, str] = field(default_factory=dict)
    """What the user calls labels of this table, in lower case; ``-`` leaves their texts out."""
    kept_columns: tuple[str, ...] = ()
    """Further columns that the user wants in the corpus."""

    def where(self, row: int) -> str:
        """Where a record is, for messages, such as ``events.csv, line 4``."""
        return f"{self.source}, {self.unit} {self.lines[row]:,}"

    def values(self, column: str) -> list[str]:
        """The values of one column, in file order."""
        position = self.columns.index(column)
        return [record[position] for record in self.records]


def in_home(path: Path) -> Path:
    """The path with a leading ``~`` replaced, which no shell does in a configuration file."""
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home: then it is a name like any other
        return path


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: There is no such file, it is a folder, or it may not be read.
    """
    try:
        if path.is_dir():
            _refuse_folder(path)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file {path}",
            expected="the path of a CSV, TSV, JSONL or Parquet file",
            remedy=f"check the path; it was looked for at {path.absolute()}",
        ) from error
    except (OSError, ValueError) as error:  # a path may not hold a NUL
        raise DataError(
            f"{path} cannot be read: {getattr(error, 'strerror', error)}",
            expected="a file that you may read",
            remedy="check the path, the file's permissions and the disk",
        ) from error


def _refuse_folder(path: Path) -> None:
    endings = (".csv", ".tsv")
    tables = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in endings)
    raise DataError(
        f"{path} is a folder",
        expected="a CSV or TSV file",
        remedy=f"give a file in it, such as {', '.join(tables[:_SHOWN_FILES])}"
        if tables
        else "give the path of the file itself",
    )


def parse_table(raw: bytes, *, source: str, encoding: str | None = None) -> Table:
    """Read a table from a file's bytes.

    The separator is a tab in a file named ``.tsv``; otherwise whichever of comma, tab, semicolon
    and vertical bar is most frequent in the header.

    Args:
        raw: The file's bytes.
        source: What the file is called in messages; its ending may say that it is a TSV file.
        encoding: A named encoding; detected when absent (see :func:`decode`).

    Raises:
        EncodingError: The bytes are not text in that encoding.
        UsageError: There is no encoding of that name.
        DataError: The file is empty, or a record does not have the header's fields.
    """
    decoded = decode(raw, source=source, encoding=encoding)
    found = list(_records(decoded.text, _delimiter(decoded.text, source), source))
    if not found:
        refuse_incomplete(f"{source} is empty")
    columns = _column_names(found[0][1], source)
    for line, record in found[1:]:
        if len(record) != len(columns):
            _refuse_ragged(source, line, len(record), len(columns), last=line == found[-1][0])
    if len(found) == 1:
        refuse_incomplete(f"{source} has a header and no rows")
    return Table(
        source=source,
        columns=columns,
        records=tuple(tuple(record) for _, record in found[1:]),
        lines=tuple(line for line, _ in found[1:]),
        encoding=decoded.encoding,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def refuse_incomplete(problem: str) -> NoReturn:
    """Refuse a file without content.

    Raises:
        DataError: Always.
    """
    raise DataError(
        problem,
        expected="a header line and one line for each text",
        remedy="check that the file was written or downloaded completely",
    )


def _delimiter(text: str, source: str) -> str:
    if PurePath(source).suffix.lower() in (".tsv", ".tab"):
        return "\t"
    header = text.lstrip("\r\n").replace("\r", "\n").split("\n", 1)[0]
    outside_quotes = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside_quotes.count)


@contextmanager
def _fields_up_to(length: int) -> Iterator[None]:
    """Let a field be as long as the file; the reader's own limit would refuse a long text."""
    usual = csv.field_size_limit(max(length, csv.field_size_limit()))
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _records(text: str, delimiter: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank lines, each with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    with _fields_up_to(len(text)):
        try:
            for record in reader:
                if len(record) > 1 or "".join(record).strip():
                    yield line, record
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{source}, line {line:,}: a quotation mark is not closed, or stands inside a "
                f"quoted field without being doubled ({error})",
                expected="fields with a separator, line break or quotation mark in them written as "
                '"..." with every quotation mark inside doubled',
                remedy="correct that line, or save the table again with a program that writes CSV",
            ) from error


def _column_names(header: list[str], source: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in header)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(
            f"{source} has more than one column named {', '.join(twice)}",
            expected="a different name for each column, in the first line",
            remedy="rename the columns in the first line of the file",
        )
    return names


def _refuse_ragged(source: str, line: int, got: int, expected: int, *, last: bool) -> None:
    cut_off = last and got < expected
    raise DataError(
        f"{source}, line {line:,}: {got} fields where the header has {expected}",
        expected=f"{expected} fields in every record",
        remedy="the file may have been cut off at its end: fetch or write it again"
        if cut_off
        else "put quotation marks around a text that holds the separator or a line break",
    )
