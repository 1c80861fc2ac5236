"""Non-linear probes: against scikit-learn's, by hand, and on what they must and must not see."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from affectscope.probes import mlp_out_of_fold, one_thread_each, probe_out_of_fold
from affectscope.probes.mlp import _Networks, _Settings

LABELS = np.array(["fear", "joy", "pride"])


def exclusive_or(n: int = 400):
    """Joy where the signs of two activations agree: no line parts them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 10)).astype(np.float32) * 3 + 1
    return X, np.where((X[:, 0] > 1) == (X[:, 1] > 1), "joy", "fear"), rng.integers(0, 5, n)


def along_lines(n: int = 400):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 20)) + 1.2 * rng.normal(size=(3, 20))[y]
    return X.astype(np.float32), LABELS[y], rng.integers(0, 5, n)


def scikit_learns(X, y, folds):
    predicted = np.empty_like(y)
    for fold in np.unique(folds):
        train = folds != fold
        scale = StandardScaler().fit(X[train])
        network = MLPClassifier((32,), max_iter=200, alpha=0.03 * train.sum(), random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(scale.transform(X[train]), y[train])
        predicted[~train] = network.predict(scale.transform(X[~train]))
    return predicted


@pytest.mark.parametrize(("problem", "at_least"), [(exclusive_or, 0.85), (along_lines, 0.9)])
def test_as_good_as_scikit_learns(problem, at_least):
    X, y, folds = problem()
    ours = (mlp_out_of_fold(X, y, folds, seed=0) == y).mean()
    assert ours > at_least
    assert ours > (scikit_learns(X, y, folds) == y).mean() - 0.03


def test_a_linear_probe_cannot_what_a_network_can():
    X, y, folds = exclusive_or()
    linear = probe_out_of_fold(X, {"emotion": y}, folds)["emotion"].predicted
    assert (linear == y).mean() < 0.6


def networks(X, y, train, iterations, *, decay=0.1):
    codes = torch.tensor(np.searchsorted(LABELS, y))
    made = _Networks(torch.tensor(X), codes, torch.tensor(train), _Settings(3, 4, decay, 1e-2, 0))
    for _ in range(iterations):
        made.train_once()
    return made


def test_training_is_adam_on_the_penalised_loss():
    """Against torch's own derivatives and Adam, each network standardised by its own items."""
    X, y, _ = along_lines(60)
    X = X.astype(np.float64)
    train = np.random.default_rng(2).random((2, 60)) < 0.7
    ours = networks(X, y, train, 7)
    codes = torch.tensor(np.searchsorted(LABELS, y))
    for k, rows in enumerate(train):
        start = networks(X, y, train, 0).parameters
        W, b, V, c = (part[k].clone().requires_grad_() for part in start)
        Z = torch.tensor(StandardScaler().fit(X[rows]).transform(X))
        optimiser = torch.optim.Adam([W, b, V, c], lr=1e-2)
        for _ in range(7):
            optimiser.zero_grad()
            scores = (Z @ W.T + b).relu() @ V.T + c
            loss = torch.nn.functional.cross_entropy(scores[rows], codes[rows])
            (loss + 0.05 * (W.square().sum() + V.square().sum())).backward()
            optimiser.step()
        scores = (Z @ W.T + b).relu() @ V.T + c
        assert torch.allclose(ours.scores()[k], scores.T.detach(), atol=1e-5)


def test_a_network_does_not_depend_on_its_company():
    X, y, _ = along_lines(80)
    train = np.random.default_rng(3).random((5, 80)) < 0.8
    together = networks(X, y, train, 50).scores()
    for k in range(5):
        alone = networks(X, y, train[k : k + 1], 50).scores()[0]
        assert torch.allclose(together[k], alone, atol=1e-3)


def test_the_fold_is_not_seen():
    """Other labels and absurd activations in a fold change nothing elsewhere in its prediction."""
    X, y, folds = along_lines(150)
    before = mlp_out_of_fold(X, y, folds, seed=0, iterations=40)
    changed = y.copy()
    inside = folds == 2
    changed[inside] = np.random.default_rng(9).permutation(changed[inside])
    after = mlp_out_of_fold(X, changed, folds, seed=0, iterations=40)
    assert np.array_equal(before[inside], after[inside])
    assert not np.array_equal(before[~inside], after[~inside])
    wild = X.copy()
    odd = int(np.flatnonzero(inside)[0])
    wild[odd] = 1e3
    others = inside & (np.arange(150) != odd)
    after = mlp_out_of_fold(wild, y, folds, seed=0, iterations=40)
    assert np.array_equal(before[others], after[others])


def test_the_seed_decides():
    X, y, folds = along_lines(150)
    X = np.random.default_rng(0).normal(size=X.shape).astype(np.float32)
    once, again, other = (mlp_out_of_fold(X, y, folds, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_fold_that_leaves_one_label_predicts_it():
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    y = np.array(["joy", "joy", "joy", "joy", "fear"])
    assert mlp_out_of_fold(X, y, np.arange(5), seed=0)[4] == "joy"


def test_numbers_that_are_not_finite_are_refused():
    X, y, folds = along_lines(40)
    X[3, 3] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        mlp_out_of_fold(X, y, folds, seed=0)


def test_places_side_by_side_give_what_one_after_the_other_does():
    X, y, folds = along_lines(120)
    places = [X * (1 + k) + k for k in range(4)]

    def work(place):
        return probe_out_of_fold(place[:, :10], {"emotion": y}, folds)["emotion"].predicted

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        beside = one_thread_each(work, places, "cpu")
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert all(map(np.array_equal, beside, one_thread_each(work, places, "cpu")))
    finally:
        torch.set_num_threads(before)
