"""The embedded vignettes, and files in their format.

Situations written for this project so that everything runs on a fresh machine; the file's card
lies next to it, in ``affectscope/vignettes``.
"""

from __future__ import annotations

from importlib import resources

from affectscope.data.assembly import Format, assemble
from affectscope.data.columns import require_column
from affectscope.data.corpus import Corpus
from affectscope.data.table_file import Table
from affectscope.errors import DataError
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

NAME = "vignettes"

_COLUMNS = frozenset({"id", "emotion", "domain", "text", *APPRAISAL_NAMES})


def is_vignettes(columns: tuple[str, ...]) -> bool:
    """Whether these are the columns of the vignettes."""
    return set(columns) >= _COLUMNS


def read_embedded() -> bytes:
    """The bytes of the embedded file.

    Raises:
        DataError: The installation lacks it.
    """
    try:
        return resources.files("affectscope.vignettes").joinpath("vignettes.csv").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DataError(
            "the embedded vignettes are not where they were installed",
            expected="the file vignettes.csv in the package's folder vignettes",
            remedy="install affectscope again",
        ) from error


def corpus_from_vignettes(
    table: Table,
    *,
    name: str = NAME,
    text_column: str | None = None,
    group_column: str | None = None,
) -> Corpus:
    """Read vignettes; every one is its own group unless a column says otherwise.

    Args:
        table: The file's content.
        name: What to call the corpus.
        text_column: Another column of texts.
        group_column: A column whose equal values belong together.

    Raises:
        ColumnError: A column is not there.
        DataError: See :func:`assemble`.
    """
    layout = Format(
        text=require_column(table, text_column or "text", "--text-column"),
        label="emotion",
        item_id="id",
        group=require_column(table, group_column, "--group-column") if group_column else None,
        labels=EMOTIONS,
        rated=True,
    )
    return assemble(table, layout, name=name)
