"""The batched search against the method written out for one probe at a time."""

from __future__ import annotations

import numpy as np
import torch

from affectscope.probes.lbfgs import HISTORY, _State, _step, _towards
from affectscope.probes.objective import CommonScale, Objective


def a_problem():
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + 1)
    y = torch.tensor(rng.integers(0, 3, (4, 50)))
    train = torch.tensor(rng.random((4, 50)) < 0.8)
    C = torch.tensor([0.01, 0.1, 1.0, 10.0], dtype=torch.float64)
    objective = Objective.of(CommonScale.of(X), y, train, C, 3)
    return objective, torch.tensor(rng.normal(size=(4, 3, 7)))


def test_directions_are_those_of_the_inverse_updates():
    """H⁺ = (I - s yᵀ/yᵀs) H (I - y sᵀ/yᵀs) + s sᵀ/yᵀs, from the scaled metric, as matrices."""
    objective, start = a_problem()
    state = _State.at_start(objective, start)
    for _ in range(HISTORY + 2):  # more than are remembered
        _step(objective, state, -_towards(state))
    found = _towards(state)
    eye = torch.eye(21, dtype=torch.float64)
    columns = [objective.apply_metric(e.view(1, 3, 7).expand(4, -1, -1)) for e in eye]
    for k in range(4):
        H = torch.stack([column[k].flatten() for column in columns], dim=1)
        H = H * state.past[-1].length[k]
        for past in state.past:
            s, change = past.step[k].flatten(), past.change[k].flatten()
            left = eye - torch.outer(s, change) / (s @ change)
            H = left @ H @ left.T + torch.outer(s, s) / (s @ change)
        assert torch.allclose(found[k].flatten(), H @ state.gradient[k].flatten(), rtol=1e-6)


def test_the_gradient_is_that_of_the_objective():
    objective, at = a_problem()
    at.requires_grad_()
    _, gradient = objective.value_and_gradient(at.detach())

    def value(x):
        W = x[..., :-1] * objective.per_deviation[:, None]
        Z = objective.scale.Z - objective.mean[:, None]
        log_p = (torch.einsum("pid,pkd->pki", Z, W) + x[..., -1:]).log_softmax(dim=1)
        own = log_p.gather(1, objective.label[:, None])[:, 0]
        penalty = 0.5 * objective.penalty * x[..., :-1].square().sum(dim=(1, 2))
        return penalty - (objective.weight * own).sum(dim=1)

    assert torch.allclose(value(at), objective.value_and_gradient(at.detach())[0])
    (truth,) = torch.autograd.grad(value(at).sum(), at)
    assert torch.allclose(gradient, truth)


def test_the_metric_is_the_inverse_of_the_hessian_at_no_weights():
    """Of one probe that all items train: up to the factor I - 11ᵀ/K that labels share."""
    rng = np.random.default_rng(1)
    X = torch.tensor(rng.normal(size=(40, 5)))
    train = torch.ones(1, 40, dtype=torch.bool)
    y, C = torch.tensor(rng.integers(0, 4, (1, 40))), torch.tensor([0.3], dtype=torch.float64)
    objective = Objective.of(CommonScale.of(X), y, train, C, 4)
    direction = torch.tensor(rng.normal(size=(1, 4, 6)))
    direction -= direction.mean(dim=1, keepdim=True)  # labels' weights that add up to nothing
    ahead, behind = (objective.value_and_gradient(h * direction)[1] for h in (1e-5, -1e-5))
    hessian_times = (ahead - behind) / 2e-5
    weights = objective.apply_metric(hessian_times)[..., :-1]
    # the metric is of activations on the common scale, the weights of standardised ones: the same
    assert torch.allclose(weights, direction[..., :-1], rtol=1e-6)
