"""Naive references that share no code with the package.

Every counterfactual is one plain forward pass of one whole prompt through the Hugging Face model,
with one hook for each edit. Slow and obvious.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

SITE_INDEX = {"attn_out": 0, "mlp_out": 1, "resid_post": 2}

Change = Callable[[Tensor, Sequence[int]], Tensor]
"""Gets an activation [d_model] and the prompt's token ids; returns the new activation."""


def module_of(model, site: str, layer: int):
    """The module of a Llama-family model whose output is the site."""
    block = model.model.layers[layer]
    return {"attn_out": block.self_attn, "mlp_out": block.mlp, "resid_post": block}[site]


@torch.no_grad()
def full_pass(
    model,
    ids: Sequence[int],
    edits: Sequence[tuple[str, int, int, Change]],
    label_ids: Sequence[int],
) -> Tensor:
    """Label logits [label] after one full pass with edits (site, layer, position, change)."""
    handles = []
    for site, layer, position, change in edits:

        def hook(_module, _inputs, output, position=position, change=change):
            activation = output[0] if isinstance(output, tuple) else output
            activation[0, position] = change(activation[0, position].clone(), ids)
            return output

        handles.append(module_of(model, site, layer).register_forward_hook(hook))
    try:
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits[list(label_ids)].float()


@torch.no_grad()
def activation(model, ids: Sequence[int], site: str, layer: int, position: int = -1) -> Tensor:
    """One activation [d_model] of one prompt, from one full pass."""
    kept = []

    def hook(_module, _inputs, output):
        kept.append((output[0] if isinstance(output, tuple) else output)[0, position].clone())

    handle = module_of(model, site, layer).register_forward_hook(hook)
    try:
        model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    finally:
        handle.remove()
    return kept[0].float()


def zero() -> Change:
    """Zero ablation."""
    return lambda x, _ids: x * 0


def replace(value: Tensor) -> Change:
    """Activation patching."""
    return lambda _x, _ids: value


def add(vector: Tensor, coefficient: float) -> Change:
    """Steering."""
    return lambda x, _ids: x + coefficient * vector


def project_out(basis: Tensor) -> Change:
    """Erasure of the rows' span, by the pseudo-inverse."""
    projector = torch.linalg.pinv(basis.double()) @ basis.double()
    return lambda x, _ids: (x.double() - x.double() @ projector).to(x.dtype)


def noise(seed: int, site: str, layer: int, position: int = -1) -> Change:
    """Norm-matched Gaussian noise, drawn as the documentation of ``Noise`` says."""

    def change(x: Tensor, ids: Sequence[int]) -> Tensor:
        key = zlib.crc32(b"".join(int(i).to_bytes(8, "little") for i in ids))
        token = len(ids) + position
        rng = np.random.default_rng([seed, key, SITE_INDEX[site], layer, token])
        direction = rng.standard_normal(x.shape[-1])
        return torch.from_numpy(direction / np.sqrt((direction**2).sum())).to(x.dtype) * x.norm()

    return change


def log_softmax(x: np.ndarray) -> np.ndarray:
    """By definition."""
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
