"""Random directions, by their moments."""

from __future__ import annotations

import numpy as np
import pytest

from affectscope.analyses.random_directions import covariance_matched, draw_directions, isotropic
from affectscope.errors import NotPossibleError, UsageError

N, D = 40_000, 6


@pytest.fixture(scope="module")
def plane():
    """Items whose covariance is exactly 9 along one direction and 1 along another, else 0."""
    rng = np.random.default_rng(1)
    axes = np.linalg.qr(rng.standard_normal((D, D)))[0][:, :2]
    scores = rng.standard_normal((50, 2))
    scores -= scores.mean(axis=0)
    scores = scores @ np.linalg.inv(np.linalg.cholesky(scores.T @ scores / 50)).T
    return (scores * [3, 1]) @ axes.T + 7.0, axes


@pytest.mark.parametrize("kind", ["isotropic", "covariance"])
def test_each_has_length_one_and_the_seed_decides(kind, plane):
    X = plane[0]
    drawn = draw_directions(kind, 5, X, 3)
    assert drawn.shape == (5, D)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(5))
    assert (drawn == draw_directions(kind, 5, X, 3)).all()
    assert not np.isclose(drawn, draw_directions(kind, 5, X, 4)).any()


def test_isotropic_ones_have_no_preferred_direction():
    drawn = isotropic(N, D, 0)
    assert drawn.mean(axis=0) == pytest.approx(np.zeros(D), abs=4 / np.sqrt(N * D))
    assert D * drawn.T @ drawn / N == pytest.approx(np.eye(D), abs=0.03)


def test_covariance_matched_ones_vary_as_the_activations(plane):
    """In a plane with standard deviations s and t the mean square along the first is s / (s + t).

    (With angle a of the direction: tan a is t/s times a Cauchy variable, and the mean of
    1 / (1 + (t/s)² tan²) over a uniform angle is s / (s + t).)
    """
    X, axes = plane
    drawn = covariance_matched(N, X, 0)
    along = drawn @ axes
    assert (along**2).sum(axis=1) == pytest.approx(np.ones(N)), "outside the plane nothing varies"
    moments = along.T @ along / N
    assert moments == pytest.approx(np.diag([3 / 4, 1 / 4]), abs=0.01)
    assert along.mean(axis=0) == pytest.approx(np.zeros(2), abs=0.02)


def test_what_cannot_be_drawn():
    with pytest.raises(UsageError, match="0 random directions"):
        isotropic(0, 3, 0)
    with pytest.raises(NotPossibleError, match="do not vary"):
        covariance_matched(2, np.ones((4, 3), dtype=np.float32), 0)
