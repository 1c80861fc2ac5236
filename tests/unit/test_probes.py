"""Linear probes on activations whose content is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from affectscope.probes import fit_linear_probe, probe_out_of_fold

LABELS = np.array(["fear", "joy", "pride"])


def planted(n: int, strength: float, seed: int = 0):
    """Activations that carry the label along random directions, among unrelated variation."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    directions = rng.normal(size=(3, 24))
    X = rng.normal(size=(n, 24)) + strength * directions[y]
    return X.astype(np.float32), LABELS[y], rng.integers(0, 5, n)


def test_a_planted_feature_is_found_and_noise_is_not():
    X, y, folds = planted(400, strength=3.0)
    predicted, converged = probe_out_of_fold(X, y, folds)
    assert (predicted == y).mean() > 0.98
    assert converged
    X, y, folds = planted(400, strength=0.0)
    predicted, _ = probe_out_of_fold(X, y, folds)
    assert (predicted == y).mean() == pytest.approx(1 / 3, abs=0.08)


def test_an_item_is_never_predicted_by_a_probe_that_saw_it():
    """Every item has its own label-independent marker; only a probe that saw it could be right."""
    n = 60
    rng = np.random.default_rng(0)
    y = LABELS[rng.integers(0, 3, n)]
    X = np.eye(n, dtype=np.float32) * 10
    predicted, _ = probe_out_of_fold(X, y, np.arange(n) % 5)
    assert (predicted == y).mean() < 0.6
    seen = fit_linear_probe(X, y).predict(X)
    assert (seen == y).mean() == 1.0


def test_the_scale_is_learnt_inside_the_fold():
    """An absurd item in the tested fold must not change how its neighbours are predicted."""
    X, y, folds = planted(200, strength=1.0)
    before, _ = probe_out_of_fold(X, y, folds)
    wild = X.copy()
    odd = int(np.flatnonzero(folds == 0)[0])
    wild[odd] = 1e6
    after, _ = probe_out_of_fold(wild, y, folds)
    others = (folds == 0) & (np.arange(200) != odd)
    assert np.array_equal(before[others], after[others])


def test_the_fit_minimises_the_penalised_likelihood():
    """Against a direct minimisation of ``sum of log-losses + ||W||² / (2 C)``, C = 1."""
    X, y, _ = planted(80, strength=0.5)
    X = X[:, :4]
    codes = np.searchsorted(LABELS, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)

    def loss(parameters):
        W, b = parameters[:12].reshape(3, 4), parameters[12:]
        scores = Z @ W.T + b
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return -log_p[np.arange(80), codes].sum() + 0.5 * (W**2).sum()

    best = minimize(loss, np.zeros(15), method="BFGS").x
    truth = np.exp(Z @ best[:12].reshape(3, 4).T + best[12:])
    truth /= truth.sum(axis=1, keepdims=True)
    assert np.allclose(fit_linear_probe(X, y).predict_proba(X), truth, atol=5e-3)


def test_a_fold_that_leaves_one_label_predicts_it():
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    y = np.array(["joy", "joy", "joy", "joy", "fear"])
    predicted, _ = probe_out_of_fold(X, y, np.arange(5))
    assert predicted[4] == "joy"
