"""What each token of a prompt is: an example's label, the situation's content words, the frame, ...

A prompt is cut into parts by its characters, from what its template says of itself; a token belongs
to the part that most of its characters come from, spaces aside. The first token is a kind of its
own, with the special tokens: attention that has nowhere to go rests there, whatever is written
(attention sinks: Xiao et al. 2024, "Efficient Streaming Language Models with Attention Sinks").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol, get_args

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from affectscope.errors import NotPossibleError, PromptError
from affectscope.prompts.templates import SHOTS
from affectscope.prompts.tokens import prompt_ids

TokenKind = Literal[
    "special", "instruction", "shot_text", "shot_label", "frame", "content", "function"
]
"""What a token is.

- ``special``: the first token, and special tokens.
- ``instruction``: what is asked, before the examples.
- ``shot_text`` and ``shot_label``: the examples.
- ``frame``: what stands between those, such as ``Context:`` and ``Answer:``.
- ``content``: the situation's content words.
- ``function``: its function words (scikit-learn's list of stop words), and its punctuation.
"""

TOKEN_KINDS: tuple[TokenKind, ...] = get_args(TokenKind)

Part = tuple[int, int, TokenKind]
"""First character, the one after the last, and the kind of what lies between."""

_WORD = re.compile(r"\w+(?:['’]\w+)*")


class FramedTemplate(Protocol):
    """What has to be known of a template.

    Where it also has ``instruction`` and ``shots`` as :class:`affectscope.prompts.Template` has
    them, its prefix is taken apart; else all of that is instruction.
    """

    @property
    def prefix(self) -> str:
        """Everything before the text."""

    def fill(self, text: str) -> str:
        """The prompt for a text."""


def token_kinds(tokenizer: Any, template: FramedTemplate, text: str) -> list[TokenKind]:
    """The kind of every token of the prompt for a text, special tokens included.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        template: What makes the prompt.
        text: The situation.

    Raises:
        NotPossibleError: A tokenizer that does not say which characters a token comes from.
        PromptError: The text is not in the prompt that the template makes of it.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise NotPossibleError(
            f"{type(tokenizer).__name__} does not say which characters a token comes from",
            expected="a fast tokenizer (tokenizer.json)",
            remedy="convert the tokenizer, or leave this experiment out",
        )
    prompt = template.fill(text)
    encoded = tokenizer(prompt, return_offsets_mapping=True)
    ids, whole = prompt_ids(tokenizer, prompt), list(encoded["input_ids"])
    first = next(at for at in (0, 1) if whole[at : at + len(ids)] == ids)
    offsets = encoded["offset_mapping"][first : first + len(ids)]
    special = set(tokenizer.all_special_ids)
    of_character = kinds_of_characters(prompt_parts(template, text), len(prompt))
    kinds: list[TokenKind] = []
    for index, ((start, end), token) in enumerate(zip(offsets, ids, strict=True)):
        if index == 0 or (token in special and token != getattr(tokenizer, "unk_token_id", None)):
            kinds.append("special")
        elif start == end:  # a piece of a character that the tokenizer takes apart
            kinds.append(kinds[-1])
        else:
            kinds.append(_most(of_character[start:end], prompt[start:end]))
    return kinds


def _most(kinds: Sequence[TokenKind], written: str) -> TokenKind:
    """The kind of most characters but spaces; the first of equals."""
    counted = [kind for kind, letter in zip(kinds, written, strict=True) if not letter.isspace()]
    return Counter(counted or kinds).most_common(1)[0][0]


def kinds_of_characters(parts: Sequence[Part], length: int) -> list[TokenKind]:
    """The kind of every character of a prompt.

    Raises:
        AssertionError: The parts leave a gap or overlap.
    """
    bounds = [0, *(part[1] for part in parts)]
    assert [part[0] for part in parts] == bounds[:-1], "parts follow on each other"
    assert bounds[-1] == length, "parts end where the prompt does"
    return [kind for start, end, kind in parts for _ in range(start, end)]


def prompt_parts(template: FramedTemplate, text: str) -> list[Part]:
    """The parts of a prompt, one after another from its first character to its last.

    Raises:
        PromptError: The text is not in the prompt that the template makes of it.
    """
    prompt, said = template.fill(text), text.strip()
    start = len(template.prefix) if prompt.startswith(template.prefix) else -1
    if start < 0 or not prompt.startswith(said, start):
        start = prompt.rfind(said)
    if start < 0:
        raise PromptError(
            f"the prompt does not hold the text {said[:40]!r}",
            expected="a template that puts the text into the prompt as it is",
            remedy="use another template, or leave this experiment out",
        )
    before: list[Part] = list(_prefix_parts(template, prompt[:start]))
    situation: list[Part] = [
        (start + first, start + last, kind) for first, last, kind in _situation_parts(said)
    ]
    after: Part = (start + len(said), len(prompt), "frame")
    return [part for part in (*before, *situation, after) if part[1] > part[0]]


def _prefix_parts(template: FramedTemplate, prefix: str) -> Iterator[Part]:
    """The parts before the situation."""
    named = _named_parts(template)
    bounds: list[tuple[int, int, TokenKind]] = []
    end = 0
    for written, kind in named or []:
        start = prefix.find(written, end)
        if start < 0:
            named = None
            break
        end = start + len(written)
        bounds.append((start, end, kind))
    if named is None:
        yield 0, len(prefix), "instruction"
        return
    reached = 0
    for start, end, kind in bounds:
        yield reached, start, "frame"
        yield start, end, kind
        reached = end
    yield reached, len(prefix), "frame"


def _named_parts(template: FramedTemplate) -> list[tuple[str, TokenKind]] | None:
    """What the template says it consists of, in order; None where it does not say."""
    instruction, shots = getattr(template, "instruction", None), getattr(template, "shots", None)
    if not isinstance(instruction, str) or shots is None:
        return None
    parts: list[tuple[str, TokenKind]] = [(instruction, "instruction")] if instruction else []
    for shot in shots:
        pair = (SHOTS.get(shot), shot) if isinstance(shot, str) else tuple(shot)
        if len(pair) != 2 or not all(isinstance(piece, str) and piece for piece in pair):
            return None
        written, label = pair
        parts += [(str(written), "shot_text"), (str(label), "shot_label")]
    return parts


def _situation_parts(said: str) -> Iterator[Part]:
    """Words, by whether they carry content, and what stands between them."""
    words = [match for match in _WORD.finditer(said) if not _is_function_word(match.group())]
    ends = [0, *(match.end() for match in words)]
    for reached, match in zip(ends, words, strict=False):
        yield reached, match.start(), "function"
        yield match.start(), match.end(), "content"
    yield ends[-1], len(said), "function"


def _is_function_word(word: str) -> bool:
    """Whether a word, or what stands before its apostrophe, is on scikit-learn's list."""
    pieces = re.split("['’]", word.lower())
    return bool({"".join(pieces), pieces[0]} & ENGLISH_STOP_WORDS)
