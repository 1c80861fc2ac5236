"""Text to token ids, the one way: special tokens at the start stay, an end token goes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, with the special tokens that the tokenizer adds."""

    def decode(self, token_ids: list[int]) -> str:
        """Text of token ids."""


def prompt_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a prompt, which goes on: an end-of-text token that is appended is left out.

    After such a token the last position would not be the prompt's own.
    """
    ids = tokenizer.encode(text)
    end = getattr(tokenizer, "eos_token_id", None)
    written = getattr(tokenizer, "eos_token", None)
    appended = len(ids) > 1 and end is not None and ids[-1] == end
    if appended and not (written and text.endswith(written)):
        return ids[:-1]
    return ids
