"""Representational similarity, against scipy and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, spearmanr

from affectscope.analyses.similarity import (
    deal_names,
    dissimilarities,
    permuted_correlation,
    permuted_similarity,
    profile_correlation,
    representational_similarity,
    unit_deviations,
)
from affectscope.errors import UsageError


@pytest.fixture
def profiles():
    """Model [place, emotion, appraisal] and people [emotion, appraisal], somewhat alike."""
    rng = np.random.default_rng(1)
    people = rng.standard_normal((7, 5))
    return 0.6 * people + rng.standard_normal((3, 7, 5)), people


def test_dissimilarities_are_scipys(profiles):
    model, _ = profiles
    for found, one in zip(dissimilarities(model), model, strict=True):
        np.testing.assert_allclose(found, pdist(one, "correlation"), atol=1e-12)


def test_similarity_is_spearmans_of_scipys_distances(profiles):
    model, people = profiles
    found = representational_similarity(model, people)
    for value, one in zip(found, model, strict=True):
        truth = spearmanr(pdist(one, "correlation"), pdist(people, "correlation")).statistic
        assert value == pytest.approx(truth)


def test_ties_share_their_rank():
    one = np.random.default_rng(0).standard_normal((6, 4))
    twins = one[[0, 0, 1, 1, 2, 3]]  # emotions with the same profile: dissimilarities come in pairs
    other = np.random.default_rng(5).standard_normal((6, 4))
    truth = spearmanr(pdist(twins, "correlation").round(12), pdist(other, "correlation")).statistic
    assert representational_similarity(twins, other) == pytest.approx(truth)


def test_profile_correlation_is_over_all_cells(profiles):
    model, people = profiles
    for value, one in zip(profile_correlation(model, people), model, strict=True):
        assert value == pytest.approx(pearsonr(one.ravel(), people.ravel()).statistic)


@pytest.mark.parametrize(
    ("permuted", "statistic"),
    [
        (permuted_similarity, representational_similarity),
        (permuted_correlation, profile_correlation),
    ],
)
def test_permuting_is_the_same_as_reordering_peoples_rows(profiles, permuted, statistic):
    model, people = profiles
    dealt = deal_names(7, seed=2, n_permutations=20)
    found = permuted(model, people, dealt)
    assert found.shape == (20, 3)
    for row, order in zip(found, dealt, strict=True):
        for value, one in zip(row, model, strict=True):
            assert value == pytest.approx(statistic(one, people[order]))
    assert np.ptp(found, axis=0).min() > 0.1


def test_deals_are_uniform_and_fixed_by_the_seed():
    dealt = deal_names(4, seed=0, n_permutations=6000)
    assert (np.sort(dealt, axis=1) == np.arange(4)).all()
    orders = np.unique(dealt, axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert abs(orders - 250).max() < 5 * np.sqrt(250)
    np.testing.assert_array_equal(dealt, deal_names(4, seed=0, n_permutations=6000))


def test_a_profile_that_does_not_vary_has_no_similarity(profiles):
    model, people = profiles
    flat = model.copy()
    flat[1, 2] = 0.1
    found = representational_similarity(flat, people)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(unit_deviations(np.full(3, 0.1))).all()


@pytest.mark.parametrize("shape", [(3, 5), (7, 2), (6, 5)])
def test_too_small_or_unlike_sets_are_refused(profiles, shape):
    people = profiles[1]
    other = np.random.default_rng(0).standard_normal(shape)
    with pytest.raises(UsageError, match="profiles of shapes"):
        representational_similarity(other, people if shape == (6, 5) else other)
