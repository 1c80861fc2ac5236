"""The corpus: texts, each with the emotion its author named and the group it belongs to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from affectscope.data.duplicates import text_key
from affectscope.errors import DataError, UsageError


@dataclass(frozen=True)
class DroppedRows:
    """Rows of the file that are not used, for one reason."""

    reason: str
    """Why, such as ``the text is empty``."""
    count: int
    """How many."""
    rows: tuple[int, ...] = ()
    """Where the first ten are in the file; none for rows left out of a sample."""
    unit: str = "line"
    """What ``rows`` counts: lines of a text file, else its records or rows, from 1."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Labelled texts and where they came from."""

    name: str
    """``vignettes``, ``crowd-envent``, or the file's name without its ending."""
    items: pd.DataFrame
    """One row an item, numbered from 0.

    Columns: ``item_id`` (unique), ``text``, ``emotion``, ``group`` (an opaque key; items of one
    author, or with the same text, share it), then those of the 21 appraisals that the file has
    (1 to 5, or NaN), then ``domain`` if the file has it. Appraisal minimal pairs also have
    ``scenario``, ``version`` (1 is the base) and ``flipped``, the appraisal in which a version
    differs from the base.
    """
    labels: tuple[str, ...]
    """The label set, in alphabetical order; it may hold labels that no item has."""
    source: str
    """The path as given, or ``embedded``."""
    sha256: str
    """Hash of the file's bytes."""
    encoding: str
    """Encoding that the file was read in."""
    dropped: tuple[DroppedRows, ...] = ()
    """Rows of the file that are not among the items, and why."""

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def texts(self) -> list[str]:
        """Text of every item."""
        return [str(text) for text in self.items["text"]]

    @cached_property
    def emotions(self) -> list[str]:
        """Emotion of every item."""
        return [str(emotion) for emotion in self.items["emotion"]]

    @cached_property
    def groups(self) -> list[str]:
        """Group of every item."""
        return [str(group) for group in self.items["group"]]

    @property
    def has_pairs(self) -> bool:
        """Whether the items are versions of scenarios that differ in one appraisal."""
        return {"scenario", "version", "flipped"} <= set(self.items.columns)

    def without(self, rows: Collection[int], reason: str) -> Corpus:
        """The corpus without some items, which are among its dropped rows.

        Args:
            rows: Index of each item to leave out.
            reason: Why.

        Raises:
            DataError: Nothing is left.
        """
        if not rows:
            return self
        left = self.items.drop(index=list(rows)).reset_index(drop=True)
        if not len(left):
            raise DataError(
                f"no item of {self.name} is left: {reason}",
                expected="at least one item that can be used",
                remedy="use another corpus or another template",
            )
        return replace(self, items=left, dropped=(*self.dropped, DroppedRows(reason, len(rows))))

    def without_texts(self, texts: Collection[str]) -> Corpus:
        """The corpus without the items that have one of these texts.

        Args:
            texts: Such as the examples in a prompt; compared without regard to case, punctuation
                and spacing.

        Raises:
            DataError: Nothing is left.
        """
        keys = {text_key(text) for text in texts}
        rows = [row for row, text in enumerate(self.texts) if text_key(text) in keys]
        return self.without(rows, "the text is an example in the prompt")

    def sample(self, limit: int | None, seed: int, exclude_texts: Collection[str] = ()) -> Corpus:
        """A random part of the corpus in random order, with the emotions in proportion.

        Shares of the emotions are rounded by largest remainder, ties broken at random, so that
        each is within one item of its exact share. Of minimal pairs whole scenarios are drawn, so
        that versions stay beside their base, whose emotions differ; the last scenario is cut where
        the limit asks for it.

        Args:
            limit: Number of items; all when None or when there are no more than that.
            seed: Decides which items, and their order.
            exclude_texts: Texts that must not be in it, such as the examples in a prompt; compared
                without regard to case, punctuation and spacing.

        Returns:
            A corpus of the items drawn; excluded ones are among its dropped rows.

        Raises:
            UsageError: The limit is below 1.
            DataError: Nothing is left.
        """
        if limit is not None and limit < 1:
            raise UsageError(
                f"a sample of {limit} items was asked for",
                expected="a limit of at least 1",
                remedy="give a larger --limit, or none to use the whole corpus",
            )
        usable = self.without_texts(exclude_texts)
        if usable.has_pairs:
            chosen = _by_scenario(usable.items, limit, seed)
        else:
            chosen = _stratified(usable.items["emotion"].to_numpy(dtype=object), limit, seed)
        return replace(usable, items=usable.items.iloc[chosen].reset_index(drop=True))


def _by_scenario(items: pd.DataFrame, limit: int | None, seed: int) -> np.ndarray:
    """Positions of whole scenarios in random order, each from its base on, up to the limit."""
    order = np.random.default_rng(seed).permutation(items["scenario"].nunique())
    place = order[pd.factorize(items["scenario"])[0]]
    return np.lexsort((items["version"].to_numpy(), place))[:limit]


def _stratified(emotions: np.ndarray, limit: int | None, seed: int) -> np.ndarray:
    """Positions of a random subset, in random order, with the emotions in proportion."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(emotions))
    if limit is None or limit >= len(emotions):
        return order
    names, codes, counts = np.unique(emotions.astype(str), return_inverse=True, return_counts=True)
    quota, remainder = np.divmod(limit * counts, len(emotions))
    shuffled = generator.permutation(len(names))
    by_remainder = shuffled[np.argsort(-remainder[shuffled], kind="stable")]
    quota[by_remainder[: limit - quota.sum()]] += 1
    ordered_codes = codes[order]
    chosen = np.zeros(len(order), dtype=bool)
    for code in range(len(names)):
        chosen[np.flatnonzero(ordered_codes == code)[: quota[code]]] = True
    return order[chosen]
