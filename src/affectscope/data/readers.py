"""What readers made of crowd-enVENT's texts: five people's ratings of each of 1,200 of them.

Readers saw a text without its emotion word, named the emotion they thought its author had felt, and
rated the author's 21 appraisals (Troiano, Oberländer and Klinger 2023, doi 10.1162/coli_a_00461).
``text_id`` joins the ratings with the authors' file. What describes a reader (id, age, gender,
personality ...) is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.data.catalogue import corpus_file
from affectscope.data.corpus import Corpus
from affectscope.data.crowd_envent import NAME, is_crowd_envent
from affectscope.data.ratings import read_ratings
from affectscope.data.table_file import Table, in_home, parse_table, read_file
from affectscope.errors import ColumnError, DataError, LabelError, NotPossibleError
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

FILE_NAME = "enVent_val_Data.csv"

_COLUMNS = ("text_id", "emotion", "annotator_emotion")
_READER = "prolific_id"
_RENAMED = {"no-emotion": "neutral"}
_LEFT_OUT = ("", "-")
"""What a label is mapped to in order to leave its items out."""


@dataclass(frozen=True, eq=False)
class Readers:
    """The readers' ratings, and where they came from."""

    ratings: pd.DataFrame
    """One row a rating, those of one text together.

    Columns: ``item_id`` (the text), ``author_emotion``, ``emotion`` (what the reader named), then
    those of the 21 appraisals that the file has (1 to 5, or NaN).
    """
    n_readers: int
    """Readers of every text."""
    source: str
    """The path as given."""
    sha256: str
    """Hash of the file's bytes."""
    encoding: str
    """Encoding that the file was read in."""

    @property
    def n_items(self) -> int:
        """Texts that were read."""
        return len(self.ratings) // self.n_readers

    def of(self, corpus: Corpus) -> ReadItems:
        """The ratings of a corpus's items, in the order of the corpus.

        Args:
            corpus: All of crowd-enVENT, or some of it.

        Raises:
            NotPossibleError: No item of the corpus was read.
            DataError: An item has another emotion there than here, so that these are the readers
                of another corpus.
        """
        first = self.ratings.iloc[:: self.n_readers]
        row_of = {item: row for row, item in enumerate(first["item_id"])}
        item_ids = [str(item) for item in corpus.items["item_id"]]
        items = np.array([k for k, item in enumerate(item_ids) if item in row_of], dtype=np.int64)
        if not len(items):
            raise NotPossibleError(
                f"none of the {len(corpus):,} items of {corpus.name} has ratings in {self.source}",
                expected="items of crowd-enVENT, some of which are among the "
                f"{self.n_items:,} texts that readers rated",
                remedy="use more items (a larger --limit), or the corpus that was read",
            )
        rows = np.array([row_of[item_ids[k]] for k in items])
        self._require_same_emotions(corpus, items, first["author_emotion"].to_numpy()[rows])
        said = self._by_item("emotion", rows).astype(str)
        appraisals = [name for name in APPRAISAL_NAMES if name in self.ratings]
        return ReadItems(
            items=items,
            labels=(*corpus.labels, *sorted(set(said.ravel().tolist()) - set(corpus.labels))),
            said=said,
            ratings={name: self._by_item(name, rows).astype(float) for name in appraisals},
        )

    def _by_item(self, column: str, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """A column's values for some texts, ``[item, reader]``."""
        values = self.ratings[column].to_numpy(dtype=object)
        return values.reshape(-1, self.n_readers)[rows]

    def _require_same_emotions(
        self, corpus: Corpus, items: NDArray[np.int64], here: NDArray[np.object_]
    ) -> None:
        there = corpus.items["emotion"].to_numpy(dtype=object)[items]
        different = np.flatnonzero(there != here)
        if len(different):
            k = different[0]
            item = corpus.items["item_id"].iloc[items[k]]
            raise DataError(
                f"{self.source} does not fit the corpus {corpus.name}: {len(different):,} of "
                f"{len(items):,} texts have another emotion, such as text {item}, which is "
                f"{there[k]} in the corpus and {here[k]} for the readers",
                expected="the readers' file of the same corpus, with the same labels",
                remedy="give crowd-enVENT's two files together, and the same map of labels to both",
            )


@dataclass(frozen=True, eq=False)
class ReadItems:
    """The items of a corpus that were read, with what the readers said of each."""

    items: NDArray[np.int64]
    """Index in the corpus of every item that was read, ``[item]``."""
    labels: tuple[str, ...]
    """The corpus's labels, then any others that readers named."""
    said: NDArray[np.str_]
    """What each reader named, ``[item, reader]``; a column is not the same person throughout."""
    ratings: Mapping[str, NDArray[np.float64]]
    """Appraisals as each reader rated them, by name, ``[item, reader]``; NaN where missing."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def distribution(self) -> NDArray[np.float64]:
        """Share of the readers who named each label, ``[item, label]``."""
        return self.votes.mean(axis=1)

    @property
    def votes(self) -> NDArray[np.float64]:
        """1 where a reader named a label, ``[item, reader, label]``."""
        return (self.said[:, :, None] == np.array(self.labels)).astype(float)


def load_readers(
    path: str | Path, *, encoding: str | None = None, label_map: Mapping[str, str] | None = None
) -> Readers:
    """Load the readers' file of crowd-enVENT, ``enVent_val_Data.csv``.

    Args:
        path: The file.
        encoding: Its encoding; detected when absent.
        label_map: From the file's labels to those of the corpus, where that was loaded with a map.
            A label that is left out there stays what it is here: it is then never the author's.

    Raises:
        UsageError: There is no encoding of that name.
        ColumnError: A column is missing.
        LabelError: A reader named something that is no emotion of crowd-enVENT.
        DataError: It is another file, a rating is outside 1 to 5, or texts differ in how many
            readers they have, as in a file that was cut off.
    """
    place = in_home(Path(path))
    if str(path) == NAME and not place.exists():
        place = _fetched()
    table = parse_table(read_file(place), source=str(path), encoding=encoding)
    _require_columns(table)
    item_ids = [value.strip() for value in table.values("text_id")]
    authors, said = (_labels(table, name, label_map or {}) for name in _COLUMNS[1:])
    n_readers = _readers_of_each(table, item_ids, authors)
    columns = {
        "item_id": item_ids,
        "author_emotion": authors,
        "emotion": said,
        **read_ratings(table, range(len(item_ids))),
    }
    ratings = pd.DataFrame(columns)
    order = pd.Series(pd.factorize(ratings["item_id"])[0]).argsort(kind="stable")
    return Readers(
        ratings=ratings.iloc[order].reset_index(drop=True),
        n_readers=n_readers,
        source=table.source,
        sha256=table.sha256,
        encoding=table.encoding,
    )


def _fetched() -> Path:
    """The readers' file in the user's cache."""
    path = corpus_file(NAME, FILE_NAME)
    if path is None:
        raise DataError(
            f"the readers' ratings of {NAME} have not been fetched",
            expected=f"the file {FILE_NAME}",
            remedy=f"fetch them with: affectscope data get {NAME}; or give the path of {FILE_NAME}",
        )
    return path


def _require_columns(table: Table) -> None:
    if is_crowd_envent(table.columns):
        raise DataError(
            f"{table.source} holds crowd-enVENT's texts, and no ratings by readers",
            expected=f"the file with the readers' ratings, {FILE_NAME}",
            remedy=f"give the path to {FILE_NAME} as the readers, and this file as the corpus",
        )
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise ColumnError(
            f"{table.source} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            expected=f"the columns {', '.join(_COLUMNS)} and the {len(APPRAISAL_NAMES)} "
            f"appraisals, as in {FILE_NAME}",
            remedy=f"give crowd-enVENT's {FILE_NAME} as it was published",
        )


def _labels(table: Table, column: str, label_map: Mapping[str, str]) -> list[str]:
    own = {key.strip().lower(): value.strip().lower() for key, value in label_map.items()}
    labels = []
    for line, value in zip(table.lines, table.values(column), strict=True):
        label = value.strip().lower()
        name = _RENAMED.get(label, label)
        if name not in EMOTIONS:
            raise LabelError(
                f'{table.source}, line {line:,}: "{value}" in the column {column} is not one of '
                f"crowd-enVENT's {len(EMOTIONS)} emotions",
                expected=", ".join(EMOTIONS),
                remedy=f"correct the value, or give {FILE_NAME} as it was published",
            )
        mapped = own.get(name, own.get(label, name))
        labels.append(name if mapped in _LEFT_OUT else mapped)
    return labels


def _readers_of_each(table: Table, item_ids: list[str], authors: list[str]) -> int:
    """The number of readers, the same for every text.

    Raises:
        DataError: It is not, a text has one reader only, one reader rated a text twice, or a text
            has two authors' emotions.
    """
    people = table.values(_READER) if _READER in table.columns else [""] * len(item_ids)
    seen: dict[tuple[str, str], int] = {}
    emotion_of: dict[str, str] = {}
    for item, author, person, line in zip(item_ids, authors, people, table.lines, strict=True):
        where = f"{table.source}, line {line:,}: "
        if not item:
            _refuse(where + "text_id is empty", "the text that a rating is of")
        if emotion_of.setdefault(item, author) != author:
            _refuse(
                f"{where}the author of text {item} felt {author} here and {emotion_of[item]} "
                "in an earlier line",
                "one author's emotion for each text",
            )
        if person.strip() and (item, person) in seen:
            _refuse(
                f"{where}a reader rates text {item} again, after line {seen[item, person]:,}",
                "one rating of a text by each reader",
            )
        seen[item, person] = line
    return _same_for_all(table, Counter(item_ids))


def _same_for_all(table: Table, counts: Counter[str]) -> int:
    usual = Counter(counts.values()).most_common(1)[0][0]
    for item, count in counts.items():
        if count != usual:
            _refuse(
                f"{table.source} has {count} rating{'s' * (count > 1)} of text {item}, where most "
                f"texts have {usual}",
                "the same number of readers for every text",
            )
    if usual < 2:
        _refuse(f"{table.source} has one rating of each text", "several readers for every text")
    return usual


def _refuse(problem: str, expected: str) -> None:
    raise DataError(
        problem,
        expected=expected,
        remedy=f"the file may be damaged or cut off: fetch {FILE_NAME} again",
    )
