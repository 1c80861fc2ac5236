"""The small texts that come with the package: prompts to write from, neutral texts, questions.

All were written for this project by a machine; ``card.md`` beside the files says what they are
for, and what not.
"""

from __future__ import annotations

import io
from functools import cache
from importlib import resources
from typing import Literal, get_args

import pandas as pd

from affectscope.errors import DataError

PromptKind = Literal["continue", "answer", "story", "report"]
"""What a writing prompt asks for.

- ``continue``: the beginning of a situation, told in the first person, which ends mid-sentence.
- ``answer``: a message in which a person tells what happened, and asks for a reply.
- ``story``: an instruction to tell a short story about something neutral.
- ``report``: an instruction that fixes what is to be said.
"""

PROMPT_KINDS: tuple[PromptKind, ...] = get_args(PromptKind)


def writing_prompts() -> pd.DataFrame:
    """Prompts that a model writes from.

    Returns:
        Columns ``id``, ``kind`` (:data:`PromptKind`), ``prompt``, and for ``report`` the
        ``content`` that is to be said and the ``required`` words of it, separated by spaces; both
        are empty for other kinds.

    Raises:
        DataError: The installation lacks the file.
    """
    return _table("prompts.csv").copy()


def neutral_texts() -> pd.DataFrame:
    """Passages of 30 to 60 words that tell how things are, with nobody in them who feels anything.

    Returns:
        Columns ``id``, ``topic``, ``text``.

    Raises:
        DataError: The installation lacks the file.
    """
    return _table("neutral.csv").copy()


def neutral_accounts() -> pd.DataFrame:
    """What somebody did on an uneventful day, in the first person: 4 to 60 words.

    Returns:
        Columns ``id``, ``topic``, ``text``.

    Raises:
        DataError: The installation lacks the file.
    """
    return _table("accounts.csv").copy()


def questions() -> pd.DataFrame:
    """Simple facts to complete by one word: what a model knows that no emotion should change.

    Returns:
        Columns ``id``, ``topic``, ``question`` (a sentence without its last word), ``answer``, and
        ``wrong1`` to ``wrong3``, words of the same kind. Options have no space before them; a
        tokenizer that joins words by spaces needs one between question and option.

    Raises:
        DataError: The installation lacks the file.
    """
    return _table("questions.csv").copy()


@cache
def _table(file_name: str) -> pd.DataFrame:
    try:
        content = resources.files("affectscope.texts").joinpath(file_name).read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "the texts that come with the package are not where they were installed",
            expected=f"the file {file_name} in the package's folder texts",
            remedy="install affectscope again",
        ) from error
    return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
