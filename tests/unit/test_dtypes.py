"""float32, bfloat16 and float16: saved, loaded, read and edited on a CPU.

In 16 bits no two ways to compute a score agree, so each is compared with the truth: the same
weights in float32. What the plain model is off by, one full pass a time, is the dtype's rounding;
the sweep may be off by no more than that and a margin for chance. On a CPU the plain model gives
the same bits in a batch as in single passes, so that difference, which is also taken, says little.
"""

from __future__ import annotations

import dataclasses
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.models import LanguageModel, load_model
from tiny import WORDS, tiny_variant, word_tokenizer

PREFIX = "What are the inferred emotions in the following contexts? Context:"
PROMPTS = [
    f"{PREFIX} I lost it. Answer:",
    f"{PREFIX} My friend came home late, and the train went early again. Answer:",
    f"{PREFIX} rain. Answer:",
    f"{PREFIX} You told me not to work all day long, then I found the money! Answer:",
    f"{PREFIX} I lost him. Answer:",
]
LABELS = list(range(2, 66))
DTYPES = ("float32", "bfloat16", "float16")
VARIANTS = ("llama", "gemma2", "gpt2")
MARGIN = 2.0
"""Chance lets one sum of roundings be larger than another; a fault is tens of times larger."""
EXACT = 1e-5
"""What float32 itself may be off by, where the reference is float32 too."""


def load(folder: Path, dtype: str) -> LanguageModel:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "float16 on a CPU")
        lm = load_model(str(folder), dtype=dtype, device="cpu", progress=lambda _line: None)
    # the sweep is measured here, also where the self-check finds it too far off
    return dataclasses.replace(lm, reader=eng.PromptReader(lm.reader.access))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model saved and loaded in a dtype, and the same weights in float32."""

    @cache
    def make(variant: str, dtype: str) -> SimpleNamespace:
        folder = tmp_path_factory.mktemp("tiny")
        tokenizer = word_tokenizer(WORDS)
        tiny_variant(variant, len(tokenizer)).to(getattr(torch, dtype)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return SimpleNamespace(lm=load(folder, dtype), truth=load(folder, "float32"))

    return make


def off(a: torch.Tensor, b: torch.Tensor) -> float:
    """Root of the mean squared difference."""
    return float((a.float() - b.float()).square().mean().sqrt())


def assert_within_rounding(
    ours: torch.Tensor,
    plain: torch.Tensor,
    truth: torch.Tensor,
    *,
    own: float = 0.0,
    margin: float = MARGIN,
) -> None:
    """``own`` is what the plain model differs by between a batch and single passes."""
    rounding = max(off(plain, truth), own, EXACT)
    assert off(ours, truth) <= margin * rounding
    assert off(ours, plain) <= margin * rounding
    assert rounding < 0.1 * float(truth.std()), "the numbers mean something"


@torch.no_grad()
def single_passes(lm: LanguageModel) -> torch.Tensor:
    return torch.stack(
        [lm.model(torch.tensor([ids])).logits[0, -1, LABELS].float() for ids in lm.encode(PROMPTS)]
    )


@torch.no_grad()
def batched_pass(lm: LanguageModel) -> torch.Tensor:
    encoded = lm.encode(PROMPTS)
    width = max(map(len, encoded))
    ids = torch.tensor([[*ids, *[ids[-1]] * (width - len(ids))] for ids in encoded])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in encoded])
    logits = lm.model(ids, attention_mask=mask).logits
    return torch.stack([logits[row, len(ids) - 1, LABELS] for row, ids in enumerate(encoded)])


def in_every_dtype(test):
    for mark in (
        pytest.mark.parametrize("dtype", DTYPES),
        pytest.mark.parametrize("variant", VARIANTS),
    ):
        test = mark(test)
    return test


@in_every_dtype
def test_a_model_is_held_in_its_dtype(pair, variant: str, dtype: str) -> None:
    lm = pair(variant, dtype).lm
    assert lm.describe()["dtype"] == dtype
    assert {weight.dtype for weight in lm.model.parameters()} == {getattr(torch, dtype)}
    assert lm.checks
    fatal = [check for check in lm.checks if not (check.passed or check.mended_by_full_passes)]
    assert not fatal


@in_every_dtype
def test_clean_scores(pair, variant: str, dtype: str) -> None:
    lm, exact = pair(variant, dtype).lm, pair(variant, dtype).truth
    plain, truth = single_passes(lm), single_passes(exact)
    own = off(batched_pass(lm), plain)
    assert_within_rounding(lm.score(PROMPTS, LABELS), plain, truth, own=own)
    swept = lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("mlp_out", 0)])], label_ids=LABELS)
    assert_within_rounding(swept.clean, plain, truth, own=own)


@in_every_dtype
def test_captured_activations(pair, variant: str, dtype: str) -> None:
    lm, exact = pair(variant, dtype).lm, pair(variant, dtype).truth
    places = [
        (site, layer)
        for layer in range(lm.n_layers)
        for site in ("attn_out", "mlp_out", "resid_post", "head_out[2]")
    ]
    states = lm.capture(PROMPTS, sites=("attn_out", "mlp_out", "resid_post", "head_out[2]"))
    assert states.tensor.dtype == torch.float32

    def one_by_one(model: LanguageModel) -> list[dict]:
        return [reference.activations(model.model, ids, places) for ids in model.encode(PROMPTS)]

    plain, truth = one_by_one(lm), one_by_one(exact)
    for site, layer in places:
        assert_within_rounding(
            states.at(site, layer),
            torch.stack([found[site, layer][-1] for found in plain]),
            torch.stack([found[site, layer][-1] for found in truth]),
            margin=3.0,  # few numbers, and there are many places
        )


@in_every_dtype
def test_scores_under_interventions(pair, variant: str, dtype: str) -> None:
    lm, exact = pair(variant, dtype).lm, pair(variant, dtype).truth
    vector = torch.linspace(-1, 1, lm.d_model)
    basis = torch.randn(2, lm.d_model, generator=torch.Generator().manual_seed(0))
    edits = {
        eng.Zero("attn_out", 0): ("attn_out", 0, -1, reference.zero()),
        eng.Zero("head_out[3]", 3): ("head_out[3]", 3, -1, reference.zero()),
        eng.Noise("mlp_out", 3, seed=1): ("mlp_out", 3, -1, reference.noise(1, "mlp_out", 3)),
        eng.Replace("resid_post", 2, value=vector): (
            "resid_post",
            2,
            -1,
            reference.replace(vector),
        ),
        eng.Add("attn_out", 3, vector=vector, coefficient=2.0): (
            "attn_out",
            3,
            -1,
            reference.add(vector, 2.0),
        ),
        eng.ProjectOut("resid_post", 1, basis=basis): (
            "resid_post",
            1,
            -1,
            reference.project_out(basis),
        ),
        eng.Replace("mlp_out", 1, value=vector, position=-2): (
            "mlp_out",
            1,
            -2,
            reference.replace(vector),
        ),
    }
    swept = lm.intervene(
        PROMPTS, [eng.Intervention([edit]) for edit in edits], label_ids=LABELS
    ).logits

    def full_passes(model: LanguageModel) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack(
                    [
                        reference.full_pass(model.model, ids, [edit], LABELS)
                        for edit in edits.values()
                    ]
                )
                for ids in model.encode(PROMPTS)
            ]
        )

    plain, truth = full_passes(lm), full_passes(exact)
    for column in range(len(edits)):
        assert_within_rounding(swept[:, column], plain[:, column], truth[:, column])
