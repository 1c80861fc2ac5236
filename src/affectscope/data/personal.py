"""Columns of a file that describe persons, known by their names.

Research corpora are pseudonymous, and personal all the same: an age, a place and an occupation can
be enough to know somebody again. A loader copies none of them unless asked to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Anywhere: what identifies a person, and what describes one.
_GENERAL = frozenset(
    (
        "name first_name last_name full_name given_name family_name surname nickname user user_id "
        "user_name username userid handle screen_name author author_id author_name participant "
        "participant_id participantid subject_id worker_id workerid respondent_id prolific_id "
        "prolific_pid annotator_id rater_id email e_mail email_address mail phone phone_number "
        "telephone mobile address street zip zip_code postcode postal_code city country location "
        "latitude longitude ip ip_address device_id ssn birthday birth_date birthdate birth_year "
        "date_of_birth year_of_birth dob age age_group gender sex ethnicity race nationality "
        "native_language religion education occupation job employer income marital_status "
        "political_orientation sexual_orientation disability diagnosis demographics "
        "original_demographics"
    ).split()
)

# Only there, since the words mean other things elsewhere: the marks of a file, and its columns.
_OF_FORMATS = (
    (  # crowd-enVENT: the ten items of a personality questionnaire
        frozenset({"text_id", "prolific_id"}),
        frozenset(
            (
                "extravert critical dependable anxious open quiet sympathetic disorganized calm "
                "conventional previous_participation did_you_lie"
            ).split()
        ),
    ),
    (  # ISEAR: subject, place, religion and how it is practised, parents' occupations, field
        frozenset({"mykey", "subj", "emot"}),
        frozenset("city coun subj sex age reli prac focc mocc fiel".split()),
    ),
)


@dataclass(frozen=True)
class PersonalColumns:
    """Columns of a file that describe persons."""

    found: tuple[str, ...]
    """Those of the file, in its order."""
    kept: tuple[str, ...]
    """Those of them that are in the corpus, because they were asked for."""


def personal_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Which columns describe persons, as far as their names tell.

    Args:
        columns: The columns of a file.
    """
    plain = [_plain(column) for column in columns]
    telling = set(_GENERAL).union(*(names for marks, names in _OF_FORMATS if marks.issubset(plain)))
    return tuple(column for column, name in zip(columns, plain, strict=True) if name in telling)


def find_personal(columns: Sequence[str], items: Iterable[str]) -> PersonalColumns:
    """Which columns describe persons, and which of these are kept.

    Args:
        columns: The columns of a file.
        items: The columns of the corpus read from it.
    """
    found = personal_columns(columns)
    kept = set(items)
    return PersonalColumns(found, tuple(column for column in found if column in kept))


def personal_line(columns: PersonalColumns) -> str:
    """The finding, for people."""
    if not columns.found:
        return "personal columns: none that can be told by its name"
    kept = f"kept, as asked for: {', '.join(columns.kept)}" if columns.kept else "none is kept"
    return f"personal columns in the file: {', '.join(columns.found)}; {kept}"


def _plain(column: str) -> str:
    """``User Name`` and ``userName`` as ``user_name``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip())
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
