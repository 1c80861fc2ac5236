"""The embedded vignettes, appraisal minimal pairs, and files in their format.

Each scenario has four versions. They share their wording, and each differs from the first in one
appraisal, so that the emotion changes as appraisal theory predicts. They were written for this
project; the file's card lies next to it, in ``affectscope/vignettes``.
"""

from __future__ import annotations

import io
from dataclasses import replace
from importlib import resources

import pandas as pd

from affectscope.data.assembly import Format, assemble
from affectscope.data.columns import require_column
from affectscope.data.corpus import Corpus
from affectscope.data.table_file import Table
from affectscope.errors import DataError
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

NAME = "vignettes"

BASE_VERSION = 1
"""The version from which the others of a scenario differ in one appraisal."""

_KEY = ("scenario", "version")
_COLUMNS = frozenset({*_KEY, "emotion", "text", "flipped", *APPRAISAL_NAMES})


def is_vignettes(columns: tuple[str, ...]) -> bool:
    """Whether these are the columns of the vignettes."""
    return set(columns) >= _COLUMNS


def read_embedded(file_name: str = "vignettes.csv") -> bytes:
    """The bytes of an embedded file.

    Raises:
        DataError: The installation lacks it.
    """
    try:
        return resources.files("affectscope.vignettes").joinpath(file_name).read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DataError(
            "the embedded vignettes are not where they were installed",
            expected=f"the file {file_name} in the package's folder vignettes",
            remedy="install affectscope again",
        ) from error


def second_rating() -> pd.DataFrame:
    """The second, blind rating of every embedded vignette: emotion and 21 appraisals.

    Returns:
        Columns ``item_id``, ``emotion`` and the appraisals, in the order of the corpus.
    """
    table = pd.read_csv(io.BytesIO(read_embedded("second_rating.csv")))
    table.insert(0, "item_id", table["scenario"] + "." + table["version"].astype(str))
    return table.drop(columns=list(_KEY))


def corpus_from_vignettes(
    table: Table,
    *,
    name: str = NAME,
    text_column: str | None = None,
    group_column: str | None = None,
) -> Corpus:
    """Read vignettes; the versions of a scenario are a group unless a column says otherwise.

    Args:
        table: The file's content.
        name: What to call the corpus.
        text_column: Another column of texts.
        group_column: A column whose equal values belong together.

    Raises:
        ColumnError: A column is not there.
        DataError: A version is no whole number, or an appraisal that is said to be flipped is none
            of the 21; see also :func:`assemble`.
    """
    keyed = _with_item_ids(table)
    layout = Format(
        text=require_column(table, text_column or "text", "--text-column"),
        label="emotion",
        item_id="item_id",
        group=require_column(table, group_column or "scenario", "--group-column"),
        labels=EMOTIONS,
        rated=True,
    )
    corpus = assemble(keyed, layout, name=name)
    pairs = pd.DataFrame(
        {column: keyed.values(column) for column in ("item_id", *_KEY, "flipped")}
    ).astype({"version": int})
    return replace(corpus, items=corpus.items.merge(pairs, on="item_id", how="left"))


def _with_item_ids(table: Table) -> Table:
    """The table with a column that names every version, after checking what makes pairs."""
    keys = list(zip(table.values("scenario"), table.values("version"), strict=True))
    for line, (_, version), flipped in zip(table.lines, keys, table.values("flipped"), strict=True):
        if not version.strip().isdecimal():
            raise DataError(
                f'{table.source}, line {line:,}: "{version}" is not the number of a version',
                expected="a whole number, 1 for the version from which the others differ",
                remedy="correct the column version",
            )
        if flipped.strip() not in {"", *APPRAISAL_NAMES}:
            raise DataError(
                f'{table.source}, line {line:,}: "{flipped}" is not an appraisal',
                expected=f"nothing for version {BASE_VERSION}, else one of "
                f"{', '.join(APPRAISAL_NAMES)}",
                remedy="correct the column flipped",
            )
    ids = [f"{scenario.strip()}.{int(version)}" for scenario, version in keys]
    if "item_id" in table.columns:  # a file of theirs may have one; ours decides
        table = _without(table, "item_id")
    return replace(
        table,
        columns=(*table.columns, "item_id"),
        records=tuple((*record, each) for record, each in zip(table.records, ids, strict=True)),
    )


def _without(table: Table, column: str) -> Table:
    at = table.columns.index(column)
    return replace(
        table,
        columns=table.columns[:at] + table.columns[at + 1 :],
        records=tuple(record[:at] + record[at + 1 :] for record in table.records),
    )
