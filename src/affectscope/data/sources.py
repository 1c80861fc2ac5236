"""From a name or a path to a table: which reader a corpus needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from affectscope.data import crowd_envent, isear, vignettes
from affectscope.data.arrow_table import PARQUET_MARK, parse_parquet
from affectscope.data.catalogue import corpus_file
from affectscope.data.columns import nearest
from affectscope.data.encoding import decode
from affectscope.data.hugging_face import is_hub_id, read_folder, read_hub
from affectscope.data.records_file import is_json, parse_records
from affectscope.data.table_file import Table, in_home, parse_table, read_file
from affectscope.errors import DataError, UsageError

NAMED_CORPORA: tuple[str, ...] = (vignettes.NAME, crowd_envent.NAME, isear.NAME)
"""Corpora that have a name."""

_FILES = {crowd_envent.NAME: crowd_envent.FILE_NAME, isear.NAME: isear.FILE_NAME}
"""The file of each corpus that does not come with affectscope."""


@dataclass(frozen=True)
class Source:
    """What was found under a name or a path."""

    table: Table
    """Its content."""
    name: str
    """What to call the corpus if its format has no name."""
    unreadable: tuple[int, ...] = ()
    """Lines of a damaged file that could not be read."""


def read_source(
    name_or_path: str | Path, *, encoding: str | None = None, split: str | None = None
) -> Source:
    """Read a corpus by name, a file, a folder or a data set of the Hub.

    Args:
        name_or_path: One of :data:`NAMED_CORPORA`, a path, or ``OWNER/NAME`` of the Hub.
        encoding: Encoding of a text file; detected when absent.
        split: Split of a data set.

    Raises:
        UsageError: There is no such encoding or split, or what is read has none.
        DataError: It cannot be read.
    """
    given, path = str(name_or_path), in_home(Path(name_or_path))
    if given == vignettes.NAME:
        _refuse_split(given, split)
        raw = vignettes.read_embedded()
        return Source(parse_table(raw, source="embedded", encoding=encoding), given)
    if given in _FILES and not os.path.lexists(path):
        path = _fetched(given)
    _refuse_bare_name(path)
    if path.is_dir():
        _refuse_encoding(given, encoding)
        return Source(read_folder(path, source=given, split=split), path.name)
    if is_hub_id(given) and not os.path.lexists(path):
        _refuse_encoding(given, encoding)
        return Source(read_hub(given, split=split), Path(given).name)
    _refuse_split(given, split)
    source = str(path) if given in _FILES else given
    return read_bytes(read_file(path), source=source, name=path.stem, encoding=encoding)


def read_bytes(raw: bytes, *, source: str, name: str, encoding: str | None = None) -> Source:
    """Read a file's bytes in the format that they are in.

    Args:
        raw: The bytes.
        source: What the file is called in messages; its ending counts.
        name: What to call the corpus.
        encoding: Encoding of a text file; detected when absent.

    Raises:
        UsageError: There is no encoding of that name, or the file is no text file.
        DataError: It cannot be read.
    """
    if raw.startswith(PARQUET_MARK) or Path(source).suffix.lower() == ".parquet":
        _refuse_encoding(source, encoding)
        return Source(parse_parquet(raw, source=source), name)
    text = decode(raw, source=source, encoding=encoding).text
    if is_json(text, source):
        return Source(parse_records(raw, source=source, encoding=encoding), name)
    if isear.is_damaged_isear(text):
        return Source(*_isear(raw, source, encoding))
    table = parse_table(raw, source=source, encoding=encoding)
    if (
        encoding is None
        and table.encoding == "cp1252"
        and crowd_envent.is_crowd_envent(table.columns)
    ):
        table = parse_table(raw, source=source, encoding=crowd_envent.ENCODING)
    return Source(table, name)


def _isear(raw: bytes, source: str, encoding: str | None) -> tuple[Table, str, tuple[int, ...]]:
    table, unreadable = isear.parse_damaged_isear(raw, source=source, encoding=encoding)
    return table, isear.NAME, unreadable


def _fetched(name: str) -> Path:
    """The file of a named corpus in the user's cache."""
    path = corpus_file(name)
    if path is None:
        raise DataError(
            f"the corpus {name} has not been fetched, and does not come with affectscope",
            expected=f"its file {_FILES[name]}",
            remedy=f"fetch it with: affectscope data get {name}; or give the path of "
            f"{_FILES[name]}, whose format is recognised",
        )
    return path


def _refuse_split(given: str, split: str | None) -> None:
    if split is not None:
        raise UsageError(
            f"{given} has no splits, and the split {split} was asked for",
            expected="a split of a data set of the Hub, or of a folder of one",
            remedy="leave --split out",
        )


def _refuse_encoding(given: str, encoding: str | None) -> None:
    if encoding is not None:
        raise UsageError(
            f"{given} is no text file, and the encoding {encoding} was named for it",
            expected="an encoding for a CSV, TSV or JSON file alone",
            remedy="leave --encoding out",
        )


def _refuse_bare_name(path: Path) -> None:
    """Explain a word that is neither a corpus nor a file."""
    if path.suffix or len(path.parts) != 1 or os.path.lexists(path):
        return
    name = str(path)
    suggestion = nearest(name, NAMED_CORPORA)
    raise DataError(
        f'there is no corpus and no file called "{name}"',
        expected=f"one of the names {', '.join(NAMED_CORPORA)}, the path of a file or folder, or "
        "OWNER/NAME of a data set on the Hub",
        remedy=f'did you mean "{suggestion}"?' if suggestion else "check the name or the path",
    )
