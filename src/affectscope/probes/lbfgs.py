"""L-BFGS for many small problems at once, each with a step and an end of its own.

The method is Nocedal's (1980, "Updating quasi-Newton matrices with limited storage"; Liu and
Nocedal 1989), begun from the objective's own metric instead of a multiple of the identity. The
metric is applied once an iteration, to the gradient: by linearity, what it makes of a change of
the gradient is the change of what it makes of the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from affectscope.probes.objective import Objective, Parameters, dot

HISTORY = 6
"""Steps that are remembered."""

_SUFFICIENT, _HALVINGS = 1e-4, 12
"""Of the line search: Armijo's share of the promised decrease, and how often a step is halved."""

_ROUNDING = 4e-7
"""Relative changes of the objective below this are rounding, and no reason to halve a step."""


@dataclass(frozen=True)
class Minimum:
    """Where the search ended."""

    at: Parameters
    converged: Bool[Tensor, " probe"]
    """Whether no entry of the gradient is above the tolerance."""
    iterations: Int[Tensor, " probe"]


def minimise(
    objective: Objective, start: Parameters, *, tolerance: float, iterations: int
) -> Minimum:
    """The minimum of every probe's objective.

    A probe that is done leaves the batch, so that its end does not depend on its company but for
    the rounding of products of another width.

    Args:
        objective: What to minimise; convex.
        start: Where to begin.
        tolerance: Largest entry of the gradient at which a probe is done.
        iterations: Most iterations.
    """
    n_probes = len(start)
    solution = start.clone()
    converged = torch.zeros(n_probes, dtype=torch.bool, device=start.device)
    done = torch.zeros(n_probes, dtype=torch.long, device=start.device)
    state = _State.at_start(objective, start)
    stuck = torch.zeros(n_probes, dtype=torch.bool, device=start.device)
    for iteration in range(iterations + 1):
        flat = state.gradient.abs().amax(dim=2).amax(dim=1) <= tolerance
        ended = flat | stuck
        if bool(ended.any()) or iteration == iterations:
            leaving = torch.ones_like(ended) if iteration == iterations else ended
            gone = state.index[leaving]
            solution[gone] = state.at[leaving]
            converged[gone] = flat[leaving]
            done[gone] = iteration
            rest = (~leaving).nonzero()[:, 0]
            if not len(rest):
                break
            objective, state = objective.only(rest), state.only(rest)
        stuck = _step(objective, state, _towards(state).neg_())
    return Minimum(solution, converged, done)


@dataclass
class _State:
    """Where the probes that are still on their way stand; axis 0 are probes."""

    index: Int[Tensor, " probe"]
    at: Parameters
    value: Float[Tensor, " probe"]
    gradient: Parameters
    preconditioned: Parameters
    """The metric times the gradient."""
    past: list[_Past] = field(default_factory=list)

    @staticmethod
    def at_start(objective: Objective, start: Parameters) -> _State:
        value, gradient = objective.value_and_gradient(start)
        index = torch.arange(len(start), device=start.device)
        return _State(index, start, value, gradient, objective.apply_metric(gradient))

    def only(self, chosen: Int[Tensor, " some"]) -> _State:
        """The state of some of the probes."""
        return _State(
            self.index[chosen],
            self.at[chosen],
            self.value[chosen],
            self.gradient[chosen],
            self.preconditioned[chosen],
            [past.only(chosen) for past in self.past],
        )


@dataclass(frozen=True)
class _Past:
    """One step that was taken."""

    step: Parameters
    change: Parameters
    """Of the gradient."""
    preconditioned: Parameters
    """The metric times the change."""
    inverse: Float[Tensor, " probe"]
    """One over step times change; 0 where the step is left out."""
    length: Float[Tensor, " probe"]
    """The metric's length by this step (Nocedal and Wright 2006, equation 7.20)."""

    @staticmethod
    def of(step: Parameters, change: Parameters, preconditioned: Parameters) -> _Past:
        product = dot(step, change)
        usable = product > 1e-12 * dot(change, change)
        length = product / dot(change, preconditioned)
        return _Past(
            step,
            change,
            preconditioned,
            torch.where(usable, 1 / product, torch.zeros_like(product)),
            torch.where(length.isfinite() & (length > 0), length, torch.ones_like(length)),
        )

    def only(self, chosen: Int[Tensor, " some"]) -> _Past:
        return _Past(
            self.step[chosen],
            self.change[chosen],
            self.preconditioned[chosen],
            self.inverse[chosen],
            self.length[chosen],
        )


def _towards(state: _State) -> Parameters:
    """L-BFGS's inverse Hessian times the gradient, by the two loops of Nocedal (1980)."""
    vector = state.gradient.clone() if state.past else state.gradient
    found = state.preconditioned.clone()
    shares = []
    for past in reversed(state.past):
        share = past.inverse * dot(past.step, vector)
        vector.addcmul_(past.change, share[:, None, None], value=-1)
        found.addcmul_(past.preconditioned, share[:, None, None], value=-1)
        shares.append(share)
    if state.past:
        found *= state.past[-1].length[:, None, None]
    for past, share in zip(state.past, reversed(shares), strict=True):
        rest = share - past.inverse * dot(past.change, found)
        found.addcmul_(past.step, rest[:, None, None])
    return found


def _step(objective: Objective, state: _State, direction: Parameters) -> Bool[Tensor, " probe"]:
    """Go along the directions, each as far as its objective falls; True where it cannot fall."""
    promised = dot(state.gradient, direction)
    length = torch.ones_like(promised)
    new = state.at + direction
    value, gradient = objective.value_and_gradient(new)
    for _ in range(_HALVINGS):
        allowed = state.value + _SUFFICIENT * length * promised + _ROUNDING * state.value.abs()
        failed = (~(value <= allowed)).nonzero()[:, 0]
        if not len(failed):
            break
        length[failed] /= 2
        new[failed] = state.at[failed] + length[failed][:, None, None] * direction[failed]
        value[failed], gradient[failed] = objective.only(failed).value_and_gradient(new[failed])
    else:
        failed = (~(value <= state.value)).nonzero()[:, 0]
        new[failed] = state.at[failed]
        value[failed], gradient[failed] = state.value[failed], state.gradient[failed]
    preconditioned = objective.apply_metric(gradient)
    step = new - state.at
    state.past.append(
        _Past.of(step, gradient - state.gradient, preconditioned - state.preconditioned)
    )
    del state.past[:-HISTORY]
    state.at, state.value = new, value
    state.gradient, state.preconditioned = gradient, preconditioned
    return step.abs().amax(dim=2).amax(dim=1) == 0
