"""Which labels of a file are called what: ``happiness=joy,disgusted=disgust,other=-``.

A leaf, without pandas, since options are judged before any corpus is read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

LABEL_MAPS = "LABEL=NAME pairs such as happiness=joy,other=-, or a YAML, JSON or CSV file of them"
"""What may be given, in words."""

LEFT_OUT = "-"
"""What a label is mapped to in order to leave its texts out; nothing at all means the same."""

CSV_HEADER = ("label", "name")
"""First line of a map in a CSV file."""

_ENDINGS = (".csv", ".json", ".yaml", ".yml")


def parse_label_map(given: str | Mapping[Any, Any]) -> dict[str, str]:
    """A map from labels of a file to those used, both in lower case.

    Args:
        given: Pairs as text, the path of a file that holds them, or a mapping.

    Raises:
        ValueError: There are no pairs, one is not whole, or a label has two names; or the file
            cannot be read. The message says which.
    """
    if isinstance(given, Mapping):
        return _normal((_scalar(label), _scalar(name)) for label, name in given.items())
    path = Path(given.strip())
    if path.suffix.lower() in _ENDINGS and ("=" not in given or path.exists()):
        return _normal(_pairs_in(path))
    return _normal(_pair(part) for part in given.split(",") if part.strip())


def _pair(part: str) -> tuple[str, str]:
    label, equals, name = part.partition("=")
    if not equals or "=" in name:
        raise ValueError(f"{part.strip()!r} is not LABEL=NAME")
    return label, name


def _normal(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given_label, given_name in pairs:
        label, name = given_label.strip().lower(), given_name.strip().lower() or LEFT_OUT
        if not label:
            raise ValueError(f"there is no label before {name!r}")
        if found.setdefault(label, name) != name:
            raise ValueError(f"{label!r} is mapped to both {found[label]!r} and {name!r}")
    if not found:
        raise ValueError("it maps no label")
    return found


def _scalar(value: Any) -> str:
    """A label as text; YAML takes ``0`` for a number and ``no`` for a truth value."""
    if isinstance(value, bool | Mapping | list | tuple | set):
        raise ValueError(f"{value!r} is not a label; put quotation marks around it if it is one")
    return "" if value is None else str(value)


def _pairs_in(path: Path) -> Iterable[tuple[str, str]]:
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise ValueError(f"{path} cannot be read: {reason}") from error
    read = {".csv": _csv_pairs, ".json": _json_pairs}.get(path.suffix.lower(), _yaml_pairs)
    try:
        return read(text)
    except (csv.Error, yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def _csv_pairs(text: str) -> list[tuple[str, str]]:
    header, *rows = [row for row in csv.reader(text.splitlines(), strict=True) if row] or [[]]
    if tuple(cell.strip().lower() for cell in header) != CSV_HEADER:
        raise ValueError(f"the first line is not {','.join(CSV_HEADER)}")
    for row in rows:
        if len(row) != len(CSV_HEADER):
            raise ValueError(f"{','.join(row)!r} is not a label and its name")
    return [(label, name) for label, name in rows]


def _json_pairs(text: str) -> list[tuple[str, str]]:
    # As pairs, so that a label given twice is seen; an object within would be a list of pairs.
    pairs = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    if not text.lstrip().startswith("{"):
        raise ValueError("it is not one JSON object")
    return [(_scalar(label), _scalar(name)) for label, name in pairs]


def _yaml_pairs(text: str) -> list[tuple[str, str]]:
    # As nodes: 0 and no stay the text that they are, and a label given twice is seen.
    document = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode):
        raise ValueError("it does not hold lines such as 'happiness: joy'")
    return [(_yaml_text(label), _yaml_text(name)) for label, name in document.value]


def _yaml_text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(f"line {node.start_mark.line + 1} holds more than a label and its name")
    return "" if node.tag.endswith(":null") else str(node.value)
