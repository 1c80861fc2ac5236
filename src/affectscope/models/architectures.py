"""Where each model family keeps its parts: one entry a family.

To add a family, name the modules whose outputs *are* the sites (what is added to the residual
stream, after any post-norm), with :func:`register_architecture` or in the map below, and load a
model of that family with ``strict=True`` (``affectscope models check`` for an entry in the map):
the self-check proves or disproves the entry. Loading a model of a family that is not in the map
prints an entry to start from (:mod:`affectscope.models.unmapped`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn
from transformers import PreTrainedModel

from affectscope.engine import ModelAccess
from affectscope.errors import UnsupportedArchitectureError, UsageError
from affectscope.models.unmapped import how_to_add, refuse_inexact
from affectscope.vocabulary import PRENORM_SITES, SITES, Site


@dataclass(frozen=True)
class Architecture:
    """Attribute paths of a family's parts, from the Hugging Face causal language model."""

    backbone: str
    """The decoder without the unembedding."""
    layers: str
    """The list of transformer blocks, from the backbone."""
    final_norm: str
    """The norm after the last block, from the backbone."""
    sites: Mapping[Site, str]
    """The module that outputs each site, from the block; empty for the block itself."""
    projection: str
    """Attention's output projection, from the block."""


_PRE_NORMS = Architecture(
    backbone="model",
    layers="layers",
    final_norm="norm",
    sites={"attn_out": "self_attn", "mlp_out": "mlp", "resid_post": ""},
    projection="self_attn.o_proj",
)

# The block adds `post_norm(attention(...))`: attention's own output never meets the stream.
_POST_NORMS = Architecture(
    backbone="model",
    layers="layers",
    final_norm="norm",
    sites={
        "attn_out": "post_attention_layernorm",
        "mlp_out": "post_feedforward_layernorm",
        "resid_post": "",
        "attn_out_prenorm": "self_attn",
        "mlp_out_prenorm": "mlp",
    },
    projection="self_attn.o_proj",
)

_FAMILIES: dict[str, Architecture] = {
    "gemma2": _POST_NORMS,
    "gemma3_text": _POST_NORMS,
    "gpt2": Architecture(
        backbone="transformer",
        layers="h",
        final_norm="ln_f",
        sites={"attn_out": "attn", "mlp_out": "mlp", "resid_post": ""},
        projection="attn.c_proj",
    ),
    # With `use_parallel_residual` attention and MLP read the same stream, otherwise one after the
    # other: both ways, the block adds the outputs of these two modules.
    "gpt_neox": Architecture(
        backbone="gpt_neox",
        layers="layers",
        final_norm="final_layer_norm",
        sites={"attn_out": "attention", "mlp_out": "mlp", "resid_post": ""},
        projection="attention.dense",
    ),
    "llama": _PRE_NORMS,
    "mistral": _PRE_NORMS,
    "olmo2": _POST_NORMS,
    "phi3": _PRE_NORMS,
    "qwen2": _PRE_NORMS,
    "qwen3": _PRE_NORMS,
}

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(_FAMILIES)
"""By the ``model_type`` of the model's configuration; see :func:`register_architecture`."""


def register_architecture(model_type: str, architecture: Architecture) -> None:
    """Add a family to the map, for this process.

    Args:
        model_type: The family, as ``model.config.model_type`` gives it.
        architecture: Where the parts are.

    Raises:
        UsageError: For a family that the map has with other parts, or sites that are missing or
            unknown.
    """
    known = ARCHITECTURES.get(model_type)
    if known not in (None, architecture):
        raise UsageError(
            f"the model family {model_type!r} is in the map of sites, with other parts",
            expected=f"another family, or the parts that are there: {known}",
            remedy="correct its entry in affectscope/models/architectures.py, if that is wrong",
        )
    sites = architecture.sites
    missing = [site for site in SITES if site not in sites]
    unknown = [site for site in sites if site not in (*SITES, *PRENORM_SITES)]
    faults = {
        f"no {', '.join(missing)}": missing,
        f"unknown names: {', '.join(unknown)}": unknown,
        "resid_post is not the block itself": sites.get("resid_post"),
    }
    for fault in (name for name, found in faults.items() if found):
        raise UsageError(
            f"the sites of {model_type!r} are not right: {fault}",
            expected=f'{", ".join(SITES)}, the last being "", the block itself; and '
            f"{', '.join(PRENORM_SITES)} in a family with post-norms",
            remedy="name the module of each site; heads need none, they are found by `projection`",
        )
    _FAMILIES[model_type] = architecture


def access_for(model: PreTrainedModel) -> ModelAccess:
    """Find the parts of a model.

    Raises:
        UnsupportedArchitectureError: For a family that is not in the map, a model whose modules
            are not where the map says, or one that the engine cannot edit exactly.
    """
    refuse_inexact(model)
    architecture = ARCHITECTURES.get(model.config.model_type)
    if architecture is None:
        raise UnsupportedArchitectureError(
            f"the model family {model.config.model_type!r} ({type(model).__name__}) is not in the "
            "map of sites",
            expected=f"one of: {', '.join(sorted(ARCHITECTURES))}",
            remedy=how_to_add(model),
        )
    backbone = _part(model, model, architecture.backbone)
    layers = _part(model, backbone, architecture.layers)
    unembedding = model.get_output_embeddings()
    if not isinstance(layers, nn.ModuleList):
        raise _misfit(model, f"{architecture.layers!r} is no list of blocks")
    if unembedding is None:
        raise UnsupportedArchitectureError(
            f"{type(model).__name__} has no unembedding",
            expected="a causal language model, which gives logits of the next token",
            remedy="load it as one, with AutoModelForCausalLM",
        )
    return ModelAccess(
        model=model,
        backbone=backbone,
        unembedding=unembedding,
        embedding=model.get_input_embeddings(),
        final_norm=_part(model, backbone, architecture.final_norm),
        sites={
            site: [_part(model, layer, path) for layer in layers]
            for site, path in architecture.sites.items()
        },
        projections=[_part(model, layer, architecture.projection) for layer in layers],
        n_heads=_number(model, "num_attention_heads"),
        d_model=_number(model, "hidden_size"),
        logit_softcap=getattr(model.config, "final_logit_softcapping", None),
    )


def _part(model: PreTrainedModel, parent: nn.Module, path: str) -> nn.Module:
    """The module at a path of the map."""
    try:
        return parent.get_submodule(path)
    except AttributeError as error:
        raise _misfit(model, f"there is no {path!r} in its {type(parent).__name__}") from error


def _number(model: PreTrainedModel, name: str) -> int:
    """A number of the configuration that is one for all layers."""
    number = getattr(model.config, name, None)
    if not isinstance(number, int):
        raise _misfit(model, f"its configuration has no single {name}")
    return number


def _misfit(model: PreTrainedModel, reason: str) -> UnsupportedArchitectureError:
    family = model.config.model_type
    return UnsupportedArchitectureError(
        f"this {type(model).__name__} is not what the map of sites says of {family!r}: {reason}",
        expected=f"a causal language model of the family {family!r}",
        remedy="load it with AutoModelForCausalLM; or correct the family's entry in the map",
    )
