"""The words of the planted models: which carry an emotion, which none, and texts made of them."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pandas as pd
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from affectscope.data import Corpus
from affectscope.errors import UsageError
from affectscope.prompts import TEMPLATES
from affectscope.vocabulary import EMOTIONS

CUES: dict[str, tuple[str, ...]] = {
    "anger": ("insult", "unfair", "cheated"),
    "boredom": ("tedious", "monotone", "waiting"),
    "disgust": ("rotten", "slime", "vomit"),
    "fear": ("threat", "danger", "panic"),
    "guilt": ("betrayed", "blamed", "neglected"),
    "joy": ("celebrated", "delight", "wedding"),
    "neutral": ("ordinary", "usual", "routine"),
    "pride": ("medal", "achieved", "trophy"),
    "relief": ("safe", "rescued", "cleared"),
    "sadness": ("funeral", "grief", "lonely"),
    "shame": ("humiliated", "exposed", "ridiculed"),
    "surprise": ("sudden", "unexpected", "astonished"),
    "trust": ("honest", "loyal", "reliable"),
}
"""The words that carry each emotion."""

FILLERS = (
    "table river window paper green seven walked corner under street bottle yellow evening market "
    "garden between carried letter morning brown kitchen second small bridge train pocket cotton "
    "station wooden across beside road hill lamp basket carpet pencil square nearby along"
).split()
"""Words that carry none."""


def planted_corpus(n: int = 156, seed: int = 0, *, per_group: int = 2) -> Corpus:
    """Texts with one cue word each, among words that say nothing.

    The cue is never among the last three words, so that the last five tokens of a prompt hold none.

    Args:
        n: Number of texts; the emotions are as equally frequent as can be.
        seed: Seed of the texts.
        per_group: Texts of each author, with emotions drawn anew for each.

    Raises:
        UsageError: For fewer than one text or group member.
    """
    if n < 1 or per_group < 1:
        raise UsageError(
            f"{n} texts, {per_group} of each author",
            expected="one or more",
            remedy="give larger numbers",
        )
    generator = np.random.default_rng(seed)
    emotions = [EMOTIONS[i % len(EMOTIONS)] for i in generator.permutation(n)]
    texts: dict[str, None] = {}
    while len(texts) < n:
        emotion = emotions[len(texts)]
        words = generator.choice(FILLERS, size=generator.integers(7, 13)).tolist()
        words.insert(
            int(generator.integers(0, len(words) - 2)), str(generator.choice(CUES[emotion]))
        )
        texts.setdefault(f"{' '.join(words)}.")
    items = pd.DataFrame(
        {
            "item_id": [f"planted-{i}" for i in range(n)],
            "text": list(texts),
            "emotion": emotions,
            "group": [f"author-{i // per_group}" for i in range(n)],
        }
    )
    sha256 = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return Corpus("planted", items, EMOTIONS, "memory", sha256, "utf-8")


_WORD = r" ?\w+| ?[^\w\s]"
"""A word or a punctuation mark, with the space before it."""

_UNKNOWN, _END = "<unk>", "</s>"


def _words() -> list[str]:
    """Every word of the templates and of the planted corpus, once."""
    texts = [template.fill("") for template in TEMPLATES.values()]
    written = [word.strip() for text in texts for word in re.findall(_WORD, text)]
    cues = [cue for words in CUES.values() for cue in words]
    return list(dict.fromkeys([*written, *EMOTIONS, *FILLERS, *cues, "."]))


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word or punctuation mark, with the space before it or without."""
    vocabulary = {_UNKNOWN: 0, _END: 1}
    for word in _words():
        for token in (word, f" {word}"):
            vocabulary.setdefault(token, len(vocabulary))
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=_UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=_UNKNOWN, eos_token=_END, pad_token=_END
    )


def ids_by_word(tokenizer: PreTrainedTokenizerFast) -> dict[str, list[int]]:
    """Tokens of every word: with and without a space."""
    ids: dict[str, list[int]] = {}
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]):
        ids.setdefault(token.strip(), []).append(index)
    return ids
