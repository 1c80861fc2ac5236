"""What is in a corpus, told before anything is computed from it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.duplicates import text_key
from affectscope.vocabulary import APPRAISAL_NAMES

_EXAMPLES = 3

# Control characters that no text has on purpose, and the mark of a character that was lost.
_ODD_CHARACTERS = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x9f\ufffd]")


@dataclass(frozen=True)
class Spread:
    """The smallest, middle and largest of some counts."""

    min: int
    median: float
    max: int


@dataclass(frozen=True)
class Duplicates:
    """Texts that are there more than once; the first of each is not counted."""

    identical: int
    """Items whose text is, character for character, that of an earlier item."""
    alike: int
    """Items whose text is that of an earlier item but for case, punctuation and spacing."""
    conflicting: int
    """Texts, among those alike, that come with different labels."""


@dataclass(frozen=True)
class LabelWords:
    """Items whose text gives a label away by containing it as a word."""

    items: int
    """Items with any label in their text."""
    own_label: int
    """Items with their own label in their text."""
    by_label: dict[str, int]
    """Items with each label in their text; labels that occur nowhere are left out."""
    examples: tuple[str, ...]
    """``item_id`` of the first few."""


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
    label_words: LabelWords
    groups: int
    """Groups of items that are never split."""
    group_sizes: Spread
    """Items a group."""
    ratings: dict[str, int]
    """Ratings there are for each appraisal that the corpus has."""
    odd_characters: int
    """Items with control or replacement characters: a sign of the wrong encoding."""
    dropped: tuple[DroppedRows, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        values = asdict(self)
        values["label_words"]["examples"] = list(self.label_words.examples)
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
            self._label_words_line(),
            self._groups_line(),
            self._ratings_line(),
            *(_dropped_line(each) for each in self.dropped),
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

    def _label_words_line(self) -> str:
        found = self.label_words
        if not found.items:
            return "label words in the texts: none"
        by_label = ", ".join(f"{label} {n:,}" for label, n in found.by_label.items())
        return (
            f"label words in the texts: in {_number(found.items, 'item')}, their own label in "
            f"{found.own_label:,} ({by_label}); for example item_id {', '.join(found.examples)}"
        )

    def _groups_line(self) -> str:
        if self.group_sizes.max == 1:
            return f"groups: {self.groups:,}, every item its own"
        return (
            f"groups: {self.groups:,}, of up to {self.group_sizes.max:,} items (those of one "
            "author or with the same text are kept together)"
        )

    def _ratings_line(self) -> str:
        if not self.ratings:
            return "appraisal ratings: none"
        missing = self.items * len(self.ratings) - sum(self.ratings.values())
        return (
            f"appraisal ratings: {len(self.ratings)} of {len(APPRAISAL_NAMES)} appraisals, "
            f"{_number(missing, 'value')} missing"
        )


def check_corpus(corpus: Corpus) -> CorpusCheck:
    """Describe a corpus: labels, lengths, repeats, label words in the texts, groups, dropped rows.

    Args:
        corpus: A corpus as loaded.
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
        words=_spread(len(text.split()) for text in corpus.texts),
        duplicates=_duplicates(corpus),
        label_words=_label_words(corpus),
        groups=len(sizes),
        group_sizes=_spread(sizes.values()),
        ratings={
            name: sum(not math.isnan(value) for value in corpus.items[name].tolist())
            for name in rated
        },
        odd_characters=sum(bool(_ODD_CHARACTERS.search(text)) for text in corpus.texts),
        dropped=corpus.dropped,
    )


def _spread(counts: Iterable[int]) -> Spread:
    values = list(counts)
    return Spread(min(values), median(values), max(values))


def _duplicates(corpus: Corpus) -> Duplicates:
    labels_of: dict[str, set[str]] = {}
    for text, emotion in zip(corpus.texts, corpus.emotions, strict=True):
        labels_of.setdefault(text_key(text), set()).add(emotion)
    return Duplicates(
        identical=len(corpus) - len(set(corpus.texts)),
        alike=len(corpus) - len(labels_of),
        conflicting=sum(len(labels) > 1 for labels in labels_of.values()),
    )


def _label_words(corpus: Corpus) -> LabelWords:
    # Longest first, so that "joy" does not hide a label such as "joy and pride".
    longest_first = sorted(corpus.labels, key=len, reverse=True)
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE
    )
    found = [{word.lower() for word in pattern.findall(text)} for text in corpus.texts]
    by_label = Counter(label for labels in found for label in labels)
    examples = [
        str(item_id)
        for item_id, labels in zip(corpus.items["item_id"], found, strict=True)
        if labels
    ]
    return LabelWords(
        items=len(examples),
        own_label=sum(e in labels for e, labels in zip(corpus.emotions, found, strict=True)),
        by_label={label: by_label[label] for label in corpus.labels if by_label[label]},
        examples=tuple(examples[:_EXAMPLES]),
    )


def _dropped_line(dropped: DroppedRows) -> str:
    where = ""
    if dropped.rows:
        more = ", ..." if dropped.count > len(dropped.rows) else ""
        where = f" (line {', '.join(map(str, dropped.rows))}{more})"
    return f"left out: {_number(dropped.count, 'row')}: {dropped.reason}{where}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
