"""What is counted in a corpus's texts: lengths, repeats, near-repeats, words that tell labels."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from affectscope.data.corpus import Corpus
from affectscope.data.duplicates import text_key
from affectscope.data.label_words import find_label_words
from affectscope.data.near_duplicates import THRESHOLD, near_duplicate_clusters

_EXAMPLES = 3


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
class NearDuplicates:
    """Texts that are nearly those of others; those merely alike (see Duplicates) count as one."""

    threshold: float
    """Overlap of their runs of characters from which two texts count as nearly the same."""
    clusters: int
    """Clusters of different texts that are nearly the same."""
    texts: int
    """Different texts in them, without the first of each cluster."""
    conflicting: int
    """Clusters that come with different labels."""
    examples: tuple[tuple[str, str], ...]
    """``item_id`` of the first text and of another one, of the first few clusters."""


@dataclass(frozen=True)
class LabelWords:
    """Items whose text gives a label away by a word."""

    items: int
    """Items with any label in their text."""
    own_label: int
    """Items with their own label in their text."""
    by_label: dict[str, int]
    """Items with each label in their text; labels that occur nowhere are left out."""
    examples: tuple[str, ...]
    """``item_id`` of the first few."""


def spread(counts: Iterable[int]) -> Spread:
    """The smallest, middle and largest of some counts, of which there is at least one."""
    values = list(counts)
    return Spread(min(values), median(values), max(values))


def find_duplicates(corpus: Corpus) -> Duplicates:
    """Count the texts that are there more than once."""
    labels_of: dict[str, set[str]] = {}
    for text, emotion in zip(corpus.texts, corpus.emotions, strict=True):
        labels_of.setdefault(text_key(text), set()).add(emotion)
    return Duplicates(
        identical=len(corpus) - len(set(corpus.texts)),
        alike=len(corpus) - len(labels_of),
        conflicting=sum(len(labels) > 1 for labels in labels_of.values()),
    )


def find_near_duplicates(corpus: Corpus) -> NearDuplicates:
    """Count the texts that are nearly those of others.

    Versions of one scenario are meant to be nearly the same, so that corpora of minimal pairs have
    many; they share a group.
    """
    # text -> the first item with it, in each cluster
    first_item: dict[int, dict[str, int]] = defaultdict(dict)
    labels: dict[int, set[str]] = defaultdict(set)
    emotions = corpus.emotions
    for item, (cluster, text) in enumerate(
        zip(near_duplicate_clusters(corpus.texts, threshold=THRESHOLD), corpus.texts, strict=True)
    ):
        first_item[cluster].setdefault(text_key(text), item)
        labels[cluster].add(emotions[item])
    near = {
        cluster: list(items.values()) for cluster, items in first_item.items() if len(items) > 1
    }
    ids = [str(item_id) for item_id in corpus.items["item_id"]]
    return NearDuplicates(
        threshold=THRESHOLD,
        clusters=len(near),
        texts=sum(len(items) - 1 for items in near.values()),
        conflicting=sum(len(labels[cluster]) > 1 for cluster in near),
        examples=tuple((ids[items[0]], ids[items[1]]) for items in [*near.values()][:_EXAMPLES]),
    )


def find_plain_label_words(corpus: Corpus) -> LabelWords:
    """Count the items whose text contains a label as a word."""
    # Longest first, so that "joy" does not hide a label such as "joy and pride".
    longest_first = sorted(corpus.labels, key=len, reverse=True)
    pattern = re.compile(
        rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE
    )
    return _label_words(corpus, [{w.lower() for w in pattern.findall(t)} for t in corpus.texts])


def find_giveaways(corpus: Corpus) -> LabelWords:
    """Count the items whose text holds a label, a word derived from it, or a close synonym."""
    return _label_words(corpus, [find_label_words(text, corpus.labels) for text in corpus.texts])


def _label_words(corpus: Corpus, found: Sequence[set[str]]) -> LabelWords:
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
