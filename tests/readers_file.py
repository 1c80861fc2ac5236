"""A readers' file made by hand, small enough to check every number on paper."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from affectscope.data import Corpus
from affectscope.vocabulary import EMOTIONS

COLUMNS = ("text_id", "emotion", "annotator_emotion", "prolific_id", "age", "pleasantness")

RATINGS = (
    # text, its author's emotion, the readers' emotions, the author's pleasantness, the readers'
    ("10", "joy", ("joy", "joy", "pride", "pride"), 5, (5, 4, 5, 4)),  # a tie of two
    ("11", "fear", ("fear", "fear", "fear", "anger"), 1, (1, 2, 1, 1)),  # right
    ("12", "no-emotion", ("joy", "trust", "no-emotion", "fear"), 3, (3, 5, 1, 4)),  # of four
    ("13", "anger", ("disgust", "disgust", "anger", "disgust"), 2, (1, 1, 1, 4)),  # wrong
)

TEXTS = (
    "I lost money.",
    "I found a friend late.",
    "rain on the train home",
    "I told school early, saw the house.",
    "work late, work early",
    "The friend I lost I found.",
    "a house in the rain",
    "I saw money on the train",
)
"""Of words that the tiny model's tokenizer knows, so that its answers differ."""


def rows() -> list[dict[str, str]]:
    """The file's rows, the texts in turn: every reader's first text, then every second ..."""
    return [
        dict(
            zip(
                COLUMNS,
                (text, author, said[k], f"person{k}", "33", str(pleasant[k])),
                strict=True,
            )
        )
        for k in range(4)
        for text, author, said, _, pleasant in RATINGS
    ]


def write(path: Path, records: list[dict[str, str]] | None = None) -> Path:
    """Write rows as CSV."""
    records = rows() if records is None else records
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def corpus(*more: tuple[str, str]) -> Corpus:
    """The four texts in another order, with others that nobody read between them."""
    known = {text: (author, pleasant) for text, author, _, pleasant, _ in RATINGS}
    order = ["99", "13", "10", "98", "12", "11", *(text for text, _ in more)]
    emotion = {"99": "joy", "98": "fear"} | dict(more)
    items = pd.DataFrame(
        {
            "item_id": order,
            "text": [TEXTS[k % len(TEXTS)] for k in range(len(order))],
            "emotion": [
                {"no-emotion": "neutral"}.get(each, each)
                for each in (known.get(t, (emotion.get(t, ""), 0))[0] for t in order)
            ],
            "group": [f"author{t}" for t in order],
            "pleasantness": [float(known.get(t, ("", 2))[1]) for t in order],
        }
    )
    return Corpus("crowd-envent", items, EMOTIONS, "memory", "0" * 64, "utf-8", ())
