"""The self-check sees what is broken, and a model that fails is still scored right."""

from __future__ import annotations

import types

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.errors import ModelError, SelfCheckError
from affectscope.models import ARCHITECTURES, Architecture, from_pretrained
from tiny import loaded, tiny_llama

PROMPTS = ["Context: I lost it. Answer:", "Context: the train came late, early, late. Answer:"]
LABELS = [3, 8, 20]


@pytest.fixture
def broken(tokenizer):
    """A model that counts positions itself, from the beginning of the row, whatever it is told."""
    model = tiny_llama(len(tokenizer), seed=3)
    original = model.model.forward

    def forward(self, *arguments, position_ids=None, **options):
        return original(*arguments, **options)

    model.model.forward = types.MethodType(forward, model.model)
    return model


def test_a_sound_model_passes_every_check(lm):
    assert lm.engine == "sweep"
    assert [check.name for check in lm.checks] == [
        "residual stream",
        "heads",
        "edits",
        "clean scores",
        "branched scores",
    ]
    assert all(check.passed and check.value < 1e-4 for check in lm.checks)


def test_a_model_that_counts_positions_itself_runs_on_full_passes_and_is_right(broken, tokenizer):
    slow = loaded(broken, tokenizer)
    assert slow.engine == "full pass"
    failed = {check.name for check in slow.checks if not check.passed}
    assert failed >= {"clean scores"}
    sweep = slow.intervene(PROMPTS, [eng.Intervention([eng.Zero("attn_out", 1)])], label_ids=LABELS)
    scores, states = slow.score(PROMPTS, LABELS), slow.capture(PROMPTS)
    for row, ids in enumerate(slow.encode(PROMPTS)):
        clean = reference.full_pass(broken, ids, [], LABELS)
        zeroed = reference.full_pass(broken, ids, [("attn_out", 1, -1, reference.zero())], LABELS)
        assert torch.allclose(sweep.clean[row], clean, atol=1e-4)
        assert torch.allclose(scores[row], clean, atol=1e-4)
        assert torch.allclose(sweep.logits[row, 0], zeroed, atol=1e-4)
        truth = reference.activation(broken, ids, "resid_post", 2)
        assert torch.allclose(states.at("resid_post", 2)[row], truth, rtol=1e-4, atol=1e-4)


def own_attention(module, *arguments, **options):
    """Attention that does not ask transformers which function to call."""
    before = module.config._attn_implementation
    module.config._attn_implementation = "sdpa"
    try:
        return type(module).forward(module, *arguments, **options)
    finally:
        module.config._attn_implementation = before


def test_attention_that_cannot_be_pointed_elsewhere_runs_on_full_passes(tokenizer, caplog):
    model = tiny_llama(len(tokenizer), seed=3)
    attention = model.model.layers[1].self_attn
    attention.forward = types.MethodType(own_attention, attention)
    slow = loaded(model, tokenizer)
    assert slow.engine == "full pass"
    assert [check.name for check in slow.checks if not check.passed] == [
        "clean scores",
        "branched scores",
    ]
    assert "does not go through transformers' interface" in caplog.text
    sweep = slow.intervene(PROMPTS, [eng.Intervention([eng.Zero("attn_out", 1)])], label_ids=LABELS)
    for row, ids in enumerate(slow.encode(PROMPTS)):
        zeroed = reference.full_pass(model, ids, [("attn_out", 1, -1, reference.zero())], LABELS)
        assert torch.allclose(sweep.logits[row, 0], zeroed, atol=1e-4)


def test_a_wrong_number_of_heads_is_refused(tiny_model, tokenizer, monkeypatch):
    monkeypatch.setattr(tiny_model.config, "num_attention_heads", 3)
    with pytest.raises(SelfCheckError, match="heads"):
        loaded(tiny_model, tokenizer)


def test_strict_makes_it_an_error(broken, tokenizer):
    slow = loaded(broken, tokenizer)
    with pytest.raises(SelfCheckError, match="clean scores") as caught:
        from_pretrained(slow.pretrained, strict=True)
    assert "without --strict" in str(caught.value)


def test_a_wrong_map_of_sites_is_refused(tiny_model, tokenizer, monkeypatch):
    """Full passes would not mend it."""
    wrong = Architecture(
        backbone="model",
        layers="layers",
        final_norm="norm",
        sites={"attn_out": "input_layernorm", "mlp_out": "mlp", "resid_post": ""},
        projection="self_attn.o_proj",
    )
    monkeypatch.setattr(
        "affectscope.models.architectures.ARCHITECTURES", {**ARCHITECTURES, "llama": wrong}
    )
    with pytest.raises(SelfCheckError, match="residual stream"):
        loaded(tiny_model, tokenizer)


def test_a_model_that_gives_no_numbers_is_refused(tokenizer):
    model = tiny_llama(len(tokenizer))
    model.model.layers[2].mlp.down_proj.weight[0, 0] = float("nan")
    with pytest.raises(SelfCheckError, match="finite"):
        loaded(model, tokenizer)


def test_numbers_that_stop_being_finite_are_an_error(lm):
    edit = eng.Add("resid_post", 3, vector=torch.full((32,), float("inf")))
    with pytest.raises(ModelError, match="not finite"):
        lm.intervene(PROMPTS, [eng.Intervention([edit])], label_ids=LABELS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("depth", [4, 24])
def test_rounding_in_16_bits_is_no_fault(tokenizer, dtype, depth):
    model = tiny_llama(len(tokenizer), n_layers=depth, initializer_range=0.15).to(dtype)
    lm = loaded(model, tokenizer)
    assert lm.engine == "sweep"
    sweep = lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("mlp_out", 1)])], label_ids=LABELS)
    exact = model.float()
    for row, ids in enumerate(lm.encode(PROMPTS)):
        truth = reference.full_pass(exact, ids, [("mlp_out", 1, -1, reference.zero())], LABELS)
        assert (sweep.logits[row, 0] - truth).abs().max() < 0.15 * truth.std().clamp_min(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_fault_in_16_bits_is_more_than_rounding(broken, tokenizer, dtype):
    """The allowance for rounding comes from the plain model alone, and stays below a fault."""
    model = broken.to(dtype)
    slow = loaded(model, tokenizer)
    assert slow.engine == "full pass"
    (clean,) = (check for check in slow.checks if check.name == "clean scores")
    assert not clean.passed
    assert clean.tolerance < 1
    assert clean.value > 2 * clean.tolerance
