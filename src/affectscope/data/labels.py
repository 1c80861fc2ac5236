"""How a table is laid out, and the labels of its texts: as the file has them, renamed, mapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from affectscope.data.columns import nearest
from affectscope.data.table_file import Table
from affectscope.errors import LabelError

_SHOWN_LABELS = 30


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
    reason_to_drop: Callable[[str], str | None] | None = None
    """Why a text of this format is not used, if it is not."""
    rated: bool = False
    """Whether columns named like appraisals are sure to be ratings."""


def read_labels(table: Table, layout: Format) -> list[str]:
    """The label of every record, in lower case: empty if missing, ``-`` if the map leaves it out.

    The map knows a label by the file's name or, where this format has another, by the house's.

    Raises:
        LabelError: The map has a label that the file does not have.
    """
    own = [value.strip().lower() for value in table.values(layout.label)]
    named = [layout.renamed.get(label, label) for label in own]
    if not table.label_map:
        return named
    _require_mapped_labels(table, layout, {*own, *named} - {""})
    return [
        table.label_map.get(name, table.label_map.get(label, name))
        for label, name in zip(own, named, strict=True)
    ]


def label_set(layout: Format, found: set[str], *, mapped: bool) -> tuple[str, ...]:
    """The labels of a corpus: the format's, or those found where it has none or a map is given."""
    return tuple(sorted(found)) if mapped or not layout.labels else layout.labels


def require_known_labels(
    table: Table, layout: Format, rows: Sequence[int], labels: Sequence[str]
) -> None:
    """Refuse a label that the format does not have and no map gives.

    Raises:
        LabelError: There is one.
    """
    if layout.labels is None:
        return
    known = {*layout.labels, *table.label_map.values()}
    for row in rows:
        if labels[row] not in known:
            raise LabelError(
                f'{table.where(row)}: "{labels[row]}" is not one of the '
                f"{len(layout.labels)} emotions",
                expected=", ".join(layout.labels),
                remedy=_own_labels_remedy(layout, labels[row]),
            )


def _require_mapped_labels(table: Table, layout: Format, found: set[str]) -> None:
    for label in table.label_map:
        if label not in found:
            close = nearest(label, tuple(found))
            more = f", and {len(found) - _SHOWN_LABELS:,} more" * (len(found) > _SHOWN_LABELS)
            raise LabelError(
                f'the label map has "{label}", which is no label of {table.source}',
                expected=f"labels of its column {layout.label}: "
                f"{', '.join(sorted(found)[:_SHOWN_LABELS])}{more}",
                remedy=f'did you mean "{close}"?' if close else "correct or remove it",
            )


def _own_labels_remedy(layout: Format, label: str) -> str:
    """What makes a file with a label set of ours one whose labels are its own."""
    group = f" --group-column {layout.group}" if layout.group else ""
    return (
        f"correct the {layout.label}; or say what it is with --label-map ({label}=- leaves it "
        f"out); or, to use the file's own labels, rename the column {layout.label} to own_label "
        f"and give --text-column {layout.text} --label-column own_label{group}"
    )
