"""From a table of strings to a corpus: which rows are used, their labels, groups and ratings."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import pandas as pd

from affectscope.data.columns import require_column
from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.labels import Format, label_set, read_labels, require_known_labels
from affectscope.data.near_duplicates import merge_near_duplicates
from affectscope.data.ratings import find_ratings, read_ratings
from affectscope.data.table_file import Table, Unit
from affectscope.errors import DataError, UsageError
from affectscope.label_map import LEFT_OUT

__all__ = ["MAX_WORDS", "Format", "assemble", "dropped_rows"]

MAX_WORDS = 2000
"""Longest text that is used, in words."""

_SHOWN_ROWS = 10


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
    labels = read_labels(table, layout)
    rows, dropped = _usable_rows(table, texts, labels, layout)
    require_known_labels(table, layout, rows, labels)
    _require_two_labels(table, layout, rows, labels)
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
    columns |= _kept_columns(table, rows, taken=columns)
    return Corpus(
        name=name,
        items=pd.DataFrame(columns),
        labels=label_set(layout, {labels[row] for row in rows}, mapped=bool(table.label_map)),
        source=table.source,
        sha256=table.sha256,
        encoding=table.encoding,
        dropped=dropped,
    )


def _kept_columns(
    table: Table, rows: Sequence[int], taken: Collection[str]
) -> dict[str, Sequence[str]]:
    """The columns that were asked for by name, as text."""
    kept: dict[str, Sequence[str]] = {}
    for name in table.kept_columns:
        require_column(table, name, "keep_columns")
        if name in taken:
            raise UsageError(
                f"the column {name} of {table.source} cannot be kept under its name",
                expected=f"another name than {', '.join(taken)}, which the corpus has itself",
                remedy="rename the column in the file, or leave it out",
            )
        values = table.values(name)
        kept[name] = [values[row] for row in rows]
    return kept


def _usable_rows(
    table: Table, texts: Sequence[str], labels: Sequence[str], layout: Format
) -> tuple[list[int], tuple[DroppedRows, ...]]:
    rows: list[int] = []
    lines_dropped: dict[str, list[int]] = {}
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        reason = _reason_to_drop(text, label, layout, mapped=bool(table.label_map))
        if reason is None:
            rows.append(row)
        else:
            lines_dropped.setdefault(reason, []).append(table.lines[row])
    dropped = tuple(
        dropped_rows(reason, lines, table.unit) for reason, lines in lines_dropped.items()
    )
    if not rows:
        reasons = "; ".join(f"in {each.count:,} {each.reason}" for each in dropped)
        raise DataError(
            f"none of the {len(texts):,} rows of {table.source} can be used: {reasons}",
            expected=f"texts of 1 to {MAX_WORDS:,} words, each with a label",
            remedy="check that the right columns are named (--text-column, --label-column)",
        )
    return rows, dropped


def dropped_rows(reason: str, lines: Sequence[int], unit: Unit = "line") -> DroppedRows:
    """Rows that are left out for one reason, of which the first ten are named."""
    return DroppedRows(reason, len(lines), tuple(lines[:_SHOWN_ROWS]), unit)


def _reason_to_drop(text: str, label: str, layout: Format, *, mapped: bool) -> str | None:
    if not text.strip():
        return "the text is empty"
    if len(text.split()) > MAX_WORDS:
        return f"the text is longer than {MAX_WORDS:,} words"
    if not label:
        return "the label is missing"
    if label == LEFT_OUT and mapped:
        return "the label map leaves the label out"
    return layout.reason_to_drop(text) if layout.reason_to_drop else None


def _require_two_labels(
    table: Table, layout: Format, rows: Sequence[int], labels: Sequence[str]
) -> None:
    found = {labels[row] for row in rows}
    if len(found) < 2:
        raise DataError(
            f'{table.source} has one label only: "{found.pop()}"'
            f"{' when the label map is followed' if table.label_map else ''}",
            expected="at least two different labels",
            remedy="check that the right column is named (--label-column)",
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
                f"{table.where(row)}: {layout.item_id} is empty",
                expected="an identifier for each text",
                remedy=f"give the row a {layout.item_id} of its own",
            )
        if item_id in first_line:
            raise DataError(
                f"{table.source}: {layout.item_id} {item_id} is on {table.unit} "
                f"{first_line[item_id]:,} and again on {table.unit} {line:,}",
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
