"""From a table of strings to a corpus: which rows are used, their labels, groups and ratings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.near_duplicates import merge_near_duplicates
from affectscope.data.ratings import find_ratings, read_ratings
from affectscope.data.table_file import Table
from affectscope.errors import DataError, LabelError

MAX_WORDS = 2000
"""Longest text that is used, in words."""

_SHOWN_ROWS = 10


@dataclass(frozen=True)
class Format:
    """Which column of a table is what."""

    text: str
    """Column of the texts."""
    label: str
    """Column of the labels."""
    item_id: str | None = None
    """Column of the identifiers; the line number stands in where there is none."""
    group: str | None = None
    """Column whose equal values belong together; every item is its own group where none."""
    labels: tuple[str, ...] | None = None
    """The label set; whatever is found when None."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Labels called otherwise here."""
    rated: bool = False
    """Whether columns named like appraisals are sure to be ratings."""


def assemble(table: Table, layout: Format, *, name: str) -> Corpus:
    """Build a corpus from a table.

    Args:
        table: The file's content.
        layout: Which column is what; the columns exist.
        name: What to call the corpus.

    Raises:
        DataError: No row can be used, fewer than two labels are found, identifiers repeat, or a
            rating is outside 1 to 5.
        LabelError: A label is outside the label set.
    """
    texts = table.values(layout.text)
    labels = [_label(value, layout) for value in table.values(layout.label)]
    rows, dropped = _usable_rows(table, texts, labels)
    _check_labels(table, layout, rows, labels)
    item_ids = _item_ids(table, layout, rows)
    used_texts = [texts[row] for row in rows]
    columns: dict[str, Sequence[str] | Sequence[float]] = {
        "item_id": item_ids,
        "text": used_texts,
        "emotion": [labels[row] for row in rows],
        "group": merge_near_duplicates(_groups(table, layout, rows, item_ids), used_texts),
        **(read_ratings if layout.rated else find_ratings)(table, rows),
    }
    if "domain" in table.columns:
        domains = table.values("domain")
        columns["domain"] = [domains[row] for row in rows]
    return Corpus(
        name=name,
        items=pd.DataFrame(columns),
        labels=layout.labels or tuple(sorted({labels[row] for row in rows})),
        source=table.source,
        sha256=table.sha256,
        encoding=table.encoding,
        dropped=dropped,
    )


def _label(value: str, layout: Format) -> str:
    label = value.strip().lower()
    return layout.renamed.get(label, label)


def _usable_rows(
    table: Table, texts: Sequence[str], labels: Sequence[str]
) -> tuple[list[int], tuple[DroppedRows, ...]]:
    rows: list[int] = []
    lines_dropped: dict[str, list[int]] = {}
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        reason = _reason_to_drop(text, label)
        if reason is None:
            rows.append(row)
        else:
            lines_dropped.setdefault(reason, []).append(table.lines[row])
    dropped = tuple(
        DroppedRows(reason, len(lines), tuple(lines[:_SHOWN_ROWS]))
        for reason, lines in lines_dropped.items()
    )
    if not rows:
        reasons = "; ".join(f"in {each.count:,} {each.reason}" for each in dropped)
        raise DataError(
            f"none of the {len(texts):,} rows of {table.source} can be used: {reasons}",
            expected=f"texts of 1 to {MAX_WORDS:,} words, each with a label",
            remedy="check that the right columns are named (--text-column, --label-column)",
        )
    return rows, dropped


def _reason_to_drop(text: str, label: str) -> str | None:
    if not text.strip():
        return "the text is empty"
    if len(text.split()) > MAX_WORDS:
        return f"the text is longer than {MAX_WORDS:,} words"
    if not label:
        return "the label is missing"
    return None


def _check_labels(table: Table, layout: Format, rows: Sequence[int], labels: Sequence[str]) -> None:
    if layout.labels is not None:
        for row in rows:
            if labels[row] not in layout.labels:
                raise LabelError(
                    f'{table.source}, line {table.lines[row]:,}: "{labels[row]}" is not one of the '
                    f"{len(layout.labels)} emotions",
                    expected=", ".join(layout.labels),
                    remedy=_own_labels_remedy(layout),
                )
    found = {labels[row] for row in rows}
    if len(found) < 2:
        raise DataError(
            f'{table.source} has one label only: "{found.pop()}"',
            expected="at least two different labels",
            remedy="check that the right column is named (--label-column)",
        )


def _own_labels_remedy(layout: Format) -> str:
    """What makes a file with a label set of ours one whose labels are its own."""
    group = f" --group-column {layout.group}" if layout.group else ""
    return (
        f"correct the {layout.label}; or, to use the file's own labels, rename the column "
        f"{layout.label} to own_label and give --text-column {layout.text} "
        f"--label-column own_label{group}"
    )


def _item_ids(table: Table, layout: Format, rows: Sequence[int]) -> list[str]:
    if layout.item_id is None:
        return [str(table.lines[row]) for row in rows]
    values = table.values(layout.item_id)
    first_line: dict[str, int] = {}
    for row in rows:
        item_id, line = values[row].strip(), table.lines[row]
        if not item_id:
            raise DataError(
                f"{table.source}, line {line:,}: {layout.item_id} is empty",
                expected="an identifier for each text",
                remedy=f"give the row a {layout.item_id} of its own",
            )
        if item_id in first_line:
            raise DataError(
                f"{table.source}: {layout.item_id} {item_id} is on line "
                f"{first_line[item_id]:,} and again on line {line:,}",
                expected="a different identifier for each text",
                remedy="remove or renumber one of the two rows",
            )
        first_line[item_id] = line
    return list(first_line)


def _groups(
    table: Table, layout: Format, rows: Sequence[int], item_ids: Sequence[str]
) -> list[str]:
    """Opaque keys: who wrote a text is nobody's business further on, only which belong together."""
    if layout.group is None:
        return [_opaque("item", item_id) for item_id in item_ids]
    authors = table.values(layout.group)
    return [
        _opaque("group", authors[row].strip())
        if authors[row].strip()
        else _opaque("item", item_id)  # nothing is known about who wrote it
        for row, item_id in zip(rows, item_ids, strict=True)
    ]


def _opaque(kind: str, value: str) -> str:
    return hashlib.sha256(f"{kind}:{value}".encode()).hexdigest()[:16]
