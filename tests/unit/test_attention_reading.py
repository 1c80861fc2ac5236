"""Attention weights of every family against those that the model itself hands out."""

from __future__ import annotations

import functools

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.errors import NotPossibleError, PromptError
from affectscope.models import access_for
from tiny import VARIANTS, WORDS, loaded, tiny_variant, word_tokenizer

# 9, 14 and 24 tokens: longer than every sliding window, with a shared beginning
PROMPTS = [
    "Context: My first dog died. Answer:",
    "Context: My friend came home late, and rain again. Answer:",
    "Context: My first train went early, then you told me not to work all day long, late again! "
    "Answer:",
]


@functools.cache
def language_model_of(variant: str):
    tokenizer = word_tokenizer(WORDS)
    lm = loaded(tiny_variant(variant, len(tokenizer)), tokenizer)
    assert lm.engine == "sweep", lm.checks
    return lm


@pytest.mark.parametrize("position", [-1, -3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_those_of_the_model(variant, position):
    lm = language_model_of(variant)
    ours = lm.attention(PROMPTS, position=position)
    assert ours.position == position
    for ids, weights in zip(lm.encode(PROMPTS), ours.weights, strict=True):
        truth = reference.attention_weights(lm.model, ids)[:, :, position]
        assert weights.shape == (4, 4, len(ids))
        assert weights.dtype == torch.float32
        assert (weights - truth).abs().max() <= 1e-5
        assert (weights.sum(dim=-1) - 1).abs().max() <= 1e-5
        assert truth.max() > 2 / len(ids)  # else weights that are all alike would pass


@pytest.mark.parametrize("variant", ["llama", "gemma2", "gpt_neox", "gpt2", "mistral, sliding"])
def test_the_plain_path_hands_out_the_same(variant):
    lm = language_model_of(variant)
    plain = eng.PromptReader(access_for(lm.model), plain=True)
    found = eng.attention_weights(plain, lm.encode(PROMPTS), position=-2)
    for ids, weights in zip(lm.encode(PROMPTS), found.weights, strict=True):
        truth = reference.attention_weights(lm.model, ids)[:, :, -2]
        assert (weights - truth).abs().max() <= 1e-5


def test_reading_does_not_depend_on_batching_or_order():
    lm = language_model_of("mistral, sliding")
    together = lm.attention(PROMPTS).weights
    for prompt, weights in zip(PROMPTS, together, strict=True):
        alone = lm.attention([prompt]).weights[0]
        assert torch.allclose(alone, weights, atol=1e-6)
    backwards = lm.attention(PROMPTS[::-1]).weights
    for a, b in zip(backwards[::-1], together, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_reading_leaves_remembered_passes_as_they_are():
    lm = language_model_of("llama").remembering()
    edits = [eng.Intervention([eng.Zero("attn_out", 1, position=-2)])]
    first = lm.intervene(PROMPTS, edits, label_ids=[4, 9])
    weights = lm.attention(PROMPTS).weights
    again = lm.intervene(PROMPTS, edits, label_ids=[4, 9])
    assert torch.equal(first.logits, again.logits)
    anew = language_model_of("llama").attention(PROMPTS).weights
    assert all(torch.equal(a, b) for a, b in zip(weights, anew, strict=True))


def test_a_position_outside_a_prompt_is_refused():
    with pytest.raises(PromptError, match="position -99"):
        language_model_of("llama").attention(PROMPTS, position=-99)


def test_a_plain_model_that_hands_out_no_weights(monkeypatch):
    lm = language_model_of("llama")
    plain = eng.PromptReader(access_for(lm.model), plain=True)
    forward = plain.access.backbone.forward

    def without(*args, **options):
        options.pop("output_attentions")
        return forward(*args, **options)

    monkeypatch.setattr(plain.access.backbone, "forward", without)
    with pytest.raises(NotPossibleError, match="0 of its 4 layers"):
        eng.attention_weights(plain, lm.encode(PROMPTS))
