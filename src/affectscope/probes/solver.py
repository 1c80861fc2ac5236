"""Fits many linear probes on the same activations together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from affectscope.probes.lbfgs import HISTORY, Minimum, minimise
from affectscope.probes.objective import CommonScale, Objective

TOLERANCE = 1e-4
"""Largest entry of the gradient at which a probe is done; scikit-learn's."""

ITERATIONS = 500

MOST_NUMBERS = 2**27
"""About so many numbers are held for the probes that are solved together."""


@dataclass(frozen=True)
class LinearProbes:
    """Fitted probes; ``x @ weight[k] + bias[k]`` are the scores of probe k."""

    weight: Float[Tensor, "probe d label"]
    """In the units of the activations, not standardised."""
    bias: Float[Tensor, "probe label"]
    """Minus infinity for a label that the probe never saw."""
    converged: Bool[Tensor, " probe"]
    iterations: Int[Tensor, " probe"]

    def scores(self, X: Float[Tensor, "item d"]) -> Float[Tensor, "probe item label"]:
        """Logits of every item by every probe."""
        return X.to(self.weight) @ self.weight + self.bias[:, None]

    def only(self, chosen: Int[Tensor, " some"]) -> LinearProbes:
        """Some of the probes."""
        return LinearProbes(
            self.weight[chosen],
            self.bias[chosen],
            self.converged[chosen],
            self.iterations[chosen],
        )


def fit_probes(
    X: Float[Tensor, "item d"] | CommonScale,
    y: Int[Tensor, "probe item"],
    train: Bool[Tensor, "probe item"],
    C: Float[Tensor, " probe"],
    *,
    n_labels: int,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
    start: LinearProbes | None = None,
) -> LinearProbes:
    """Fit every probe to its training items.

    What is found depends on the start, and on which probes are fitted together, only within the
    tolerance.

    Args:
        X: Activations; the type and the device of the work are theirs. Those of
            :func:`common_scale` where several calls share them.
        y: Labels from 0, for each probe.
        train: Which items each probe is fitted to; at least one.
        C: Inverse strength of each probe's penalty.
        n_labels: How many labels there are.
        tolerance: Largest entry of the gradient at the end.
        iterations: Most iterations.
        start: Probes to begin from, such as those of another penalty; from zero when absent.

    Raises:
        ValueError: A probe without training items, or activations that are not finite numbers.
    """
    if not bool(train.any(dim=1).all()):
        raise ValueError("a probe needs at least one training item")
    scale = X if isinstance(X, CommonScale) else common_scale(X)
    n_items, d = scale.Z.shape
    together = max(1, MOST_NUMBERS // (n_labels * max(n_items, (3 * HISTORY + 8) * d)))
    parts = []
    for some in torch.split(torch.arange(len(C), device=scale.Z.device), together):
        objective = Objective.of(scale, y[some], train[some], C[some], n_labels)
        if start is None:
            first = scale.Z.new_zeros(len(some), n_labels, d + 1)
        else:
            first = objective.standardised(start.weight[some], start.bias[some])
        found = minimise(objective, first, tolerance=tolerance, iterations=iterations)
        parts.append(_probes(objective, found))
    return LinearProbes(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.bias for part in parts]),
        torch.cat([part.converged for part in parts]),
        torch.cat([part.iterations for part in parts]),
    )


def common_scale(X: Float[Tensor, "item d"]) -> CommonScale:
    """What all probes on the same activations share, computed once.

    Raises:
        ValueError: The activations are not finite numbers.
    """
    if not bool(X.isfinite().all()):
        raise ValueError("the activations hold numbers that are not finite")
    return CommonScale.of(X)


def _probes(objective: Objective, found: Minimum) -> LinearProbes:
    weight, bias = objective.raw(found.at)
    return LinearProbes(weight, bias, found.converged, found.iterations)
