"""What linear probes minimise: many multinomial logistic regressions on the same activations.

Probes of one layer and site differ in their training items, their labels and their penalty, never
in the activations. So all of them share two matrix products, activations times weights and its
transpose, each as wide as all the probes together. What one probe minimises is what scikit-learn's
``LogisticRegression`` does,

    mean over training items of -log softmax(z W + b)[y]  +  |W|^2 / (2 C n),

with ``z`` standardised by the mean and the standard deviation of the probe's own training items and
no penalty on ``b``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Parameters = Float[Tensor, "probe label d_and_bias"]
"""Weights on standardised activations, and the bias in the last column."""

_WILD = 10
"""Where an activation's part in the metric ends, in units of the common scale."""


@dataclass(frozen=True)
class CommonScale:
    """Activations brought to a common scale once, for all probes."""

    Z: Float[Tensor, "item d"]
    centre: Float[Tensor, " d"]
    """What was taken off the activations."""
    spread: Float[Tensor, " d"]
    """What they were divided by after that."""
    correlations: Float[Tensor, "d d"]
    """Of the activations over all items, absurd values cut off."""

    @staticmethod
    def of(X: Float[Tensor, "item d"]) -> CommonScale:
        """By the median and half the width of the middle half, which an absurd item leaves be."""
        ordered = X.T.contiguous().sort(dim=1).values
        n = len(X)
        low, centre, high = (ordered[:, min(n - 1, n * k // 4)] for k in (1, 2, 3))
        spread = (high - low) / 2
        deviation = X.std(dim=0, correction=0)
        spread = torch.where(spread > 0, spread, deviation)
        spread = spread.masked_fill(spread == 0, 1)
        Z = (X - centre) / spread
        tame = Z.clamp(-_WILD, _WILD)
        tame = tame - tame.mean(dim=0)
        size = tame.square().mean(dim=0).sqrt()
        tame = tame / size.masked_fill(size == 0, 1)
        return CommonScale(Z, centre, spread, tame.T @ tame / n)


@dataclass(frozen=True)
class Objective:
    """The objectives of some probes; axis 0 of every tensor but the first two is the probe."""

    scale: CommonScale
    metric: Float[Tensor, "penalty d d"]
    """For each penalty, the inverse of the Hessian at no weights."""
    which: Int[Tensor, " probe"]
    """Index of each probe's penalty in :attr:`metric`."""
    penalty: Float[Tensor, " probe"]
    label: Int[Tensor, "probe item"]
    weight: Float[Tensor, "probe item"]
    """1 for a training item, over the probe's number of training items."""
    unseen: Bool[Tensor, "probe label"]
    """Labels that no training item of the probe has."""
    mean: Float[Tensor, "probe d"]
    """Of the probe's training items."""
    per_deviation: Float[Tensor, "probe d"]
    """One over their standard deviation; 1 where it is nothing."""

    @staticmethod
    def of(
        scale: CommonScale,
        y: Int[Tensor, "probe item"],
        train: Bool[Tensor, "probe item"],
        C: Float[Tensor, " probe"],
        n_labels: int,
    ) -> Objective:
        """See :func:`affectscope.probes.solver.fit_probes`."""
        Z = scale.Z
        counts = train.sum(dim=1)
        weight = (train / counts[:, None]).to(Z)
        mean = weight @ Z
        variance = weight @ (Z * Z) - mean * mean
        seen = torch.zeros(len(y), n_labels, dtype=Z.dtype, device=Z.device)
        strengths, which = torch.unique(C, return_inverse=True)
        return Objective(
            scale=scale,
            metric=_metrics(scale, strengths * counts.double().mean(), n_labels),
            which=which,
            penalty=1 / (C.to(Z) * counts.to(Z)),
            label=y,
            weight=weight,
            unseen=seen.scatter_add_(1, y, weight) == 0,
            mean=mean,
            per_deviation=1 / deviation(variance, mean),
        )

    def only(self, chosen: Int[Tensor, " some"]) -> Objective:
        """The objectives of some of the probes."""
        return replace(
            self,
            which=self.which[chosen],
            penalty=self.penalty[chosen],
            label=self.label[chosen],
            weight=self.weight[chosen],
            unseen=self.unseen[chosen],
            mean=self.mean[chosen],
            per_deviation=self.per_deviation[chosen],
        )

    def value_and_gradient(self, at: Parameters) -> tuple[Float[Tensor, " probe"], Parameters]:
        """The objective of every probe, and its gradient."""
        Z, W = self.scale.Z, at[..., :-1]
        scaled = W * self.per_deviation[:, None]
        offset = at[..., -1] - torch.einsum("pd,pkd->pk", self.mean, scaled)
        logits = (scaled.flatten(0, 1) @ Z.T).view(*offset.shape, len(Z))
        # against the label's own logit: the loss of an item that is named for sure is not rounded
        logits += offset[..., None]
        logits -= logits.gather(1, self.label[:, None])
        logits.masked_fill_(self.unseen[..., None], float("-inf"))
        log_sum = torch.logsumexp(logits, dim=1)
        value = (self.weight * log_sum).sum(dim=1) + 0.5 * self.penalty * dot(W, W)
        residual = logits.sub_(log_sum[:, None]).exp_().mul_(self.weight[:, None])
        residual.scatter_add_(1, self.label[:, None], -self.weight[:, None])
        slope = residual.sum(dim=2)
        gradient = torch.empty_like(at)
        raw = (residual.flatten(0, 1) @ Z).view_as(W)
        raw -= self.mean[:, None] * slope[..., None]
        torch.addcmul(
            raw.mul_(self.per_deviation[:, None]),
            W,
            self.penalty[:, None, None],
            out=gradient[..., :-1],
        )
        gradient[..., -1] = slope
        return value, gradient

    def apply_metric(self, vector: Parameters) -> Parameters:
        """The metric times a vector such as the gradient."""
        out = torch.empty_like(vector)
        for index, matrix in enumerate(self.metric):
            mine = (self.which == index).nonzero()[:, 0]
            if len(mine):
                block = vector[mine, :, :-1]
                out[mine, :, :-1] = (block.flatten(0, 1) @ matrix).view_as(block)
        out[..., -1] = vector.shape[1] * vector[..., -1]
        return out

    def standardised(
        self, weight: Float[Tensor, "probe d label"], bias: Float[Tensor, "probe label"]
    ) -> Parameters:
        """Weights and bias in the units of the activations, as parameters; undoes :meth:`raw`."""
        scaled = weight.transpose(1, 2) * self.scale.spread
        bias = bias.masked_fill(bias.isinf(), 0)
        bias = bias + torch.einsum("d,pdk->pk", self.scale.centre, weight)
        bias = bias + torch.einsum("pd,pkd->pk", self.mean, scaled)
        return torch.cat([scaled / self.per_deviation[:, None], bias[..., None]], dim=-1)

    def raw(
        self, at: Parameters
    ) -> tuple[Float[Tensor, "probe d label"], Float[Tensor, "probe label"]]:
        """Weights and bias in the units of the activations."""
        scaled = at[..., :-1] * self.per_deviation[:, None]
        bias = at[..., -1] - torch.einsum("pd,pkd->pk", self.mean, scaled)
        weight = (scaled / self.scale.spread).transpose(1, 2).contiguous()
        bias = bias - torch.einsum("d,pdk->pk", self.scale.centre, weight)
        return weight, bias.masked_fill(self.unseen, float("-inf"))


def dot(a: Parameters, b: Parameters) -> Float[Tensor, " probe"]:
    """The inner product of each probe's two vectors."""
    return (a * b).sum(dim=2).sum(dim=1)


def _metrics(
    scale: CommonScale, strengths: Float[Tensor, " penalty"], n_labels: int
) -> Float[Tensor, "penalty d d"]:
    """The inverse Hessian at no weights, with all items and each penalty (Böhning 1992)."""
    hessian = scale.correlations / n_labels
    eye = torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    factors = [torch.linalg.cholesky(hessian + eye / float(strength)) for strength in strengths]
    return torch.stack([torch.cholesky_inverse(factor) for factor in factors])


def deviation(variance: Tensor, mean: Tensor) -> Tensor:
    """Standard deviations, 1 for an activation that does not vary beyond rounding."""
    rounding = 10 * torch.finfo(variance.dtype).eps
    constant = variance <= rounding * (1 + mean * mean) * rounding
    return variance.clamp_min(0).sqrt().masked_fill(constant, 1)
