"""The human reference: how well people name an author's emotion, and rate the author's appraisals.

What a model may be compared with: one reader, five of them together, and where they go wrong. The
texts and their authors' labels are the corpus's; readers saw the text alone, as the model does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.data import Corpus, Readers, ReadItems
from affectscope.stats.bootstrap import Array, Estimate, GroupBootstrap
from affectscope.stats.correlation import squared_correlation
from affectscope.stats.rows import estimate_rows


@dataclass(frozen=True)
class HumanReference:
    """What readers make of the texts, with 95 % intervals over authors."""

    table: pd.DataFrame
    """Tidy estimates: ``metric``, ``emotion`` (the author's), ``predicted`` (the reader's),
    ``appraisal``, then ``value``, ``low``, ``high`` and ``n``."""
    distribution: pd.DataFrame
    """The readers' distribution for each item: ``item``, ``item_id``, ``emotion`` (the author's),
    ``label`` and ``readers``, the share of them who named it."""
    summary: Mapping[str, Estimate]
    """The main numbers, by dotted name."""
    n_readers: int
    """Readers of every item."""

    def __str__(self) -> str:
        width = max(map(len, self.summary))
        return "\n".join(
            f"{name:<{width}}  {each.value:.3f}  [{each.low:.3f}, {each.high:.3f}]  n = {each.n:,}"
            for name, each in self.summary.items()
        )


def human_reference(corpus: Corpus, readers: Readers, *, seed: int = 0) -> HumanReference:
    """How well readers name the author's emotion and rate the author's appraisals.

    Only items that were read count. Per appraisal, r² is the squared Pearson correlation with the
    author's rating: of each reader's rating (all of them pooled), and of the readers' mean.

    Args:
        corpus: All of crowd-enVENT, or some of it.
        readers: Its readers' ratings (:func:`affectscope.load_readers`).
        seed: Seed of the bootstrap.

    Raises:
        NotPossibleError: No item of the corpus was read.
        DataError: These are the readers of another corpus.
    """
    read = readers.of(corpus)
    items = corpus.items.iloc[read.items]
    emotions = items["emotion"].to_numpy(dtype=str)
    groups = items["group"].to_numpy(dtype=str)
    by_item, by_rating = (
        GroupBootstrap(tuple(np.repeat(groups, times).tolist()), seed=seed)
        for times in (1, readers.n_readers)
    )
    rows = [
        *_accuracies(read, emotions, by_item, by_rating),
        *_confusion(read, emotions, by_rating),
        *_appraisals(read, items, by_item, by_rating),
    ]
    table = pd.concat(rows, ignore_index=True)
    return HumanReference(
        table=table[["metric", *_KEYS, "value", "low", "high", "n"]],
        distribution=_distribution(read, items),
        summary=_summary(table),
        n_readers=readers.n_readers,
    )


_KEYS = ("emotion", "predicted", "appraisal")


def reader_hits(read: ReadItems, emotions: NDArray[np.str_]) -> Array:
    """1 where a reader named the author's emotion, ``[item, reader]``."""
    return (read.said == emotions[:, None]).astype(float)


def plurality_hits(read: ReadItems, emotions: NDArray[np.str_]) -> Array:
    """Whether the label most readers named is the author's, ``[item]``.

    Where several labels are named most often, each counts as the answer in equal parts: of two, one
    of which is right, the item counts one half.
    """
    named = read.votes.sum(axis=1)
    most = named == named.max(axis=1, keepdims=True)
    own = emotions[:, None] == np.array(read.labels)
    return np.asarray((most & own).sum(axis=1) / most.sum(axis=1))


def keyed(estimates: Sequence[Estimate], metric: str, **keys: Sequence[str]) -> pd.DataFrame:
    """Rows of the human reference's table; a key that is not given is empty."""
    none = [""] * len(estimates)
    return estimate_rows({key: keys.get(key, none) for key in _KEYS}, estimates, metric)


def _accuracies(
    read: ReadItems,
    emotions: NDArray[np.str_],
    by_item: GroupBootstrap,
    by_rating: GroupBootstrap,
) -> list[pd.DataFrame]:
    one = by_rating.ratio(reader_hits(read, emotions).reshape(-1, 1)).estimates()
    plurality = by_item.ratio(plurality_hits(read, emotions)[:, None]).estimates()
    return [keyed(one, "reader_accuracy"), keyed(plurality, "plurality_accuracy")]


def _confusion(
    read: ReadItems, emotions: NDArray[np.str_], by_rating: GroupBootstrap
) -> list[pd.DataFrame]:
    """Of the readers of each emotion's texts, the share who named each label."""
    labels = list(read.labels)
    n_readers = read.said.shape[1]
    author = (np.repeat(emotions, n_readers)[:, None] == np.array(labels)).astype(float)
    named = read.votes.reshape(-1, len(labels))
    pairs = (author[:, :, None] * named[:, None, :]).reshape(len(author), -1)
    cells = by_rating.ratio(pairs, np.repeat(author, len(labels), axis=1)).estimates()
    return [
        keyed(
            cells,
            "confusion",
            emotion=[label for label in labels for _ in labels],
            predicted=labels * len(labels),
        ),
        keyed(cells[:: len(labels) + 1], "recall", emotion=labels),
        keyed(by_rating.ratio(named).estimates(), "predicted_share", predicted=labels),
    ]


def _appraisals(
    read: ReadItems, items: pd.DataFrame, by_item: GroupBootstrap, by_rating: GroupBootstrap
) -> list[pd.DataFrame]:
    names = [name for name in read.ratings if name in items.columns]
    if not names:
        return []
    author = items[names].to_numpy(dtype=float)
    every = np.stack([read.ratings[name] for name in names], axis=-1)  # [item, reader, appraisal]
    n_rated = np.isfinite(every).sum(axis=1)
    mean = np.where(n_rated > 0, np.nansum(every, axis=1) / np.maximum(n_rated, 1), np.nan)
    pooled = every.reshape(-1, len(names))
    of_each = np.repeat(author, every.shape[1], axis=0)
    return [
        keyed(squared_correlation(by_item, mean, author).estimates(), "r2", appraisal=names),
        keyed(
            squared_correlation(by_rating, pooled, of_each).estimates(),
            "reader_r2",
            appraisal=names,
        ),
    ]


def _distribution(read: ReadItems, items: pd.DataFrame) -> pd.DataFrame:
    k = len(read.labels)
    return pd.DataFrame(
        {
            "item": np.repeat(read.items, k),
            "item_id": np.repeat(items["item_id"].to_numpy(), k),
            "emotion": np.repeat(items["emotion"].to_numpy(), k),
            "label": list(read.labels) * len(read),
            "readers": read.distribution.ravel(),
        }
    )


def _summary(table: pd.DataFrame) -> dict[str, Estimate]:
    """Accuracies and r², by dotted name."""
    chosen = table[table["metric"].isin(_SUMMARISED)]
    names = chosen["metric"].str.cat(chosen["appraisal"], sep=".").str.rstrip(".")
    numbers = chosen[["value", "low", "high", "n"]].to_numpy(dtype=float).tolist()
    return {
        f"human.{name}": Estimate(value, low, high, int(n))
        for name, (value, low, high, n) in zip(names, numbers, strict=True)
    }


_SUMMARISED = ("reader_accuracy", "plurality_accuracy", "r2", "reader_r2")
