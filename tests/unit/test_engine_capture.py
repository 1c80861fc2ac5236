"""``lm.capture`` against one plain full pass for each prompt."""

from __future__ import annotations

import random

import pytest
import torch

import reference
from affectscope.engine.batching import (
    common_prefix_length,
    first_batch,
    longest_first,
    make_batch,
)
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


def test_a_batch_is_padded_on_the_right_and_leaves_the_prefix_out():
    encoded = [tuple(range(n)) for n in (3, 9, 4)]
    batch = make_batch(encoded, 1, torch.device("cpu"))
    assert batch.lengths.tolist() == [2, 8, 3]
    for row, ids in enumerate(encoded):
        n = len(ids) - 1
        assert tuple(batch.ids[row, :n].tolist()) == ids[1:]
        assert set(batch.ids[row, n:].tolist()) <= {ids[-1]}


def test_longest_prompts_first_and_equal_ones_side_by_side():
    encoded = [(1, 2), (3,), (1, 2, 3), (4, 5), (1, 2)]
    assert longest_first(encoded) == [2, 0, 4, 3, 1]


def every_cut(n):
    if n == 0:
        return [()]
    return [(size, *rest) for size in range(1, n + 1) for rest in every_cut(n - size)]


def test_prompts_are_cut_into_the_cheapest_batches():
    """Against every way to cut them."""
    rng = random.Random(0)
    for _ in range(40):
        lengths = sorted((rng.randint(1, 30) for _ in range(8)), reverse=True)
        most, cost = rng.randint(1, 8), rng.choice([0, 5, 50])

        def tokens(sizes, lengths=lengths, cost=cost):
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            return sum(
                cost + size * lengths[start] for start, size in zip(starts, sizes, strict=True)
            )

        ways = [sizes for sizes in every_cut(8) if max(sizes) <= most]
        chosen, rest = [], list(lengths)
        while rest:
            chosen.append(first_batch(rest, most, cost))
            rest = rest[chosen[-1] :]
        assert tokens(chosen) == min(map(tokens, ways))
