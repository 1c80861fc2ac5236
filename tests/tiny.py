"""Tiny random models built from configurations, and a tokenizer of whole words."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from affectscope.models import LanguageModel, Pretrained, from_pretrained
from affectscope.vocabulary import EMOTIONS


def word_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """One token a word or punctuation mark; the space belongs to the word, as in byte-level BPE."""
    vocabulary = {"<unk>": 0, "</s>": 1}
    for word in words:
        for token in (word, f" {word}"):
            vocabulary.setdefault(token, len(vocabulary))
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]"), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", pad_token="</s>"
    )


WORDS = (
    "What are the inferred emotions in following contexts ? Context : . , ! ' Answer My first "
    "child was born dog died last week I you he she it a an and then train house rain work "
    "friend school money came went lost found saw told late early home again not way long day "
    "How does writer see missed bus parcel two days nothing broken We waited Then doctor who had "
    "slept out said that all tests were clear This happened " + " ".join(EMOTIONS)
).split()


def tiny_llama(vocab_size: int, *, seed: int = 0, n_layers: int = 4, **options) -> LlamaForCausalLM:
    """A random Llama with grouped queries; large weights, so that every part matters."""
    torch.manual_seed(seed)
    settings = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": False,
    }
    config = LlamaConfig(vocab_size=vocab_size, num_hidden_layers=n_layers, **(settings | options))
    return LlamaForCausalLM(config).eval().requires_grad_(False)


GROUPED = {"num_key_value_heads": 2}
# so that one kind of block follows another, in no simple rhythm
MIXED = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]
ROTARY_PART = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
UNTIED, TIED = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", GROUPED | UNTIED | {"attention_bias": True, "mlp_bias": True}),
    "llama, tied": ("llama", GROUPED | TIED),
    "mistral": ("mistral", GROUPED | UNTIED | {"sliding_window": None, "head_dim": 12}),
    "mistral, sliding": ("mistral", GROUPED | TIED | {"sliding_window": 6}),
    "gemma2": (
        "gemma2",
        GROUPED
        | TIED
        | {
            "head_dim": 12,
            "query_pre_attn_scalar": 9,
            "attention_bias": True,
            "sliding_window": 6,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 5.0,
        },
    ),
    "gemma2, uncapped": (
        "gemma2",
        GROUPED
        | UNTIED
        | {
            "head_dim": 8,
            "sliding_window": 5,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
        },
    ),
    "gemma3": (
        "gemma3_text",
        GROUPED
        | TIED
        | {"head_dim": 12, "query_pre_attn_scalar": 9, "sliding_window": 6, "layer_types": MIXED},
    ),
    "gemma3, capped": (
        "gemma3_text",
        GROUPED
        | UNTIED
        | {
            "head_dim": 8,
            "attention_bias": True,
            "sliding_window": 5,
            "final_logit_softcapping": 5.0,
        },
    ),
    "phi3": ("phi3", GROUPED | UNTIED | {"rope_parameters": ROTARY_PART}),
    "phi3, sliding": ("phi3", TIED | {"sliding_window": 6}),
    "olmo2": ("olmo2", GROUPED | UNTIED | {"attention_bias": True}),
    "olmo2, tied": ("olmo2", TIED),
    "qwen2": ("qwen2", GROUPED | UNTIED),
    "qwen2, sliding": (
        "qwen2",
        GROUPED | TIED | {"use_sliding_window": True, "sliding_window": 6, "layer_types": MIXED},
    ),
    "qwen3": ("qwen3", GROUPED | TIED | {"head_dim": 12, "attention_bias": True}),
    "qwen3, sliding": (
        "qwen3",
        GROUPED
        | UNTIED
        | {
            "head_dim": 8,
            "use_sliding_window": True,
            "sliding_window": 6,
            "max_window_layers": 2,
        },
    ),
    "gpt_neox": ("gpt_neox", UNTIED | {"use_parallel_residual": True}),
    "gpt_neox, sequential": ("gpt_neox", TIED | {"use_parallel_residual": False}),
    "gpt2": ("gpt2", TIED),
    "gpt2, scaled by layer": ("gpt2", UNTIED | {"scale_attn_by_inverse_layer_idx": True}),
}
"""Every family, in each form in which it behaves differently: its name and its settings."""


def tiny_family(
    model_type: str, vocab_size: int, *, seed: int = 0, n_layers: int = 4, **options: Any
) -> PreTrainedModel:
    """A random model of a family; weights, norms and biases large, so that every part matters."""
    torch.manual_seed(seed)
    gpt2 = {"n_embd": 32, "n_layer": n_layers, "n_head": 4, "n_positions": 512, "n_inner": 48}
    others = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": n_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
    special = {"pad_token_id": None, "bos_token_id": None, "eos_token_id": 1}
    sizes = gpt2 if model_type == "gpt2" else others
    config = AutoConfig.for_model(
        model_type, vocab_size=vocab_size, initializer_range=0.4, **sizes | special | options
    )
    # SDPA where the family can; Gemma 2, which caps attention's logits, gets "eager"
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # norms start at 1 (or 0, meaning 1), biases at 0
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


def tiny_variant(name: str, vocab_size: int, *, seed: int = 0) -> PreTrainedModel:
    """A random model of one of :data:`VARIANTS`."""
    model_type, options = VARIANTS[name]
    return tiny_family(model_type, vocab_size, seed=seed, **options)


def loaded(model, tokenizer) -> LanguageModel:
    """A model and tokenizer made in a test, as if they had been loaded."""
    return from_pretrained(
        Pretrained(
            model=model,
            tokenizer=tokenizer,
            name="tiny",
            path="memory",
            revision=None,
            sha256="0" * 64,
            dtype="float32",
            device="cpu",
            attn_implementation=model.config._attn_implementation,
        )
    )
