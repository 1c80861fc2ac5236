"""Where a model's parts are: the engine's only view of a Hugging Face model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affectscope.errors import InterventionError, LayerError, ModelError, PromptError
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

    def check_site(self, site: str) -> None:
        """Raise :class:`InterventionError` for a site that is not in the map."""
        if site not in self.sites:
            raise InterventionError(
                f"there is no site {site!r}",
                expected=f"one of {', '.join(self.sites)}",
                remedy="name one of these sites",
            )

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
        of a vocabulary of 50,000 nearly free; and they are multiplied in float32, since 16 bits
        would round logits to steps that tie labels.

        Raises:
            ModelError: When a logit is not a finite number.
        """
        if token_ids is None:
            logits: Tensor = self.unembedding(hidden).float()
        else:
            weight = self.unembedding.get_parameter("weight")
            rows = _known_tokens(token_ids, len(weight)).to(weight.device)
            bias = getattr(self.unembedding, "bias", None)
            logits = nn.functional.linear(
                hidden.float(), weight[rows].float(), None if bias is None else bias[rows].float()
            )
        if not bool(logits.isfinite().all()):
            raise ModelError(
                f"the model's logits are not finite numbers (in {self.dtype})",
                expected="finite logits",
                remedy="try --dtype float32; if that does not help, the weights are damaged",
            )
        return logits

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


def _known_tokens(token_ids: Sequence[int], vocabulary: int) -> Tensor:
    rows = torch.as_tensor(list(token_ids), dtype=torch.long)
    if not len(rows) or int(rows.min()) < 0 or int(rows.max()) >= vocabulary:
        raise PromptError(
            f"the token ids {list(token_ids)} cannot be scored",
            expected=f"at least one, each from 0 to {vocabulary - 1}",
            remedy="take them from the tokenizer, or from EmotionTask.label_ids",
        )
    return rows


def _as_forward_hook(function: HookFunction) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            edited = function(output[0])
            return None if edited is None else (edited, *output[1:])
        return function(output)

    return hook
