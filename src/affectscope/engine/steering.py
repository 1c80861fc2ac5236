"""Vectors added while a model reads and writes, each row of a batch with vectors of its own.

A steering vector is added to a site's activation at some tokens (Turner et al. 2023, "Steering
language models with activation engineering"; Rimsky et al. 2024, "Steering Llama 2 via contrastive
activation addition"). Which tokens is counted from the prompt's last one, since that is the first
from which something is written:

- ``last``: it alone;
- ``generated``: it, and every token written after it, so that all that is written is written from a
  steered state;
- ``all``: the prompt's other tokens too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from affectscope.engine.access import ModelAccess
from affectscope.errors import EditNeverFiredError, InterventionError, UsageError
from affectscope.vectors import SteeringVector
from affectscope.vocabulary import Site

SteeredTokens = Literal["last", "generated", "all"]
"""Which tokens are steered."""

STEERED_TOKENS: tuple[SteeredTokens, ...] = get_args(SteeredTokens)


def check_steering(
    access: ModelAccess, steering: Sequence[Sequence[SteeringVector]], tokens: str
) -> None:
    """Refuse vectors that do not fit the model, before anything runs.

    Raises:
        InterventionError: A vector of another width, or a site that the model does not have.
        LayerError: A layer that the model does not have.
        UsageError: There is no such choice of tokens.
    """
    if tokens not in STEERED_TOKENS:
        raise UsageError(
            f"the steered tokens cannot be {tokens!r}",
            expected=f"one of {', '.join(STEERED_TOKENS)}",
            remedy="name one of these",
        )
    for vector in {id(v): v for row in steering for v in row}.values():
        access.check_site(vector.site)
        for layer in vector.layers:
            access.check_layer(layer)
        width = vector.directions.shape[1]
        if width != access.d_model:
            raise InterventionError(
                f"the steering vector {vector.name!r} is {width} wide",
                expected=f"d_model = {access.d_model}, the width of this model",
                remedy="use a vector that was made for this model",
            )


@dataclass(eq=False)
class RowSteering:
    """What is added to each row of one batch.

    Args:
        steering: The vectors of every row; none for a row that is left as it is.
    """

    steering: Sequence[Sequence[SteeringVector]]
    fired: dict[tuple[int, Site], int] = field(default_factory=dict, init=False)
    """How many activations were changed, by layer and site."""

    def added(self) -> dict[tuple[int, Site], Float[Tensor, "row d_model"]]:
        """The sum of what is added at each place, 0 in rows that nothing is added to."""
        places: dict[tuple[int, Site], Tensor] = {}
        for row, vectors in enumerate(self.steering):
            for vector in vectors:
                for layer, add in zip(vector.layers, vector.added(), strict=True):
                    place = layer, vector.site
                    if place not in places:
                        places[place] = torch.zeros(len(self.steering), len(add))
                    places[place][row] += add
        return places

    @contextmanager
    def on(
        self,
        access: ModelAccess,
        where: Callable[[tuple[int, Site], Tensor], Bool[Tensor, "row token"] | None],
    ) -> Iterator[None]:
        """Add the vectors while the context lasts.

        Args:
            access: The model.
            where: Which tokens of a pass are steered, told the place and its activation; all
                when None.

        Raises:
            EditNeverFiredError: A vector was added nowhere.
        """
        added = self.added()

        def hook_at(place: tuple[int, Site], vectors: Tensor) -> Callable[[Tensor], Tensor]:
            rows = vectors.any(dim=-1)
            known: dict[tuple[torch.device, torch.dtype], Tensor] = {}

            def hook(activation: Tensor) -> Tensor:
                kind = activation.device, activation.dtype
                if kind not in known:
                    known[kind] = vectors.to(device=kind[0], dtype=kind[1])[:, None]
                chosen = where(place, activation)
                add, n = known[kind], int(rows.sum()) * activation.shape[1]
                if chosen is not None:
                    add = add * chosen.to(activation.device)[..., None]
                    n = int((chosen & rows[:, None]).sum())
                self.fired[place] = self.fired.get(place, 0) + n
                return activation + add

            return hook

        with access.hooks({place: hook_at(place, vectors) for place, vectors in added.items()}):
            yield
        silent = [
            place for place, vectors in added.items() if vectors.any() and not self.fired.get(place)
        ]
        if silent:
            layer, site = silent[0]
            raise EditNeverFiredError(
                f"the steering vector at {site}, layer {layer} was never added",
                expected="every vector to change something",
                remedy="the model did not call the module of that site; run "
                "`affectscope models check` on it",
            )
