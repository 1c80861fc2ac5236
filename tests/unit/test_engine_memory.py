"""Clean passes kept from one call to the next."""

from __future__ import annotations

import pytest
import torch

import affectscope.engine as eng

PREFIX = "What are the inferred emotions in the following contexts? Context:"
PROMPTS = [f"{PREFIX} I lost it. Answer:", f"{PREFIX} My friend came home late. Answer:"]
INTERVENTIONS = [eng.Intervention([eng.Zero("attn_out", layer)]) for layer in range(4)]
LABELS = [4, 9, 17]


@pytest.fixture
def passes(lm):
    """Shapes of every pass of the backbone while a test runs."""
    shapes: list[tuple[int, ...]] = []
    handle = lm.model.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    yield shapes
    handle.remove()


def test_what_was_captured_is_not_read_again(lm, passes):
    remembering = lm.remembering()
    remembering.capture(PROMPTS)
    read = len(passes)
    ours = remembering.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    again = remembering.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    assert len(passes) == read
    truth = lm.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    assert torch.equal(ours.logits, truth.logits)
    assert torch.equal(again.logits, truth.logits)


def test_captures_see_the_prompts_every_time(lm):
    remembering = lm.remembering()
    first = remembering.capture(PROMPTS)
    second = remembering.capture(PROMPTS)
    assert torch.equal(first.tensor, second.tensor)


def test_longer_chains_than_were_kept_are_read_anew(lm):
    remembering = lm.remembering()
    remembering.capture(PROMPTS)
    far = [eng.Intervention([eng.Zero("resid_post", 0, position=-3)])]
    ours = remembering.intervene(PROMPTS, far, label_ids=LABELS)
    truth = lm.intervene(PROMPTS, far, label_ids=LABELS)
    assert torch.equal(ours.logits, truth.logits)


def test_nothing_is_kept_beyond_the_limit(lm, passes):
    small = lm.remembering(limit=1000)
    small.capture(PROMPTS)
    assert small.reader.memory.n_bytes == 0
    read = len(passes)
    small.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS)
    assert len(passes) > read


def test_without_remembering_a_change_of_the_model_counts(lm):
    clean = lm.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS).clean
    bias = lm.model.model.layers[0].mlp.down_proj.bias
    before = bias.clone()
    bias += 1.0
    try:
        changed = lm.intervene(PROMPTS, INTERVENTIONS, label_ids=LABELS).clean
    finally:
        bias.copy_(before)
    assert (changed - clean).abs().max() > 0.01


def test_the_first_ones_stay():
    memory = eng.PassMemory(100)
    memory.keep("a", 1, 60)
    memory.keep("b", 2, 60)
    assert memory.find("a") == 1
    assert memory.find("b") is None
    memory.keep("a", 3, 20)
    memory.keep("b", 4, 60)
    assert (memory.find("a"), memory.find("b"), memory.n_bytes) == (3, 4, 80)
