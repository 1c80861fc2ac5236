"""Any table with a column of texts and a column of labels."""

from __future__ import annotations

from affectscope.data.assembly import assemble
from affectscope.data.columns import require_column, usual_column
from affectscope.data.corpus import Corpus
from affectscope.data.labels import Format
from affectscope.data.table_file import Table


def corpus_from_table(
    table: Table,
    *,
    name: str,
    text_column: str | None = None,
    label_column: str | None = None,
    group_column: str | None = None,
) -> Corpus:
    """Read a corpus whose labels are whatever is found, in lower case.

    Args:
        table: The file's content.
        name: What to call the corpus.
        text_column: Column of the texts; ``text`` when absent.
        label_column: Column of the labels; ``emotion`` or ``label`` when absent.
        group_column: Column whose equal values belong together, such as the author; every text is
            on its own when absent.

    Raises:
        ColumnError: A column is not there.
        DataError: See :func:`assemble`.
    """
    layout = Format(
        text=require_column(table, text_column, "--text-column")
        if text_column
        else usual_column(table, ("text",), "--text-column", "texts"),
        label=require_column(table, label_column, "--label-column")
        if label_column
        else usual_column(table, ("emotion", "label"), "--label-column", "labels"),
        group=require_column(table, group_column, "--group-column") if group_column else None,
    )
    return assemble(table, layout, name=name)
