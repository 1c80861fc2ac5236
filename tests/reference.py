"""Naive references that share no code with the package.

Every counterfactual is one plain forward pass of one whole prompt through the Hugging Face model,
with one hook for each edit. Slow and obvious.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Change = Callable[[Tensor, Sequence[int]], Tensor]
"""Gets an activation [d_model] and the prompt's token ids; returns the new activation."""

PlacedChange = tuple[str, int, int, Change]
"""Site, layer, position and change."""

NOISE_NUMBERS = {
    "attn_out": 0,
    "mlp_out": 1,
    "resid_post": 2,
    "attn_out_prenorm": 3,
    "mlp_out_prenorm": 4,
}
FIRST_HEAD_NUMBER = 16


def blocks_of(model):
    """The transformer blocks."""
    if model.config.model_type == "gpt2":
        return model.transformer.h
    return model.gpt_neox.layers if model.config.model_type == "gpt_neox" else model.model.layers


def attention_of(block):
    """The attention module of a block."""
    for name in ("self_attn", "attention", "attn"):
        if hasattr(block, name):
            return getattr(block, name)
    raise AssertionError(block)


def module_of(model, site: str, layer: int):
    """The module whose output is the site.

    Gemma 2, Gemma 3 and OLMo 2 put a norm between attention (or MLP) and the residual stream: what
    they add is the norm's output.
    """
    block = blocks_of(model)[layer]
    if site == "resid_post":
        return block
    part = attention_of(block) if site.startswith("attn") else block.mlp
    if model.config.model_type not in ("gemma2", "gemma3_text", "olmo2"):
        assert not site.endswith("_prenorm"), "there is no post-norm"
        return part
    if site.endswith("_prenorm"):
        return part
    first = site == "attn_out"
    return block.post_attention_layernorm if first else block.post_feedforward_layernorm


def projection_of(model, layer: int):
    """The linear map that mixes the heads' results."""
    attention = attention_of(blocks_of(model)[layer])
    for name in ("o_proj", "c_proj", "dense"):
        if hasattr(attention, name):
            return getattr(attention, name)
    raise AssertionError(attention)


def head_of(site: str) -> int | None:
    found = re.fullmatch(r"head_out\[(\d+)\]", site)
    return int(found[1]) if found else None


def head_slice(model, layer: int, head: int) -> tuple[slice, Tensor]:
    """Where a head's result lies in the projection's input, and its matrix [d_head, d_model]."""
    projection, n_heads = projection_of(model, layer), model.config.num_attention_heads
    # a linear layer keeps [out, in], GPT-2's Conv1D keeps [in, out]
    matrix = projection.weight.T if isinstance(projection, nn.Linear) else projection.weight
    width = matrix.shape[0] // n_heads
    mine = slice(head * width, (head + 1) * width)
    return mine, matrix[mine]


def _hook_for(model, edit: PlacedChange, row: int, ids: Sequence[int]):
    """The hook that does one edit in one row of the batch, on the model."""
    site, layer, position, change = edit
    head = head_of(site)
    if head is None:

        def hook(_module, _inputs, output):
            activation = output[0] if isinstance(output, tuple) else output
            activation[row, position] = change(activation[row, position].clone(), ids)
            return output

        return module_of(model, site, layer).register_forward_hook(hook)

    mine, matrix = head_slice(model, layer, head)
    if change is _ZERO:  # the head's result never reaches the projection

        def silence(_module, inputs):
            silenced = inputs[0].clone()
            silenced[row, position, mine] = 0
            return (silenced,)

        return projection_of(model, layer).register_forward_pre_hook(silence)

    def mix(_module, inputs, output):
        old = torch.einsum("i,ij->j", inputs[0][row, position, mine], matrix)
        output[row, position] += change(old.clone(), ids) - old
        return output

    return projection_of(model, layer).register_forward_hook(mix)


@torch.no_grad()
def full_passes(
    model,
    ids: Sequence[int],
    cases: Sequence[Sequence[PlacedChange]],
    label_ids: Sequence[int],
) -> Tensor:
    """Label logits [case, label]: one full pass of copies of the prompt, each with its edits."""
    handles = [
        _hook_for(model, edit, row, ids) for row, edits in enumerate(cases) for edit in edits
    ]
    try:
        tokens = torch.tensor([list(ids)] * len(cases))
        logits = model(input_ids=tokens, use_cache=False).logits[:, -1]
    finally:
        for handle in handles:
            handle.remove()
    return logits[:, list(label_ids)].float()


def full_pass(
    model, ids: Sequence[int], edits: Sequence[PlacedChange], label_ids: Sequence[int]
) -> Tensor:
    """Label logits [label] after one full pass with edits (site, layer, position, change)."""
    return full_passes(model, ids, [edits], label_ids)[0]


@torch.no_grad()
def activations(
    model, ids: Sequence[int], places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Tensor]:
    """Activations [token, d_model] of one prompt by (site, layer), from one full pass."""
    kept = {}

    def hook_for(site: str, layer: int):
        head = head_of(site)

        def hook(_module, inputs, output):
            if head is None:
                found = (output[0] if isinstance(output, tuple) else output)[0]
            else:
                mine, matrix = head_slice(model, layer, head)
                found = torch.einsum("ti,ij->tj", inputs[0][0, :, mine], matrix)
            kept[site, layer] = found.clone().float()

        module = module_of(model, site, layer) if head is None else projection_of(model, layer)
        return module.register_forward_hook(hook)

    handles = [hook_for(site, layer) for site, layer in places]
    try:
        model(input_ids=torch.tensor([list(ids)]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def activation(model, ids: Sequence[int], site: str, layer: int, position: int = -1) -> Tensor:
    """One activation [d_model] of one prompt, from one full pass."""
    return activations(model, ids, [(site, layer)])[site, layer][position]


@torch.no_grad()
def stream(model, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
    """The residual stream [token, d_model] of one prompt, at three places of every block.

    ``entry``, ``exit``, and ``middle``: what the first module of the MLP's branch gets, which is
    the stream after attention, unless the blocks are parallel (GPT-NeoX): there it is the entry's.
    """
    kept = {}

    def keep(place: str, layer: int):
        def hook(_module, args, kwargs):
            kept[place, layer] = (args[0] if args else kwargs["hidden_states"])[0].clone()

        return hook

    first_of_mlp_branch = {
        "gpt2": "ln_2",
        "gemma2": "pre_feedforward_layernorm",
        "gemma3_text": "pre_feedforward_layernorm",
        "olmo2": "mlp",  # no norm before it
    }.get(model.config.model_type, "post_attention_layernorm")
    handles = []
    for layer, block in enumerate(blocks_of(model)):
        entrance = getattr(block, first_of_mlp_branch)
        for place, module in (("entry", block), ("middle", entrance)):
            handles.append(module.register_forward_pre_hook(keep(place, layer), with_kwargs=True))
    after = activations(
        model, ids, [("resid_post", layer) for layer in range(len(blocks_of(model)))]
    )
    for handle in handles:
        handle.remove()
    return kept | {("exit", layer): value for (_, layer), value in after.items()}


def _ZERO(x: Tensor, _ids: Sequence[int]) -> Tensor:  # noqa: N802
    return x * 0


def zero() -> Change:
    """Zero ablation."""
    return _ZERO


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
    head = head_of(site)
    number = NOISE_NUMBERS[site] if head is None else FIRST_HEAD_NUMBER + head

    def change(x: Tensor, ids: Sequence[int]) -> Tensor:
        key = zlib.crc32(b"".join(int(i).to_bytes(8, "little") for i in ids))
        token = len(ids) + position
        rng = np.random.default_rng([seed, key, number, layer, token])
        direction = rng.standard_normal(x.shape[-1])
        return torch.from_numpy(direction / np.sqrt((direction**2).sum())).to(x.dtype) * x.norm()

    return change


def log_softmax(x: np.ndarray) -> np.ndarray:
    """By definition."""
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@torch.no_grad()
def attention_weights(model, ids: Sequence[int]) -> Tensor:
    """The weights [layer, head, query, key] that the model hands out, its attention eager."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        output = model(input_ids=torch.tensor([list(ids)]), use_cache=False, output_attentions=True)
    finally:
        model.set_attn_implementation(before)
    return torch.stack([layer[0] for layer in output.attentions]).float()


Knockout = tuple[int, int, Sequence[int], "Sequence[int] | None"]
"""Layer, attending token (from 0), blocked tokens (from 0), and heads (None for all)."""


@torch.no_grad()
def blocked_pass(
    model,
    ids: Sequence[int],
    knockouts: Sequence[Knockout],
    label_ids: Sequence[int],
    edits: Sequence[PlacedChange] = (),
) -> Tensor:
    """Label logits [label] when some tokens' attention to others is knocked out.

    Attention is eager, so that every layer gets a mask [prompt, 1, query, key] that is added to the
    scores; a hook before the attention module puts minus infinity into it.
    """

    def hook_for(knockout: Knockout):
        _, token, blocked, heads = knockout

        def hook(_module, args, kwargs):
            mask = kwargs["attention_mask"]
            mask = mask.repeat(1, model.config.num_attention_heads // mask.shape[1], 1, 1)
            for head in range(mask.shape[1]) if heads is None else heads:
                for key in blocked:
                    mask[0, head, token, key] = -torch.inf
            return args, {**kwargs, "attention_mask": mask}

        return hook

    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    handles = [
        attention_of(blocks_of(model)[knockout[0]]).register_forward_pre_hook(
            hook_for(knockout), with_kwargs=True
        )
        for knockout in knockouts
    ]
    handles += [_hook_for(model, edit, 0, ids) for edit in edits]
    try:
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
        model.set_attn_implementation(before)
    return logits[list(label_ids)].float()


@torch.no_grad()
def write_naively(
    model,
    ids: Sequence[int],
    n: int,
    added: dict[tuple[str, int], Tensor],
    *,
    steered: str,
    stop: Sequence[int] = (),
) -> list[int]:
    """The most probable tokens after a prompt, by one whole pass for each, without a cache.

    Args:
        model: A Hugging Face model.
        ids: The prompt.
        n: How many tokens at most.
        added: Vector to add, by site and layer.
        steered: ``last``, ``generated`` or ``all``.
        stop: Tokens that end the text.
    """
    written: list[int] = []
    while len(written) < n:
        logits = logits_when_steered(model, [*ids, *written], len(ids), added, steered)[-1]
        token = int(logits.argmax())
        if token in stop:
            break
        written.append(token)
    return written


@torch.no_grad()
def logits_when_steered(
    model, ids: Sequence[int], n_prompt: int, added: dict[tuple[str, int], Tensor], steered: str
) -> Tensor:
    """Logits ``[token, vocabulary]`` of one whole pass with vectors added at some tokens."""
    first = 0 if steered == "all" else n_prompt - 1
    end = n_prompt if steered == "last" else len(ids)
    handles = []
    for (site, layer), vector in added.items():

        def hook(module, inputs, output, vector=vector):
            activation = (output[0] if isinstance(output, tuple) else output).clone()
            activation[0, first:end] += vector
            return (activation, *output[1:]) if isinstance(output, tuple) else activation

        handles.append(module_of(model, site, layer).register_forward_hook(hook))
    try:
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        for handle in handles:
            handle.remove()
