"""How fast the sweep is on a user's own model and machine, next to full passes.

The job is activation patching as in the experiment: every window of layers that fits, at every
site, each item once source and once target. Full passes are batched, with hooks, and score the same
label tokens; they run on a few interventions only, and all of them must agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from affectscope.engine import (
    Intervention,
    PromptReader,
    Replace,
    States,
    chain_length,
    common_prefix_length,
    score_full_passes,
    start_of,
)
from affectscope.errors import UsageError
from affectscope.models import LanguageModel
from affectscope.vocabulary import SITES

T = TypeVar("T")

SPAN = 3
"""Layers patched together, as in the paper."""

COMPARED = 6
"""Interventions that also run as full passes, spread over layers and sites."""


@dataclass(frozen=True)
class Speed:
    """What was measured; times are medians over the rounds."""

    prompts: int
    tokens_per_prompt: float
    shared_prefix: int
    """Tokens that all prompts begin with, read once."""
    interventions: int
    """Of each prompt."""
    clean_ms: float
    """Milliseconds of clean passes for each prompt."""
    sweep_ms: float
    """Milliseconds of the sweep for each intervention, without clean passes."""
    total_ms: float
    """Milliseconds for each intervention, clean passes included."""
    full_pass_ms: float
    """Milliseconds of a batched full pass for each intervention, clean passes left out."""
    ratio: float
    """How many times faster than full passes, clean passes included."""
    largest_difference: float
    """Of a label logit between the two."""
    product_rate: float
    """Floating-point operations a second of the machine's matrix products."""
    share: float
    """Of that rate, which the sweep's own arithmetic reaches."""


def measure_speed(
    lm: LanguageModel, prompts: Sequence[str], label_ids: Sequence[int], *, rounds: int = 3
) -> Speed:
    """Time the sweep and full passes, taking turns.

    Args:
        lm: The model.
        prompts: At least two.
        label_ids: Token ids to score.
        rounds: How often each is timed.

    Raises:
        UsageError: A model that runs on full passes, or has fewer layers than a window.
    """
    if lm.engine != "sweep" or lm.n_layers < SPAN or len(prompts) < 2:
        raise UsageError(
            f"the sweep cannot be timed on {lm.name}",
            expected=f"a model that passes its self-check, with {SPAN} layers or more, and two "
            "prompts or more",
            remedy=f"see `affectscope models check {lm.name}`",
        )
    clean, sweep, full, difference = [], [], [], 0.0
    for number in range(rounds + 1):
        remembering = lm.remembering(2**40)
        seconds, states = _timed(partial(remembering.capture, prompts))
        interventions = patches(lm, states)
        # the clean passes are remembered, so that this is the sweep alone
        sweep_seconds, swept = _timed(
            partial(remembering.intervene, prompts, interventions, label_ids=label_ids)
        )
        ours = swept.logits
        chosen = np.linspace(0, len(interventions) - 1, COMPARED).astype(int).tolist()
        few = [interventions[i] for i in chosen]
        full_seconds, theirs = _timed(partial(_by_full_passes, lm, prompts, few, label_ids))
        difference = max(difference, float((ours[:, chosen] - theirs).abs().max()))
        if number:  # the first round warms up
            clean.append(seconds / len(prompts))
            sweep.append(sweep_seconds / ours[..., 0].numel())
            full.append(full_seconds / theirs[..., 0].numel())
    encoded = lm.encode(prompts)
    k = len(interventions)
    total = [s + c / k for s, c in zip(sweep, clean, strict=True)]
    rate = product_rate(lm)
    operations = sum(sweep_operations(lm, interventions, len(ids)) for ids in encoded)
    return Speed(
        prompts=len(prompts),
        tokens_per_prompt=float(np.mean([len(ids) for ids in encoded])),
        shared_prefix=common_prefix_length(encoded, 1),
        interventions=k,
        clean_ms=1e3 * median(clean),
        sweep_ms=1e3 * median(sweep),
        total_ms=1e3 * median(total),
        full_pass_ms=1e3 * median(full),
        ratio=median(f / t for f, t in zip(full, total, strict=True)),
        largest_difference=difference,
        product_rate=rate,
        share=operations / (median(sweep) * k * len(prompts)) / rate,
    )


def patches(lm: LanguageModel, states: States) -> list[Intervention]:
    """Every window at every site; each prompt gets the states of the next one."""
    return [
        Intervention(
            [
                Replace(site, layer, value=states.at(site, layer).roll(-1, 0))
                for layer in range(first, first + SPAN)
            ],
            name=f"{site} {first}-{first + SPAN - 1}",
        )
        for site in SITES
        for first in range(lm.n_layers - SPAN + 1)
    ]


def sweep_operations(
    lm: LanguageModel, interventions: Sequence[Intervention], n_tokens: int
) -> float:
    """Arithmetic of the branches of one prompt, from the block where each starts.

    Two operations for each weight of a block's matrices, and four for each key and channel of the
    heads.
    """
    access = lm.reader.access
    total = 0.0
    for intervention in interventions:
        chain = chain_length(intervention) or n_tokens
        for layer in range(start_of(intervention).layer, lm.n_layers):
            weights = sum(p.numel() for p in access.blocks[layer].parameters() if p.ndim == 2)
            channels = lm.d_model  # of all heads together, about
            total += chain * (2 * weights + 4 * n_tokens * channels)
    return total


def product_rate(lm: LanguageModel, seconds: float = 0.5) -> float:
    """Operations a second of matrix products on the model's device: the best of several shapes."""
    access = lm.reader.access
    widest = max(max(p.shape) for p in access.blocks[0].parameters() if p.ndim == 2)
    best = 0.0
    for rows, inner, columns in ((1024, 1024, 1024), (1024, lm.d_model, widest)):
        left = torch.randn(rows, inner, device=access.device, dtype=access.dtype)
        right = torch.randn(inner, columns, device=access.device, dtype=access.dtype)
        end = time.perf_counter() + seconds / 2
        while time.perf_counter() < end:
            taken, _ = _timed(partial(torch.mm, left, right))
            best = max(best, 2 * rows * inner * columns / taken)
    return best


def _by_full_passes(
    lm: LanguageModel,
    prompts: Sequence[str],
    interventions: Sequence[Intervention],
    label_ids: Sequence[int],
) -> Tensor:
    encoded = lm.encode(prompts)
    logits = torch.empty(len(encoded), len(interventions), len(label_ids))
    score_full_passes(
        PromptReader(lm.reader.access, budget=lm.reader.budget),
        encoded,
        list(enumerate(interventions)),
        label_ids=label_ids,
        logits=logits,
        hits={},
    )
    return logits


def _timed(job: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what the job gave."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    result = job()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began, result
