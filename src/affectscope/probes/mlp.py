"""Non-linear probes out of fold: one layer of 32 rectified units.

The paper's second probe (Tak et al. 2025: a multi-layer perceptron with 32 hidden units and 200
iterations), standardised inside the fold and scored out of fold like the linear one. What each
network minimises is

    mean over training items of -log softmax(relu(z W + b) V + c)[y]  +  decay (|W|^2 + |V|^2) / 2.

All networks of one place train together: they read the same activations, so that an iteration is
two products as wide as all hidden units together. The optimiser is Adam (Kingma and Ba 2015) on
whole training sets, 200 steps of it, so that nothing is drawn but the weights to begin with:
Glorot's (2010), by the seed, the same for every network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from affectscope.probes.objective import deviation

HIDDEN = 32
"""Hidden units, the paper's."""

ITERATIONS = 200
"""Steps of the optimiser, the paper's number."""

STEP = 1e-2
"""Adam's step. A whole training set's gradient has no noise that would ask for a smaller one, and
200 such steps can carry a weight to 2, which is much between standardised activations."""

DECAY = 0.03
"""Strength of the weight decay, the same everywhere, so that no fold's labels are needed to choose
it. It was picked on some places of crowd-enVENT and on made-up data, where accuracy changes little
between 0.01 and 0.1; scikit-learn's 1e-4 lets a network learn some hundred items by heart, and
beyond 0.3 the units die."""

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def mlp_out_of_fold(
    X: NDArray[np.float32],
    labels: Sequence[str],
    folds: NDArray[np.int64],
    *,
    seed: int,
    hidden: int = HIDDEN,
    iterations: int = ITERATIONS,
    decay: float = DECAY,
    step: float = STEP,
    device: str | torch.device = "cpu",
) -> NDArray[np.str_]:
    """Predict the label of every item by a network that saw none of its fold.

    Args:
        X: Activations ``[item, d_model]``.
        labels: Label of every item.
        folds: Fold of every item ``[item]``.
        seed: Seed of the weights to begin with.
        hidden: Hidden units.
        iterations: Steps of the optimiser.
        decay: Strength of the weight decay.
        step: Adam's step.
        device: Where to compute.

    Raises:
        ValueError: Activations that are not finite numbers.
    """
    vocabulary, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    activations = torch.as_tensor(X, device=device)
    if not bool(activations.isfinite().all()):
        raise ValueError("the activations hold numbers that are not finite")
    fold = torch.as_tensor(np.unique(folds, return_inverse=True)[1], device=device)
    networks = _Networks(
        activations,
        torch.as_tensor(codes, device=device),
        torch.stack([fold != held_out for held_out in range(int(fold.max()) + 1)]),
        _Settings(len(vocabulary), hidden, decay, step, seed),
    )
    for _ in range(iterations):
        networks.train_once()
    answers = networks.scores().argmax(dim=1)
    return vocabulary[answers.gather(0, fold[None])[0].cpu().numpy()]


@dataclass(frozen=True)
class _Settings:
    n_labels: int
    hidden: int
    decay: float
    step: float
    seed: int


class _Networks:
    """Networks that train together on the same activations, each on its own items.

    Parameters are kept as the linear probes' are: on standardised activations, biases apart.

    Args:
        X: Activations.
        y: Labels.
        train: Items of each network's training.
        settings: What the networks are like.
    """

    def __init__(
        self,
        X: Float[Tensor, "item d"],
        y: Int[Tensor, " item"],
        train: Bool[Tensor, "network item"],
        settings: _Settings,
    ) -> None:
        n_networks, d = len(train), X.shape[1]
        self.decay, self.step = settings.decay, settings.step
        self.label = y.expand(n_networks, 1, -1)
        self.weight = (train / train.sum(dim=1, keepdim=True)).to(X)
        spread = X.std(dim=0, correction=0)
        self.Z = (X - X.mean(dim=0)) / spread.masked_fill(spread == 0, 1)
        self.mean = self.weight @ self.Z
        variance = self.weight @ (self.Z * self.Z) - self.mean * self.mean
        self.per_deviation = 1 / deviation(variance, self.mean)
        seen = torch.zeros(n_networks, settings.n_labels, dtype=X.dtype, device=X.device)
        seen.scatter_add_(1, self.label[:, 0], self.weight)
        self.unseen = seen == 0
        self.parameters = _glorot(d, settings, n_networks, X)
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.iteration = 0

    def _forward(self) -> tuple[Float[Tensor, "network hidden item"], Tensor]:
        W, b, V, c = self.parameters
        scaled = W * self.per_deviation[:, None]
        shift = b - torch.einsum("nd,nhd->nh", self.mean, scaled)
        units = (scaled.flatten(0, 1) @ self.Z.T).view(*shift.shape, -1)
        units = (units + shift[..., None]).relu_()
        scores = V @ units + c[..., None]
        return units, scores.masked_fill_(self.unseen[..., None], float("-inf"))

    def scores(self) -> Float[Tensor, "network label item"]:
        """Logits of every item."""
        return self._forward()[1]

    def train_once(self) -> None:
        """One step of Adam down the mean log-loss of the training items."""
        units, scores = self._forward()
        residual = scores.softmax(dim=1).mul_(self.weight[:, None])
        residual.scatter_add_(1, self.label, -self.weight[:, None])
        W, _, V, _ = self.parameters
        back = (V.transpose(1, 2) @ residual).mul_(units > 0)
        slope = back.sum(dim=2)
        raw = (back.flatten(0, 1) @ self.Z).view_as(W)
        raw -= self.mean[:, None] * slope[..., None]
        gradients = (
            raw.mul_(self.per_deviation[:, None]).add_(W, alpha=self.decay),
            slope,
            (residual @ units.transpose(1, 2)).add_(V, alpha=self.decay),
            residual.sum(dim=2),
        )
        self.iteration += 1
        (early, late), n = _BETAS, self.iteration
        length, scale = self.step / (1 - early**n), (1 - late**n) ** -0.5
        for parameter, gradient, first, second in zip(
            self.parameters, gradients, self.first, self.second, strict=True
        ):
            first.lerp_(gradient, 1 - early)
            second.mul_(late).addcmul_(gradient, gradient, value=1 - late)
            parameter.addcdiv_(first, second.sqrt().mul_(scale).add_(_EPSILON), value=-length)


def _glorot(d: int, settings: _Settings, n_networks: int, like: Tensor) -> Sequence[Tensor]:
    """Weights to begin with, the same for every network; biases are 0."""
    generator = torch.Generator().manual_seed(settings.seed)

    def layer(n_out: int, n_in: int) -> Float[Tensor, "network out in"]:
        bound = (6 / (n_in + n_out)) ** 0.5
        weights = (2 * torch.rand(n_out, n_in, generator=generator) - 1) * bound
        return weights.to(like).repeat(n_networks, 1, 1)

    return (
        layer(settings.hidden, d),
        like.new_zeros(n_networks, settings.hidden),
        layer(settings.n_labels, settings.hidden),
        like.new_zeros(n_networks, settings.n_labels),
    )
