"""JSON as a table of strings: one object a line (JSONL), or one list of objects.

A number is kept as it is written, null and NaN are missing, and a column that holds lists or
objects can be used for nothing here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from affectscope.data.encoding import decode
from affectscope.data.table_file import Table, Unit, refuse_incomplete
from affectscope.errors import DataError

_ENDINGS = (".json", ".jsonl", ".ndjson")

_JSON = re.compile(r"""\s*(\{\s*["}]|\[\s*[\[{"\]])""")
"""How a JSON object or list of objects, lists or texts begins; no header of a table does."""

_EXPECTED = "one JSON object a line, or one list of objects, each with the same names"

Record = dict[str, str | None]


class _Nested:
    """A value that is no text, in a record."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def is_json(text: str, source: str) -> bool:
    """Whether a file is JSON, by its ending or by how it begins."""
    return PurePath(source).suffix.lower() in _ENDINGS or bool(_JSON.match(text))


def parse_records(raw: bytes, *, source: str, encoding: str | None = None) -> Table:
    """Read a table from the bytes of a JSON or JSONL file.

    Args:
        raw: The file's bytes.
        source: What the file is called in messages.
        encoding: A named encoding; detected when absent.

    Raises:
        EncodingError: The bytes are not text in that encoding.
        UsageError: There is no encoding of that name.
        DataError: It is not JSON, or not objects; or an object has a name twice.
    """
    decoded = decode(raw, source=source, encoding=encoding)
    text = decoded.text.strip()
    if not text:
        refuse_incomplete(f"{source} is empty")
    unit: Unit = "record" if text.startswith("[") else "line"
    found = list(_list(text, source) if unit == "record" else _lines(decoded.text, source))
    if not found:
        refuse_incomplete(f"{source} holds no object")
    return table_of(
        [record for _, record in found],
        places=[place for place, _ in found],
        source=source,
        unit=unit,
        encoding=decoded.encoding,
        sha256=hashlib.sha256(raw).hexdigest(),
    )


def table_of(
    records: Sequence[dict[str, Any]],
    *,
    places: Sequence[int],
    source: str,
    unit: Unit,
    encoding: str,
    sha256: str,
) -> Table:
    """A table of records whose values are strings, or None, or nested.

    Columns stand in the order in which they first occur; a name that a record lacks is missing in
    it.

    Raises:
        DataError: Two columns differ in surrounding spaces only.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    not_text = {
        name.strip(): value.kind
        for record in records
        for name, value in record.items()
        if isinstance(value, _Nested)
    }
    columns = tuple(name.strip() for name in names if name.strip() not in not_text)
    if len(set(columns)) < len(columns):
        twice = sorted({name for name in columns if columns.count(name) > 1})
        raise DataError(
            f"{source} has more than one column named {', '.join(twice)}",
            expected="a different name for each column",
            remedy="rename one of them",
        )
    kept = [name for name in names if name.strip() not in not_text]
    return Table(
        source=source,
        columns=columns,
        records=tuple(tuple(record.get(name) or "" for name in kept) for record in records),
        lines=tuple(places),
        encoding=encoding,
        sha256=sha256,
        unit=unit,
        not_text=not_text,
    )


def _lines(text: str, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # Split at line feeds alone: a text may hold the line separators that only Unicode knows.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            yield number, _record(_parsed(line, source, number), source, f"line {number:,}")


def _list(text: str, source: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, value in enumerate(_parsed(text, source, None), 1):
        yield number, _record(value, source, f"record {number:,}")


def _parsed(text: str, source: str, line: int | None) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        problem, at = error.msg, line or error.lineno
    except RecursionError:
        problem, at = "it is nested too deeply", line or 1
    raise DataError(
        f"{source}, line {at:,} is not JSON: {problem}",
        expected=_EXPECTED,
        remedy="correct that line; if it is the last one, the file may have been cut off: fetch or "
        "write it again",
    )


class _Pairs(list[tuple[str, Any]]):
    """An object's names and values, with those that stand twice."""


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


def _record(value: Any, source: str, where: str) -> dict[str, Any]:
    if not isinstance(value, _Pairs):
        raise DataError(
            f"{source}, {where} is not an object",
            expected=_EXPECTED,
            remedy='write each text as {"text": ..., "label": ...}',
        )
    names = [name for name, _ in value]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{source}, {where} has more than one value named {', '.join(twice)}",
            expected="a different name for each value of an object",
            remedy="rename or remove one of them",
        )
    return {name: _cell(content, source, where) for name, content in value}


def _cell(value: Any, source: str, where: str) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        refuse_broken_text(value, source, where)
        return value
    if isinstance(value, _Pairs):
        return _Nested("objects")
    return _Nested("lists") if isinstance(value, list) else value


def refuse_broken_text(value: str, source: str, where: str) -> None:
    """Refuse what no text file could hold: NUL, and half of a character.

    Raises:
        DataError: The value holds one.
    """
    if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        what = "a NUL character" if "\0" in value else "half of a character (a lone surrogate)"
        raise DataError(
            f"{source}, {where} holds {what}",
            expected="text",
            remedy="remove that character, or write the file again from its source",
        )
