"""What is said of models that the map of sites does not serve: why not, and what to add.

The engine rests on two facts. An edit at a token changes no earlier token (attention is causal),
so that what was computed before it can be kept; and a block adds to the residual stream what its
attention and its MLP put out, so that these are its sites. A model without them is refused here. A
model of a family that is merely not in the map gets an entry to add, found by running its first
block once and looking which of its modules' outputs add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from affectscope.engine import execution_device
from affectscope.errors import UnsupportedArchitectureError
from affectscope.vocabulary import Site

LAYER_TYPES = ("full_attention", "sliding_attention")
"""Kinds of blocks: attention to all earlier tokens, or to the nearest."""

UNKNOWN = "..."
"""Stands in an entry for what was not found."""

_TRIAL_TOKENS = 6
_DEPTH = 3  # levels of modules in a block that are looked at


def refuse_inexact(model: PreTrainedModel) -> None:
    """Raise :class:`UnsupportedArchitectureError` for what the engine cannot edit exactly."""
    for reason, expected, remedy in _obstacles(model):
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} cannot be used: {reason}", expected=expected, remedy=remedy
        )


def _obstacles(model: PreTrainedModel) -> Iterator[tuple[str, str, str]]:
    config = model.config
    causal = "a decoder in which no token sees a later one"
    another = "use another model, such as the default"
    if getattr(config, "is_encoder_decoder", False):
        yield "it is an encoder with a decoder", causal, another
    text = config.get_text_config()
    if text is not config:
        yield (
            f"it wraps a language model ({text.model_type}) together with parts for images or "
            "sound",
            "a model of text alone",
            "use a text model of that family; or save this one's language model by itself: make "
            "one with AutoModelForCausalLM.from_config(model.config.get_text_config()), load the "
            "weights into it and save it with the tokenizer",
        )
    if getattr(config, "use_bidirectional_attention", False) or not getattr(
        config, "is_causal", True
    ):
        yield "its attention is bidirectional: earlier tokens see later ones", causal, another
    if getattr(config, "add_cross_attention", False):
        yield (
            "its blocks have cross-attention, which adds to the residual stream beside attention "
            "and MLP",
            "blocks of attention and MLP",
            "use a model whose configuration has add_cross_attention off",
        )
    for name in ("logit_scale", "logits_scaling"):
        if getattr(config, name, None) not in (None, 1):
            yield (
                f"its logits are multiplied by a factor ({name})",
                "logits that are the unembedding of the last hidden state",
                another,
            )
    others = sorted(set(getattr(config, "layer_types", None) or ()) - set(LAYER_TYPES))
    if others:
        yield (
            f"some of its blocks are of another kind: {', '.join(others)}",
            f"{' and '.join(LAYER_TYPES)} only",
            another,
        )


def how_to_add(model: PreTrainedModel) -> str:
    """What to do for a model whose family is not in the map: an entry, and how to check it."""
    entry = suggest(model)
    name = getattr(model, "name_or_path", "") or "NAME"
    sites = ", ".join(f'"{site}": "{path}"' for site, path in entry.sites.items())
    gaps = (
        ""
        if entry.complete
        else (
            f' Fill in each "{UNKNOWN}": no two modules of a block were found whose outputs add up '
            "to what the block adds to the residual stream; if there are none (a factor in "
            "between, or another kind of block), the engine cannot serve the model."
        )
    )
    return (
        "use a model of one of these families; or add this entry, made by looking at the model's "
        f"modules, and load the model with strict=True, which checks it.{gaps}\n"
        "    from affectscope.models.architectures import Architecture, register_architecture\n"
        "    register_architecture(\n"
        f'        "{model.config.model_type}",\n'
        "        Architecture(\n"
        f'            backbone="{entry.backbone}",\n'
        f'            layers="{entry.layers}",\n'
        f'            final_norm="{entry.final_norm}",\n'
        f"            sites={{{sites}}},\n"
        f'            projection="{entry.projection}",\n'
        "        ),\n"
        "    )\n"
        "  For the command line, put the entry into the map in affectscope/models/architectures.py "
        f"and run `affectscope models check {name}`."
    )


@dataclass(frozen=True)
class Suggestion:
    """An entry of the map as far as it could be found; :data:`UNKNOWN` elsewhere."""

    backbone: str
    layers: str
    final_norm: str
    sites: dict[Site, str]
    projection: str

    @property
    def complete(self) -> bool:
        """Whether everything was found."""
        paths = (self.backbone, self.layers, self.final_norm, self.projection)
        return UNKNOWN not in (*paths, *self.sites.values())


def suggest(model: PreTrainedModel) -> Suggestion:
    """Look for a model's parts."""
    nothing: dict[Site, str] = {"attn_out": UNKNOWN, "mlp_out": UNKNOWN, "resid_post": ""}
    lists = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module)
    }
    if not lists:
        return Suggestion(UNKNOWN, UNKNOWN, UNKNOWN, nothing, UNKNOWN)
    # the blocks are the outermost of the longest lists
    path = max(lists, key=lambda path: (len(lists[path]), -path.count(".")))
    prefix = model.base_model_prefix
    parent, _, name = path.rpartition(".")
    backbone = prefix if prefix and path.startswith(f"{prefix}.") else parent
    inside = parent.removeprefix(backbone).lstrip(".")
    within = f"{inside}." if inside else ""
    norm = _norm_after(model.get_submodule(parent), name)
    found = _look_into(model, lists[path][0])
    return Suggestion(
        backbone=backbone,
        layers=within + name,
        final_norm=UNKNOWN if norm is None else within + norm,
        sites=nothing if found is None else found[0],
        projection=UNKNOWN if found is None else found[1],
    )


def _norm_after(parent: nn.Module, layers: str) -> str | None:
    """The norm that stands after the list of blocks among its neighbours."""
    names = [name for name, _ in parent.named_children()]
    later = names[names.index(layers) + 1 :]
    return next((name for name in later if _is_norm(parent.get_submodule(name))), None)


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


@dataclass(frozen=True)
class _Call:
    """What went into a module and came out, in one run."""

    path: str
    module: nn.Module
    given: Tensor | None
    made: Tensor

    @property
    def rank(self) -> tuple[bool, int]:
        """Of modules with the same output, the outermost that does something is the one to name."""
        return isinstance(self.module, nn.Dropout | nn.Identity), self.path.count(".")


def _look_into(model: PreTrainedModel, block: nn.Module) -> tuple[dict[Site, str], str] | None:
    """Sites and projection of a block; None when its modules do not add up."""
    calls = _calls_inside(model, block)
    if not calls or calls[-1].module is not block:
        return None
    whole, parts = calls[-1], calls[:-1]
    assert whole.given is not None
    gain = whole.made - whole.given
    pairs = [pair for pair in combinations(parts, 2) if _same(pair[0].made + pair[1].made, gain)]
    if not pairs:
        return None
    pair = min(pairs, key=lambda pair: sorted(call.rank for call in pair)[::-1])
    attention, mlp = sorted(pair, key=lambda call: "att" not in call.path)
    if "att" not in attention.path:
        return None
    sites: dict[Site, str] = {"attn_out": attention.path, "mlp_out": mlp.path, "resid_post": ""}
    origin = attention
    for site, call in (("attn_out_prenorm", attention), ("mlp_out_prenorm", mlp)):
        before = _made_by(parts, call.given) if _is_norm(call.module) else None
        if before is not None:
            sites[site] = before.path
            origin = before if call is attention else origin
    projection = _made_by(
        [call for call in parts if isinstance(call.module, nn.Linear | Conv1D)], origin.made
    )
    return sites, UNKNOWN if projection is None else projection.path


def _made_by(parts: list[_Call], value: Tensor | None) -> _Call | None:
    """The module that put out a value."""
    makers = [call for call in parts if value is not None and _same(call.made, value)]
    return min(makers, key=lambda call: call.rank, default=None)


def _same(a: Tensor, b: Tensor) -> bool:
    tolerance = 1e-4 if a.dtype == torch.float32 else 2e-2
    return bool((a.float() - b.float()).abs().max() <= tolerance * b.float().abs().max())


class _Recorder:
    """Keeps what a block and the modules in it, some levels deep, get and make in a run."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self._given: dict[str, Tensor] = {}

    def before(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, args: Any, kwargs: Any) -> None:
            given = _first_tensor((*args, kwargs.get("hidden_states")))
            if given is not None:
                self._given[path] = given.clone()  # a block may add to it in place

        return hook

    def after(self, path: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
            made, entered = _first_tensor(output), self._given.get("")
            if made is not None and entered is not None and made.shape == entered.shape:
                self.calls.append(_Call(path, module, self._given.get(path), made.clone()))

        return hook


@torch.no_grad()
def _calls_inside(model: PreTrainedModel, block: nn.Module) -> list[_Call]:
    """What happened in a block in one short run, in the order in which calls ended."""
    recorder = _Recorder()
    handles = []
    for path, module in block.named_modules():
        if path.count(".") < _DEPTH:
            handles.append(
                module.register_forward_pre_hook(recorder.before(path), with_kwargs=True)
            )
            handles.append(module.register_forward_hook(recorder.after(path), with_kwargs=True))
    device = execution_device(model.get_input_embeddings())
    try:
        model(input_ids=torch.arange(2, 2 + _TRIAL_TOKENS, device=device)[None], use_cache=False)
    except Exception:  # noqa: BLE001 - a foreign model's failure must not take the message's place
        return []
    finally:
        for handle in handles:
            handle.remove()
    return recorder.calls


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    return next((x for x in value if isinstance(x, Tensor)), None) if value else None
