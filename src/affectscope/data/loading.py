"""One way to load a corpus, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from affectscope.data import crowd_envent, isear, vignettes
from affectscope.data.any_table import corpus_from_table
from affectscope.data.corpus import Corpus
from affectscope.data.sources import NAMED_CORPORA, read_source
from affectscope.errors import UsageError
from affectscope.label_map import LABEL_MAPS, parse_label_map

__all__ = ["NAMED_CORPORA", "load_corpus"]


def load_corpus(
    name_or_path: str | Path,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
    encoding: str | None = None,
    label_map: Mapping[str, str] | None = None,
    split: str | None = None,
    keep_columns: Sequence[str] = (),
) -> Corpus:
    """Load a corpus by name, from a file, or from a data set of the library ``datasets``.

    A table with the columns of crowd-enVENT, ISEAR or the vignettes is read as such, unless another
    column of labels is named; any other is a table of texts and labels. Rows that cannot be used
    (an empty or over-long text, no label) are left out and listed in ``dropped``.

    Args:
        name_or_path: ``vignettes``, ``crowd-envent``, ``isear``, or the path of a CSV, TSV, JSONL,
            JSON or Parquet file, or of a data set's folder, or ``OWNER/NAME`` of one on the Hub.
        text_column: Column of the texts.
        label_column: Column of the labels.
        group_column: Column whose equal values belong together in a split and in the bootstrap.
        encoding: Encoding of a text file; detected when absent.
        label_map: From the file's labels to those used; a label mapped to ``-`` is left out.
        split: Split of a data set; its only one, or ``train``, when absent.
        keep_columns: Further columns for ``items``, as text. Only those named are kept: files have
            columns that describe persons.

    Raises:
        ColumnError: A column is not there.
        UsageError: There is no encoding or split of that name, or the label map maps nothing.
        DataError: The corpus cannot be read or used; the message says why and what to do.
    """
    wanted = _label_map(label_map)
    found = read_source(name_or_path, encoding=encoding, split=split)
    table = replace(found.table, label_map=wanted, kept_columns=tuple(keep_columns))
    if crowd_envent.is_crowd_envent(table.columns) and label_column in (None, "emotion"):
        return crowd_envent.corpus_from_crowd_envent(
            table, text_column=text_column, group_column=group_column
        )
    if vignettes.is_vignettes(table.columns) and label_column in (None, "emotion"):
        return vignettes.corpus_from_vignettes(
            table, name=found.name, text_column=text_column, group_column=group_column
        )
    if isear.is_isear(table.columns) and label_column in (None, isear.LABEL_COLUMN):
        return isear.corpus_from_isear(
            table,
            unreadable=found.unreadable,
            text_column=text_column,
            group_column=group_column,
        )
    if text_column is None:
        crowd_envent.refuse_readers_file(table)
    crowd_envent.refuse_incomplete_file(
        table,
        other_texts=text_column is not None,
        other_labels=label_column not in (None, "emotion"),
    )
    corpus = corpus_from_table(
        table,
        name=found.name,
        text_column=text_column,
        label_column=label_column,
        group_column=group_column,
    )
    return isear.with_unreadable(corpus, found.unreadable)


def _label_map(given: Mapping[str, str] | None) -> dict[str, str]:
    if given is None:
        return {}
    try:
        return parse_label_map(given)
    except ValueError as error:
        raise UsageError(
            f"the label map cannot be used: {error}",
            expected=LABEL_MAPS,
            remedy="correct it, or leave it out",
        ) from error
