"""The short benchmark: what it counts, and that both sides answer the same."""

from __future__ import annotations

import pytest

import affectscope.engine as eng
from affectscope.bench import measure_speed, sweep_operations
from affectscope.errors import UsageError
from affectscope.models import LanguageModel
from tiny import loaded, tiny_llama

PROMPTS = ["Context: I lost it. Answer:", "Context: My friend came home late again. Answer:"]


def test_both_sides_answer_the_same(lm):
    speed = measure_speed(lm, PROMPTS, [4, 9, 17], rounds=1)
    assert speed.interventions == 3 * 2, "two windows of three fit in four layers, at three sites"
    assert speed.largest_difference < 1e-4
    assert speed.prompts == 2
    assert speed.shared_prefix == len(lm.encode(["Context:"])[0])
    times = (speed.clean_ms, speed.sweep_ms, speed.total_ms, speed.full_pass_ms, speed.ratio)
    assert all(value > 0 for value in times)
    assert speed.total_ms > speed.sweep_ms
    assert 0 < speed.share < 1


def test_arithmetic_by_hand(lm):
    """Four layers, d_model 32: q and o 32x32, k and v 32x16, three MLP matrices of 32x48."""
    block = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    one_block = 2 * block + 4 * 10 * 32

    def count(edit: eng.Edit) -> float:
        return sweep_operations(lm, [eng.Intervention([edit])], 10)

    assert count(eng.Zero("attn_out", 1)) == 3 * one_block
    assert count(eng.Zero("mlp_out", 1)) == 2 * one_block
    assert count(eng.Zero("resid_post", 3)) == 0
    assert count(eng.Zero("attn_out", 3, position=-2)) == 2 * one_block


def test_a_model_that_cannot_be_timed_says_why(lm, tokenizer):
    with pytest.raises(UsageError, match="cannot be timed"):
        measure_speed(lm, PROMPTS[:1], [4])
    small = loaded(tiny_llama(len(tokenizer), n_layers=2), tokenizer)
    with pytest.raises(UsageError, match="cannot be timed"):
        measure_speed(small, PROMPTS, [4])
    slow = LanguageModel(lm.pretrained, eng.PromptReader(lm.reader.access, plain=True), lm.checks)
    with pytest.raises(UsageError, match="models check"):
        measure_speed(slow, PROMPTS, [4])
