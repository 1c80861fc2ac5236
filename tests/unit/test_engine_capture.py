"""``lm.capture`` against one plain full pass for each prompt."""

from __future__ import annotations

import pytest
import torch

import reference
from affectscope.engine import Budget, PromptReader
from affectscope.engine.batching import common_prefix_length, end_to_end, longest_first, padded
from affectscope.engine.reading import NOTHING
from affectscope.errors import LayerError, PromptError
from affectscope.vocabulary import SITES

PROMPTS = [
    "Context: I lost it. Answer:",
    "Context: My friend came home late, and the train went early again. Answer:",
    "Context: rain. Answer:",
]


def test_states_equal_full_passes(lm):
    positions = (-1, -2, -4)
    states = lm.capture(PROMPTS, positions=positions)
    assert states.tensor.shape == (3, 4, 3, 3, 32)
    assert states.tensor.dtype == torch.float32
    for row, ids in enumerate(lm.encode(PROMPTS)):
        for site in SITES:
            for layer in range(4):
                for position in positions:
                    truth = reference.activation(lm.model, ids, site, layer, position)
                    ours = states.at(site, layer, position)[row]
                    assert torch.allclose(ours, truth, rtol=1e-4, atol=1e-4)


def test_chosen_layers_and_sites_only(lm):
    states = lm.capture(PROMPTS, sites=("resid_post",), layers=(3, 1))
    assert states.tensor.shape == (3, 2, 1, 1, 32)
    truth = reference.activation(lm.model, lm.encode(PROMPTS)[0], "resid_post", 1)
    assert torch.allclose(states.at("resid_post", 1)[0], truth, rtol=1e-4, atol=1e-4)


def test_scores_are_those_of_the_plain_model(lm):
    ours = lm.score(PROMPTS)
    for row, ids in enumerate(lm.encode(PROMPTS)):
        truth = lm.model(input_ids=torch.tensor([ids])).logits[0, -1]
        assert (ours[row] - truth).abs().max() < 1e-4
    assert torch.allclose(lm.score(PROMPTS, [5, 2]), ours[:, [5, 2]], atol=1e-5)


def test_the_residual_stream_is_the_sum_of_its_parts(lm):
    states = lm.capture(PROMPTS)
    for layer in range(1, 4):
        before = states.at("resid_post", layer - 1)
        parts = states.at("attn_out", layer) + states.at("mlp_out", layer)
        assert torch.allclose(before + parts, states.at("resid_post", layer), atol=1e-4)


def test_token_ids_are_prompts_too(lm):
    by_text = lm.capture(PROMPTS).tensor
    by_ids = lm.capture(lm.encode(PROMPTS)).tensor
    assert torch.equal(by_text, by_ids)


def test_a_prompt_that_is_the_prefix_of_all_others(lm):
    prompts = ["Context: I lost", "Context: I lost it", "Context: I lost it all"]
    states = lm.capture(prompts)
    for row, ids in enumerate(lm.encode(prompts)):
        truth = reference.activation(lm.model, ids, "resid_post", 3)
        assert torch.allclose(states.at("resid_post", 3)[row], truth, rtol=1e-4, atol=1e-4)


def test_errors(lm):
    with pytest.raises(LayerError, match="layer 9"):
        lm.capture(PROMPTS, layers=(9,))
    with pytest.raises(PromptError, match="position -30 lies outside prompt 2"):
        lm.capture(PROMPTS, positions=(-30,))
    with pytest.raises(PromptError, match="position 0"):
        lm.capture(PROMPTS, positions=(0,))


def test_common_prefix_leaves_every_prompt_its_own_tokens():
    assert common_prefix_length([(1, 2, 3, 4), (1, 2, 9)], keep=1) == 2
    assert common_prefix_length([(1, 2, 3), (1, 2, 3)], keep=1) == 2
    assert common_prefix_length([(1, 2, 3), (1, 2, 3)], keep=5) == 0
    assert common_prefix_length([(1, 2), (3, 2)], keep=1) == 0


def test_sequences_side_by_side_are_padded_on_the_right():
    encoded = [tuple(range(n)) for n in (3, 9, 4)]
    batch = padded(encoded, torch.device("cpu"))
    assert batch.lengths.tolist() == [3, 9, 4]
    for row, ids in enumerate(encoded):
        assert tuple(batch.ids[row, : len(ids)].tolist()) == ids
        assert set(batch.ids[row, len(ids) :].tolist()) <= {ids[-1]}


def test_prompts_end_to_end_leave_the_prefix_out_and_have_no_padding():
    encoded = [tuple(range(n)) for n in (3, 9, 4)]
    batch = end_to_end(encoded, 1, torch.device("cpu"))
    assert batch.ids.tolist() == [[1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]]
    assert batch.lengths.tolist() == [2, 8, 3]


@pytest.mark.parametrize("together", [padded, lambda ids, device: end_to_end(ids, 0, device)])
def test_a_batch_finds_the_tokens_of_every_prompt(together):
    encoded = [(7, 1, 5), (8, 3, 3, 4, 6), (2, 9)]
    batch = together(encoded, torch.device("cpu"))
    found = batch.at(batch.ids[..., None].float(), torch.tensor([[0, 1], [2, 4], [1, 0]]))
    assert found[..., 0].tolist() == [[7, 1], [3, 6], [9, 2]]


def test_longest_prompts_first_and_equal_ones_side_by_side():
    encoded = [(1, 2), (3,), (1, 2, 3), (4, 5), (1, 2)]
    assert longest_first(encoded) == [2, 0, 4, 3, 1]


def test_as_many_prompts_are_read_together_as_their_tokens_leave_room(lm, monkeypatch):
    monkeypatch.setattr("affectscope.engine.budget.CPU_TOKENS", 20)
    reader = PromptReader(lm.reader.access)
    encoded = [tuple(range(n)) for n in (9, 6, 4, 2, 1)]
    # room for two of the longest, 18 tokens
    assert reader.most_prompts(encoded, NOTHING) == 2
    assert reader.most_prompts(encoded[1:], NOTHING) == 4
    assert reader.most_prompts(encoded[:1] * 5, NOTHING) == 2


def test_never_more_prompts_together_than_asked(lm):
    reader = PromptReader(lm.reader.access, budget=Budget(asked=2))
    encoded = [tuple(range(n)) for n in (9, 4, 2, 1)]
    assert reader.most_prompts(encoded, NOTHING) == 2
    assert reader.most_prompts(encoded[3:], NOTHING) == 1
    assert PromptReader(lm.reader.access, plain=True).most_prompts(encoded, NOTHING) == 1
