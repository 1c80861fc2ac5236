"""One way to load a corpus, whatever it is."""

from __future__ import annotations

import os
from pathlib import Path

from affectscope.data import crowd_envent, vignettes
from affectscope.data.any_table import corpus_from_table
from affectscope.data.columns import nearest
from affectscope.data.corpus import Corpus
from affectscope.data.table_file import Table, parse_table, read_file
from affectscope.errors import DataError

NAMED_CORPORA: tuple[str, ...] = (vignettes.NAME, crowd_envent.NAME)
"""Corpora that have a name."""


def load_corpus(
    name_or_path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    encoding: str | None = None,
) -> Corpus:
    """Load a corpus by name or from a CSV or TSV file.

    A file with the columns of crowd-enVENT or of the vignettes is read as such, unless another
    column of labels is named; any other file is a table of texts and labels. Rows that cannot be
    used (an empty or over-long text, no label) are left out and listed in ``dropped``.

    Args:
        name_or_path: ``vignettes``, or the path of a file.
        text_column: Column of the texts.
        label_column: Column of the labels.
        group_column: Column whose equal values belong together in a split and in the bootstrap.
        encoding: Encoding of the file; detected when absent.

    Raises:
        UsageError: There is no encoding of that name.
        DataError: The corpus cannot be read or used; the message says why and what to do.
    """
    if str(name_or_path) == vignettes.NAME:
        raw, source, path = vignettes.read_embedded(), "embedded", Path(vignettes.NAME)
    else:
        path = Path(name_or_path)
        _refuse_bare_name(path)
        raw, source = read_file(_in_home(path)), str(name_or_path)
    table = _parse(raw, source, encoding)
    own_labels = label_column not in (None, "emotion")
    if crowd_envent.is_crowd_envent(table.columns) and not own_labels:
        return crowd_envent.corpus_from_crowd_envent(
            table, text_column=text_column, group_column=group_column
        )
    if vignettes.is_vignettes(table.columns) and not own_labels:
        return vignettes.corpus_from_vignettes(
            table, name=path.stem, text_column=text_column, group_column=group_column
        )
    if text_column is None:
        crowd_envent.refuse_readers_file(table)
    crowd_envent.refuse_incomplete_file(
        table, other_texts=text_column is not None, other_labels=own_labels
    )
    return corpus_from_table(
        table,
        name=path.stem,
        text_column=text_column,
        label_column=label_column,
        group_column=group_column,
    )


def _parse(raw: bytes, source: str, encoding: str | None) -> Table:
    table = parse_table(raw, source=source, encoding=encoding)
    if (
        encoding is None
        and table.encoding == "cp1252"
        and crowd_envent.is_crowd_envent(table.columns)
    ):
        return parse_table(raw, source=source, encoding=crowd_envent.ENCODING)
    return table


def _in_home(path: Path) -> Path:
    """The path with a leading ``~`` replaced, which no shell does in a configuration file."""
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home: then it is a name like any other
        return path


def _refuse_bare_name(path: Path) -> None:
    """Explain a word that is neither a corpus nor a file."""
    if path.suffix or len(path.parts) != 1 or os.path.lexists(path):
        return
    name = str(path)
    if name == crowd_envent.NAME:
        raise DataError(
            f"{name} does not come with affectscope",
            expected=f"the path to its file {crowd_envent.FILE_NAME}",
            remedy=f"get the corpus from its authors (doi 10.1162/coli_a_00461) and give the path "
            f"to {crowd_envent.FILE_NAME}; the format is recognised",
        )
    suggestion = nearest(name, NAMED_CORPORA)
    raise DataError(
        f'there is no corpus and no file called "{name}"',
        expected=f"one of the names {', '.join(NAMED_CORPORA)}, or the path of a CSV or TSV file",
        remedy=f'did you mean "{suggestion}"?' if suggestion else "check the name or the path",
    )
