"""Studies on tiny models: random texts, labelled from what the model answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import affectscope.analyses as afa
from affectscope.data import Corpus
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import EMOTIONS
from reference import full_pass, log_softmax

WORDS = "I lost found saw told rain money train house friend school work late early home".split()


def random_texts(n: int) -> list[str]:
    """Texts of two to eight words, which all end alike."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=rng.integers(2, 9))) + f" {i % 2}." for i in range(n)]


def token_ids(lm: LanguageModel, task: EmotionTask, text: str) -> list[int]:
    """Token ids of a text's prompt."""
    return lm.tokenizer.encode(task.template.fill(text))


def plain_scores(lm: LanguageModel, task: EmotionTask, texts: list[str]) -> np.ndarray:
    """Log probabilities of the labels [item, label] from one plain pass each, less their means."""
    logits = [full_pass(lm.model, token_ids(lm, task, t), [], task.label_ids) for t in texts]
    log_p = log_softmax(torch.stack(logits).numpy().astype(float))
    return log_p - log_p.mean(axis=0)


def study_of(
    lm: LanguageModel, task: EmotionTask, n: int = 40, *, wrong_every: int = 0, seed: int = 3
) -> afa.Study:
    """A study whose items are labelled as the model answers, two items a group.

    Args:
        lm: The model.
        task: The task on it, with calibration by batch.
        n: Number of items.
        wrong_every: Every such item gets the next emotion instead; none when 0.
        seed: The study's.
    """
    texts = random_texts(n)
    answers = plain_scores(lm, task, texts).argmax(axis=1)
    wrong = [bool(wrong_every) and i % wrong_every == 0 for i in range(n)]
    items = pd.DataFrame(
        {
            "item_id": [f"t{i}" for i in range(n)],
            "text": texts,
            "emotion": [EMOTIONS[(a + w) % 13] for a, w in zip(answers, wrong, strict=True)],
            "group": [f"g{i // 2}" for i in range(n)],
        }
    )
    corpus = Corpus("made", items, EMOTIONS, "memory", "0" * 64, "utf-8", ())
    return afa.Study(lm, task, corpus, seed=seed)


def finished(experiment: afa.Experiment) -> afa.Result:
    """The result of an experiment, its units computed now where they are missing."""
    for _ in afa.finish_units(experiment, experiment.study.store):
        pass
    return afa.collect(experiment, experiment.study.store)


def only_row(table: pd.DataFrame, **where) -> pd.Series:
    """The one row that has these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, (where, len(table))
    return table.iloc[0]


def one_head_model(lm_of, model, *, layer: int, head: int) -> LanguageModel:
    """A model in which one attention head alone adds anything to the residual stream.

    All prompts end with the same tokens, so that the last token knows of the text what this head
    brings it, and nothing else.

    Args:
        lm_of: Makes a language model of a Hugging Face model.
        model: A tiny Llama; changed in place.
        layer: Where the head is.
        head: Which one.
    """
    with torch.no_grad():
        for at, block in enumerate(model.model.layers):
            block.mlp.down_proj.weight.zero_()
            block.mlp.down_proj.bias.zero_()
            block.self_attn.o_proj.bias.zero_()
            weight = block.self_attn.o_proj.weight
            width = weight.shape[1] // model.config.num_attention_heads
            kept = weight[:, head * width : (head + 1) * width].clone()
            weight.zero_()
            if at == layer:
                weight[:, head * width : (head + 1) * width] = 3 * kept
    return lm_of(model)
