"""Where a model's parts are: the engine's only view of a Hugging Face model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affectscope.errors import LayerError
from affectscope.vocabulary import Site

HookFunction = Callable[[Tensor], Tensor | None]
"""Sees a site's activation ``[row, position, d_model]``; a returned tensor takes its place."""


@dataclass(frozen=True)
class ModelAccess:
    """The parts of one model, by the names of the house.

    A site's module is the one whose output *is* the site: what is added to the residual stream for
    ``attn_out`` and ``mlp_out``, the stream itself for ``resid_post``. A module that returns a
    tuple has the activation first.
    """

    model: nn.Module
    """The Hugging Face model, untouched."""
    backbone: nn.Module
    """The decoder without the unembedding; its output's ``last_hidden_state`` is normalised."""
    unembedding: nn.Module
    """The linear map from the normalised residual stream to logits."""
    embedding: nn.Module
    """The token embedding, whose output is the residual stream before layer 0."""
    sites: Mapping[Site, Sequence[nn.Module]]
    """One module per layer for every site."""
    d_model: int
    """Width of the residual stream."""

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return len(self.sites["resid_post"])

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return next(self.embedding.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        return next(self.embedding.parameters()).dtype

    def check_layer(self, layer: int) -> None:
        """Raise :class:`LayerError` for a layer the model does not have."""
        if not 0 <= layer < self.n_layers:
            raise LayerError(
                f"layer {layer} does not exist in this model",
                expected=f"a layer from 0 to {self.n_layers - 1} (layers count from 0)",
                remedy="ask for one of these layers; `affectscope models check` lists them",
            )

    def unembed(
        self, hidden: Float[Tensor, "*rows d_model"], token_ids: Sequence[int] | None = None
    ) -> Float[Tensor, "*rows token"]:
        """Logits of some tokens (all when none are named), in float32.

        Only the asked rows of the unembedding are multiplied, which is what makes scoring 13 labels
        of a vocabulary of 50,000 nearly free.
        """
        if token_ids is None:
            logits: Tensor = self.unembedding(hidden)
            return logits.float()
        rows = torch.as_tensor(token_ids, device=hidden.device)
        weight = self.unembedding.get_parameter("weight")[rows]
        bias = getattr(self.unembedding, "bias", None)
        return nn.functional.linear(hidden, weight, None if bias is None else bias[rows]).float()

    @contextmanager
    def hooks(self, functions: Mapping[tuple[int, Site], HookFunction]) -> Iterator[None]:
        """Run ``functions`` on the activations at (layer, site) while the context lasts.

        The hooks come off whatever happens inside.
        """
        handles = []
        try:
            for (layer, site), function in functions.items():
                self.check_layer(layer)
                module = self.sites[site][layer]
                handles.append(module.register_forward_hook(_as_forward_hook(function)))
            yield
        finally:
            for handle in handles:
                handle.remove()


def _as_forward_hook(function: HookFunction) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            edited = function(output[0])
            return None if edited is None else (edited, *output[1:])
        return function(output)

    return hook
