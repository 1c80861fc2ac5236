"""Linear probes on activations whose content is known, and against scikit-learn fit by fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from affectscope.probes import PENALTIES, fit_probes, probe_out_of_fold
from affectscope.probes.solver import common_scale

LABELS = np.array(["fear", "joy", "pride"])


def planted(n: int, strength: float, seed: int = 0):
    """Activations that carry the label along random directions, among unrelated variation."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    directions = rng.normal(size=(3, 24))
    X = rng.normal(size=(n, 24)) + strength * directions[y]
    return X.astype(np.float32), LABELS[y], rng.integers(0, 5, n)


def activation_like(n: int = 200, d: int = 30, n_labels: int = 4, seed: int = 0):
    """Strongly correlated, of very different scales, with one that never varies."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d))
    X = (common + 0.3 * rng.normal(size=(n, d))) * 10.0 ** rng.uniform(-2, 2, d) + 5
    X[:, 4] = 7.0
    signal = (X[:, -n_labels:] - 5) / X[:, -n_labels:].std(axis=0)
    y = (signal + rng.normal(size=(n, n_labels))).argmax(axis=1)
    return X, y


def one_labelling(X, y, folds, **options):
    found = probe_out_of_fold(X, {"emotion": y}, folds, **options)["emotion"]
    return found.predicted, bool(found.converged.all())


def reference(X, y, train, C):
    """scikit-learn's probe on the training items: probabilities of all items."""
    scale = StandardScaler().fit(X[train])
    probe = LogisticRegression(C=C, max_iter=20_000, tol=1e-9)
    probe.fit(scale.transform(X[train]), y[train])
    return probe, scale


class TestSolver:
    C = (1e-3, 0.1, 1.0, 30.0)

    @pytest.fixture(scope="class")
    def problem(self):
        X, y = activation_like()
        rng = np.random.default_rng(1)
        train = rng.random((4, len(X))) < [[0.8], [0.5], [0.9], [0.7]]
        return X, y, train

    def fit(self, problem, dtype=torch.float64, **options):
        X, y, train = problem
        return fit_probes(
            torch.tensor(X, dtype=dtype),
            torch.tensor(np.tile(y, (4, 1))),
            torch.tensor(train),
            torch.tensor(self.C, dtype=torch.float64),
            n_labels=4,
            **options,
        )

    def test_weights_and_scores_are_scikit_learns(self, problem):
        X, y, train = problem
        probes = self.fit(problem, tolerance=1e-9)
        assert probes.converged.all()
        for k, C in enumerate(self.C):
            truth, scale = reference(X, y, train[k], C)
            ours = probes.weight[k].numpy() * scale.scale_[:, None]
            # a common constant in all labels' weights changes no score: both have mean zero
            assert np.allclose(ours, truth.coef_.T, atol=2e-4)
            ours = probes.scores(torch.tensor(X))[k].softmax(-1).numpy()
            assert np.allclose(ours, truth.predict_proba(scale.transform(X)), atol=1e-4)

    def test_float32_reaches_the_same_answers(self, problem):
        X, y, train = problem
        probes = self.fit(problem, dtype=torch.float32)
        assert probes.converged.all()
        for k, C in enumerate(self.C):
            truth, scale = reference(X, y, train[k], C)
            ours = probes.scores(torch.tensor(X, dtype=torch.float32))[k].softmax(-1).numpy()
            assert np.abs(ours - truth.predict_proba(scale.transform(X))).max() < 0.02

    def test_the_gradient_ends_below_the_tolerance(self, problem):
        """The objective is written out anew here, in scikit-learn's terms."""
        X, y, train = problem
        probes = self.fit(problem, tolerance=1e-6)
        for k, C in enumerate(self.C):
            rows = train[k]
            scale = StandardScaler().fit(X[rows])
            Z = scale.transform(X[rows])
            W = probes.weight[k].numpy() * scale.scale_[:, None]
            p = probes.scores(torch.tensor(X[rows]))[k].softmax(-1).numpy()
            slope = (p - np.eye(4)[y[rows]]) / rows.sum()
            assert np.abs(Z.T @ slope + W / (C * rows.sum())).max() < 2e-6
            assert np.abs(slope.sum(axis=0)).max() < 2e-6

    def test_a_probe_does_not_depend_on_its_company(self, problem):
        X, y, train = problem
        together = self.fit(problem, tolerance=1e-8)
        for k, C in enumerate(self.C):
            alone = fit_probes(
                torch.tensor(X),
                torch.tensor(y)[None],
                torch.tensor(train[k : k + 1]),
                torch.tensor([C]),
                n_labels=4,
                tolerance=1e-8,
            )
            assert torch.allclose(
                alone.scores(torch.tensor(X))[0], together.scores(torch.tensor(X))[k], atol=1e-3
            )

    def test_probes_that_do_not_fit_together_are_solved_in_parts(self, problem, monkeypatch):
        X = torch.tensor(problem[0])
        together = self.fit(problem, tolerance=1e-8).scores(X)
        monkeypatch.setattr("affectscope.probes.solver.MOST_NUMBERS", 7000)
        assert torch.allclose(self.fit(problem, tolerance=1e-8).scores(X), together, atol=1e-3)

    def test_where_a_probe_begins_does_not_matter(self, problem):
        """From the solution of another penalty, and back from the units of the activations."""
        X = torch.tensor(problem[0])
        cold = self.fit(problem, tolerance=1e-9)
        others = cold.only(torch.tensor([1, 2, 3, 0]))
        warm = self.fit(problem, tolerance=1e-9, start=others)
        assert warm.converged.all()
        assert torch.allclose(warm.scores(X), cold.scores(X), atol=1e-4)
        again = self.fit(problem, tolerance=1e-7, start=cold)
        assert again.iterations.tolist() == [0, 0, 0, 0]

    def test_activations_prepared_once_give_the_same(self, problem):
        _, y, train = problem
        X, C = torch.tensor(problem[0]), torch.tensor(self.C, dtype=torch.float64)
        given = [torch.tensor(np.tile(y, (4, 1))), torch.tensor(train), C]
        once, again = (fit_probes(x, *given, n_labels=4) for x in (X, common_scale(X)))
        assert torch.equal(once.weight, again.weight)

    def test_what_is_not_reached_is_said(self, problem):
        probes = self.fit(problem, tolerance=1e-9, iterations=2)
        assert not probes.converged.any()
        assert probes.iterations.tolist() == [2, 2, 2, 2]

    def test_an_unseen_label_is_never_predicted(self):
        X, y = activation_like()
        train = torch.tensor((y != 2)[None])
        probes = fit_probes(
            torch.tensor(X), torch.tensor(y)[None], train, torch.tensor([1.0]), n_labels=4
        )
        assert probes.converged.all()
        assert 2 not in probes.scores(torch.tensor(X))[0].argmax(-1)

    def test_no_training_items_or_no_numbers_are_refused(self):
        X, y = activation_like()
        none = torch.zeros(1, len(X), dtype=torch.bool)
        labels, C = torch.tensor(y)[None], torch.tensor([1.0])
        with pytest.raises(ValueError, match="training item"):
            fit_probes(torch.tensor(X), labels, none, C, n_labels=4)
        X[3, 3] = np.nan
        with pytest.raises(ValueError, match="not finite"):
            fit_probes(torch.tensor(X), labels, ~none, C, n_labels=4)


def test_a_planted_feature_is_found_and_noise_is_not():
    X, y, folds = planted(400, strength=3.0)
    predicted, converged = one_labelling(X, y, folds)
    assert (predicted == y).mean() > 0.98
    assert converged
    X, y, folds = planted(400, strength=0.0)
    predicted, _ = one_labelling(X, y, folds)
    assert (predicted == y).mean() == pytest.approx(1 / 3, abs=0.08)


def test_labellings_do_not_disturb_each_other():
    X, y, folds = planted(200, strength=1.0)
    other = np.random.default_rng(5).permutation(y)
    both = probe_out_of_fold(X, {"emotion": y, "dealt": other}, folds)
    for name, labels in (("emotion", y), ("dealt", other)):
        alone = probe_out_of_fold(X, {name: labels}, folds)[name]
        assert (both[name].predicted == alone.predicted).mean() > 0.99
        assert np.array_equal(both[name].C, alone.C)


def test_an_item_is_never_predicted_by_a_probe_that_saw_it():
    """Every item has its own label-independent marker; only a probe that saw it could be right."""
    n = 60
    rng = np.random.default_rng(0)
    y = LABELS[rng.integers(0, 3, n)]
    X = np.eye(n, dtype=np.float32) * 10
    predicted, _ = one_labelling(X, y, np.arange(n) % 5)
    assert (predicted == y).mean() < 0.6
    codes = torch.tensor(np.searchsorted(LABELS, y))
    everything = torch.ones(1, n, dtype=torch.bool)
    seen = fit_probes(torch.tensor(X), codes[None], everything, torch.tensor([1.0]), n_labels=3)
    assert torch.equal(seen.scores(torch.tensor(X))[0].argmax(-1), codes)


def test_the_penalty_is_chosen_without_the_items_it_is_used_on():
    """Labels of one fold are replaced: what is chosen for that fold must not change."""
    X, y, folds = planted(150, strength=0.4)
    before = probe_out_of_fold(X, {"emotion": y}, folds)["emotion"]
    changed = y.copy()
    changed[folds == 2] = np.random.default_rng(9).permutation(changed[folds == 2])
    after = probe_out_of_fold(X, {"emotion": changed}, folds)["emotion"]
    assert set(before.C) <= set(PENALTIES)
    assert np.array_equal(before.C[folds == 2], after.C[folds == 2])
    assert np.array_equal(before.predicted[folds == 2], after.predicted[folds == 2])


def test_the_chosen_penalty_has_the_least_log_loss_on_the_other_folds():
    """Every penalty tried with scikit-learn, fold by fold."""
    X, y, folds = planted(150, strength=0.3)
    chosen = probe_out_of_fold(X, {"emotion": y}, folds, tolerance=1e-6)["emotion"].C
    for fold in range(5):
        losses = []
        for C in PENALTIES:
            loss = 0.0
            for inner in set(range(5)) - {fold}:
                truth, scale = reference(X, y, (folds != fold) & (folds != inner), C)
                held_out = folds == inner
                p = truth.predict_proba(scale.transform(X[held_out]))
                loss -= np.log(
                    p[np.arange(held_out.sum()), np.searchsorted(LABELS, y[held_out])]
                ).sum()
            losses.append(loss)
        assert set(chosen[folds == fold]) == {PENALTIES[int(np.argmin(losses))]}


def test_with_two_folds_the_middle_penalty_is_taken():
    X, y, folds = planted(100, strength=1.0)
    found = probe_out_of_fold(X, {"emotion": y}, folds % 2)["emotion"]
    assert set(found.C) == {PENALTIES[len(PENALTIES) // 2]}


def test_the_scale_is_learnt_inside_the_fold():
    """An absurd item in the tested fold must not change how its neighbours are predicted."""
    X, y, folds = planted(200, strength=1.0)
    before, _ = one_labelling(X, y, folds, penalties=(0.1,))
    wild = X.copy()
    odd = int(np.flatnonzero(folds == 0)[0])
    wild[odd] = 1e6
    after, _ = one_labelling(wild, y, folds, penalties=(0.1,))
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
    probe = fit_probes(
        torch.tensor(X),
        torch.tensor(codes)[None],
        torch.ones(1, 80, dtype=torch.bool),
        torch.tensor([1.0]),
        n_labels=3,
    )
    assert np.allclose(probe.scores(torch.tensor(X))[0].softmax(-1).numpy(), truth, atol=5e-3)


def test_a_fold_that_leaves_one_label_predicts_it():
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    y = np.array(["joy", "joy", "joy", "joy", "fear"])
    predicted, _ = one_labelling(X, y, np.arange(5))
    assert predicted[4] == "joy"
