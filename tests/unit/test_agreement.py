"""Agreement with what is expected, on matrices whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from affectscope.analyses.agreement import agreement, effect_matrix, people_matrix


def signs(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 0, 1], size=shape).astype(np.int8)


def test_all_that_go_the_expected_way_and_none():
    expected = signs(0, 12, 9)
    same, opposite = (agreement(change, expected, seed=0) for change in (expected, -expected))
    assert same.share.value == 1
    assert same.n == np.count_nonzero(expected)
    assert same.p < 0.001
    assert opposite.share.value == 0
    assert opposite.p > 0.99


def test_cells_without_a_change_or_an_expectation_do_not_count():
    found = agreement(np.array([[1, 0, -1, 1]], np.int8), np.array([[1, 1, 1, 0]], np.int8), seed=0)
    assert (found.share.value, found.n) == (0.5, 2)


def test_nothing_to_compare_is_no_number():
    found = agreement(np.zeros((3, 3), np.int8), np.ones((3, 3), np.int8), seed=0)
    assert np.isnan(found.share.value)
    assert np.isnan(found.p)
    assert found.n == 0


def test_the_interval_is_the_jackknife_over_appraisals():
    """Of rows with equally many cells: the standard error of a mean of the rows' shares."""
    product = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1], [1, -1, -1, -1]])
    found = agreement(product.astype(np.int8), np.ones((4, 4), np.int8), seed=0)
    rows = (product > 0).mean(axis=1)
    error = rows.std(ddof=1) / np.sqrt(4)
    assert found.share.value == pytest.approx(rows.mean())
    assert found.share.low == pytest.approx(max(0, rows.mean() - 1.96 * error), abs=1e-3)
    assert found.share.high == pytest.approx(min(1, rows.mean() + 1.96 * error), abs=1e-3)


def test_unrelated_signs_are_rarely_significant():
    n = 150
    hits = sum(agreement(signs(k, 8, 13), signs(k + 10_000, 8, 13), seed=k).p <= 0.05
               for k in range(n))  # fmt: skip
    assert hits <= binom.ppf(0.999, n, 0.05)


def made_ratings(n: int = 400):
    generator = np.random.default_rng(1)
    emotions = np.array(["anger", "joy", "fear"])[generator.integers(0, 3, n)]
    ratings = generator.normal(3, 1, (n, 3))
    ratings[:, 0] += 2.0 * (emotions == "joy") - 1.0 * (emotions == "anger")
    ratings[:, 1] -= 1.5 * (emotions == "fear")
    return ratings, emotions.tolist()


def test_people_predict_what_their_ratings_differ_in():
    ratings, emotions = made_ratings()
    groups = [str(k // 2) for k in range(len(emotions))]
    found = people_matrix(ratings, emotions, groups, ["anger", "fear", "joy", "pride"], seed=0)
    assert found.dtype == np.int8
    assert found[0].tolist()[::2] == [-1, 1]
    assert found[1, 1] == -1
    assert found[:, 3].tolist() == [0, 0, 0], "no item has that emotion"


def test_effects_are_differences_of_standardised_means():
    ratings, emotions = made_ratings()
    ratings[5, 0] = np.nan
    z = (ratings - np.nanmean(ratings, axis=0)) / np.nanstd(ratings, axis=0)
    is_joy = np.array(emotions) == "joy"
    truth = np.nanmean(z[is_joy], axis=0) - np.nanmean(z[~is_joy], axis=0)
    found = effect_matrix(ratings, emotions, ["joy", "pride"])
    np.testing.assert_allclose(found[:, 0], truth, atol=1e-12)
    assert np.isnan(found[:, 1]).all()


def test_an_appraisal_that_all_rate_alike_predicts_nothing():
    ratings, emotions = made_ratings()
    ratings[:, 2] = 3.0
    found = people_matrix(ratings, emotions, [str(k) for k in range(400)], ["joy"], seed=0)
    assert found[2, 0] == 0
