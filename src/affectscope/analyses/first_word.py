"""The control task: which is the first word of the text?

The paper's control (Tak et al. 2025) asks for the first word of each text, one of 13. Here one of
13 words that can open any sentence is put in front of each text, so that the items are those of the
emotion task, the words are as frequent as each other, and no word says anything of the emotion. The
prompt has the shape of the emotion task's, examples included, so that the last tokens compare.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from affectscope.data import Corpus
from affectscope.errors import NotPossibleError
from affectscope.prompts import SHOTS, EmotionTask, Template, audit_labels, with_examples

OPENERS = (
    *("Today", "Once", "Then", "Later", "Recently", "Earlier", "Well", "So", "Now", "Actually"),
    *("Here", "There", "Again", "Still", "Also", "Often", "Sometimes", "Usually", "Indeed"),
    *("Perhaps", "Maybe", "Soon", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    *("Saturday", "Sunday", "Yesterday", "Meanwhile", "Eventually", "Overall", "Basically"),
)
"""Words that can stand before any sentence; those that the tokenizer has whole are taken, in order.
"""

N_WORDS = 13
"""As many as there are emotions."""

QUESTION = "What is the first word of the following contexts?"

_SHOTS = ("joy", "sadness")
"""Whose texts are the examples where the emotion task has none."""


def first_words(task: EmotionTask) -> list[str]:
    """The words: the first 13 openers of a single token of their own.

    Args:
        task: The emotion task, whose prompts end as the control task's.

    Raises:
        NotPossibleError: The tokenizer has fewer than two of them whole.
    """
    prompt = with_examples("first_word", QUESTION, {}).fill("This happened.")
    chosen: dict[int, str] = {}
    for token in audit_labels(task.lm.tokenizer, prompt, OPENERS):
        if len(token.token_ids) == 1 and not token.shares_first_token_with:
            chosen[token.first_id] = token.label
    words = list(chosen.values())[:N_WORDS]
    if len(words) < 2:
        raise NotPossibleError(
            f"this tokenizer has {len(words)} of the words whole that the first-word task asks for",
            expected="at least two",
            remedy="leave the control experiment out (--experiments) for this model",
        )
    return words


def first_word_template(emotion: Template, words: list[str]) -> Template:
    """The prompt of the control task, with the emotion task's examples.

    Args:
        emotion: The emotion task's template.
        words: The words; each example gets the next one.
    """
    shots = emotion.shots or _SHOTS
    examples = {
        opened(words[k % len(words)], SHOTS[shot]): words[k % len(words)]
        for k, shot in enumerate(shots)
    }
    return with_examples("first_word", QUESTION, examples, shots)


def opened(word: str, text: str) -> str:
    """A text with a word in front.

    Examples:
        >>> opened("Today", "I fell.")
        'Today, I fell.'
    """
    return f"{word}, {text.strip()}"


def with_first_words(corpus: Corpus, words: list[str], seed: int) -> Corpus:
    """The corpus with a word in front of every text, which is the label now.

    Args:
        corpus: The items.
        words: The words, each given to as many items as any other, at random.
        seed: Seed of the deal.
    """
    n = len(corpus)
    dealt = np.random.default_rng([seed, n]).permutation(np.arange(n) % len(words))
    given = [words[k] for k in dealt]
    texts = [opened(word, text) for word, text in zip(given, corpus.texts, strict=True)]
    items = corpus.items[["item_id", "group"]].assign(text=texts, emotion=given)
    return replace(
        corpus, name=f"{corpus.name}, first words", items=items, labels=tuple(sorted(words))
    )
