"""What is in crowd-enVENT's file of readers' ratings, told as for a corpus."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from affectscope.data.crowd_envent import is_crowd_envent
from affectscope.data.personal import PersonalColumns, find_personal, personal_line
from affectscope.data.readers import Readers
from affectscope.vocabulary import APPRAISAL_NAMES

_COLUMNS = frozenset({"text_id", "annotator_emotion"})


def is_readers_file(columns: tuple[str, ...]) -> bool:
    """Whether these are the columns of the readers' file."""
    return set(columns) >= _COLUMNS and not is_crowd_envent(columns)


@dataclass(frozen=True)
class ReadersCheck:
    """What is in a file of readers' ratings."""

    source: str
    sha256: str
    encoding: str
    ratings: int
    """Rows: one reader's ratings of one text."""
    texts: int
    """Texts that were read."""
    readers: int
    """Readers of each text."""
    emotions: dict[str, int]
    """How often readers named each emotion."""
    own: int
    """Ratings that name the emotion which the author felt."""
    missing: dict[str, int]
    """Ratings that lack a value, for each appraisal that the file has."""
    personal: PersonalColumns

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        values = asdict(self)
        values["personal"] = {key: list(found) for key, found in values["personal"].items()}
        return values

    def lines(self) -> list[str]:
        """Everything, for people."""
        named = ", ".join(f"{emotion} {count:,}" for emotion, count in self.emotions.items())
        missing = sum(self.missing.values())
        return [
            "crowd-enVENT's readers: ratings of texts, and no texts",
            f"source: {self.source} (sha256 {self.sha256})",
            f"encoding: {self.encoding}",
            f"ratings: {self.ratings:,}, of {self.texts:,} texts by {self.readers:,} readers each",
            f"emotions named: {named}",
            f"the author's emotion: named in {self.own:,} ratings ({self.own / self.ratings:.1%})",
            f"appraisal ratings: {len(self.missing)} of {len(APPRAISAL_NAMES)} appraisals, "
            f"{missing:,} {'value' if missing == 1 else 'values'} missing",
            personal_line(self.personal),
            "use: with the authors' file, as what people make of its texts (--readers)",
        ]


def check_readers(readers: Readers, *, columns: tuple[str, ...]) -> ReadersCheck:
    """Describe a file of readers' ratings.

    Args:
        readers: The file as loaded.
        columns: Its columns.
    """
    ratings = readers.ratings
    return ReadersCheck(
        source=readers.source,
        sha256=readers.sha256,
        encoding=readers.encoding,
        ratings=len(ratings),
        texts=readers.n_items,
        readers=readers.n_readers,
        emotions=dict(sorted(Counter(map(str, ratings["emotion"])).items())),
        own=int((ratings["emotion"] == ratings["author_emotion"]).sum()),
        missing={
            name: int(ratings[name].isna().sum()) for name in APPRAISAL_NAMES if name in ratings
        },
        personal=find_personal(columns, ratings.columns),
    )
