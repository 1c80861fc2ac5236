"""Fixtures: tiny random models built from configurations, and shape checks of the numeric code."""

from __future__ import annotations

import os

# Workers side by side share the cores: said before torch is imported, and to every child process.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _workers)))

from jaxtyping import install_import_hook

# jaxtyping's shapes are checked under pytest only, in the packages where tensors are handled.
install_import_hook(
    [
        *(f"affectscope.engine.{name}" for name in ("batching", "capture", "reading", "sweep")),
        "affectscope.models.language_model",
        "affectscope.models.measures",
        "affectscope.models.self_check",
    ],
    "beartype.beartype",
)

import pytest
from hypothesis import settings
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from affectscope.models import LanguageModel
from tiny import WORDS, loaded, tiny_llama, word_tokenizer

# Speed is measured in benchmarks/; a test that fails on a busy machine says nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer(WORDS)


@pytest.fixture(scope="session")
def tiny_model(tokenizer) -> LlamaForCausalLM:
    return tiny_llama(len(tokenizer))


@pytest.fixture(scope="session")
def lm(tiny_model, tokenizer) -> LanguageModel:
    model = loaded(tiny_model, tokenizer)
    # A fault of the sweep would make the self-check fall back, and hide it from every other test.
    assert model.engine == "sweep", model.checks
    return model
