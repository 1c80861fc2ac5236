"""What ``promote`` adds, where, and how much of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from affectscope.analyses.directions import DirectionKind
from affectscope.analyses.random_directions import RandomKind
from affectscope.analyses.windows import window
from affectscope.engine import Add, Intervention
from affectscope.errors import UsageError
from affectscope.vocabulary import Site

SITE: Site = "resid_post"
"""Where directions are fitted and added."""

CoefficientUnit = Literal["norm", "raw"]
"""What a coefficient is measured in: the residual stream's mean norm at the layer, or nothing."""


@dataclass(frozen=True)
class Arm:
    """One way of promoting, done for every emotion, coefficient and centre."""

    kind: DirectionKind
    unit: CoefficientUnit
    sign: int
    """+1 adds the direction, -1 takes it away."""

    @property
    def sense(self) -> str:
        """``up`` or ``down``."""
        return "up" if self.sign > 0 else "down"

    @property
    def names(self) -> dict[str, str]:
        """Its columns in the table of estimates."""
        return {"kind": self.kind, "unit": self.unit, "sense": self.sense}


ARMS: tuple[Arm, ...] = (
    Arm("means", "norm", +1),
    Arm("means", "norm", -1),
    Arm("probe", "norm", +1),
    Arm("probe", "raw", +1),
)
"""The first is the main one. The last is the paper's."""

MAIN = 0

RANDOM: tuple[RandomKind, ...] = ("isotropic", "covariance")
"""Random directions, in the order of their numbers in the observations."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Promotion:
    """One intervention."""

    arm: int
    """Index into :data:`ARMS`."""
    emotion: int
    """Index into the promoted emotions."""
    step: int
    """Index into the coefficients."""
    layer: int
    """The window's centre."""


@dataclass(frozen=True)
class Plan:
    """Everything that is added to each item."""

    emotions: tuple[str, ...]
    n_layers: int
    span: int
    coefficients: tuple[float, ...]
    """In units of the mean norm; ascending."""
    raw: tuple[float, ...]
    """The paper's, as many; ascending."""
    n_random: int

    def __post_init__(self) -> None:
        window(0, self.span, self.n_layers)
        for name, values in (("coefficients", self.coefficients), ("raw", self.raw)):
            if not values or list(values) != sorted(set(values)) or values[0] < 0:
                raise UsageError(
                    f"{name} {', '.join(f'{value:g}' for value in values) or 'none'}",
                    expected="one or more numbers from 0 on, ascending",
                    remedy="leave them out, or give some such as 0.05, 0.1, 0.2",
                )
        if len(self.coefficients) != len(self.raw):
            raise UsageError(
                f"{len(self.coefficients)} coefficients and {len(self.raw)} raw ones",
                expected="as many of both",
                remedy="give as many of one as of the other",
            )

    @property
    def step(self) -> int:
        """The coefficient at which the centre is chosen and random directions are added."""
        return len(self.coefficients) // 2

    @property
    def settings(self) -> dict[str, Any]:
        """All of it as JSON values, for the keys of units."""
        return {
            "emotions": list(self.emotions),
            "span": self.span,
            "coefficients": list(self.coefficients),
            "raw": list(self.raw),
            "random": self.n_random,
            "arms": [[arm.kind, arm.unit, arm.sign] for arm in ARMS],
        }

    def window(self, centre: int) -> list[int]:
        """The layers around a centre."""
        return window(centre, self.span, self.n_layers)

    def coefficient(self, one: Promotion) -> float:
        """How much of the direction is added, in the arm's unit, without the sign."""
        return (self.raw if ARMS[one.arm].unit == "raw" else self.coefficients)[one.step]

    def promotions(self) -> list[Promotion]:
        """All of them: arm by arm, emotion by emotion, coefficient by coefficient, by centre."""
        return [
            Promotion(*numbers)
            for numbers in product(
                range(len(ARMS)),
                range(len(self.emotions)),
                range(len(self.coefficients)),
                range(self.n_layers),
            )
        ]

    def choosing(self) -> list[Promotion]:
        """Those among which the centre is chosen: of the main arm, at the middle coefficient."""
        return [one for one in self.promotions() if (one.arm, one.step) == (MAIN, self.step)]


def added(
    layers: Sequence[int], scale: Callable[[int], float], vector: Callable[[int], Vectors]
) -> Intervention:
    """Adding to the last token's residual stream, at every layer of a window, a vector of its own.

    Args:
        layers: The window.
        scale: What multiplies the vector at a layer.
        vector: The vector at a layer, ``[d_model]``.
    """
    return Intervention(
        [
            Add(SITE, layer, vector=torch.from_numpy(vector(layer)), coefficient=scale(layer))
            for layer in layers
        ]
    )


def promotion(
    plan: Plan,
    one: Promotion,
    vectors: Callable[[DirectionKind, int], Vectors],
    norms: Sequence[float],
) -> Intervention:
    """A promotion as an intervention.

    Args:
        plan: The plan that it is of.
        one: Which.
        vectors: The directions of a kind at a layer, ``[emotion, d_model]``, each of length 1.
        norms: The residual stream's mean norm at every layer.
    """
    arm = ARMS[one.arm]
    c = arm.sign * plan.coefficient(one)
    return added(
        plan.window(one.layer),
        lambda layer: c * norms[layer] if arm.unit == "norm" else c,
        lambda layer: vectors(arm.kind, layer)[one.emotion],
    )
