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

    After such a token the last position would not be the prompt's own. A start token that the text
    itself begins with, as many chat formats do, is not put in front a second time.
    """
    ids = tokenizer.encode(text)
    if len(ids) > 1 and _adds(tokenizer, "eos", ids[-1]) and not _written(tokenizer, "eos", text):
        ids = ids[:-1]
    doubled = len(ids) > 1 and ids[0] == ids[1] and _adds(tokenizer, "bos", ids[0])
    if doubled and _written(tokenizer, "bos", text):
        first = str(getattr(tokenizer, "bos_token", ""))
        return ids if text.startswith(2 * first) else ids[1:]
    return ids


def _adds(tokenizer: Tokenizer, which: str, token: int) -> bool:
    """Whether a token is the tokenizer's start or end token."""
    special = getattr(tokenizer, f"{which}_token_id", None)
    return special is not None and token == special


def _written(tokenizer: Tokenizer, which: str, text: str) -> bool:
    """Whether the text itself begins with the start token, or ends with the end token."""
    token = str(getattr(tokenizer, f"{which}_token", None) or "")
    return bool(token) and (text.startswith(token) if which == "bos" else text.endswith(token))
