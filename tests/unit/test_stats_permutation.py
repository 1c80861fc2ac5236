"""Permutation tests and the false discovery rate: enumeration, simulation, worked examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from affectscope.data import grouped_folds
from affectscope.errors import UsageError
from affectscope.stats import (
    dealt_labels,
    false_discovery_rate,
    label_permutation_test,
    maximum_test,
    refit_accuracy,
    refit_test,
    sign_flip_test,
)


def alone(n: int) -> list[str]:
    return [f"g{i}" for i in range(n)]


def calls_too_often(hits: int, runs: int) -> bool:
    """Whether more than 5 % of the runs were called significant, beyond binomial error."""
    return binomtest(hits, runs, 0.05, alternative="greater").pvalue < 0.01


class TestMaximumTest:
    def test_p_counts_maxima_over_the_family_and_the_observed_order(self):
        permuted = np.array([[0.1, 0.9], [0.5, 0.2], [0.3, 0.3]])  # maxima 0.9, 0.5, 0.3
        test = maximum_test(np.array([0.95, 0.5, 0.2])[:2], permuted)
        assert test.p.tolist() == [1 / 4, 3 / 4]
        assert test.n_permutations == 3

    def test_a_statistic_is_above_the_critical_value_where_p_is_at_most_5_percent(self):
        rng = np.random.default_rng(0)
        for n in (19, 20, 39, 100, 999):
            test = maximum_test(rng.normal(size=200) * 3, rng.normal(size=(n, 200)))
            above = test.observed > test.critical
            assert above.any()
            assert not above.all()
            assert (above == (test.p <= 0.05)).all()
            assert (above == test.significant).all()

    def test_too_few_permutations_make_nothing_significant(self):
        test = maximum_test(np.array([9.0]), np.zeros((18, 1)))
        assert test.critical == np.inf
        assert not test.significant.any()

    def test_nan_is_never_significant_and_takes_no_part(self):
        permuted = np.array([[0.0, 99.0]] * 99)
        test = maximum_test(np.array([1.0, np.nan]), permuted)
        assert test.p[0] == 1 / 100
        assert np.isnan(test.p[1])
        assert test.significant.tolist() == [True, False]
        nothing = maximum_test(np.array([np.nan]), np.zeros((99, 1)))
        assert np.isnan(nothing.p).all()

    def test_a_missing_permuted_statistic_is_not_the_maximum(self):
        test = maximum_test(np.array([1.0, 0.0]), np.array([[np.nan, 0.5]] * 3))
        assert test.p[0] == 1 / 4

    @pytest.mark.parametrize("shape", [(3, 1), (0, 2), (6,)])
    def test_shapes_that_do_not_fit_are_refused(self, shape):
        with pytest.raises(UsageError):
            maximum_test(np.zeros(2), np.zeros(shape))


class TestSignFlip:
    def test_one_statistic_has_the_enumerated_p(self):
        x = np.array([1.2, -0.3, 0.8, 0.5, -0.1, 0.9, 0.4])
        sums = [(x * signs).sum() for signs in itertools.product([1, -1], repeat=7)]
        p = np.mean([total >= x.sum() - 1e-9 for total in sums])
        test = sign_flip_test(x[:, None], alone(7), seed=0)
        assert test.p[0] == pytest.approx(p)
        assert test.n_permutations == 2**7 - 1

    def test_random_flips_come_near_the_enumerated_p(self):
        x = np.random.default_rng(1).normal(0.5, 1, size=10)
        exact = sign_flip_test(x[:, None], alone(10), seed=0).p[0]
        drawn = sign_flip_test(x[:, None], alone(10), seed=0, n_permutations=1000)
        assert drawn.n_permutations == 1000
        assert drawn.p[0] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 1000))

    def test_whole_groups_flip_with_the_maximum_over_statistics(self):
        rng = np.random.default_rng(2)
        x = rng.normal(0.4, 1, size=(12, 3)) * [1, 10, 100]
        groups = ["a", "b", "c", "a", "b", "d", "e", "f", "a", "c", "e", "g"]
        names = sorted(set(groups))
        sums = np.array([x[[g == name for g in groups]].sum(axis=0) for name in names])
        t = sums.sum(axis=0) / np.sqrt((sums**2).sum(axis=0))
        maxima = [
            (np.array(signs) @ sums / np.sqrt((sums**2).sum(axis=0))).max()
            for signs in itertools.product([1, -1], repeat=len(names))
        ]
        test = sign_flip_test(x, groups, seed=0)
        assert test.observed == pytest.approx(t)
        assert test.p == pytest.approx([np.mean(np.array(maxima) >= each - 1e-9) for each in t])

    def test_scale_and_place_of_a_statistic_do_not_matter(self):
        x = np.random.default_rng(3).normal(0.2, 1, size=(40, 4))
        one = sign_flip_test(x, alone(40), seed=5)
        other = sign_flip_test((x * [1, 1e-6, 1e6, 3])[:, ::-1], alone(40), seed=5)
        assert other.p[::-1] == pytest.approx(one.p)

    def test_no_observations_nan_all_zero_one(self):
        x = np.array([[np.nan, 0.0, 1.0]] * 8)
        test = sign_flip_test(x, alone(8), seed=0)
        assert np.isnan(test.p[0])
        assert test.p[1:].tolist() == [1.0, 1 / 2**8]

    def test_missing_observations_count_nothing(self):
        x = np.random.default_rng(0).normal(0.5, 1, size=(30, 1))
        padded = np.concatenate([x, np.full((10, 1), np.nan)])
        groups = alone(30)
        assert (
            sign_flip_test(padded, groups + groups[:10], seed=1).p
            == sign_flip_test(x, groups, seed=1).p
        )

    def test_family_wise_error_with_dependent_groups_and_statistics(self):
        """30 groups of 4 that share much, 20 statistics that share much, 3 times as wide apart."""
        rng = np.random.default_rng(4)
        groups = [f"g{i // 4}" for i in range(120)]
        runs, called = 400, 0
        for run in range(runs):
            shared = np.repeat(rng.normal(size=(30, 1)), 4, axis=0)
            own = np.repeat(rng.normal(size=(30, 20)), 4, axis=0) + rng.normal(size=(120, 20))
            x = (shared + own) * np.linspace(1, 3, 20)
            called += sign_flip_test(x, groups, seed=run, n_permutations=199).significant.any()
        assert not calls_too_often(called, runs)

    def test_ungrouped_it_would_call_too_often(self):
        """The simulation above can tell: as if the 4 of a group were independent, it fails."""
        rng = np.random.default_rng(4)
        called = 0
        for run in range(100):
            x = np.repeat(rng.normal(size=(30, 5)), 4, axis=0)
            called += sign_flip_test(x, alone(120), seed=run, n_permutations=99).significant.any()
        assert calls_too_often(called, 100)

    def test_a_planted_effect_is_found_and_no_other(self):
        x = np.random.default_rng(5).normal(size=(100, 30))
        x[:, 7] += 1
        test = sign_flip_test(x, alone(100), seed=0)
        assert np.flatnonzero(test.significant).tolist() == [7]

    def test_the_same_seed_the_same_p(self):
        x = np.random.default_rng(5).normal(size=(50, 3))
        p = [sign_flip_test(x, alone(50), seed=seed).p.tolist() for seed in (1, 1, 2)]
        assert p[0] == p[1] != p[2]

    @pytest.mark.parametrize(
        ("values", "groups", "n"),
        [
            (np.zeros(3), alone(3), 9),
            (np.zeros((3, 1)), alone(2), 9),
            (np.zeros((0, 1)), [], 9),
            (np.zeros((3, 1)), alone(3), 0),
        ],
    )
    def test_bad_input_is_refused(self, values, groups, n):
        with pytest.raises(UsageError):
            sign_flip_test(values, groups, seed=0, n_permutations=n)


class TestLabelPermutation:
    def test_p_is_that_of_all_deals(self):
        labels = np.array([0, 0, 1, 1, 2, 2])
        predicted = np.array([[0, 0, 1, 2, 2, 1], [0, 1, 0, 1, 0, 1]]).T
        deals = np.array(list(itertools.permutations(labels)))
        maxima = (deals[:, :, None] == predicted[None]).mean(axis=1).max(axis=1)
        test = label_permutation_test(predicted, labels, alone(6), seed=0, n_permutations=20_000)
        assert test.observed.tolist() == [4 / 6, 2 / 6]
        for accuracy, p in zip(test.observed, test.p, strict=True):
            truth = np.mean(maxima >= accuracy - 1e-9)
            assert p == pytest.approx(truth, abs=4 * np.sqrt(0.25 / 20_000))

    def test_groups_of_one_label_are_dealt_whole(self):
        """Of groups of 3, 2 and 1 items only six deals exist."""
        labels = np.array([0, 0, 0, 1, 1, 2])
        groups = ["a", "a", "a", "b", "b", "c"]
        predicted = labels[:, None]
        hits = [
            np.mean(np.array(deal)[[0, 0, 0, 1, 1, 2]] == labels)
            for deal in itertools.permutations([0, 1, 2])
        ]
        assert np.mean(np.array(hits) == 1) == 1 / 6
        test = label_permutation_test(predicted, labels, groups, seed=0, n_permutations=20_000)
        assert test.p[0] == pytest.approx(1 / 6, abs=0.011)
        free = label_permutation_test(predicted, labels, alone(6), seed=0, n_permutations=20_000)
        assert free.p[0] == pytest.approx(1 / 60, abs=0.004)  # of 6!/(3! 2! 1!) deals one

    def test_items_of_groups_with_several_labels_are_dealt_among_themselves(self):
        """Group a keeps 0: only c and d have another label to take, and no unit but theirs."""
        labels = np.array([0, 0, 0, 1, 0, 1])
        groups = ["a", "a", "b", "b", "c", "c"]
        deals = [(0, 0, *deal) for deal in set(itertools.permutations([0, 1, 0, 1]))]
        accuracy = [np.mean(np.array(deal) == labels) for deal in deals]
        test = label_permutation_test(
            labels[:, None], labels, groups, seed=0, n_permutations=20_000
        )
        assert test.p[0] == pytest.approx(np.mean(np.array(accuracy) == 1), abs=0.012)

    def test_a_label_that_nothing_has_is_a_miss(self):
        labels = np.array([0, 1] * 10)
        predicted = np.stack([labels, np.full(20, -1)], axis=1)
        test = label_permutation_test(predicted, labels, alone(20), seed=0)
        assert test.observed.tolist() == [1.0, 0.0]
        assert test.p[1] == 1.0

    def test_a_constant_prediction_is_never_significant(self):
        labels = np.random.default_rng(0).integers(0, 3, size=60)
        test = label_permutation_test(np.zeros((60, 1), dtype=int), labels, alone(60), seed=0)
        assert test.p[0] == 1.0

    def test_family_wise_error_with_dependent_groups_and_statistics(self):
        """40 groups of 3 with one label each; predictions agree within groups and statistics."""
        rng = np.random.default_rng(7)
        groups = [f"g{i // 3}" for i in range(120)]
        runs, called = 400, 0
        for run in range(runs):
            labels = np.repeat(rng.integers(0, 4, size=40), 3)
            base = np.repeat(rng.integers(0, 4, size=(40, 1)), 3, axis=0)
            other = np.repeat(rng.integers(0, 4, size=(40, 15)), 3, axis=0)
            predicted = np.where(rng.random((120, 15)) < 0.5, base, other)
            test = label_permutation_test(predicted, labels, groups, seed=run, n_permutations=199)
            called += test.significant.any()
        assert not calls_too_often(called, runs)

    def test_ungrouped_it_would_call_too_often(self):
        rng = np.random.default_rng(7)
        called = 0
        for run in range(100):
            labels = np.repeat(rng.integers(0, 4, size=40), 3)
            predicted = np.repeat(rng.integers(0, 4, size=(40, 5)), 3, axis=0)
            test = label_permutation_test(
                predicted, labels, alone(120), seed=run, n_permutations=99
            )
            called += test.significant.any()
        assert calls_too_often(called, 100)

    def test_a_planted_effect_is_found_and_no_other(self):
        rng = np.random.default_rng(8)
        labels = rng.integers(0, 13, size=300)
        predicted = rng.integers(0, 13, size=(300, 40))
        predicted[:90, 11] = labels[:90]
        test = label_permutation_test(predicted, labels, alone(300), seed=0)
        assert np.flatnonzero(test.significant).tolist() == [11]

    @pytest.mark.parametrize(
        ("predicted", "labels"),
        [(np.zeros((3, 1)), np.zeros(2)), (np.zeros(3), np.zeros(3)), (np.zeros((2, 1)), [0] * 3)],
    )
    def test_bad_input_is_refused(self, predicted, labels):
        with pytest.raises(UsageError):
            label_permutation_test(predicted, np.asarray(labels), alone(3), seed=0)


class TestFalseDiscoveryRate:
    def test_worked_example(self):
        """Sorted p times 5 / rank: .05, .025, .05, .25, .5; then the least of each and later."""
        p = np.array([0.03, 0.01, 0.01, 0.5, 0.2])
        assert false_discovery_rate(p) == pytest.approx([0.05, 0.025, 0.025, 0.5, 0.25])

    def test_nan_stays_and_does_not_count_as_a_test(self):
        p = np.array([0.03, np.nan, 0.01, 0.2])
        q = false_discovery_rate(p)
        assert np.isnan(q[1])
        assert q[[0, 2, 3]] == pytest.approx([0.045, 0.03, 0.2])
        assert np.isnan(false_discovery_rate(np.array([np.nan]))).all()

    def test_any_shape(self):
        p = np.random.default_rng(0).random((4, 5))
        assert false_discovery_rate(p).ravel() == pytest.approx(false_discovery_control(p.ravel()))


class TestDealtLabels:
    def test_labels_stay_within_their_fold_and_groups_stay_whole(self):
        rng = np.random.default_rng(0)
        groups = [f"g{i // 2}" for i in range(40)]
        labels = np.repeat(rng.integers(0, 3, size=20), 2)
        folds = np.repeat(np.arange(20) % 4, 2)
        deals = np.concatenate(
            list(dealt_labels(labels, groups, seed=0, n_permutations=300, within=folds))
        )
        assert deals.shape == (300, 40)
        assert (deals[:, ::2] == deals[:, 1::2]).all()
        assert len(np.unique(deals, axis=0)) > 200
        for fold in range(4):
            here = np.sort(deals[:, folds == fold], axis=1)
            assert (here == np.sort(labels[folds == fold])).all()


def ridge_out_of_fold(X, labels, folds, penalty):
    """The probe as its definition says, one fold and one label at a time."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    hits = 0
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        scores = []
        for label in np.unique(labels):
            y = (labels[train] == label).astype(float)
            # in the primal: (X'X + d penalty I)^-1 X'y
            d = X.shape[1]
            A = Z[train].T @ Z[train] + d * penalty * np.eye(d)
            scores.append(Z[test] @ np.linalg.solve(A, Z[train].T @ (y - y.mean())))
        hits += (np.unique(labels)[np.argmax(scores, axis=0)] == labels[test]).sum()
    return hits / len(labels)


class TestRefit:
    rng = np.random.default_rng(11)
    labels = rng.permutation(np.arange(90) % 3)
    folds = np.arange(90) % 5
    X = (rng.normal(size=(90, 12)) + 0.5 * np.eye(12)[labels]).astype(np.float32)

    def test_observed_and_permuted_are_the_probe_fitted_anew(self):
        found = refit_accuracy(
            self.X, self.labels, alone(90), self.folds, seed=3, n_permutations=20, penalty=0.5
        )
        X = self.X.astype(float)
        assert found.observed == pytest.approx(ridge_out_of_fold(X, self.labels, self.folds, 0.5))
        deals = np.concatenate(
            list(dealt_labels(self.labels, alone(90), seed=3, n_permutations=20, within=self.folds))
        )
        assert found.permuted == pytest.approx(
            [ridge_out_of_fold(X, dealt, self.folds, 0.5) for dealt in deals]
        )

    def test_codes_of_labels_do_not_matter(self):
        first, other = (
            refit_accuracy(self.X, codes, alone(90), self.folds, seed=3, n_permutations=9)
            for codes in (self.labels, np.array([4, 7, 9])[self.labels])
        )
        assert first.observed == other.observed
        assert (first.permuted == other.permuted).all()

    def test_a_readable_place_is_found_among_others(self):
        rng = np.random.default_rng(0)
        places = [rng.normal(size=(90, 12)).astype(np.float32) for _ in range(9)]
        places.insert(
            4, (self.X + np.eye(12)[self.labels]) * 100 + 5
        )  # its scale and place do not matter
        places.append(np.full((90, 12), 3.0, dtype=np.float32))
        test = refit_test(
            [
                refit_accuracy(X, self.labels, alone(90), self.folds, seed=1, n_permutations=400)
                for X in places
            ]
        )
        assert np.flatnonzero(test.significant).tolist() == [4]
        assert test.p[-1] > 0.5

    def test_valid_where_fixed_predictions_call_too_much(self):
        """Two labels, few dimensions: here accuracy varies much more than fixed hits would."""
        rng = np.random.default_rng(5)
        base = rng.normal(size=(100, 20))
        places = [
            (0.7 * base + 0.7 * rng.normal(size=(100, 20))).astype(np.float32) for _ in range(8)
        ]
        runs, refitted, fixed = 150, 0, 0
        for run in range(runs):
            labels = rng.permutation(np.arange(100) % 2)
            folds = grouped_folds([str(label) for label in labels], alone(100), 5, run)
            tests = [
                refit_accuracy(X, labels, alone(100), folds, seed=run, n_permutations=99)
                for X in places
            ]
            refitted += refit_test(tests).significant.any()
            predicted = np.stack([out_of_fold(X, labels, folds) for X in places], axis=1)
            test = label_permutation_test(
                predicted, labels, alone(100), seed=run, n_permutations=99
            )
            fixed += test.significant.any()
        assert not calls_too_often(refitted, runs)
        assert calls_too_often(fixed, runs)

    @pytest.mark.parametrize("bad", ["labels", "folds", "groups"])
    def test_bad_input_is_refused(self, bad):
        given = {"labels": self.labels, "groups": alone(90), "folds": self.folds}
        given[bad] = given[bad][:-1]
        with pytest.raises(UsageError):
            refit_accuracy(self.X, **given, seed=0, n_permutations=9)


def out_of_fold(X, labels, folds):
    """Predictions of ridge regression to -1 and 1."""
    predicted = np.empty_like(labels)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        A = X[train].T @ X[train] + 20 * np.eye(X.shape[1])
        predicted[test] = X[test] @ np.linalg.solve(A, X[train].T @ (2 * labels[train] - 1)) > 0
    return predicted
