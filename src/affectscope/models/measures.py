"""What the self-check measures: how far the engine is from the plain model, and sums from terms.

Each function gives the largest difference that it finds; see :mod:`affectscope.models.self_check`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

from affectscope.engine import (
    Add,
    Edit,
    Intervention,
    ModelAccess,
    PromptReader,
    Replace,
    Zero,
    capture,
    has_heads,
    head_contribution,
    intervene,
)
from affectscope.vocabulary import head_site

N_LABELS = 16

NUDGES = 3
"""How often rounding is tried out."""


@torch.no_grad()
def own_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]], plain: Tensor) -> float:
    """How much the plain model's rounding moves its logits.

    The larger of two: three times what single prompts differ from an ordinary padded batch, and
    what they differ from themselves when every embedding is moved by one rounding step. In float32
    the tolerance stands by itself, so that a real fault cannot raise it.
    """
    if access.dtype == torch.float32:
        return 0.0
    width = max(map(len, encoded))
    ids = [[*tokens, *[tokens[-1]] * (width - len(tokens))] for tokens in encoded]
    mask = [[1] * len(tokens) + [0] * (width - len(tokens)) for tokens in encoded]
    logits = access.model(
        input_ids=torch.tensor(ids, device=access.device),
        attention_mask=torch.tensor(mask, device=access.device),
        use_cache=False,
    ).logits
    batched = torch.stack([logits[row, len(tokens) - 1] for row, tokens in enumerate(encoded)])
    nudged = [_nudged_logits(access, encoded, seed) for seed in range(NUDGES)]
    return max(3 * relative(batched, plain), *(relative(other, plain) for other in nudged))


def _nudged_logits(access: ModelAccess, encoded: Sequence[tuple[int, ...]], seed: int) -> Tensor:
    """The plain model's logits with every embedding moved up or down by one rounding step."""
    generator = torch.Generator().manual_seed(seed)

    def nudge(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        signs = 2 * torch.randint(0, 2, output.shape, generator=generator) - 1
        step = 1 + torch.finfo(output.dtype).eps * signs.to(output.device)
        return (output.float() * step).to(output.dtype)

    handle = access.embedding.register_forward_hook(nudge)
    try:
        return torch.stack([plain_logits(access, ids) for ids in encoded])
    finally:
        handle.remove()


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference in units of the reference's standard deviation."""
    a, b = a.float().cpu(), b.float().cpu()
    scale = b.std().clamp_min(torch.finfo(torch.float32).tiny)
    return float((a - b).abs().max() / scale)


@torch.no_grad()
def residual_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    """Largest violation of ``resid_post = input + attn_out + mlp_out`` over the layers."""
    ids = torch.tensor([encoded[-1]], device=access.device)
    inputs: dict[int, Tensor] = {}
    outputs: dict[tuple[int, str], Tensor] = {}
    handles = [
        block.register_forward_pre_hook(
            lambda _m, args, kwargs, i=i: inputs.__setitem__(
                i, (args[0] if args else kwargs["hidden_states"]).float().cpu()
            ),
            with_kwargs=True,
        )
        for i, block in enumerate(access.sites["resid_post"])
    ]

    def keep(place: tuple[int, str]) -> Callable[[Tensor], None]:
        return lambda activation: outputs.__setitem__(place, activation.float().cpu())

    places = [(layer, site) for layer in range(access.n_layers) for site in access.sites]
    try:
        with access.hooks({place: keep(place) for place in places}):
            access.backbone(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return max(
        _sum_difference(
            [inputs[layer], outputs[layer, "attn_out"], outputs[layer, "mlp_out"]],
            outputs[layer, "resid_post"],
        )
        for layer in range(access.n_layers)
    )


def _sum_difference(terms: Sequence[Tensor], total: Tensor) -> float:
    """Largest violation of a sum, element by element, relative to the size of its terms.

    So measured, rounding is a few steps of the dtype, however large single elements are.
    """
    summed = torch.stack([term.float() for term in terms])
    size = summed.abs().sum(dim=0) + total.float().std()
    return float(((summed.sum(dim=0) - total.float()).abs() / size).max())


@torch.no_grad()
def plain_logits(access: ModelAccess, ids: Sequence[int]) -> Tensor:
    """The Hugging Face model's own logits for a single prompt, nothing of ours involved."""
    tokens = torch.tensor([list(ids)], device=access.device)
    logits: Tensor = access.model(input_ids=tokens, use_cache=False).logits[0, -1]
    return logits.float().cpu()


def clean_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    """Largest difference of clean logits: the engine's batch against plain single prompts."""
    states = capture(PromptReader(access), encoded, sites=("resid_post",), layers=(0,))
    with torch.no_grad():
        ours = access.unembed(states.final.to(device=access.device, dtype=access.dtype))
    plain = torch.stack([plain_logits(access, ids) for ids in encoded])
    return relative(ours, plain)


@torch.no_grad()
def heads_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    """Largest violation of ``projection = bias + sum of the heads`` over the layers."""
    ids = torch.tensor([encoded[-1]], device=access.device)
    results: dict[int, tuple[Tensor, Tensor]] = {}

    def keep(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            results[layer] = (inputs[0], output)

        return hook

    handles = [
        projection.register_forward_hook(keep(layer))
        for layer, projection in enumerate(access.projections)
    ]
    try:
        access.backbone(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    largest = 0.0
    for layer, (inputs, output) in results.items():
        projection = access.projections[layer]
        heads = [
            head_contribution(projection, inputs, head, access.n_heads).float()
            for head in range(access.n_heads)
        ]
        with align_module_device(projection):
            bias = getattr(projection, "bias", None)
            terms = heads if bias is None else [*heads, bias.float().expand_as(heads[0])]
            largest = max(largest, _sum_difference(terms, output))
    return largest if len(results) == access.n_layers else float("nan")


def _trial_layers(access: ModelAccess) -> list[int]:
    return sorted({0, access.n_layers // 2, access.n_layers - 1})


def _trials(access: ModelAccess) -> list[Edit]:
    """Every site zeroed at the first, middle and last block; other edits at the middle one.

    Few, since each is a full pass of every prompt whenever a model is loaded. A fixed direction
    stands for any vector.
    """
    direction = torch.linspace(-1, 1, access.d_model)
    last = head_site(access.n_heads - 1)
    sites = [*access.sites, *([last] if has_heads(access) else [])]
    middle = access.n_layers // 2
    zeroed = [Zero(site, layer) for layer in _trial_layers(access) for site in sites]
    others = [
        edit
        for site in sites
        for edit in (
            Zero(site, middle, position=-2),
            Add(site, middle, vector=direction, coefficient=0.5),
        )
    ]
    return [*zeroed, *others]


def branch_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    """Largest difference of edited logits: branches against the engine's full passes."""
    interventions = [Intervention([edit]) for edit in _trials(access)]
    sweep, plain = PromptReader(access), PromptReader(access, plain=True)
    ours = intervene(sweep, encoded, interventions, label_ids=range(N_LABELS))
    full = intervene(plain, encoded, interventions, label_ids=range(N_LABELS))
    return max(relative(ours.logits, full.logits), relative(ours.clean, full.clean))


@torch.no_grad()
def edit_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    """Largest difference of edited logits: the engine's full passes against plain hooks."""
    ids = encoded[0]
    value = torch.linspace(-1, 1, access.d_model)
    places = [(site, layer) for layer in _trial_layers(access) for site in access.sites]
    replacements = (torch.zeros(access.d_model), value)
    edits = [
        edit
        for site, layer in places
        for edit in (Zero(site, layer), Replace(site, layer, value=value))
    ]
    ours = intervene(
        PromptReader(access, plain=True),
        [ids],
        [Intervention([edit]) for edit in edits],
        label_ids=range(N_LABELS),
    ).logits[0]
    plain = torch.stack(
        [
            _plainly_edited(access, ids, site, layer, replacement)[:N_LABELS]
            for site, layer in places
            for replacement in replacements
        ]
    )
    return max(relative(a, b) for a, b in zip(ours, plain, strict=True))


def _plainly_edited(
    access: ModelAccess, ids: Sequence[int], site: str, layer: int, replacement: Tensor
) -> Tensor:
    """The plain model's logits with one activation of the last token overwritten by a hook."""

    def overwrite(_module: object, _inputs: object, output: object) -> None:
        activation = output[0] if isinstance(output, tuple) else output
        assert isinstance(activation, Tensor)
        activation[0, -1] = replacement.to(device=activation.device, dtype=activation.dtype)

    handle = access.sites[site][layer].register_forward_hook(overwrite)
    try:
        return plain_logits(access, ids)
    finally:
        handle.remove()
