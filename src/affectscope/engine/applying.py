"""Edits on their way into a pass: which rows each applies to, and that it was applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from affectscope.engine.interventions import ActivationEdit, Intervention, Where
from affectscope.engine.knockout import ATTENTION
from affectscope.errors import EditNeverFiredError
from affectscope.vocabulary import Site

Hits = dict[tuple[int, int], int]
"""How many activations were changed by (intervention, edit in it)."""


@dataclass(frozen=True)
class Application:
    """An edit, and where in the running batch it applies."""

    edit: ActivationEdit
    owner: tuple[int, int]
    """Index of the intervention in the call, and of the edit in the intervention."""
    index: tuple[Any, Any]
    """Picks the edited rows ``[row, d_model]`` out of ``[prompt, token, d_model]``."""
    where: Where


def edit_hooks(
    applications: Sequence[Application], hits: Hits
) -> dict[tuple[int, Site], Callable[[Tensor], Tensor]]:
    """One hook for every edited place, applying its edits in order, in place, and counting them."""
    places: dict[tuple[int, Site], list[Application]] = {}
    for application in applications:
        edit = application.edit
        places.setdefault((edit.layer, edit.site), []).append(application)

    def hook_at(here: list[Application]) -> Callable[[Tensor], Tensor]:
        def hook(activation: Tensor) -> Tensor:
            for a in here:
                new = a.edit.apply(activation[a.index], a.where)
                activation[a.index] = new
                hits[a.owner] = hits.get(a.owner, 0) + len(new)
            return activation

        return hook

    return {place: hook_at(here) for place, here in places.items()}


def add_hits(total: Hits, more: Mapping[tuple[int, int], int]) -> None:
    """Add the counts of a finished pass."""
    for owner, count in more.items():
        total[owner] = total.get(owner, 0) + count


def count_hits(
    interventions: Sequence[Intervention], hits: Mapping[tuple[int, int], int]
) -> Int[Tensor, " intervention"]:
    """How many activations each intervention changed.

    Raises:
        EditNeverFiredError: One of its edits changed none.
    """
    for i, intervention in enumerate(interventions):
        for j, edit in enumerate(intervention.edits):
            if not hits.get((i, j)):
                raise EditNeverFiredError(
                    f"edit {j} of intervention {intervention.name or i!r} "
                    f"({type(edit).__name__} at {edit.site}, layer {edit.layer}) never fired",
                    expected="every edit to change something in at least one prompt",
                    remedy="no prompt has a token among the blocked that is seen at that layer: "
                    "leave the edit out"
                    if edit.site == ATTENTION
                    else "the model did not call the module of that site; run "
                    "`affectscope models check` on it",
                )
    return torch.tensor(
        [sum(hits[i, j] for j in range(len(item.edits))) for i, item in enumerate(interventions)],
        dtype=torch.long,
    )
