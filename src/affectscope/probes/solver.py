"""Many multinomial logistic regressions on the same activations, solved together.

Probes of one layer and site differ in their training items, their labels and their penalty, never
in the activations. So all of them share two matrix products an iteration, activations times weights
and its transpose, each as wide as all the probes together. What one probe minimises is what
scikit-learn's ``LogisticRegression`` does,

    mean over training items of -log softmax(z W + b)[y]  +  |W|^2 / (2 C n),

with ``z`` standardised by the mean and the standard deviation of the probe's own training items and
no penalty on ``b``.

The method is L-BFGS (Nocedal 1980; Liu and Nocedal 1989), each probe with a step and an end of its
own. Its initial metric is the inverse of the Hessian at ``W = 0`` with all items (Böhning 1992,
"Multinomial logistic regression algorithm", bounds the Hessian everywhere by a multiple of it): one
factorisation for each penalty, which makes up for the strong correlations of activations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOLERANCE = 1e-4
"""Largest entry of the gradient (as above) at which a probe is done; scikit-learn's."""

ITERATIONS = 500

HISTORY = 6
"""Steps that L-BFGS remembers."""

MOST_NUMBERS = 2**27
"""About so many numbers are held for the probes that are solved together."""

_SUFFICIENT, _HALVINGS = 1e-4, 12
"""Of the line search: Armijo's share of the promised decrease, and how often a step is halved."""

_WILD = 10
"""Where an activation's part in the initial metric ends, in units of the common scale."""

_ROUNDING = 4e-7
"""Relative changes of the objective below this are rounding, and no reason to halve a step."""


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


def fit_probes(
    X: Float[Tensor, "item d"],
    y: Int[Tensor, "probe item"],
    train: Bool[Tensor, "probe item"],
    C: Float[Tensor, " probe"],
    *,
    n_labels: int,
    tolerance: float = TOLERANCE,
    iterations: int = ITERATIONS,
) -> LinearProbes:
    """Fit every probe to its training items.

    Args:
        X: Activations; the type and the device of the work are theirs.
        y: Labels from 0, for each probe.
        train: Which items each probe is fitted to; at least one.
        C: Inverse strength of each probe's penalty.
        n_labels: How many labels there are.
        tolerance: Largest entry of the gradient at the end.
        iterations: Most iterations.

    Raises:
        ValueError: A probe without training items, or activations that are not finite numbers.
    """
    if not bool(train.any(dim=1).all()):
        raise ValueError("a probe needs at least one training item")
    if not bool(X.isfinite().all()):
        raise ValueError("the activations hold numbers that are not finite")
    n_items, d = X.shape
    together = max(1, MOST_NUMBERS // (n_labels * max(n_items, (2 * HISTORY + 8) * d)))
    parts = []
    for some in torch.split(torch.arange(len(C), device=X.device), together):
        task = _Task.of(X, y[some], train[some], C[some], n_labels)
        start = torch.zeros(d + 1, len(some), n_labels, dtype=X.dtype, device=X.device)
        parts.append(task.probes(*_minimise(task, start, tolerance, iterations)))
    return LinearProbes(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.bias for part in parts]),
        torch.cat([part.converged for part in parts]),
        torch.cat([part.iterations for part in parts]),
    )


Parameters = Float[Tensor, "d_and_bias probe label"]
"""Weights on standardised activations, and the bias in the last row."""


@dataclass(frozen=True)
class _Task:
    """What the probes minimise. Items are brought to a common scale once."""

    Z: Float[Tensor, "item d"]
    centre: Float[Tensor, " d"]
    """What was taken off the activations."""
    spread: Float[Tensor, " d"]
    """What they were divided by after that."""
    label: Int[Tensor, "item probe"]
    target: Float[Tensor, "item probe label"]
    """1 at the label of a training item, over the probe's number of training items."""
    weight: Float[Tensor, "item probe"]
    """1 for a training item, over the probe's number of training items."""
    unseen: Bool[Tensor, "probe label"]
    """Labels that no training item of the probe has."""
    mean: Float[Tensor, "d probe"]
    """Of the probe's training items."""
    scale: Float[Tensor, "d probe"]
    """Their standard deviation; 1 where it is nothing."""
    penalty: Float[Tensor, " probe"]
    metric: Float[Tensor, "penalty d d"]
    """For each penalty, where L-BFGS begins."""
    which: Int[Tensor, " probe"]
    """Index of each probe's penalty in :attr:`metric`."""

    @staticmethod
    def of(X: Tensor, y: Tensor, train: Tensor, C: Tensor, n_labels: int) -> _Task:
        centre, spread = _robust_scale(X)
        Z = (X - centre) / spread
        counts = train.sum(dim=1)
        weight = (train / counts[:, None]).to(X).T
        mean = Z.T @ weight
        variance = (Z * Z).T @ weight - mean * mean
        one_hot = torch.nn.functional.one_hot(y.T, n_labels).to(X)
        target = one_hot * weight[..., None]
        strengths, which = torch.unique(C, return_inverse=True)
        typical = float(counts.double().mean())
        tame = Z.clamp(-_WILD, _WILD)
        gram = tame.T @ tame / (len(Z) * n_labels)
        eye = torch.eye(X.shape[1], dtype=X.dtype, device=X.device)
        metric = torch.stack(
            [
                torch.cholesky_inverse(torch.linalg.cholesky(gram + eye / (float(c) * typical)))
                for c in strengths
            ]
        )
        return _Task(
            Z=Z,
            centre=centre,
            spread=spread,
            label=y.T.contiguous(),
            target=target,
            weight=weight,
            unseen=target.sum(dim=0) == 0,
            mean=mean,
            scale=_deviation(variance, mean),
            penalty=1 / (C.to(X) * counts.to(X)),
            metric=metric,
            which=which,
        )

    def only(self, chosen: Int[Tensor, " some"]) -> _Task:
        """The task of some of the probes."""
        return replace(
            self,
            label=self.label[:, chosen],
            target=self.target[:, chosen],
            weight=self.weight[:, chosen],
            unseen=self.unseen[chosen],
            mean=self.mean[:, chosen],
            scale=self.scale[:, chosen],
            penalty=self.penalty[chosen],
            which=self.which[chosen],
        )

    def value_and_gradient(self, at: Parameters) -> tuple[Float[Tensor, " probe"], Parameters]:
        """The objective of every probe, and its gradient."""
        W, bias = at[:-1], at[-1]
        scaled = W / self.scale[..., None]
        offset = bias - torch.einsum("dp,dpk->pk", self.mean, scaled)
        logits = (self.Z @ scaled.flatten(1)).view(len(self.Z), *bias.shape) + offset
        # against the label's own logit: the loss of an item that is named for sure is not rounded
        logits -= logits.gather(-1, self.label[..., None])
        logits.masked_fill_(self.unseen, float("-inf"))
        log_sum = torch.logsumexp(logits, dim=-1)
        value = (self.weight * log_sum).sum(dim=0) + 0.5 * self.penalty * _dot(W, W)
        residual = (logits - log_sum[..., None]).exp_().mul_(self.weight[..., None])
        residual -= self.target
        slope = residual.sum(dim=0)
        raw = (self.Z.T @ residual.flatten(1)).view_as(W)
        gradient = (raw - self.mean[..., None] * slope) / self.scale[..., None]
        gradient += self.penalty[:, None] * W
        return value, torch.cat([gradient, slope[None]])

    def apply_metric(self, vector: Parameters) -> Parameters:
        """The initial metric times a gradient."""
        out = torch.empty_like(vector)
        for index, matrix in enumerate(self.metric):
            mine = (self.which == index).nonzero()[:, 0]
            if len(mine):
                block = vector[:-1, mine]
                out[:-1, mine] = (matrix @ block.flatten(1)).view_as(block)
        out[-1] = vector.shape[-1] * vector[-1]
        return out

    def probes(self, at: Parameters, converged: Tensor, done: Tensor) -> LinearProbes:
        """The solution in the units of the activations."""
        scaled = at[:-1] / self.scale[..., None]
        bias = at[-1] - torch.einsum("dp,dpk->pk", self.mean, scaled)
        weight = scaled / self.spread[:, None, None]
        bias = bias - torch.einsum("d,dpk->pk", self.centre, weight)
        return LinearProbes(
            weight.transpose(0, 1).contiguous(),
            bias.masked_fill(self.unseen, float("-inf")),
            converged,
            done,
        )


def _robust_scale(X: Tensor) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
    """Median and half the width of the middle half, which an absurd item does not move."""
    ordered = X.sort(dim=0).values
    n = len(X)
    low, centre, high = (ordered[min(n - 1, n * k // 4)] for k in (1, 2, 3))
    spread = (high - low) / 2
    deviation = X.std(dim=0, correction=0)
    spread = torch.where(spread > 0, spread, deviation)
    return centre, spread.masked_fill(spread == 0, 1)


def _deviation(variance: Tensor, mean: Tensor) -> Tensor:
    """Standard deviations, 1 for an activation that does not vary beyond rounding."""
    rounding = 10 * torch.finfo(variance.dtype).eps
    constant = variance <= rounding * (1 + mean * mean) * rounding
    return variance.clamp_min(0).sqrt().masked_fill(constant, 1)


@dataclass
class _State:
    """Where the probes that are still on their way stand; axis 1 (or 0) are probes."""

    index: Int[Tensor, " probe"]
    at: Parameters
    value: Float[Tensor, " probe"]
    gradient: Parameters
    steps: list[Parameters] = field(default_factory=list)
    changes: list[Parameters] = field(default_factory=list)
    inverse: list[Float[Tensor, " probe"]] = field(default_factory=list)
    """One over step times change; 0 for a pair that is left out."""

    def only(self, chosen: Int[Tensor, " some"]) -> _State:
        """The state of some of the probes."""
        return _State(
            self.index[chosen],
            self.at[:, chosen],
            self.value[chosen],
            self.gradient[:, chosen],
            [step[:, chosen] for step in self.steps],
            [change[:, chosen] for change in self.changes],
            [inverse[chosen] for inverse in self.inverse],
        )

    def remember(self, step: Parameters, change: Parameters) -> None:
        product = _dot(step, change)
        usable = product > 1e-12 * _dot(change, change)
        self.steps.append(step)
        self.changes.append(change)
        self.inverse.append(torch.where(usable, 1 / product, torch.zeros_like(product)))
        for past in (self.steps, self.changes, self.inverse):
            del past[:-HISTORY]


def _minimise(
    task: _Task, start: Parameters, tolerance: float, iterations: int
) -> tuple[Parameters, Tensor, Tensor]:
    """The minimum of every probe, whether it was reached, and after how many iterations."""
    n_probes = start.shape[1]
    solution = start.clone()
    converged = torch.zeros(n_probes, dtype=torch.bool, device=start.device)
    done = torch.zeros(n_probes, dtype=torch.long, device=start.device)
    value, gradient = task.value_and_gradient(start)
    state = _State(torch.arange(n_probes, device=start.device), start, value, gradient)
    stuck = torch.zeros(n_probes, dtype=torch.bool, device=start.device)
    for iteration in range(iterations + 1):
        flat = state.gradient.abs().amax(dim=0).amax(dim=-1) <= tolerance
        ended = flat | stuck
        if bool(ended.any()) or iteration == iterations:
            leaving = torch.ones_like(ended) if iteration == iterations else ended
            gone = state.index[leaving]
            solution[:, gone] = state.at[:, leaving]
            converged[gone] = flat[leaving]
            done[gone] = iteration
            rest = (~leaving).nonzero()[:, 0]
            if not len(rest):
                break
            task, state = task.only(rest), state.only(rest)
        direction = -_towards(task, state)
        stuck = _step(task, state, direction)
    return solution, converged, done


def _towards(task: _Task, state: _State) -> Parameters:
    """L-BFGS's inverse Hessian times the gradient, by the two loops of Nocedal (1980)."""
    vector = state.gradient.clone()
    shares = []
    for step, change, inverse in zip(
        reversed(state.steps), reversed(state.changes), reversed(state.inverse), strict=True
    ):
        share = inverse * _dot(step, vector)
        vector -= share[:, None] * change
        shares.append(share)
    vector = task.apply_metric(vector)
    if state.changes:  # the metric's length, from the last step (Nocedal and Wright 2006, 7.20)
        change = state.changes[-1]
        length = _dot(state.steps[-1], change) / _dot(change, task.apply_metric(change))
        vector *= torch.where(length.isfinite() & (length > 0), length, 1)[:, None]
    for step, change, inverse, share in zip(
        state.steps, state.changes, state.inverse, reversed(shares), strict=True
    ):
        vector += (share - inverse * _dot(change, vector))[:, None] * step
    return vector


def _step(task: _Task, state: _State, direction: Parameters) -> Bool[Tensor, " probe"]:
    """Go along the directions, each as far as its objective falls; True where it cannot fall."""
    promised = _dot(state.gradient, direction)
    length = torch.ones_like(promised)
    new = state.at + direction
    value, gradient = task.value_and_gradient(new)
    for _ in range(_HALVINGS):
        allowed = state.value + _SUFFICIENT * length * promised + _ROUNDING * state.value.abs()
        failed = (~(value <= allowed)).nonzero()[:, 0]
        if not len(failed):
            break
        length[failed] /= 2
        new[:, failed] = state.at[:, failed] + length[failed][:, None] * direction[:, failed]
        part = task.only(failed)
        value[failed], gradient[:, failed] = part.value_and_gradient(new[:, failed])
    else:
        failed = (~(value <= state.value)).nonzero()[:, 0]
        new[:, failed] = state.at[:, failed]
        value[failed], gradient[:, failed] = state.value[failed], state.gradient[:, failed]
    step = new - state.at
    state.remember(step, gradient - state.gradient)
    state.at, state.value, state.gradient = new, value, gradient
    return step.abs().amax(dim=0).amax(dim=-1) == 0


def _dot(a: Parameters, b: Parameters) -> Float[Tensor, " probe"]:
    return (a * b).sum(dim=0).sum(dim=-1)  # faster than over both at once
