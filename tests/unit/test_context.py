"""Up to which length a position is encoded the same, whatever else is in the pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import (
    BloomConfig,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhimoeConfig,
)
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding
from transformers.models.phimoe.modeling_phimoe import PhimoeRotaryEmbedding

from affectscope.models.context import constant_context

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 64,
    "initializer_range": 0.4,  # large, so that positions matter
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
THETA = {"rope_theta": 10_000.0}
FACTORS = {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 4.0, 8.0]}
LONGROPE = {"rope_type": "longrope", **FACTORS, **THETA}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, **THETA}
PLAIN = {"rope_type": "default", **THETA}


def llama(length: int = 24, **rope) -> LlamaConfig:
    return LlamaConfig(**SIZES, max_position_embeddings=length, rope_parameters=THETA | rope)


def gemma3(full: dict, sliding: dict) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        **SIZES,
        head_dim=8,
        max_position_embeddings=96,
        layer_types=["full_attention", "sliding_attention"],
        rope_parameters={"full_attention": full, "sliding_attention": sliding},
    )


def phi3(**options) -> Phi3Config:
    scaling = {"type": "longrope", **FACTORS}
    return Phi3Config(**SIZES, max_position_embeddings=96, rope_scaling=scaling, **options)


CHANGING = {
    "dynamic": (llama(**DYNAMIC), LlamaRotaryEmbedding, 24),
    "longrope": (
        llama(96, **LONGROPE, original_max_position_embeddings=24),
        LlamaRotaryEmbedding,
        24,
    ),
    "phi3": (phi3(original_max_position_embeddings=24), Phi3RotaryEmbedding, 24),
    "phimoe": (
        PhimoeConfig(
            **SIZES,
            max_position_embeddings=96,
            rope_parameters={
                **LONGROPE,
                "short_mscale": 1.1,
                "long_mscale": 1.3,
                "original_max_position_embeddings": 24,
            },
        ),
        PhimoeRotaryEmbedding,
        24,
    ),
    "one kind of layer": (
        gemma3(PLAIN, {**LONGROPE, "original_max_position_embeddings": 24}),
        partial(Gemma3RotaryEmbedding),
        24,
    ),
    "two kinds of layers": (
        gemma3(
            {**LONGROPE, "original_max_position_embeddings": 48},
            {**LONGROPE, "original_max_position_embeddings": 24},
        ),
        partial(Gemma3RotaryEmbedding),
        24,
    ),
}

CONSTANT = {
    "default": llama(),
    "linear": llama(rope_type="linear", factor=4.0),
    "yarn": llama(96, rope_type="yarn", factor=4.0, original_max_position_embeddings=24),
    "llama3": llama(
        96,
        rope_type="llama3",
        factor=4.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=24,
    ),
    "proportional": llama(rope_type="proportional", partial_rotary_factor=0.5),
}


def encoded(config, rotary: type, length: int, n_tokens: int) -> torch.Tensor:
    """cos and sin of the first ``n_tokens`` positions, in a pass of ``length`` tokens."""
    embedding = rotary(config)
    kinds = sorted(set(config.layer_types)) if isinstance(config, Gemma3TextConfig) else [None]
    values = []
    for kind in kinds:
        layer_type = {} if kind is None else {"layer_type": kind}
        values += embedding(torch.zeros(1), torch.arange(length)[None], **layer_type)
    return torch.stack([value[0, :n_tokens] for value in values])


@pytest.mark.parametrize("kind", list(CHANGING))
def test_positions_are_constant_up_to_there_and_not_beyond(kind: str) -> None:
    config, rotary, limit = CHANGING[kind]
    assert constant_context(config) == limit
    alone = encoded(config, rotary, 8, 8)
    for length in (9, limit - 1, limit):
        assert torch.equal(encoded(config, rotary, length, 8), alone), length
    for length in (limit + 1, limit + 20):
        assert not torch.allclose(encoded(config, rotary, length, 8), alone), length


@pytest.mark.parametrize("kind", list(CONSTANT))
def test_other_rotary_embeddings_never_change(kind: str) -> None:
    config = CONSTANT[kind]
    length = config.max_position_embeddings
    assert constant_context(config) == length
    alone = encoded(config, LlamaRotaryEmbedding, 8, 8)
    assert torch.equal(encoded(config, LlamaRotaryEmbedding, length, 8), alone)
    assert torch.equal(encoded(config, LlamaRotaryEmbedding, 2 * length, 8), alone)


@pytest.mark.parametrize(
    ("config", "model_class"),
    [
        (phi3(original_max_position_embeddings=24), Phi3ForCausalLM),
        (llama(**DYNAMIC), LlamaForCausalLM),
    ],
)
def test_a_longer_neighbour_changes_a_score_beyond_it_only(config, model_class) -> None:
    torch.manual_seed(0)
    model = model_class(config).eval()
    ids = torch.randint(3, 60, (2, 40))

    @torch.no_grad()
    def score(width: int) -> torch.Tensor:
        """After 8 tokens, in a batch padded to the length of its longer neighbour."""
        return model(ids[:, :width]).logits[0, 7]

    limit = constant_context(config)
    assert limit == 24
    torch.testing.assert_close(score(limit), score(8), rtol=0, atol=1e-5)
    assert float((score(limit + 1) - score(8)).abs().max()) > 1e-3


def test_learned_positions_end_where_they_end() -> None:
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=12)
    assert constant_context(config) == 12
    model = GPT2LMHeadModel(config).eval()
    model(torch.zeros(1, 12, dtype=torch.long))
    with pytest.raises(IndexError):
        model(torch.zeros(1, 13, dtype=torch.long))


def test_a_model_that_names_no_length() -> None:
    assert constant_context(BloomConfig(hidden_size=16, n_layer=1, n_head=2)) is None


def test_the_length_of_the_pretraining_may_be_left_to_the_models_own() -> None:
    assert constant_context(phi3(original_max_position_embeddings=96)) == 96
    assert constant_context(llama(48, **LONGROPE)) == 48
