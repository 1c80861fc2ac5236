"""The load-time self-check: does the engine see this model as it is?

Run on the user's own model, on a few short prompts. Each check compares the engine with the plain
Hugging Face model, or an identity of the residual stream. The tolerance depends on the dtype, and
is raised to three times what the plain model differs from itself between a batch and single
prompts: in 16 bits that rounding grows with depth, and is no fault of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from affectscope.engine import (
    Add,
    Edit,
    Intervention,
    ModelAccess,
    PromptReader,
    Replace,
    Zero,
    capture,
    encode_all,
    has_heads,
    head_contribution,
    intervene,
)
from affectscope.errors import ModelError
from affectscope.vocabulary import head_site

TEXTS = (
    "How does the writer see it? I missed the last bus home. Answer:",
    "How does the writer see it? The parcel came two days early and nothing was broken. Answer:",
    "How does the writer see it? We waited. Then the doctor, who had not slept, came out "
    "and said that all the tests were clear. Answer:",
)
"""Unequal lengths and a shared beginning: what the engine has to get right."""

TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest logit difference relative to the logits' standard deviation, by dtype."""

N_LABELS = 16


@dataclass(frozen=True)
class Check:
    """One question of the self-check."""

    name: str
    passed: bool
    value: float
    """The largest relative difference found."""
    tolerance: float
    """The largest that passes."""
    detail: str
    """What was compared."""
    mended_by_full_passes: bool = True
    """Whether plain full passes would be right all the same."""

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.detail}: difference {self.value:.2g}, "
            f"tolerance {self.tolerance:.2g}"
        )


def self_check(access: ModelAccess, tokenizer: PreTrainedTokenizerBase) -> list[Check]:
    """Check that the engine reads and edits the model as plain full passes do.

    Args:
        access: The model.
        tokenizer: Its tokenizer.

    Returns:
        The checks, passed or not; a difference that is not a number does not pass.
    """
    return check_encoded(access, encode_all(tokenizer, TEXTS))


def check_encoded(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> list[Check]:
    """The self-check on given prompts (token ids)."""
    base = TOLERANCES.get(access.dtype, 1e-1)
    questions: list[tuple[str, str, bool, Callable[[], float]]] = [
        (
            "residual stream",
            "each block's input plus attn_out plus mlp_out against resid_post",
            False,
            lambda: _residual_difference(access, encoded),
        ),
        (
            "heads",
            "the sum of head_out over the heads, plus the bias, against the output projection",
            False,
            lambda: _heads_difference(access, encoded),
        ),
        (
            "edits",
            "zeroing and replacing each site, the engine's full pass against plain hooks",
            False,
            lambda: _edit_difference(access, encoded),
        ),
        (
            "clean scores",
            "the engine's batch with shared prefix and padding against one plain pass per prompt",
            True,
            lambda: _clean_difference(access, encoded),
        ),
        (
            "branched scores",
            "branches of the last tokens against a full pass for each intervention",
            True,
            lambda: _branch_difference(access, encoded),
        ),
    ]
    if not has_heads(access):
        questions = [question for question in questions if question[0] != "heads"]
    plain = torch.stack([_plain_logits(access, ids) for ids in encoded])
    if not bool(plain.isfinite().all()):
        detail = f"the plain model's logits in {access.dtype} are finite numbers"
        return [Check("plain scores", False, float("nan"), base, detail, False)]
    tolerance = max(base, 3 * _own_difference(access, encoded, plain))
    checks = []
    for name, detail, mended, measure in questions:
        value, reason = _measured(measure)
        what = f"{detail} ({reason})" if reason else detail
        checks.append(Check(name, value <= tolerance, value, tolerance, what, mended))
    return checks


def _measured(measure: Callable[[], float]) -> tuple[float, str]:
    """What a check measures; not a number, with the reason, where the model cannot be run so."""
    try:
        return measure(), ""
    except ModelError as error:
        return float("nan"), error.message
    except Exception as error:  # noqa: BLE001 - a family's code may raise anything when run this way
        return float("nan"), f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


@torch.no_grad()
def _own_difference(
    access: ModelAccess, encoded: Sequence[tuple[int, ...]], plain: Tensor
) -> float:
    """How much the plain model differs between single prompts and an ordinary padded batch.

    In float32 the tolerance stands by itself, so that a real fault cannot raise it.
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
    return _relative(batched, plain)


def _relative(a: Tensor, b: Tensor) -> float:
    """Largest difference in units of the reference's standard deviation."""
    a, b = a.float().cpu(), b.float().cpu()
    scale = b.std().clamp_min(torch.finfo(torch.float32).tiny)
    return float((a - b).abs().max() / scale)


@torch.no_grad()
def _residual_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
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
        _relative(
            inputs[layer] + outputs[layer, "attn_out"] + outputs[layer, "mlp_out"],
            outputs[layer, "resid_post"],
        )
        for layer in range(access.n_layers)
    )


@torch.no_grad()
def _plain_logits(access: ModelAccess, ids: Sequence[int]) -> Tensor:
    """The Hugging Face model's own logits for a single prompt, nothing of ours involved."""
    tokens = torch.tensor([list(ids)], device=access.device)
    logits: Tensor = access.model(input_ids=tokens, use_cache=False).logits[0, -1]
    return logits.float().cpu()


def _clean_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    states = capture(PromptReader(access), encoded, sites=("resid_post",), layers=(0,))
    with torch.no_grad():
        ours = access.unembed(states.final.to(device=access.device, dtype=access.dtype))
    plain = torch.stack([_plain_logits(access, ids) for ids in encoded])
    return _relative(ours, plain)


@torch.no_grad()
def _heads_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
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
            total = sum(heads, torch.zeros_like(heads[0]))
            total = total if bias is None else total + bias.float()
        largest = max(largest, _relative(total, output))
    return largest if len(results) == access.n_layers else float("nan")


def _trial_layers(access: ModelAccess) -> list[int]:
    return sorted({0, access.n_layers // 2, access.n_layers - 1})


def _trials(access: ModelAccess) -> list[Edit]:
    """Edits at the first, middle and last block; a fixed direction stands for any vector."""
    direction = torch.linspace(-1, 1, access.d_model)
    last = head_site(access.n_heads - 1)
    sites = [*access.sites, *([last] if has_heads(access) else [])]
    return [
        edit
        for layer in _trial_layers(access)
        for site in sites
        for edit in (
            Zero(site, layer),
            Zero(site, layer, position=-2),
            Add(site, layer, vector=direction, coefficient=0.5),
        )
    ]


def _branch_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
    interventions = [Intervention([edit]) for edit in _trials(access)]
    sweep, plain = PromptReader(access), PromptReader(access, plain=True)
    ours = intervene(sweep, encoded, interventions, label_ids=range(N_LABELS))
    full = intervene(plain, encoded, interventions, label_ids=range(N_LABELS))
    return max(_relative(ours.logits, full.logits), _relative(ours.clean, full.clean))


@torch.no_grad()
def _edit_difference(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> float:
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
    return max(_relative(a, b) for a, b in zip(ours, plain, strict=True))


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
        return _plain_logits(access, ids)
    finally:
        handle.remove()
