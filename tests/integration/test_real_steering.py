"""Steered writing on the real default model, against naive whole passes."""

from __future__ import annotations

import pytest

import affectscope as afs
from reference import logits_when_steered, write_naively

pytestmark = pytest.mark.integration

PROMPTS = ["This morning I opened the letter and", "She said"]


@pytest.fixture(scope="session")
def lm(smollm):
    return smollm


@pytest.fixture(scope="session")
def vectors(lm):
    corpus = afs.load_corpus("vignettes").sample(65, seed=0)
    return afs.analyses.steering_vectors(
        afs.EmotionTask(lm), corpus, appraisals="pleasantness=+2", hold="effort"
    )


def added(vectors):
    places = {}
    for vector in vectors:
        for layer, add in zip(vector.layers, vector.added(), strict=True):
            places[vector.site, layer] = places.get((vector.site, layer), 0) + add
    return places


@pytest.mark.parametrize("steered", ["last", "generated", "all"])
def test_a_steered_text_equals_a_naive_loop_token_for_token(lm, vectors, steered):
    found = lm.generate(PROMPTS, steering=vectors, steered=steered, max_new_tokens=12)
    stop = [lm.tokenizer.eos_token_id]
    for row, prompt in enumerate(PROMPTS):
        ids = lm.encode([prompt])[0]
        expected = write_naively(lm.model, ids, 12, added(vectors), steered=steered, stop=stop)
        assert list(found.tokens[row]) == expected


def test_steering_changes_what_is_written_and_its_likelihood(lm, vectors):
    both = lm.generate(
        [PROMPTS[0]] * 2, steering_each=[vectors, []], max_new_tokens=12, seed=[1, 1]
    )
    assert both.tokens[0] != both.tokens[1]
    ids = lm.encode([PROMPTS[0]])[0]
    likely = lm.log_likelihood([ids] * 2, both.tokens, steering_each=[vectors, []])
    for tokens, steering, got in zip(both.tokens, (vectors, []), likely, strict=True):
        logits = logits_when_steered(
            lm.model, [*ids, *tokens], len(ids), added(steering), "generated"
        )
        log_p = logits.log_softmax(-1)
        expected = [float(log_p[len(ids) - 1 + k, token]) for k, token in enumerate(tokens)]
        assert got.tolist() == pytest.approx(expected, abs=2e-3)


def test_the_chat_format_of_the_model_is_used(lm):
    told = lm.generate(["What is the capital of France?"], chat=True, max_new_tokens=12)
    assert "Paris" in told.texts[0]
    text = lm.tokenizer.decode(list(told.prompt_tokens[0]))
    assert text.count("<|im_start|>user") == 1
