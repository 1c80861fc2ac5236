"""Arrow tables, from Parquet files and data sets, as tables of strings."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from affectscope.data.records_file import refuse_broken_text
from affectscope.data.table_file import Table, refuse_incomplete
from affectscope.errors import DataError

PARQUET_MARK = b"PAR1"
"""First bytes of a Parquet file."""

_ENCODING = "utf-8"
"""Encoding of every string in Arrow."""


def parse_parquet(raw: bytes, *, source: str) -> Table:
    """Read a table from the bytes of a Parquet file.

    Integers that the library ``datasets`` wrote for named classes become the names.

    Raises:
        DataError: It is damaged or cut off, has no rows, or has a column name twice.
    """
    try:
        content = pq.read_table(io.BytesIO(raw), page_checksum_verification=True)
        content.validate(full=True)
        return table_from_arrow(
            content,
            source=source,
            sha256=hashlib.sha256(raw).hexdigest(),
            class_names=_class_names_in(content.schema),
        )
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(
            f"{source} cannot be read as a Parquet file: {reason}",
            expected="a whole Parquet file",
            remedy="the file may be damaged or cut off: fetch or write it again",
        ) from error


def table_from_arrow(
    content: pa.Table,
    *,
    source: str,
    sha256: str | None = None,
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """A table of strings from an Arrow table.

    Args:
        content: Rows and columns.
        source: What it is called in messages.
        sha256: Hash of the file it came from; that of the columns of text and numbers when absent.
        class_names: Names that stand for the integers 0, 1, ... of a column; -1 is missing.

    Raises:
        DataError: It has no rows, a column name twice, or an integer that has no name.
    """
    names = [name.strip() for name in content.column_names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(
            f"{source} has more than one column named {', '.join(twice)}",
            expected="a different name for each column",
            remedy="write the file again with other names",
        )
    if not content.num_rows:
        refuse_incomplete(f"{source} has no rows")
    columns: dict[str, list[str]] = {}
    not_text: dict[str, str] = {}
    for name, given_name, column in zip(names, content.column_names, content.columns, strict=True):
        kind = _no_text(column.type)
        if kind:
            not_text[name] = kind
        else:
            classes = (class_names or {}).get(given_name)
            columns[name] = _strings(column, source, name, classes)
    return Table(
        source=source,
        columns=tuple(columns),
        records=tuple(zip(*columns.values(), strict=True)) or ((),) * content.num_rows,
        lines=tuple(range(1, content.num_rows + 1)),
        encoding=_ENCODING,
        sha256=sha256 or _hash(columns),
        unit="row",
        not_text=not_text,
    )


def _no_text(kind: pa.DataType) -> str | None:
    """What a column holds, if that is neither text nor numbers nor times."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_struct(value) or pa.types.is_map(value):
        return "objects"
    if pa.types.is_nested(value):
        return "lists"
    if isinstance(value, pa.BaseExtensionType):
        return str(value)
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if any(of_kind(value) for of_kind in (*binary, pa.types.is_binary_view)):
        return "bytes"
    return None


def _strings(
    column: pa.ChunkedArray, source: str, name: str, classes: Sequence[str] | None
) -> list[str]:
    cells = []
    for row, value in enumerate(column.to_pylist(), 1):
        if classes is not None:
            cells.append(_class_name(value, classes, f"{source}, row {row:,}", name))
        else:
            cells.append(_string(value))
            if isinstance(value, str):
                refuse_broken_text(value, source, f"row {row:,}")
    return cells


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN is missing


def _class_name(value: Any, classes: Sequence[str], where: str, name: str) -> str:
    if value is None or value == -1:
        return ""
    if isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    raise DataError(
        f"{where}: {value} in the column {name} is the number of no class",
        expected=f"0 to {len(classes) - 1} ({', '.join(classes)}), or -1 for a missing label",
        remedy="the data set contradicts its own description: fetch or write it again",
    )


def _hash(columns: Mapping[str, Sequence[str]]) -> str:
    digest = hashlib.sha256()
    for name, cells in columns.items():
        digest.update(json.dumps([name, *cells], ensure_ascii=False).encode())
    return digest.hexdigest()


def _class_names_in(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of classes by column, as ``datasets`` notes them in a file; none if it did not."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: feature["names"]
            for column, feature in noted.items()
            if isinstance(feature, dict)
            and feature.get("_type") == "ClassLabel"
            and all(isinstance(name, str) for name in feature["names"])
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
