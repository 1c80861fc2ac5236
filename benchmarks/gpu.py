"""The same table on a GPU, for random weights of the shape of Llama 3.1 8B in bfloat16."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.job import Job, patching_job
from benchmarks.measure import Comparison, compare, parts_of
from benchmarks.model import LLAMA_3_1_8B, ModelSource
from benchmarks.texts import Texts

NEEDED_BYTES = 24 * 2**30
"""Weights of 16 GB, and room for the passes."""


def why_not() -> str | None:
    """Why the section cannot be had; None when it can."""
    if not torch.cuda.is_available():
        return "no GPU could be had (torch.cuda.is_available() is false)"
    free = torch.cuda.mem_get_info()[0]
    if free < NEEDED_BYTES:
        return f"the GPU has {free / 2**30:.0f} GiB free, of {NEEDED_BYTES / 2**30:.0f} needed"
    return None


def gpu_source(folder: str, threads: int) -> ModelSource:
    """Random weights, drawn on the GPU."""
    return ModelSource(folder, "bfloat16", "cuda", threads, LLAMA_3_1_8B)


def random_model_table(
    source: ModelSource, texts: Texts, *, n_run: int, rounds: int, seed: int
) -> tuple[Job, Comparison]:
    """All tools, one at a time: several such models may not fit on one GPU.

    Token ids are the small model's: any will do for random weights.

    Returns:
        The job, and what was measured.
    """
    n_layers = source.config.num_hidden_layers
    job = patching_job(texts.prompts(16), texts.label_ids, n_layers=n_layers, n_targets=16)
    patches = parts_of(job, n_run, seed)
    return job, compare(source, job, patches, rounds=rounds, one_at_a_time=True)


def describe_gpu() -> dict[str, Any]:
    """What the GPU is."""
    return {"gpu": torch.cuda.get_device_name(), "torch_cuda": torch.version.cuda}
