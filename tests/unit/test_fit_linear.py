"""One logistic regression on all items, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affectscope.probes.linear import PENALTIES, fit_linear


def made(n: int = 150, d: int = 12, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = np.array(["anger", "fear", "joy"])[generator.integers(0, 3, n)]
    centres = {name: generator.normal(0, 0.7, d) for name in ("anger", "fear", "joy")}
    X = np.stack([centres[label] for label in labels]) + generator.normal(0, 1, (n, d))
    X *= np.logspace(-1, 1, d)  # so that it matters that activations are standardised
    return X.astype(np.float32), labels.tolist(), np.arange(n) % 5


def sklearn_probe(C: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))


@pytest.mark.parametrize("C", [1e-3, 1e-1])
def test_it_is_scikit_learns(C):
    X, labels, folds = made()
    found = fit_linear(X, labels, folds, penalties=[C], tolerance=1e-6)
    truth = sklearn_probe(C).fit(X, labels)
    scale, regression = truth[0], truth[1]
    weights = regression.coef_ / scale.scale_
    weights = weights - weights.mean(axis=0)
    assert found.labels == tuple(regression.classes_)
    np.testing.assert_allclose(found.weights, weights, atol=2e-3 * np.abs(weights).max())
    p = np.exp(found.scores(X))
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, truth.predict_proba(X), atol=1e-3)
    np.testing.assert_allclose(found.weights.sum(axis=0), 0, atol=1e-6)


def test_the_penalty_is_the_one_that_predicts_other_folds_best():
    X, labels, folds = made()
    losses = []
    for C in PENALTIES:
        held_out = 0.0
        for fold in range(5):
            probe = sklearn_probe(C).fit(X[folds != fold], np.array(labels)[folds != fold])
            held_out += log_loss(
                np.array(labels)[folds == fold], probe.predict_proba(X[folds == fold])
            )
        losses.append(held_out)
    assert PENALTIES[int(np.argmin(losses))] == fit_linear(X, labels, folds).C
    assert len({round(loss, 3) for loss in losses}) == len(PENALTIES), "the penalties must differ"


def test_a_single_fold_takes_the_middle_penalty():
    X, labels, _ = made()
    found = fit_linear(X, labels, np.zeros(len(X), int), penalties=[1e-3, 1e-2, 1e-1])
    assert found.C == 1e-2
