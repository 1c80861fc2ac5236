"""Linear readouts of activations while interventions run: what an edit does on its way.

A readout is an edit that changes nothing: it sees the activation where it stands, after the edits
of the same place, and keeps ``activation @ weights + bias``. So it goes wherever edits go
(branches, chains, full passes), and only what was asked for is kept, not the activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine.interventions import ActivationEdit, Intervention, Where
from affectscope.errors import InterventionError
from affectscope.vocabulary import Site


@dataclass(frozen=True, eq=False)
class Readout:
    """What to read, and where.

    Args:
        site: Which activation of the block.
        layer: Which block, from 0.
        weights: ``[target, d_model]``.
        bias: ``[target]``; 0 when absent.
        position: Which token, counted from the end.
    """

    site: Site
    layer: int
    weights: Float[Tensor, "target d_model"]
    bias: Float[Tensor, " target"] | None = None
    position: int = field(default=-1, kw_only=True)

    @property
    def n_targets(self) -> int:
        """How many numbers it reads."""
        return len(self.weights)

    def check(self, d_model: int) -> None:
        """Raise :class:`InterventionError` when its shapes do not fit the model."""
        right = self.weights.ndim == 2 and self.weights.shape[1] == d_model
        if not right or (self.bias is not None and self.bias.shape != (len(self.weights),)):
            bias = "none" if self.bias is None else list(self.bias.shape)
            raise InterventionError(
                f"a readout with weights of shape {list(self.weights.shape)} and bias {bias}",
                expected=f"[target, d_model] with d_model = {d_model}, and [target] or none",
                remedy="give one row of weights, and one bias, for each target",
            )


@dataclass(frozen=True, eq=False)
class _Reading(ActivationEdit):
    """A readout of one intervention, as an edit that leaves the activation as it is."""

    readout: Readout = field(kw_only=True)
    into: Float[Tensor, "prompt target"] = field(kw_only=True)
    """Takes what is read."""

    def apply(
        self, activation: Float[Tensor, "row d_model"], where: Where
    ) -> Float[Tensor, "row d_model"]:
        """The activation, as it is."""
        weights = self.readout.weights.to(device=activation.device, dtype=torch.float32)
        read = (activation.float() @ weights.T).cpu()
        self.into[where.prompts.cpu()] = (
            read if self.readout.bias is None else read + self.readout.bias
        )
        return activation


def reads(edit: object) -> bool:
    """Whether an edit is a readout, which needs everything before it to have been computed."""
    return isinstance(edit, _Reading)


def with_readouts(
    interventions: Sequence[Intervention], readouts: Sequence[Readout], n_prompts: int
) -> tuple[list[Intervention], tuple[Float[Tensor, "prompt intervention target"], ...]]:
    """The interventions with the readouts behind their edits, and where what is read will stand."""
    taken = tuple(
        torch.full((n_prompts, len(interventions), readout.n_targets), torch.nan)
        for readout in readouts
    )
    extended = [
        Intervention(
            [
                *one.edits,
                *(
                    _Reading(
                        readout.site,
                        readout.layer,
                        position=readout.position,
                        readout=readout,
                        into=into[:, i],
                    )
                    for readout, into in zip(readouts, taken, strict=True)
                ),
            ],
            one.name,
        )
        for i, one in enumerate(interventions)
    ]
    return extended, taken
