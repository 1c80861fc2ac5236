"""Ridge probes against scikit-learn's, fitted one target and one fold at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affectscope.errors import UsageError
from affectscope.probes.ridge import PENALTIES, fit_ridge, ridge_out_of_fold

FOLDS = 4


def made(n: int, d: int, targets: int = 3, seed: int = 0):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, d)) * np.logspace(-1, 1, d) + generator.normal(size=d)
    signal = generator.normal(size=(d, targets)) / np.logspace(-1, 1, d)[:, None]
    Y = X @ signal / np.sqrt(d) + generator.normal(size=(n, targets)) * np.array([0.3, 2, 20])
    return X.astype(np.float32), Y, generator.permutation(np.arange(n) % FOLDS)


def naive(X, y, penalty: float):
    """scikit-learn's ridge on standardised activations; its alpha is penalty times n."""
    model = make_pipeline(StandardScaler(), Ridge(alpha=penalty * len(y), solver="svd"))
    return model.fit(X.astype(np.float64), y)


def best_penalty(X, y, folds) -> float:
    """By the squared error over all folds, each predicted from the others."""
    errors = [
        sum(
            ((naive(X[folds != g], y[folds != g], one).predict(X[folds == g]) - y[folds == g]) ** 2)
            .sum()
            for g in np.unique(folds)
        )
        for one in PENALTIES
    ]  # fmt: skip
    return PENALTIES[int(np.argmin(errors))]


@pytest.mark.parametrize("shape", [(120, 10), (60, 90)])
def test_nested_cross_validation_is_the_naive_loop(shape):
    X, Y, folds = made(*shape)
    found = ridge_out_of_fold(X, Y, folds)
    for k in range(Y.shape[1]):
        for fold in range(FOLDS):
            train, test = folds != fold, folds == fold
            penalty = best_penalty(X[train], Y[train, k], folds[train])
            model = naive(X[train], Y[train, k], penalty)
            assert set(found.penalty[test, k]) == {penalty}
            np.testing.assert_allclose(
                found.predicted[test, k], model.predict(X[test]), rtol=1e-4, atol=1e-4
            )
            np.testing.assert_allclose(found.baseline[test, k], Y[train, k].mean(), rtol=1e-6)
    assert len(np.unique(found.penalty)) > 1, "targets of unlike noise want unlike penalties"


@pytest.mark.parametrize("shape", [(120, 10), (60, 90)])
def test_one_probe_for_each_target_is_scikit_learns(shape):
    X, Y, folds = made(*shape)
    found = fit_ridge(X, Y, folds)
    for k in range(Y.shape[1]):
        penalty = best_penalty(X, Y[:, k], folds)
        model = naive(X, Y[:, k], penalty)
        assert found.penalty[k] == penalty
        np.testing.assert_allclose(found.read(X)[:, k], model.predict(X), rtol=1e-4, atol=1e-4)
        weights = model[1].coef_ / model[0].scale_
        np.testing.assert_allclose(found.weights[k], weights, atol=1e-4 * np.abs(weights).max())


def test_items_without_a_rating_are_not_trained_on_but_predicted():
    X, Y, folds = made(120, 10)
    missing = np.arange(0, 120, 7)
    holes = Y.copy()
    holes[missing, 1] = np.nan
    found = ridge_out_of_fold(X, holes, folds)
    whole = ridge_out_of_fold(X, Y, folds)
    rated = np.setdiff1d(np.arange(120), missing)
    alone = ridge_out_of_fold(X[rated], Y[rated, 1:2], folds[rated])
    np.testing.assert_allclose(found.predicted[rated, 1], alone.predicted[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.predicted[:, [0, 2]], whole.predicted[:, [0, 2]], rtol=1e-5)
    assert np.isfinite(found.predicted[missing, 1]).all()


def test_an_activation_that_does_not_vary_weighs_nothing():
    X, Y, folds = made(120, 10)
    X[:, 3] = 7.25
    found = fit_ridge(X, Y, folds)
    assert (found.weights[:, 3] == 0).all()
    without = fit_ridge(np.delete(X, 3, axis=1), Y, folds)
    np.testing.assert_allclose(np.delete(found.weights, 3, axis=1), without.weights, rtol=1e-4)


def test_a_target_that_does_not_vary_is_its_mean():
    X, Y, folds = made(120, 10)
    Y[:, 2] = 4.0
    found = ridge_out_of_fold(X, Y, folds)
    np.testing.assert_allclose(found.predicted[:, 2], 4.0, rtol=1e-6)
    np.testing.assert_allclose(fit_ridge(X, Y, folds).weights[2], 0, atol=1e-9)


def test_targets_do_not_see_each_other():
    X, Y, folds = made(120, 10)
    together, alone = ridge_out_of_fold(X, Y, folds), ridge_out_of_fold(X, Y[:, :1], folds)
    np.testing.assert_allclose(together.predicted[:, :1], alone.predicted, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, Y, f: (X[:-1], Y, f), "shapes"),
        (lambda X, Y, f: (X, Y[:, 0], f), "shapes"),
        (lambda X, Y, f: (X * np.inf, Y, f), "activations that are not finite"),
        (lambda X, Y, f: (X, Y * np.inf, f), "ratings that are not finite"),
        (
            lambda X, Y, f: (X, np.where(np.arange(len(Y))[:, None] > 0, np.nan, Y), f),
            "to train on",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_fitted_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        ridge_out_of_fold(*change(*made(40, 5)))


def test_a_penalty_that_is_none_is_refused():
    with pytest.raises(UsageError, match="penalties"):
        fit_ridge(*made(40, 5), penalties=[0.0])
