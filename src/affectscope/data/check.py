"""What is in a corpus, told before anything is computed from it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.findings import (
    Duplicates,
    LabelWords,
    NearDuplicates,
    Spread,
    find_duplicates,
    find_giveaways,
    find_near_duplicates,
    find_plain_label_words,
    spread,
)
from affectscope.data.personal import PersonalColumns, find_personal, personal_line
from affectscope.vocabulary import APPRAISAL_NAMES

# Control characters that no text has on purpose, and the mark of a character that was lost.
_ODD_CHARACTERS = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x9f\ufffd]")


@dataclass(frozen=True)
class CorpusCheck:
    """What is in a corpus and what is questionable about it."""

    name: str
    source: str
    sha256: str
    encoding: str
    rows: int
    """Rows of the file (of the sample, if it is one), used or not."""
    items: int
    """Rows that are used."""
    labels: dict[str, int]
    """Items with each label of the label set, also where there are none."""
    words: Spread
    """Words a text."""
    duplicates: Duplicates
    near_duplicates: NearDuplicates
    label_words: LabelWords
    """Labels that are in the texts as they are."""
    giveaways: LabelWords
    """Labels that are in the texts as such, as a word derived from them, or as a close synonym."""
    groups: int
    """Groups of items that are never split."""
    group_sizes: Spread
    """Items a group."""
    ratings: dict[str, int]
    """Ratings there are for each appraisal that the corpus has."""
    odd_characters: int
    """Items with control or replacement characters: a sign of the wrong encoding."""
    personal: PersonalColumns | None
    """Columns that describe persons; None when the file's columns are not known."""
    dropped: tuple[DroppedRows, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        values = asdict(self)
        for name in ("label_words", "giveaways"):
            values[name]["examples"] = list(values[name]["examples"])
        values["near_duplicates"]["examples"] = [list(e) for e in self.near_duplicates.examples]
        if self.personal:
            values["personal"] = {key: list(found) for key, found in values["personal"].items()}
        values["dropped"] = [
            {"reason": each.reason, "count": each.count, "rows": list(each.rows)}
            for each in self.dropped
        ]
        return values

    def lines(self) -> list[str]:
        """Everything, for people."""
        return [
            f"{self.name}: {self.items:,} of {_number(self.rows, 'row')} used",
            f"source: {self.source} (sha256 {self.sha256})",
            self._encoding_line(),
            "labels: " + ", ".join(f"{label} {n:,}" for label, n in self.labels.items()),
            f"length: {self.words.min:,} to {_number(self.words.max, 'word')}, "
            f"median {self.words.median:g}",
            f"repeated texts: {self.duplicates.identical:,} identical to an earlier one; "
            f"{self.duplicates.alike:,} when case, punctuation and spacing are ignored; "
            f"{_number(self.duplicates.conflicting, 'text')} under different labels",
            self._near_duplicates_line(),
            _label_words_line("label words in the texts", self.label_words),
            _label_words_line(
                "label words, words derived from them and close synonyms", self.giveaways
            ),
            self._groups_line(),
            self._ratings_line(),
            *([personal_line(self.personal)] if self.personal else []),
            *([_dropped_line(each) for each in self.dropped] or ["left out: nothing"]),
        ]

    def _encoding_line(self) -> str:
        line = f"encoding: {self.encoding}"
        if self.odd_characters:
            line += (
                f"; {_number(self.odd_characters, 'text')} with control or replacement characters, "
                "which can mean another encoding"
            )
            if self.encoding == "iso-8859-1":
                line += " (try --encoding cp1252, in which they are quotation marks and dashes)"
        return line

    def _near_duplicates_line(self) -> str:
        near = self.near_duplicates
        if not near.clusters:
            return f"nearly repeated texts: none (overlap of {near.threshold:g} or more)"
        examples = ", ".join(f"{one} and {other}" for one, other in near.examples)
        return (
            f"nearly repeated texts: {near.texts:,} beyond the first of "
            f"{_number(near.clusters, 'cluster')} (overlap of {near.threshold:g} or more), "
            f"{_number(near.conflicting, 'cluster')} under different labels; for example item_id "
            f"{examples}"
        )

    def _groups_line(self) -> str:
        if self.group_sizes.max == 1:
            return f"groups: {self.groups:,}, every item its own"
        return (
            f"groups: {self.groups:,}, of up to {self.group_sizes.max:,} items (those of one "
            "author or scenario, or with nearly the same text, are kept together)"
        )

    def _ratings_line(self) -> str:
        if not self.ratings:
            return "appraisal ratings: none"
        missing = self.items * len(self.ratings) - sum(self.ratings.values())
        return (
            f"appraisal ratings: {len(self.ratings)} of {len(APPRAISAL_NAMES)} appraisals, "
            f"{_number(missing, 'value')} missing"
        )


def check_corpus(corpus: Corpus, *, columns: Sequence[str] | None = None) -> CorpusCheck:
    """Describe a corpus: labels, lengths, repeats, label words in the texts, groups, dropped rows.

    Args:
        corpus: A corpus as loaded.
        columns: The columns of its file, to tell those that describe persons.
    """
    counts = Counter(corpus.emotions)
    rated = [name for name in APPRAISAL_NAMES if name in corpus.items]
    sizes = Counter(corpus.groups)
    return CorpusCheck(
        name=corpus.name,
        source=corpus.source,
        sha256=corpus.sha256,
        encoding=corpus.encoding,
        rows=len(corpus) + sum(each.count for each in corpus.dropped),
        items=len(corpus),
        labels={label: counts[label] for label in corpus.labels},
        words=spread(len(text.split()) for text in corpus.texts),
        duplicates=find_duplicates(corpus),
        near_duplicates=find_near_duplicates(corpus),
        label_words=find_plain_label_words(corpus),
        giveaways=find_giveaways(corpus),
        groups=len(sizes),
        group_sizes=spread(sizes.values()),
        ratings={
            name: sum(not math.isnan(value) for value in corpus.items[name].tolist())
            for name in rated
        },
        odd_characters=sum(bool(_ODD_CHARACTERS.search(text)) for text in corpus.texts),
        personal=None if columns is None else find_personal(columns, corpus.items.columns),
        dropped=corpus.dropped,
    )


def _label_words_line(what: str, found: LabelWords) -> str:
    if not found.items:
        return f"{what}: none"
    by_label = ", ".join(f"{label} {n:,}" for label, n in found.by_label.items())
    return (
        f"{what}: in {_number(found.items, 'item')}, their own label in "
        f"{found.own_label:,} ({by_label}); for example item_id {', '.join(found.examples)}"
    )


def _dropped_line(dropped: DroppedRows) -> str:
    where = ""
    if dropped.rows:
        more = ", ..." if dropped.count > len(dropped.rows) else ""
        where = f" ({dropped.unit} {', '.join(map(str, dropped.rows))}{more})"
    return f"left out: {_number(dropped.count, 'row')}: {dropped.reason}{where}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
