"""One module for each way to do the job, each with a class `Bench`."""

from __future__ import annotations

import importlib

from benchmarks.answer import Tool
from benchmarks.model import ModelSource

NAMES = {
    "affectscope": "affectscope",
    "transformer_lens": "TransformerLens",
    "nnsight": "nnsight",
    "plain": "plain Hugging Face",
    "kept_past": "plain Hugging Face, keys and values kept",
    "paper": "the paper's procedure",
}
"""What each module is called in a table."""

PACKAGES = {
    "affectscope": "affectscope",
    "transformer_lens": "transformer-lens",
    "nnsight": "nnsight",
    "plain": "transformers",
    "kept_past": "transformers",
    "paper": "transformers",
}
"""The package whose version is told."""


def load_tool(name: str, source: ModelSource) -> Tool:
    """The tool of that name with its model."""
    return importlib.import_module(f"benchmarks.tools.{name}").Bench(source)
