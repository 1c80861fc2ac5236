"""Ridge probes: the ratings of many targets read from the same activations, in closed form.

A probe minimises (Hoerl and Kennard 1970, Technometrics 12(1))

    mean over training items of (y - z w - b)^2  +  penalty |w|^2,

with ``z`` standardised by the mean and the standard deviation of the probe's own training items and
no penalty on ``b``. With ``R = Z'Z / n = V L V'``, the correlations of the n training items,

    w = V (L + penalty)^-1 V' Z'(y - mean of y) / n,

so that one factorisation of R serves all targets and all penalties. Where there are fewer items
than activations, ``ZZ' / n = U L U'`` is factored instead, and ``V = Z'U (n L)^-1/2`` (Hastie,
Tibshirani and Friedman 2009, section 18.3.5).

How the penalty is chosen, for every target on its own: for the items of fold f, every penalty is
tried on each other fold g, by a probe trained on neither f nor g; the one with the least squared
error over all g is fitted to all folds but f. The probe without f and g serves f and g alike: five
folds need fifteen factorisations. Of equally good penalties the strongest is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from affectscope.errors import UsageError

PENALTIES: tuple[float, ...] = tuple(float(10 ** (k / 2)) for k in range(-6, 7))
"""Penalties that are tried: 0.001 to 1000 by half decades, in units of the mean eigenvalue of the
training items' correlations ``Z'Z / n``, which is 1. scikit-learn's ``alpha`` is penalty times n.
"""

_CONSTANT = float(np.finfo(np.float32).eps)
"""An activation that varies by no more of its size does not vary: the rest is rounding."""


@dataclass(frozen=True, eq=False)
class RidgeOutOfFold:
    """What probes predict of items that they never saw."""

    predicted: NDArray[np.float32]
    """Ratings ``[item, target]``, also of items whose own rating is missing."""
    baseline: NDArray[np.float32]
    """The mean rating of the same training items, ``[item, target]``: what predicts best without a
    look at the activations."""
    penalty: NDArray[np.float64]
    """The penalty chosen for the item's fold, ``[item, target]``."""


@dataclass(frozen=True, eq=False)
class RidgeProbes:
    """Fitted readouts, in the units of the activations, not standardised."""

    weights: NDArray[np.float64]
    """``[target, d_model]``; 0 for an activation that does not vary."""
    bias: NDArray[np.float64]
    """``[target]``."""
    penalty: NDArray[np.float64]
    """The penalty chosen for every target, ``[target]``."""

    def read(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """The ratings read from activations ``[item, d_model]``, as ``[item, target]``."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.weights.T + self.bias)


def ridge_out_of_fold(
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    folds: NDArray[np.int64],
    *,
    penalties: Sequence[float] = PENALTIES,
    device: str | torch.device = "cpu",
) -> RidgeOutOfFold:
    """Predict every item's ratings by probes that saw no item of its fold.

    Targets that lack the same items share their factorisations; every further pattern of missing
    ratings costs as much as the first.

    Args:
        X: Activations ``[item, d_model]``.
        Y: Ratings ``[item, target]``; NaN where one is missing.
        folds: Fold of every item ``[item]``.
        penalties: Penalties to choose from, all above 0. With fewer than three folds there is
            nothing to choose on, and the middle one is taken.
        device: Where to compute.

    Raises:
        UsageError: The shapes do not fit, numbers are not finite, a penalty is not above 0, or a
            target has fewer than two ratings to train on.
    """
    tried = _checked(X, Y, folds, penalties)
    shape = np.shape(Y)
    found = RidgeOutOfFold(
        np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape)
    )
    for columns, work in _by_pattern(X, Y, folds, device):
        chosen = work.choose_per_fold(tried.to(work.X.device))
        predicted, baseline = work.predict(chosen)
        found.predicted[:, columns] = predicted.cpu().numpy()
        found.baseline[:, columns] = baseline.cpu().numpy()
        found.penalty[:, columns] = chosen[work.folds].cpu().numpy()
    return found


def fit_ridge(
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    folds: NDArray[np.int64],
    *,
    penalties: Sequence[float] = PENALTIES,
    device: str | torch.device = "cpu",
) -> RidgeProbes:
    """Fit one probe for each target to all items that are rated on it.

    The penalty has the least squared error in cross-validation over these folds; with a single
    fold the middle one is taken.

    Args:
        X: Activations ``[item, d_model]``.
        Y: Ratings ``[item, target]``; NaN where one is missing.
        folds: Fold of every item ``[item]``.
        penalties: Penalties to choose from, all above 0.
        device: Where to compute.

    Raises:
        UsageError: As in :func:`ridge_out_of_fold`.
    """
    tried = _checked(X, Y, folds, penalties)
    n_targets, d = np.shape(Y)[1], np.shape(X)[1]
    found = RidgeProbes(np.empty((n_targets, d)), np.empty(n_targets), np.empty(n_targets))
    for columns, work in _by_pattern(X, Y, folds, device):
        penalty = work.choose(tried.to(work.X.device))
        probes = work.without()
        weights = probes.weights(penalty)
        bias = probes.rating - (work.centre + probes.mean) @ weights
        found.weights[columns] = weights.T.cpu().numpy()
        found.bias[columns] = bias.cpu().numpy()
        found.penalty[columns] = penalty.cpu().numpy()
    return found


def _checked(
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    folds: NDArray[np.int64],
    penalties: Sequence[float],
) -> Float[Tensor, " penalty"]:
    """The penalties, the strongest first."""
    if np.ndim(X) != 2 or np.ndim(Y) != 2 or not len(X) == len(Y) == np.size(folds) > 0:
        raise UsageError(
            f"activations, ratings and folds of shapes {np.shape(X)}, {np.shape(Y)} and "
            f"{np.shape(folds)}",
            expected="[item, d_model], [item, target] and [item]",
            remedy="give all three a row for each item; a single target is a column",
        )
    if not np.isfinite(X).all() or np.isinf(Y).any():
        raise UsageError(
            f"{'ratings' if np.isfinite(X).all() else 'activations'} that are not finite numbers",
            expected="finite activations, and ratings that are finite or NaN where missing",
            remedy="leave out the items that the model cannot compute, in all three arrays",
        )
    if not len(penalties) or not all(0 < penalty < np.inf for penalty in penalties):
        raise UsageError(
            f"penalties {list(penalties)}",
            expected="one or more numbers above 0",
            remedy="leave penalties out, or give a small number such as 0.001 for nearly none",
        )
    return torch.tensor(sorted(penalties, reverse=True), dtype=torch.float64)


def _by_pattern(
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    folds: NDArray[np.int64],
    device: str | torch.device,
) -> Iterator[tuple[NDArray[np.int64], _Work]]:
    """The columns of the targets that have ratings of the same items, and the work on them."""
    # Apple's GPUs have no float64
    where = torch.device("cpu" if torch.device(device).type == "mps" else device)
    activations = torch.as_tensor(X, device=where).double()
    centre = activations.mean(dim=0)
    fold = torch.as_tensor(np.unique(folds, return_inverse=True)[1].ravel(), device=where)
    patterns, which = np.unique(np.isnan(Y), axis=1, return_inverse=True)
    for k, missing in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == k)
        yield (
            columns,
            _Work(
                activations - centre,
                centre,
                torch.as_tensor(Y[:, columns], dtype=torch.float64, device=where),
                torch.as_tensor(~missing, device=where),
                fold,
            ),
        )


@dataclass(frozen=True)
class _Probes:
    """The probes of one training set: its targets', for any penalty."""

    mean: Float[Tensor, " d"]
    """Of the training items."""
    eigenvalues: Float[Tensor, " k"]
    """Of their correlations."""
    basis: Float[Tensor, "d k"]
    """The eigenvectors over the standard deviations: what centred activations are multiplied by."""
    covariance: Float[Tensor, "k target"]
    """Of the activations along the basis with the ratings."""
    rating: Float[Tensor, " target"]
    """The mean rating of the training items."""

    def weights(self, penalty: Float[Tensor, " target"]) -> Float[Tensor, "d target"]:
        """In the units of the activations."""
        return self.basis @ (self.covariance / (self.eigenvalues[:, None] + penalty))

    def losses(
        self,
        X: Float[Tensor, "item d"],
        Y: Float[Tensor, "item target"],
        penalties: Float[Tensor, " penalty"],
    ) -> Float[Tensor, "target penalty"]:
        """The summed squared errors on some items."""
        shrunk = self.eigenvalues[:, None, None] + penalties
        weights = self.covariance[:, :, None] / shrunk
        errors = ((X - self.mean) @ self.basis) @ weights.flatten(1)
        errors = errors.view(len(X), *weights.shape[1:]) - (Y - self.rating)[..., None]
        return errors.square_().sum(dim=0)


@dataclass(frozen=True)
class _Work:
    X: Float[Tensor, "item d"]
    """Activations without their overall mean, so that sums of products lose no digits."""
    centre: Float[Tensor, " d"]
    """What was taken off them."""
    Y: Float[Tensor, "item target"]
    rated: Bool[Tensor, " item"]
    """Whether the item has ratings."""
    folds: Int[Tensor, " item"]

    @cached_property
    def n_folds(self) -> int:
        return int(self.folds.max()) + 1

    @cached_property
    def products(self) -> Float[Tensor, "fold d d"]:
        """X'X of every fold's items; a training set's is the sum over its folds."""
        return torch.stack([part.T @ part for part, _ in map(self.held_out, range(self.n_folds))])

    def held_out(self, fold: int) -> tuple[Float[Tensor, "some d"], Float[Tensor, "some target"]]:
        """Activations and ratings of the fold's rated items."""
        here = self.rated & (self.folds == fold)
        return self.X[here], self.Y[here]

    def choose(self, tried: Float[Tensor, " penalty"]) -> Float[Tensor, " target"]:
        """The penalty of every target, over all folds."""
        if len(tried) == 1 or self.n_folds < 2:
            return tried[len(tried) // 2].expand(self.Y.shape[1])
        losses = [self.without(f).losses(*self.held_out(f), tried) for f in range(self.n_folds)]
        return tried[torch.stack(losses).sum(dim=0).argmin(dim=-1)]

    def choose_per_fold(self, tried: Float[Tensor, " penalty"]) -> Float[Tensor, "fold target"]:
        """The penalty of every outer fold and target."""
        shape = (self.n_folds, self.Y.shape[1])
        if len(tried) == 1 or self.n_folds < 3:
            return tried[len(tried) // 2].expand(shape)
        losses = self.Y.new_zeros(*shape, len(tried))
        for f, g in combinations(range(self.n_folds), 2):
            probes = self.without(f, g)
            losses[f] += probes.losses(*self.held_out(g), tried)
            losses[g] += probes.losses(*self.held_out(f), tried)
        return tried[losses.argmin(dim=-1)]

    def predict(
        self, chosen: Float[Tensor, "fold target"]
    ) -> tuple[Float[Tensor, "item target"], Float[Tensor, "item target"]]:
        """The predicted ratings of every item, and the mean of those it was predicted from."""
        predicted, baseline = torch.empty_like(self.Y), torch.empty_like(self.Y)
        for fold, penalty in enumerate(chosen):
            probes = self.without(fold)
            here = self.folds == fold
            baseline[here] = probes.rating
            predicted[here] = probes.rating + (self.X[here] - probes.mean) @ probes.weights(penalty)
        return predicted, baseline

    def without(self, *left_out: int) -> _Probes:
        """The probes of all rated items but those of some folds."""
        kept = torch.tensor([fold not in left_out for fold in range(self.n_folds)])
        kept = kept.to(self.X.device)
        train = self.rated & kept[self.folds]
        X, Y = self.X[train], self.Y[train]
        n = len(X)
        if n < 2:
            raise _too_few(n, len(left_out))
        mean = X.mean(dim=0)
        deviation = X.std(dim=0, correction=0)
        size = torch.maximum(mean.abs(), (mean + self.centre).abs())
        per_deviation = (1 / deviation).masked_fill(deviation <= _CONSTANT * size, 0)
        if n < X.shape[1]:
            eigenvalues, vectors = _from_items((X - mean) * per_deviation)
        else:
            correlations = self.products[kept].sum(dim=0) / n - torch.outer(mean, mean)
            correlations *= torch.outer(per_deviation, per_deviation)
            eigenvalues, vectors = torch.linalg.eigh(correlations)
        basis = vectors.mul_(per_deviation[:, None])
        # a target that does not vary has itself for its mean, not a rounding error beside it
        rating = torch.where((Y[0] == Y).all(dim=0), Y[0], Y.mean(dim=0))
        covariance = ((X - mean) @ basis).T @ (Y - rating) / n
        return _Probes(mean, eigenvalues.clamp_min(0), basis, covariance, rating)


def _from_items(
    Z: Float[Tensor, "item d"],
) -> tuple[Float[Tensor, " k"], Float[Tensor, "d k"]]:
    """The eigenvalues of Z'Z / n that are above rounding, and their vectors, from ZZ' / n."""
    n = len(Z)
    eigenvalues, U = torch.linalg.eigh(Z @ Z.T / n)
    real = eigenvalues > n * torch.finfo(Z.dtype).eps * eigenvalues[-1]
    eigenvalues = eigenvalues[real]
    return eigenvalues, Z.T @ (U[:, real] / (n * eigenvalues).sqrt())


def _too_few(n: int, n_left_out: int) -> UsageError:
    return UsageError(
        f"a target with {n} ratings to train on, {n_left_out} folds left out",
        expected="two at least, without any two of the folds",
        remedy="leave out targets that few items are rated on, or make fewer folds",
    )
