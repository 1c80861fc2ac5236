"""Where a model's parts are: the engine's only view of a Hugging Face model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import align_module_device
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from affectscope.errors import InterventionError, LayerError, ModelError, PromptError
from affectscope.vocabulary import Site, head_of

HookFunction = Callable[[Tensor], Tensor | None]
"""Sees a site's activation ``[row, position, d_model]``; a returned tensor takes its place."""


@dataclass(frozen=True)
class ModelAccess:
    """The parts of one model, by the names of the house.

    A site's module is the one whose output *is* the site: what is added to the residual stream for
    ``attn_out`` and ``mlp_out``, the stream itself for ``resid_post``. A module that returns a
    tuple has the activation first. Heads have no module of their own: ``head_out[h]`` is the part
    of the output projection's result that comes from head h.
    """

    model: nn.Module
    """The Hugging Face model, untouched."""
    backbone: nn.Module
    """The decoder without the unembedding; its output's ``last_hidden_state`` is normalised."""
    unembedding: nn.Module
    """The linear map from the normalised residual stream to logits."""
    embedding: nn.Module
    """The token embedding."""
    final_norm: nn.Module
    """The norm between the last block and the unembedding."""
    sites: Mapping[Site, Sequence[nn.Module]]
    """One module per layer for every site but the heads."""
    projections: Sequence[nn.Module]
    """Attention's output projection of every layer: the heads' results side by side go in."""
    n_heads: int
    """Query heads of a layer."""
    d_model: int
    """Width of the residual stream."""
    logit_softcap: float | None = None
    """Logits are ``c tanh(logits / c)`` in families that cap them."""

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The transformer blocks."""
        return self.sites["resid_post"]

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        return execution_device(self.embedding)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the activations."""
        return next(self.embedding.parameters()).dtype

    def check_site(self, site: Site) -> None:
        """Raise :class:`InterventionError` for a site this model does not have."""
        head = head_of(site)
        if site in self.sites or (head is not None and head < self.n_heads):
            return
        raise InterventionError(
            f"there is no site {site!r} in this model",
            expected=f"one of {', '.join(self.sites)}, or head_out[h] with h from 0 to "
            f"{self.n_heads - 1}",
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
            logits: Tensor = self.unembedding(hidden.to(execution_device(self.unembedding))).float()
        else:
            with align_module_device(self.unembedding):
                weight = self.unembedding.get_parameter("weight")
                rows = _known_tokens(token_ids, len(weight)).to(weight.device)
                bias = getattr(self.unembedding, "bias", None)
                logits = nn.functional.linear(
                    hidden.to(weight.device).float(),
                    weight[rows].float(),
                    None if bias is None else bias[rows].float(),
                )
        if self.logit_softcap is not None:
            logits = self.logit_softcap * torch.tanh(logits / self.logit_softcap)
        if not bool(logits.isfinite().all()):
            raise ModelError(
                f"the model's logits are not finite numbers (in {self.dtype})",
                expected="finite logits",
                remedy="try --dtype float32; if that does not help, the weights are damaged",
            )
        return logits

    @contextmanager
    def hooks(
        self, functions: Mapping[tuple[int, Site], HookFunction], *, editing: bool = False
    ) -> Iterator[None]:
        """Run ``functions`` on the activations at (layer, site) while the context lasts.

        The hooks come off whatever happens inside.

        Args:
            functions: What to run, and where.
            editing: The functions may write into the activation they get, and return it.

        Raises:
            LayerError: For a layer the model does not have.
            InterventionError: For a site the model does not have.
        """
        handles = []
        try:
            for (layer, site), function in functions.items():
                self.check_layer(layer)
                self.check_site(site)
                head = head_of(site)
                if head is None:
                    module, hook = self.sites[site][layer], _as_forward_hook(function, editing)
                else:
                    module = self.projections[layer]
                    hook = _as_head_hook(function, head, self.n_heads)
                handles.append(module.register_forward_hook(hook))
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


def execution_device(module: nn.Module) -> torch.device:
    """Where a module computes, which for one that accelerate moves is not where its weights lie."""
    placed = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    if placed is not None:
        return torch.device(placed)
    return next(module.parameters()).device


def has_heads(access: ModelAccess) -> bool:
    """Whether heads can be told apart: not where the output projections are quantised, say."""
    return all(map(_has_plain_weights, access.projections))


def _has_plain_weights(projection: nn.Module) -> bool:
    return type(projection) in (nn.Linear, Conv1D)


def head_contribution(
    projection: nn.Module, inputs: Float[Tensor, "*rows d_heads"], head: int, n_heads: int
) -> Float[Tensor, "*rows d_model"]:
    """What one head adds to attention's output: its result times its part of the projection.

    Raises:
        InterventionError: For a projection whose weights are no plain matrix (quantised, say).
    """
    if not _has_plain_weights(projection):
        raise InterventionError(
            f"heads cannot be told apart in a {type(projection).__name__}",
            expected="an output projection of plain weights",
            remedy="leave head_out out, or load the model without quantisation",
        )
    width = inputs.shape[-1] // n_heads
    mine = slice(head * width, (head + 1) * width)
    with align_module_device(projection):
        weight = projection.get_parameter("weight")
        matrix = weight[mine].T if isinstance(projection, Conv1D) else weight[:, mine]
        return nn.functional.linear(inputs[..., mine], matrix)


def _as_head_hook(
    function: HookFunction, head: int, n_heads: int
) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        contribution = head_contribution(module, inputs[0].to(output.device), head, n_heads)
        edited = function(contribution.clone())
        return None if edited is None else output + (edited - contribution)

    return hook


def _as_forward_hook(function: HookFunction, editing: bool) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        activation = output[0] if isinstance(output, tuple) else output
        if editing and _shares_memory(activation, inputs):
            activation = activation.clone()
        edited = function(activation)
        if edited is None:
            return None
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    return hook


def _shares_memory(activation: Tensor, inputs: tuple[Any, ...]) -> bool:
    """Whether an output is one of the inputs, which others may still need as it is."""
    mine = activation.untyped_storage().data_ptr()
    return any(
        isinstance(given, Tensor) and given.untyped_storage().data_ptr() == mine for given in inputs
    )
