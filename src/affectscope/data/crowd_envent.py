"""crowd-enVENT in its authors' file format.

6,600 events that crowdworkers described for a given emotion, each rated by them on 21 appraisals
(Troiano, Oberländer and Klinger 2023, Computational Linguistics 49(1), doi 10.1162/coli_a_00461).
The text is ``hidden_emo_text``, in which the emotion word is masked. What describes a person (age,
gender, personality ...) is not read; the author's id becomes an opaque key.
"""

from __future__ import annotations

from affectscope.data.assembly import assemble
from affectscope.data.columns import require_column
from affectscope.data.corpus import Corpus
from affectscope.data.labels import Format
from affectscope.data.table_file import Table
from affectscope.errors import ColumnError, DataError
from affectscope.vocabulary import EMOTIONS

NAME = "crowd-envent"
FILE_NAME = "enVent_gen_Data.csv"

ENCODING = "iso-8859-1"
"""Encoding of the published file.

It holds a few hundred bytes that are curly quotes in Windows-1252 and control characters in
ISO-8859-1. Published work reads it as ISO-8859-1, and so do we unless told otherwise, so that the
texts are the same as theirs.
"""

_COLUMNS = frozenset({"text_id", "prolific_id", "emotion", "hidden_emo_text"})
_OWN_COLUMNS = frozenset({"text_id", "prolific_id"})
_READERS_COLUMNS = frozenset({"text_id", "annotator_emotion"})


def is_crowd_envent(columns: tuple[str, ...]) -> bool:
    """Whether these are the columns of the authors' file."""
    return set(columns) >= _COLUMNS


def refuse_readers_file(table: Table) -> None:
    """Explain that the second file of crowd-enVENT has ratings and no texts.

    Raises:
        DataError: The table is that file.
    """
    if set(table.columns) >= _READERS_COLUMNS and not is_crowd_envent(table.columns):
        raise DataError(
            f"{table.source} holds crowd-enVENT's ratings by readers, and no texts",
            expected=f"the file with the texts, {FILE_NAME}",
            remedy=f"give the path to {FILE_NAME}",
        )


def refuse_incomplete_file(table: Table, *, other_texts: bool, other_labels: bool) -> None:
    """Explain that a file is the authors' but for the column of texts or of labels.

    Args:
        table: The file's content.
        other_texts: Whether a column of texts was named.
        other_labels: Whether a column of labels was named that is not ``emotion``.

    Raises:
        ColumnError: It is such a file, and no other column can stand in.
    """
    columns = set(table.columns)
    lacking = {
        "hidden_emo_text": ("texts", "--text-column", other_texts or "text" in columns),
        "emotion": ("labels", "--label-column", other_labels or "label" in columns),
    }
    for column, (content, option, replaced) in lacking.items():
        if columns >= _OWN_COLUMNS and column not in columns and not replaced:
            raise ColumnError(
                f"{table.source} is nearly in the format of crowd-enVENT: it lacks the column "
                f'"{column}" (the {content})',
                expected=f"the columns {', '.join(sorted(_COLUMNS))}, as in {FILE_NAME}",
                remedy=f"add the column, or name another column of {content} with {option}",
            )


def corpus_from_crowd_envent(
    table: Table, *, text_column: str | None = None, group_column: str | None = None
) -> Corpus:
    """Read crowd-enVENT.

    Args:
        table: The file's content.
        text_column: Another column of texts, such as ``generated_text`` (the unmasked ones).
        group_column: Another column to group by than the author.

    Raises:
        ColumnError: A column is not there.
        DataError: See :func:`assemble`.
    """
    layout = Format(
        text=require_column(table, text_column or "hidden_emo_text", "--text-column"),
        label="emotion",
        item_id="text_id",
        group=require_column(table, group_column or "prolific_id", "--group-column"),
        labels=EMOTIONS,
        renamed={"no-emotion": "neutral"},
        rated=True,
    )
    return assemble(table, layout, name=NAME)
