"""Fixtures: tiny random models built from configurations, and shape checks of the numeric code."""

from __future__ import annotations

import os
from pathlib import Path

from jaxtyping import install_import_hook

# jaxtyping's shapes are checked under pytest only, in the packages where tensors are handled.
install_import_hook(
    [
        *(f"affectscope.engine.{name}" for name in ("batching", "capture", "reading", "sweep")),
        "affectscope.models.language_model",
        "affectscope.models.self_check",
    ],
    "beartype.beartype",
)

import pytest
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from affectscope.models import LanguageModel
from commands import ROOT
from tiny import WORDS, loaded, tiny_llama, word_tokenizer

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer(WORDS)


@pytest.fixture(scope="session")
def tiny_model(tokenizer) -> LlamaForCausalLM:
    return tiny_llama(len(tokenizer))


@pytest.fixture(scope="session")
def lm(tiny_model, tokenizer) -> LanguageModel:
    return loaded(tiny_model, tokenizer)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the shared corpora, for tests that need them."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the shared corpora are not at {SHARED} (set AFFECTSCOPE_SHARED)")
    return SHARED
