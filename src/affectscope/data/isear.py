r"""ISEAR: situations in which students of 16 countries felt one of seven emotions.

7,666 answers to "describe a situation in which you felt ...", seven by each of 1,096 subjects
(Scherer and Wallbott 1994, Journal of Personality and Social Psychology 66(2)). The text is
``SIT``, the emotion ``Field1``. What describes a subject (age, sex, religion ...) is not read.

The file that is passed around was not written as the table that it looks like, and is mended:

* Its fields stand between vertical bars, the texts once in quotation marks, with a quotation mark
  inside escaped as ``\"``. It was then read by a program that does not know this escape: there the
  quoted text ended, the mark was lost, and all that followed up to the next bar was taken as it
  stood, further marks and the last one included. A line break in what followed became a bar.
  So in a text with a backslash, the first one stands for a quotation mark, ``\"`` for further
  ones, a bar for a line break, and the quotation mark at the end (or, in two records, after the
  next field) for nothing.
* Characters of Windows-1252 were taken for those of DOS code page 437 or 850: ``á`` is a no-break
  space, which ends the lines of a text, ``÷`` is ``ö`` and ``¦`` a degree sign.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from affectscope.data.assembly import assemble, dropped_rows
from affectscope.data.columns import require_column
from affectscope.data.corpus import Corpus
from affectscope.data.duplicates import text_key
from affectscope.data.encoding import decode
from affectscope.data.labels import Format
from affectscope.data.table_file import Table, refuse_incomplete

NAME = "isear"
FILE_NAME = "isear.csv"

LABELS = ("anger", "disgust", "fear", "guilt", "joy", "sadness", "shame")
"""The seven emotions, in alphabetical order."""

LABEL_COLUMN = "Field1"
"""Column of the emotions."""

_TEXT, _SUBJECT, _ITEM = "SIT", "ID", "MYKEY"
_COLUMNS = frozenset({_SUBJECT, "CITY", "COUN", "SUBJ", "EMOT", LABEL_COLUMN, _ITEM, _TEXT})

_LINE_END = re.compile(r"\s*(?:á|\|)[\sá|]*")
_MISREAD = str.maketrans({"÷": "ö", "¦": "°"})

_LONGEST_NON_ANSWER = 18  # words; what is longer tells of something

_NON_ANSWERS = {
    "the answer tells of no situation": (
        r"(?:no (?:response|reponse|answer|description)|none|nothing|never|blank|do not know"
        r"|not applicable|does not apply|doesn t apply)(?: to myself)?",
        r"(?:i )?(?:can not|cannot|can t|do not|can) (?:describe|recall|remember|think of)\b.*",
        r"(?:honestly |sorry )?(?:i )?(?:have |was )?never (?:really )?(?:ashamed|experienced|felt"
        r"|had)\b.*",
        r"(?:i )?(?:have not|haven t) (?:been frightened|felt)\b.*",
        r"i have felt \w+ but am unable to remember\b.*",
        r".*\bnot applicable",
    ),
    "the answer refers to another one": (
        r"(?:the )?same as in \w+",
        r"as for \w+",
        r"the previous incident\b.*",
        r"no answer as\b.*\bsee answer for \w+",
    ),
}
"""What an answer without a situation says, in lower case and without punctuation."""


def is_isear(columns: tuple[str, ...]) -> bool:
    """Whether these are the columns of ISEAR."""
    return set(columns) >= _COLUMNS


def is_damaged_isear(text: str) -> bool:
    """Whether a file begins with ISEAR's header as it is passed around, which ends with a bar."""
    header = text.split("\n", 1)[0].strip().split("|")
    return is_isear(tuple(header)) and header[-1] == ""


def parse_damaged_isear(
    raw: bytes, *, source: str, encoding: str | None = None
) -> tuple[Table, tuple[int, ...]]:
    """Read the file that is passed around, record by record.

    Args:
        raw: The file's bytes.
        source: What the file is called in messages.
        encoding: A named encoding; detected when absent.

    Returns:
        The table of what can be read, and the lines that cannot: records whose fields cannot be
        told apart for certain.

    Raises:
        DataError: The bytes are not text in that encoding, or no record can be read.
    """
    decoded = decode(raw, source=source, encoding=encoding)
    header, *lines = decoded.text.replace("\r\n", "\n").split("\n")
    columns = tuple(header.strip().split("|")[:-1])
    read = {number: _record(line, columns) for number, line in enumerate(lines, 2) if line.strip()}
    records = {number: record for number, record in read.items() if record is not None}
    if not records:
        refuse_incomplete(f"{source} has the header of ISEAR and no record that can be read")
    table = Table(
        source=source,
        columns=columns,
        records=tuple(records.values()),
        lines=tuple(records),
        encoding=decoded.encoding,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    return table, tuple(number for number in read if number not in records)


def _record(line: str, columns: tuple[str, ...]) -> tuple[str, ...] | None:
    """The fields of a record; None if they cannot be told apart.

    Bars can be meant in the text only, so fields are counted from both ends.
    """
    n_before = columns.index(_TEXT)
    n_after = len(columns) - n_before - 1
    fields = line.split("|")
    if len(fields) < len(columns) + 1 or fields.pop() != "":
        return None
    before, after = fields[:n_before], fields[len(fields) - n_after :]
    text = "|".join(fields[n_before : len(fields) - n_after])
    if after and after[-1].endswith('"') and not text.endswith('"'):
        text, after = f'{text}"', [*after[:-1], after[-1][:-1]]
    mended = _mended(text)
    whole = before[columns.index(LABEL_COLUMN)] in LABELS and not any(
        mark in field for field in (*before, *after) for mark in '"\\'
    )
    return (*before, mended, *after) if mended is not None and whole else None


def _mended(text: str) -> str | None:
    """A text as its author wrote it; None if it is not damaged in the way that is known."""
    head, backslash, tail = text.partition("\\")
    if '"' in head or "|" in head:
        return None
    if backslash:
        rest = tail.replace('\\"', "\0")
        if not rest.endswith('"') or '"' in rest[:-1] or "\\" in rest:
            return None
        text = f'{head}"{rest[:-1]}'.replace("\0", '"')
    return _LINE_END.sub(" ", text).strip().translate(_MISREAD)


def corpus_from_isear(
    table: Table,
    *,
    unreadable: tuple[int, ...] = (),
    text_column: str | None = None,
    group_column: str | None = None,
) -> Corpus:
    """Read ISEAR; the answers of a subject are one group.

    ``ID`` names a subject: it has one value for each country, city and number within the city.
    Answers that tell of no situation (``[ No response.]``), or refer to another answer, are left
    out.

    Args:
        table: The file's content.
        unreadable: Lines of records that cannot be read.
        text_column: Another column of texts.
        group_column: Another column to group by than the subject.

    Raises:
        ColumnError: A column is not there.
        DataError: See :func:`assemble`.
    """
    layout = Format(
        text=require_column(table, text_column or _TEXT, "--text-column"),
        label=LABEL_COLUMN,
        item_id=_ITEM,
        group=require_column(table, group_column or _SUBJECT, "--group-column"),
        labels=LABELS,
        reason_to_drop=_reason_to_drop,
    )
    return with_unreadable(assemble(table, layout, name=NAME), unreadable)


def with_unreadable(corpus: Corpus, unreadable: tuple[int, ...]) -> Corpus:
    """The corpus, with records that could not be read among what is left out.

    Args:
        corpus: What could be read.
        unreadable: Lines of the others.
    """
    if not unreadable:
        return corpus
    dropped = dropped_rows("the fields of the record cannot be told apart", unreadable)
    return replace(corpus, dropped=(dropped, *corpus.dropped))


def _reason_to_drop(text: str) -> str | None:
    key = text_key(text)
    if len(key.split()) > _LONGEST_NON_ANSWER:
        return None
    for reason, patterns in _NON_ANSWERS.items():
        if any(re.fullmatch(pattern, key) for pattern in patterns):
            return reason
    return None
