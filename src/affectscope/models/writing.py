"""What a model writes: texts out of tokens, and how a call to write is made ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from affectscope.engine import Prompt, SteeringVector, Written
from affectscope.errors import PromptError, UsageError
from affectscope.prompts import in_chat_format

OnText = Callable[[int, str], None]
"""Told the index of a prompt and the next piece of what is written after it."""

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are not a character yet."""


@dataclass(frozen=True)
class Generation:
    """Texts that a model wrote, in the order of the prompts."""

    texts: tuple[str, ...]
    """What was written after each prompt, without special tokens."""
    tokens: tuple[tuple[int, ...], ...]
    """The tokens of each, without the one that ended it."""
    ended: tuple[bool, ...]
    """Whether the model ended the text itself, within the tokens it was allowed."""
    prompt_tokens: tuple[tuple[int, ...], ...]
    """Token ids of each prompt, in the chat format where that was asked for."""
    readouts: tuple[tuple[Float[Tensor, "token target"], ...], ...] = ()
    """For every readout, and in it for every prompt, what was read of the state that each token
    was written from; a last row is of the state that ended the text."""


def generation(
    tokenizer: PreTrainedTokenizerBase,
    encoded: Sequence[tuple[int, ...]],
    written: Sequence[Written],
    n_readouts: int,
) -> Generation:
    """Texts of what was written."""
    texts = [tokenizer.decode(list(one.tokens), skip_special_tokens=True) for one in written]
    return Generation(
        texts=tuple(map(str, texts)),
        tokens=tuple(one.tokens for one in written),
        ended=tuple(one.ended for one in written),
        prompt_tokens=tuple(encoded),
        readouts=tuple(tuple(one.readouts[k] for one in written) for k in range(n_readouts)),
    )


def chat_prompts(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each prompt as the only message of a user, up to where the model's turn begins.

    Raises:
        PromptError: The model has no chat template, or a prompt is given as token ids.
    """
    texts: list[Prompt] = []
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise PromptError(
                f"prompt {index} is given as token ids",
                expected="text, where the chat format is asked for",
                remedy="give the text, or leave chat=True out",
            )
        texts.append(in_chat_format(tokenizer, prompt))
    return texts


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens that end a text: what the model's files say, and the tokenizer's own."""
    said = getattr(model.generation_config, "eos_token_id", None)
    ids = list(said) if isinstance(said, list | tuple) else [said]
    known = [int(token) for token in (*ids, tokenizer.eos_token_id) if isinstance(token, int)]
    return list(dict.fromkeys(known))


def row_seeds(seed: int | Sequence[int], n: int) -> list[Sequence[int]]:
    """Seed of every prompt's draws: the call's and the prompt's number, or what was given for it.

    Raises:
        UsageError: Not as many seeds as prompts, or a negative one.
    """
    given = [[int(seed), row] for row in range(n)] if isinstance(seed, int) else [[s] for s in seed]
    if len(given) != n or min((s for row in given for s in row), default=0) < 0:
        raise UsageError(
            f"seed={seed!r} for {n} prompts",
            expected="one whole number, 0 or more, or one for each prompt",
            remedy="give one number for all",
        )
    return list(given)


def steering_of_rows(
    steering: SteeringVector | Sequence[SteeringVector],
    each: Sequence[Sequence[SteeringVector]] | None,
    n: int,
) -> list[tuple[SteeringVector, ...]]:
    """The vectors of every prompt: those of all, and its own.

    Raises:
        UsageError: Not as many lists as prompts.
    """
    common = (steering,) if isinstance(steering, SteeringVector) else tuple(steering)
    if each is not None and len(each) != n:
        raise UsageError(
            f"steering_each has {len(each)} entries for {n} prompts",
            expected="one for each prompt; an empty one for none",
            remedy="give as many, or use steering= for all prompts alike",
        )
    return [(*common, *(() if each is None else each[row])) for row in range(n)]


class TextPieces:
    """Turns tokens, one by one, into the pieces of text that they add.

    Args:
        tokenizer: The model's.
        on_text: Gets the pieces.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, on_text: OnText) -> None:
        self._tokenizer, self._on_text = tokenizer, on_text
        self._tokens: dict[int, list[int]] = {}
        self._said: dict[int, str] = {}

    def __call__(self, row: int, token: int) -> None:
        """A prompt's next token; a piece comes as soon as its bytes make whole characters."""
        tokens = self._tokens.setdefault(row, [])
        tokens.append(token)
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        said = self._said.get(row, "")
        if text.endswith(_UNFINISHED) or not text.startswith(said) or text == said:
            return
        self._said[row] = text
        self._on_text(row, text[len(said) :])
