"""Prompts for the jobs, made from a corpus the same way each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

import affectscope as afs
from affectscope.prompts.tokens import prompt_ids

CROWD_ENVENT_FILE = "enVent_gen_Data.csv"


@dataclass(frozen=True)
class _TokenizerOnly:
    """What :class:`affectscope.EmotionTask` needs to write prompts and find the label tokens."""

    tokenizer: PreTrainedTokenizerBase

    def score(self, prompts: Sequence[str], token_ids: Sequence[int] | None = None) -> None:
        """Never asked: nothing is calibrated here."""
        raise NotImplementedError


@dataclass(frozen=True)
class Texts:
    """A corpus as the benchmarks use it."""

    name: str
    items: tuple[tuple[str, str], ...]
    """Texts and their emotions, distinct texts, in a seeded order."""
    task: afs.EmotionTask

    @property
    def label_ids(self) -> list[int]:
        """The scored token of every label."""
        return self.task.label_ids

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        return self.task.lm.tokenizer

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole prompts."""
        return [list(prompt_ids(self.tokenizer, prompt)) for prompt in prompts]

    def prompts(self, n: int, template: str | None = None) -> list[list[int]]:
        """Token ids of the first items under one of the paper's templates, the usual one if None.

        Items that are examples of the template are left out.
        """
        task = self.task
        if template is not None:
            task = afs.EmotionTask(task.lm, template=template, calibration="none")
        texts = [text for text, _ in self.items if text not in task.shot_texts]
        return self.encode(task.prompts(texts[:n]))

    def many(self, n: int) -> list[str]:
        """So many different prompts.

        Beyond the corpus's own texts, the first half of one text's words is joined with the second
        half of another's: as long as real ones, and different from each other, but no stories.
        """
        texts = [text for text, _ in self.items]
        halves = [_halves(text) for text in texts]
        made = dict.fromkeys(texts[:n])
        for distance in range(1, len(texts)):
            for i, (first, _) in enumerate(halves):
                if len(made) >= n:
                    return self.task.prompts(list(made))
                made[f"{first} {halves[(i + distance) % len(texts)][1]}"] = None
        if len(made) < n:
            raise SystemExit(f"{self.name} is too small to make {n} different texts of")
        return self.task.prompts(list(made))

    def of_length(self, n: int, length: int) -> list[list[int]]:
        """Prompts of exactly ``length`` tokens: half of it shared, half each prompt's own.

        The shared half is worked examples (items with their emotions), cut at the front, ending in
        ``Context:``. The own half is other items' texts, one after the other, cut at the end, then
        ``Answer:``.
        """
        rng = np.random.default_rng(length)
        order = [self.items[i] for i in rng.permutation(len(self.items))]
        shots, rest = order[: len(order) // 2], order[len(order) // 2 :]
        examples = " ".join(f"Context: {text} Answer: {emotion}" for text, emotion in shots)
        start = self.encode([f"{examples} Context:"])[0]
        answer = self.encode(["x Answer:"])[0][len(self.encode(["x"])[0]) :]
        shared = length // 2
        own = length - shared - len(answer)
        prompts = []
        for i in range(n):
            texts = [text for text, _ in rest[i:] + rest[:i]]
            ids = self.encode([" " + " ".join(texts)])[0]
            assert min(len(start) - shared, len(ids) - own) >= 0, "the corpus is too small"
            prompts.append([*start[len(start) - shared :], *ids[:own], *answer])
        return prompts


def load_texts(
    tokenizer: PreTrainedTokenizerBase, data: str, path: Path | None, seed: int
) -> Texts:
    """Read the corpus.

    Args:
        tokenizer: The model's tokenizer.
        data: ``vignettes`` or ``crowd-envent``.
        path: Folder (or file) of crowd-enVENT.
        seed: Fixes the order of the items.
    """
    if data == "vignettes":
        corpus = afs.load_corpus("vignettes")
    else:
        assert path is not None
        corpus = afs.load_corpus(path / CROWD_ENVENT_FILE if path.is_dir() else path)
    task = afs.EmotionTask(_TokenizerOnly(tokenizer), calibration="none")
    emotions = dict(zip(corpus.texts, corpus.items["emotion"], strict=True))
    for shot in task.shot_texts:
        emotions.pop(shot, None)
    items = list(emotions.items())
    order = np.random.default_rng(seed).permutation(len(items))
    return Texts(corpus.name, tuple(items[i] for i in order), task)


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with alike."""
    count = 0
    for tokens in zip(*prompts, strict=False):
        if len(set(tokens)) > 1:
            break
        count += 1
    return count


def _halves(text: str) -> tuple[str, str]:
    words = text.split()
    middle = len(words) // 2
    return " ".join(words[:middle]), " ".join(words[middle:])
