"""Attention knock-out in full passes: the mask that an attention module gets is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from affectscope.engine.access import ModelAccess
from affectscope.errors import ModelError

_WITH_MASKS = ("eager", "sdpa")
"""Implementations of attention that take a mask over queries and keys."""


@dataclass(frozen=True)
class MaskedRow:
    """A knock-out in one sequence of a full pass."""

    owner: tuple[int, int]
    """Index of the intervention in the call, and of the edit in the intervention."""
    row: int
    """The sequence."""
    token: int
    """The attending token, from 0."""
    blocked: Bool[Tensor, " token"]
    """Whether each token of the sequence is blocked."""
    heads: tuple[int, ...] | None


@contextmanager
def masking(
    access: ModelAccess,
    rows: Mapping[int, Sequence[MaskedRow]],
    hits: dict[tuple[int, int], int],
) -> Iterator[None]:
    """Block attention in some layers while the context lasts.

    Args:
        access: The model.
        rows: What is blocked, by layer.
        hits: Counts the sequences in which something was.

    Raises:
        ModelError: The model's attention takes no mask over queries and keys.
    """
    handles = []
    try:
        for layer, masked in rows.items():
            module = _attention_module(access, layer)
            implementation = getattr(module.config, "_attn_implementation", None)
            if implementation not in _WITH_MASKS:
                raise _no_mask(f"attention by {implementation!r} takes no mask over tokens")
            hook = _hook(masked, access.n_heads, hits)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _no_mask(what: str) -> ModelError:
    return ModelError(
        what,
        expected=f"an attention mask, as with attn_implementation {' or '.join(_WITH_MASKS)}",
        remedy="load the model with attn_implementation='sdpa', or leave BlockAttention out",
    )


def _attention_module(access: ModelAccess, layer: int) -> nn.Module:
    """The module that has the output projection: the one that gets the mask."""
    projection = access.projections[layer]
    return next(
        module
        for module in access.blocks[layer].modules()
        if any(child is projection for child in module.children())
    )


def _hook(
    masked: Sequence[MaskedRow], n_heads: int, hits: dict[tuple[int, int], int]
) -> Callable[..., Any]:
    def hook(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        stream = args[0] if args else kwargs.get("hidden_states")
        if "attention_mask" not in kwargs or not isinstance(stream, Tensor):
            raise _no_mask(f"{type(module).__name__} is given no attention_mask by name")
        mask = _full_mask(kwargs["attention_mask"], stream, n_heads)
        unblocked = mask.clone()
        nothing = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        for item in masked:
            place = (item.row, slice(None), item.token, slice(len(item.blocked)))
            sees = unblocked[place] if mask.dtype == torch.bool else unblocked[place] == 0
            blocked = item.blocked.to(mask.device)
            hit = int(bool((sees & blocked).any()))
            hits[item.owner] = hits.get(item.owner, 0) + hit
            for head in item.heads or range(n_heads):
                mask[place][head].masked_fill_(blocked, nothing)
        return args, {**kwargs, "attention_mask": mask}

    return hook


def _full_mask(given: Tensor | None, stream: Tensor, n_heads: int) -> Tensor:
    """A mask of one's own, ``[row, head, query, key]``; none given means all earlier tokens."""
    n_rows, n_tokens = stream.shape[:2]
    if given is None:
        allowed = torch.ones(n_tokens, n_tokens, dtype=torch.bool, device=stream.device).tril()
        given = torch.zeros(allowed.shape, dtype=stream.dtype, device=stream.device)
        given = given.masked_fill_(~allowed, torch.finfo(stream.dtype).min)[None, None]
    return given[..., :n_tokens].expand(n_rows, n_heads, -1, -1).clone()
