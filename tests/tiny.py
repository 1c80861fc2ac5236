"""Tiny random models built from configurations, and a tokenizer of whole words."""

from __future__ import annotations

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

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
