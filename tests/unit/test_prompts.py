"""Templates, the audit of label tokens, calibration and the task."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from affectscope.errors import PromptError
from affectscope.prompts import (
    SHOTS,
    TEMPLATES,
    EmotionTask,
    audit_labels,
    fit_offsets,
    label_warnings,
    template_named,
)
from affectscope.prompts.tokens import prompt_ids
from affectscope.vocabulary import EMOTIONS
from reference import log_softmax
from tiny import WORDS, loaded, tiny_llama, word_tokenizer


def test_the_papers_prompt_word_for_word():
    assert template_named("joy_sadness_0").fill("I fell. ") == (
        "What are the inferred emotions in the following contexts? Context: My first child was "
        "born. Answer: joy Context: My dog died last week. Answer: sadness Context: I fell. Answer:"
    )


def test_every_template_ends_in_the_question_and_shows_its_shots():
    for template in TEMPLATES.values():
        prompt = template.fill("x")
        assert prompt.endswith("Context: x Answer:")
        assert "  " not in prompt
        for emotion in template.shots:
            assert f"Context: {SHOTS[emotion]} Answer: {emotion}" in prompt
    assert {len(TEMPLATES[f"shots_{n}"].shots) for n in (1, 3, 6, 9, 12)} == {1, 3, 6, 9, 12}
    assert set(SHOTS) == set(EMOTIONS)


def test_an_unknown_template_is_named_with_its_neighbour():
    with pytest.raises(PromptError, match="joy_sadnes_0") as caught:
        template_named("joy_sadnes_0")
    assert "did you mean 'joy_sadness_0'" in str(caught.value)


class TestLabels:
    def test_one_token_each(self, tokenizer):
        audit = audit_labels(tokenizer, "rain. Answer:", EMOTIONS)
        assert [token.label for token in audit] == list(EMOTIONS)
        assert [token.tokens for token in audit] == [(f" {label}",) for label in EMOTIONS]
        assert label_warnings(audit) == []

    def test_several_tokens_and_a_shared_first_token_are_reported(self):
        tokenizer = word_tokenizer("rain . Answer : joy ful - less".split())
        audit = audit_labels(tokenizer, "rain. Answer:", ["joy", "joy-ful", "ful"])
        by_label = {token.label: token for token in audit}
        assert by_label["joy-ful"].tokens == (" joy", "-", "ful")
        assert by_label["joy-ful"].as_dict()["n_tokens"] == 3
        assert by_label["joy"].shares_first_token_with == ("joy-ful",)
        assert by_label["ful"].shares_first_token_with == ()
        shared, several = label_warnings(audit)
        assert "joy, joy-ful" in shared
        assert "joy-ful (3)" in several

    def test_a_label_that_changes_the_prompts_tokens_is_refused(self, tokenizer):
        class Merging:
            """The last prompt token merges with the label."""

            def encode(self, text):
                return [1, 2] if text.endswith("Answer:") else [1, 7]

            def decode(self, ids):
                return "?"

        with pytest.raises(PromptError, match="changes the tokens at the end"):
            audit_labels(Merging(), "rain. Answer:", ["joy", "fear"])


class TestCalibration:
    logits = torch.tensor(np.random.default_rng(0).normal(size=(40, 5)), dtype=torch.float32)

    def test_batch_subtracts_the_mean_log_probability(self):
        fitted = fit_offsets("batch", self.logits)
        log_p = log_softmax(self.logits.double().numpy())
        expected = log_p - log_p.mean(axis=0)
        assert np.allclose(fitted.scores(self.logits).numpy(), expected, atol=1e-5)

    def test_content_free_divides_by_the_mean_probability(self):
        fitted = fit_offsets("content-free", self.logits[:3])
        p = np.exp(log_softmax(self.logits.double().numpy()))
        expected = np.log(p / p[:3].mean(axis=0))
        assert np.allclose(fitted.scores(self.logits).numpy(), expected, atol=1e-5)

    def test_none_changes_no_prediction(self):
        scores = fit_offsets("none", self.logits).scores(self.logits)
        assert torch.equal(scores.argmax(-1), self.logits.argmax(-1))

    def test_batch_removes_a_constant_preference(self):
        """A preference for one label, whatever the text, must not change a prediction."""
        biased = self.logits + torch.tensor([0.0, 9.0, 0.0, 0.0, -3.0])
        plain = fit_offsets("batch", self.logits).scores(self.logits)
        corrected = fit_offsets("batch", biased).scores(biased)
        # log-softmax's normaliser differs per item by a constant over labels
        assert torch.equal(plain.argmax(-1), corrected.argmax(-1))

    def test_errors(self):
        with pytest.raises(PromptError, match="no calibration 'platt'"):
            fit_offsets("platt", self.logits)
        with pytest.raises(PromptError, match="0 prompts to fit on"):
            fit_offsets("batch", self.logits[:0])
        with pytest.raises(PromptError, match="1 prompts to fit on"):
            fit_offsets("batch", self.logits[:1])


def test_an_end_token_that_a_tokenizer_appends_is_left_out(tokenizer):
    """After it, the last position would not be the prompt's own."""
    ending = word_tokenizer(WORDS)
    ending._tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", ending.eos_token_id)]
    )
    assert ending.encode("I lost it")[-1] == ending.eos_token_id
    assert prompt_ids(ending, "I lost it") == tokenizer.encode("I lost it")
    model = tiny_llama(len(tokenizer))
    with_end, without = loaded(model, ending), loaded(model, tokenizer)
    texts = ["I lost it", "rain came early"]
    ours = EmotionTask(with_end, calibration="none").score_texts(texts)
    pd.testing.assert_frame_equal(ours, EmotionTask(without, calibration="none").score_texts(texts))


class TestTask:
    def test_scores_are_the_plain_models(self, lm):
        task = EmotionTask(lm, calibration="none")
        table = task.score_texts(["I lost it", "rain came early"])
        assert list(table["label"][:13]) == list(EMOTIONS)
        for row, text in enumerate(["I lost it", "rain came early"]):
            ids = lm.tokenizer.encode(task.template.fill(text))
            logits = lm.model(input_ids=torch.tensor([ids])).logits[0, -1][task.label_ids]
            here = table[table["text"] == row]
            assert np.allclose(here["logit"], logits, atol=1e-4)
            assert np.allclose(here["p_raw"], logits.softmax(-1), atol=1e-5)
            assert np.allclose(here["p"], here["p_raw"], atol=1e-6)

    def test_content_free_needs_no_other_text(self, lm):
        table = EmotionTask(lm, calibration="content-free").score_texts(["I lost it"])
        assert table["p"].sum() == pytest.approx(1.0)
        assert not np.allclose(table["p"], table["p_raw"], atol=1e-3)

    def test_what_a_report_says(self, lm):
        described = EmotionTask(lm).describe()
        assert described["text"].endswith("sadness Context: {x} Answer:")
        assert described["calibration"] == "batch"
        assert len(described["label_tokens"]) == 13

    def test_labels_of_ones_own(self):
        tokenizer = word_tokenizer([*"What are : ? . Answer Context".split(), "calm", "tense"])
        other = loaded(tiny_llama(len(tokenizer)), tokenizer)
        task = EmotionTask(other, labels=("calm", "tense"), calibration="none")
        assert len(task.score_texts(["x"])) == 2


def test_a_prompt_longer_than_the_context_is_refused_and_can_be_found(tokenizer):
    short = loaded(tiny_llama(len(tokenizer), max_position_embeddings=64), tokenizer)
    fits, spills = " ".join(["rain"] * 64), " ".join(["rain"] * 65)
    assert len(short.tokenizer.encode(fits)) == 64
    assert short.too_long(["rain", fits, spills]) == [2]
    assert short.score([fits], [3]).shape == (1, 1)
    with pytest.raises(PromptError, match="prompt 1 has 65 tokens") as caught:
        short.score([fits, spills])
    assert "at most 64" in str(caught.value)
