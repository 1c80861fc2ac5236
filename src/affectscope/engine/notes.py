"""What a clean pass leaves for branches: states at the last tokens, and how blocks are called.

The backbone prepares position embeddings and options for its blocks. Branches run the blocks
themselves, so what was handed to them is noted on the way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affectscope.engine.access import ModelAccess
from affectscope.engine.batching import Batch
from affectscope.errors import ModelError


@dataclass(frozen=True)
class BlockCall:
    """What the backbone handed to a block besides the residual stream."""

    options: Mapping[str, Any]
    """What a branch needs of it, by the names of the block's own signature."""
    positions: tuple[Float[Tensor, "prompt kept d_position"], ...] = ()
    """The position embeddings at the last tokens; empty where blocks get none."""


@dataclass
class Notes:
    """What is noted of a pass, by layer; all tensors at the last tokens."""

    calls: dict[int, BlockCall] = field(default_factory=dict)
    streams: dict[int, Float[Tensor, "prompt kept d_model"]] = field(default_factory=dict)
    """The residual stream into each block; into the final norm under the number of layers."""
    mlp_out: dict[int, Float[Tensor, "prompt kept d_model"]] = field(default_factory=dict)


@contextmanager
def noting(access: ModelAccess, batch: Batch, keep: int) -> Iterator[Notes]:
    """Note what a pass over a batch leaves at the ``keep`` last tokens of every prompt."""
    notes = Notes()
    last = batch.lengths[:, None] + torch.arange(-keep, 0)
    seen: dict[int, tuple[Any, tuple[Tensor, ...]]] = {}  # most layers share position embeddings

    def note(layer: int, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        options = _by_name(block, args, kwargs)
        notes.streams[layer] = batch.at(options.pop("hidden_states"), last)
        given = options.pop("position_embeddings", None)
        if id(given) not in seen:
            seen[id(given)] = (given, _positions(given, batch, last))
        notes.calls[layer] = BlockCall(_for_branches(block, options), seen[id(given)][1])

    def note_end(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
        notes.streams[access.n_layers] = batch.at(args[0], last)

    def note_mlp(layer: int) -> Callable[[Tensor], None]:
        return lambda added: notes.mlp_out.__setitem__(layer, batch.at(added, last))

    handles = [
        block.register_forward_pre_hook(
            lambda module, args, kwargs, layer=layer: note(layer, module, args, kwargs),
            with_kwargs=True,
        )
        for layer, block in enumerate(access.blocks)
    ]
    handles.append(access.final_norm.register_forward_pre_hook(note_end))
    try:
        layers = range(access.n_layers)
        with access.hooks({(layer, "mlp_out"): note_mlp(layer) for layer in layers}):
            yield notes
    finally:
        for handle in handles:
            handle.remove()


def _by_name(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names = list(inspect.signature(block.forward).parameters)
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _positions(given: Any, batch: Batch, last: Tensor) -> tuple[Tensor, ...]:
    """Position embeddings (cosines and sines) at the last tokens of every prompt."""
    if given is None:
        return ()
    return tuple(batch.at(tensor.expand(len(batch.ids), -1, -1), last) for tensor in given)


_NOT_FOR_BRANCHES = frozenset(
    {
        "attention_mask",
        "position_ids",
        "cache_position",
        "past_key_values",
        "layer_past",
        "use_cache",
    }
)
"""What says where the prompts' tokens are, which for branches is another place."""


def _for_branches(block: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {name: value for name, value in options.items() if name not in _NOT_FOR_BRANCHES}
    unknown = [name for name, value in wanted.items() if isinstance(value, Tensor)]
    if unknown:
        raise ModelError(
            f"the blocks of this model ({type(block).__name__}) get {', '.join(unknown)}, which "
            "the sweep does not know how to hand to a branch",
            expected="the residual stream, a mask, positions and a cache",
            remedy="use full passes for this model",
        )
    return wanted
