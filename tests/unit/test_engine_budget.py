"""How much goes through at once, and what happens when memory runs out."""

from __future__ import annotations

import logging

import pytest
import torch

import affectscope.engine as eng
from affectscope.engine import budget as budget_module
from affectscope.engine.budget import Budget, evenly, in_portions, is_out_of_memory
from affectscope.errors import ModelError
from affectscope.models import from_pretrained

PROMPTS = ["I lost it. Answer:", "My friend came home late. Answer:", "I lost him. Answer:"]
INTERVENTIONS = [
    eng.Intervention([eng.Zero(site, layer, position=position)])
    for site in ("attn_out", "resid_post")
    for layer in range(4)
    for position in (-1, -2, "all")
]
LABELS = [4, 9, 17]


def with_budget(lm, budget: Budget) -> eng.PromptReader:
    return eng.PromptReader(lm.reader.access, budget=budget)


@pytest.mark.parametrize(("n", "most", "size"), [(10, 4, 4), (10, 3, 3), (9, 8, 5), (1, 5, 1)])
def test_portions_are_of_about_equal_size(n, most, size):
    assert evenly(n, most) == size


def test_every_sequence_is_worked_on_once_even_when_memory_runs_out():
    budget, done, tried = Budget(asked=16), [], []

    def work(portion: range) -> None:
        tried.append(len(portion))
        if len(portion) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.extend(portion)

    in_portions(budget, 20, lambda _start: budget.rows(None, tokens=1, keys=1), work)
    assert done == list(range(20))
    assert tried[:3] == [16, 8, 4]
    assert max(tried[3:]) <= 2, "it stays lowered"


def test_a_small_portion_that_fails_is_halved_at_once():
    """Although the budget would allow far more than there is."""
    budget, tried = Budget(asked=1000), []

    def work(portion: range) -> None:
        tried.append(len(portion))
        if len(portion) > 2:
            raise MemoryError

    in_portions(budget, 5, lambda _start: budget.rows(None, tokens=1, keys=1), work)
    assert tried == [5, 2, 2, 1]


def test_a_single_sequence_that_does_not_fit_is_an_error():
    def work(_portion: range) -> None:
        raise MemoryError

    with pytest.raises(ModelError, match="single sequence") as caught:
        in_portions(Budget(), 3, lambda _start: 1, work)
    assert caught.value.remedy


def test_other_errors_pass_through():
    def work(_portion: range) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_portions(Budget(), 3, lambda _start: 3, work)


def test_the_allocators_own_words_are_known():
    """What torch really raises when the CPU has no such memory."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_free_memory_decides(lm, monkeypatch):
    access = lm.reader.access
    plenty = Budget().rows(access, tokens=10, keys=100)
    assert plenty == budget_module.CPU_TOKENS // 10
    monkeypatch.setattr(budget_module, "free_memory", lambda _device: 2**20)
    little = Budget().rows(access, tokens=10, keys=100)
    assert 1 <= little < plenty


@pytest.mark.parametrize("limit", [1, 5, 11])
def test_running_out_of_memory_changes_no_score_and_is_said(lm, limit, monkeypatch, caplog):
    """A block that fails above so many tokens, in clean passes, branches and full passes."""
    truth = lm.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    longest = max(map(len, lm.encode(PROMPTS)))
    block = lm.model.model.layers[2]

    def fail(_module, args) -> None:
        n_rows, n_tokens = args[0].shape[:2]
        if n_rows * n_tokens > limit * longest:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")

    handle = block.register_forward_pre_hook(fail)
    try:
        with caplog.at_level(logging.WARNING):
            reader = with_budget(lm, Budget())
            sweep = eng.intervene(reader, lm.encode(PROMPTS), INTERVENTIONS, label_ids=LABELS)
    finally:
        handle.remove()
    assert (sweep.logits - truth.logits).abs().max() < 1e-4
    assert (sweep.clean - truth.clean).abs().max() < 1e-4
    assert sweep.hits.tolist() == truth.hits.tolist(), "a pass that failed must not count"
    if limit < 11:
        assert "memory ran out with" in caplog.text


def test_a_model_that_never_fits_says_so(lm):
    block = lm.model.model.layers[0]

    def fail(_module, _args) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    handle = block.register_forward_pre_hook(fail)
    try:
        with pytest.raises(ModelError, match="memory ran out"):
            from_pretrained_unchecked(lm).intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    finally:
        handle.remove()


def from_pretrained_unchecked(lm):
    return type(lm)(lm.pretrained, with_budget(lm, Budget()), lm.checks)


def test_the_users_batch_size_is_the_most(lm):
    sized = from_pretrained(lm.pretrained, batch_size=5)
    assert sized.batch_size == 5
    assert sized.reader.budget.rows(sized.reader.access, tokens=3, keys=10) == 5
    assert lm.batch_size == "auto"
