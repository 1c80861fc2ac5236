"""Linear probes out of fold: multinomial logistic regression on standardised activations.

The paper's probe (Tak et al. 2025), but standardised inside the fold, with a penalty chosen inside
the fold, and evaluated out of fold, so that no item is predicted by a probe that saw it or its
author, nor by a penalty that was chosen with its help.

How the penalty is chosen: for the items of fold f, every penalty is tried on each other fold g, by
a probe trained on neither f nor g; the one with the least log-loss over all g is fitted to all
folds but f. The probe without f and g serves f and g alike: five folds need ten probes a penalty.
Penalties are tried from the strongest on, each begun where the one before ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from affectscope.probes.objective import CommonScale
from affectscope.probes.solver import TOLERANCE, LinearProbes, common_scale, fit_probes

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse strengths C that are tried. The paper's 1 is not: with hundreds of activations and some
hundred items it fits noise, is never chosen, and takes longest."""

_LEAST = 1e-6
"""Smallest probability that counts in a log-loss: a label that a probe never saw has none."""


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What probes predict of items that they never saw."""

    predicted: NDArray[np.str_]
    """The label of every item, ``[item]``."""
    C: NDArray[np.float64]
    """The inverse penalty chosen for every item's fold, ``[item]``."""
    converged: NDArray[np.bool_]
    """Whether the fit that predicts the item converged, ``[item]``."""


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """One multinomial logistic regression, fitted to all items."""

    labels: tuple[str, ...]
    """In alphabetical order."""
    weights: NDArray[np.float64]
    """``[label, d_model]``, in the units of the activations; their sum over labels is 0, since what
    is added to all labels' scores alike changes no answer."""
    bias: NDArray[np.float64]
    """``[label]``."""
    C: float
    """The inverse penalty chosen."""

    def scores(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits of activations ``[item, d_model]``, as ``[item, label]``."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.weights.T + self.bias)


def fit_linear(
    X: NDArray[np.float32],
    labels: Sequence[str],
    folds: NDArray[np.int64],
    *,
    penalties: Sequence[float] = PENALTIES,
    tolerance: float = TOLERANCE,
    device: str | torch.device = "cpu",
) -> FittedLinear:
    """Fit one probe to all items, its penalty chosen by cross-validation over the folds.

    Args:
        X: Activations ``[item, d_model]``.
        labels: Label of every item.
        folds: Fold of every item ``[item]``; with a single one the middle penalty is taken.
        penalties: Inverse strengths C to choose from.
        tolerance: When a fit is done, see :func:`affectscope.probes.solver.fit_probes`.
        device: Where to compute.
    """
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    activations = torch.as_tensor(X, device=device)
    work = _Work(
        activations,
        common_scale(activations),
        torch.as_tensor(codes, device=device)[None],
        torch.as_tensor(np.unique(folds, return_inverse=True)[1], device=device),
        n_labels=len(names),
        tolerance=tolerance,
    )
    C = work.choose_for_all(sorted(penalties))
    everything = torch.ones((1, len(activations)), dtype=torch.bool, device=activations.device)
    probe = work.fit([0], everything, torch.tensor([C], dtype=torch.float64))
    weights = probe.weight[0].T.double().cpu().numpy()
    bias = probe.bias[0].double().cpu().numpy()
    return FittedLinear(
        tuple(names.tolist()), weights - weights.mean(axis=0), bias - bias.mean(), C
    )


def probe_out_of_fold(
    X: NDArray[np.float32],
    labellings: Mapping[str, Sequence[str]],
    folds: NDArray[np.int64],
    *,
    penalties: Sequence[float] = PENALTIES,
    tolerance: float = TOLERANCE,
    device: str | torch.device = "cpu",
) -> dict[str, OutOfFold]:
    """Predict every item, under each of several labellings, by probes that saw none of its fold.

    Args:
        X: Activations ``[item, d_model]``.
        labellings: Labels of every item, by name: the emotions, and control labels.
        folds: Fold of every item ``[item]``.
        penalties: Inverse strengths C to choose from. With fewer than three folds there is nothing
            to choose on, and the middle one is taken.
        tolerance: When a fit is done, see :func:`affectscope.probes.solver.fit_probes`.
        device: Where to compute.
    """
    names = list(labellings)
    vocabulary = [np.unique(np.asarray(labellings[name], dtype=str)) for name in names]
    codes = np.stack(
        [
            np.searchsorted(labels, np.asarray(labellings[name], dtype=str))
            for name, labels in zip(names, vocabulary, strict=True)
        ]
    )
    activations = torch.as_tensor(X, device=device)
    work = _Work(
        activations,
        common_scale(activations),
        torch.as_tensor(codes, device=device),
        torch.as_tensor(np.unique(folds, return_inverse=True)[1], device=device),
        n_labels=max(map(len, vocabulary)),
        tolerance=tolerance,
    )
    chosen = work.choose(sorted(penalties))
    predicted, converged = work.predict(chosen)
    item_C = chosen[:, work.folds.cpu()].numpy()
    return {
        name: OutOfFold(
            vocabulary[k][predicted[k].cpu().numpy()], item_C[k], converged[k].cpu().numpy()
        )
        for k, name in enumerate(names)
    }


@dataclass(frozen=True)
class _Work:
    X: Float[Tensor, "item d"]
    scale: CommonScale
    y: Int[Tensor, "labelling item"]
    folds: Int[Tensor, " item"]
    n_labels: int
    tolerance: float

    @cached_property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    def choose(self, penalties: Sequence[float]) -> Float[Tensor, "labelling fold"]:
        """The penalty of every labelling and outer fold."""
        tried = torch.tensor(penalties, dtype=torch.float64)
        shape = (len(self.y), self.n_folds)
        if len(tried) == 1 or self.n_folds < 3:
            return tried[len(tried) // 2].expand(shape)
        pairs = list(combinations(range(self.n_folds), 2))
        plan = [(k, pair) for k in range(len(self.y)) for pair in pairs]
        train = torch.stack([(self.folds != f) & (self.folds != g) for _, (f, g) in plan])
        labelling = [k for k, _ in plan]
        losses = torch.zeros(*shape, len(tried), dtype=torch.float64)
        probes = None
        for column, C in enumerate(tried):
            probes = self.fit(labelling, train, C.expand(len(plan)), start=probes)
            loss = self._losses(probes, labelling)
            for row, (k, (f, g)) in enumerate(plan):
                losses[k, f, column] += loss[row, g]
                losses[k, g, column] += loss[row, f]
        return tried[losses.argmin(dim=-1)]

    def choose_for_all(self, penalties: Sequence[float]) -> float:
        """The penalty with which probes predict each fold best from the others, first labelling."""
        tried = torch.tensor(penalties, dtype=torch.float64)
        if len(tried) == 1 or self.n_folds < 2:
            return float(tried[len(tried) // 2])
        train = torch.stack([self.folds != fold for fold in range(self.n_folds)])
        labelling = [0] * self.n_folds
        losses, probes = [], None
        for C in tried:
            probes = self.fit(labelling, train, C.expand(self.n_folds), start=probes)
            losses.append(float(self._losses(probes, labelling).diagonal().sum()))
        return float(tried[int(np.argmin(losses))])

    def predict(
        self, chosen: Float[Tensor, "labelling fold"]
    ) -> tuple[Int[Tensor, "labelling item"], Bool[Tensor, "labelling item"]]:
        """The predicted label of every item, and whether the probe converged."""
        plan = [(k, fold) for k in range(len(self.y)) for fold in range(self.n_folds)]
        train = torch.stack([self.folds != fold for _, fold in plan])
        strengths = torch.stack([chosen[k, fold] for k, fold in plan])
        probes = self.fit([k for k, _ in plan], train, strengths)
        answers = probes.scores(self.X).argmax(dim=-1).view(*chosen.shape, -1)
        own = self.folds.expand(len(self.y), 1, -1)
        predicted = answers.gather(1, own)[:, 0]
        return predicted, probes.converged.view(chosen.shape)[:, self.folds]

    def _losses(
        self, probes: LinearProbes, labelling: Sequence[int]
    ) -> Float[Tensor, "probe fold"]:
        """The summed log-loss of every probe on the items of each fold."""
        log_p = probes.scores(self.X).log_softmax(dim=-1)
        log_p = log_p.gather(-1, self.y[list(labelling)][..., None])[..., 0]
        in_fold = torch.nn.functional.one_hot(self.folds, self.n_folds).double()
        return (-log_p.clamp_min(float(np.log(_LEAST))).double() @ in_fold).cpu()

    def fit(
        self,
        labelling: Sequence[int],
        train: Bool[Tensor, "probe item"],
        C: Float[Tensor, " probe"],
        *,
        start: LinearProbes | None = None,
    ) -> LinearProbes:
        """Probes of some labellings, each on its own training items."""
        return fit_probes(
            self.scale,
            self.y[list(labelling)],
            train,
            C.to(self.X.device),
            n_labels=self.n_labels,
            tolerance=self.tolerance,
            start=start,
        )
