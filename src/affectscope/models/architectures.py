"""Where each model family keeps its parts: one entry a family.

To add a family, name the modules whose outputs *are* the sites (what is added to the residual
stream, after any post-norm), then run ``affectscope models check`` on a model of that family: the
self-check proves or disproves the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn
from transformers import PreTrainedModel

from affectscope.engine import ModelAccess
from affectscope.errors import UnsupportedArchitectureError
from affectscope.vocabulary import Site


@dataclass(frozen=True)
class Architecture:
    """Attribute paths of a family's parts, from the Hugging Face causal language model."""

    backbone: str
    """The decoder without the unembedding."""
    layers: str
    """The list of transformer blocks, from the backbone."""
    sites: Mapping[Site, str]
    """The module that outputs each site, from the block; empty for the block itself."""


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "llama": Architecture(
            backbone="model",
            layers="layers",
            sites={"attn_out": "self_attn", "mlp_out": "mlp", "resid_post": ""},
        ),
    }
)
"""By the ``model_type`` of the model's configuration."""


def access_for(model: PreTrainedModel) -> ModelAccess:
    """Find the parts of a model.

    Raises:
        UnsupportedArchitectureError: For a family that is not in the map.
    """
    family = model.config.model_type
    architecture = ARCHITECTURES.get(family)
    if architecture is None:
        raise UnsupportedArchitectureError(
            f"the model family {family!r} ({type(model).__name__}) is not in the map of sites",
            expected=f"one of: {', '.join(sorted(ARCHITECTURES))}",
            remedy="use a Llama-family model, such as the default; or add an entry that names its "
            "blocks, attention and MLP modules to ARCHITECTURES "
            "in affectscope/models/architectures.py, then run `affectscope models check` on it",
        )
    backbone = model.get_submodule(architecture.backbone)
    layers = backbone.get_submodule(architecture.layers)
    assert isinstance(layers, nn.ModuleList)
    return ModelAccess(
        model=model,
        backbone=backbone,
        unembedding=model.get_output_embeddings(),
        embedding=model.get_input_embeddings(),
        sites={
            site: [layer.get_submodule(path) for layer in layers]
            for site, path in architecture.sites.items()
        },
        d_model=model.config.hidden_size,
    )
