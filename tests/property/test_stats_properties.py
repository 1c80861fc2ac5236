"""What must hold of every permutation test."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectscope.stats import (
    false_discovery_rate,
    label_permutation_test,
    maximum_test,
    sign_flip_test,
)

seeds = st.integers(0, 2**32 - 1)
numbers = st.floats(-5, 5, allow_subnormal=False)


@st.composite
def observations(draw, most=9):
    n, k = draw(st.integers(1, most)), draw(st.integers(1, 5))
    # quarters, whose sums have no rounding
    whole = draw(arrays(np.int64, (n, k), elements=st.integers(-8, 8)))
    groups = draw(st.lists(st.sampled_from("abcdef"), min_size=n, max_size=n))
    return whole / 4, groups


@st.composite
def predictions(draw):
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    codes = st.integers(0, 3)
    groups = draw(st.lists(st.sampled_from("abcdefgh"), min_size=n, max_size=n))
    return (
        draw(arrays(np.int64, (n, k), elements=codes)),
        draw(arrays(np.int64, n, elements=codes)),
        groups,
    )


@settings(deadline=None)
@given(st.data(), st.integers(1, 40), st.integers(1, 6))
def test_p_is_a_probability_and_falls_with_the_statistic(data, n, k):
    observed = data.draw(arrays(float, k, elements=numbers))
    test = maximum_test(observed, data.draw(arrays(float, (n, k), elements=numbers)))
    assert ((test.p > 0) & (test.p <= 1)).all()
    assert (test.p * (1 + n) >= 1).all()
    assert (np.diff(test.p[np.argsort(observed)]) <= 0).all()


@settings(deadline=None)
@given(observations(), seeds)
def test_sign_flips_are_valid_whatever_order_and_names(given_observations, seed):
    values, groups = given_observations
    test = sign_flip_test(values, groups, seed=seed)  # so few groups: exact
    assert ((test.p > 0) & (test.p <= 1)).all()
    order = np.random.default_rng(seed).permutation(len(values))
    shuffled = sign_flip_test(values[order], [groups[i] for i in order], seed=seed)
    np.testing.assert_allclose(shuffled.p, test.p)
    renamed = sign_flip_test(
        values, [f"author {'fedcba'['abcdef'.index(g)]}" for g in groups], seed=1
    )
    np.testing.assert_allclose(renamed.p, test.p)


@settings(deadline=None)
@given(observations())
def test_over_all_flips_of_the_data_p_is_at_most_alpha_in_a_share_alpha(given_observations):
    """The exact test's own guarantee: under the null each flip of the data is equally likely."""
    values, groups = given_observations
    names = sorted(set(groups))
    least = []
    for pattern in range(2 ** len(names)):
        sign = {name: 1 - 2 * (pattern >> i & 1) for i, name in enumerate(names)}
        flipped = values * np.array([sign[g] for g in groups])[:, None]
        least.append(sign_flip_test(flipped, groups, seed=0).p.min())
    for alpha in (0.05, 0.25, 0.5):
        assert np.mean(np.array(least) <= alpha + 1e-12) <= alpha + 1e-12


@settings(deadline=None)
@given(predictions(), seeds)
def test_dealt_labels_whatever_names_and_codes(given_predictions, seed):
    predicted, labels, groups = given_predictions

    def test(*arguments):
        return label_permutation_test(*arguments, seed=seed, n_permutations=99)

    found = test(predicted, labels, groups)
    assert ((found.p > 0) & (found.p <= 1)).all()
    assert (found.observed == (predicted == labels[:, None]).mean(axis=0)).all()
    renamed = test(predicted, labels, [f"author {g.upper()}" for g in groups])
    assert (renamed.p == found.p).all()
    codes = np.array([7, 3, 11, 5])
    recoded = test(codes[predicted], codes[labels], groups)
    assert (recoded.p == found.p).all()


@settings(deadline=None, max_examples=30)
@given(predictions(), seeds)
def test_dealt_labels_whatever_order_of_the_items(given_predictions, seed):
    predicted, labels, groups = given_predictions
    order = np.random.default_rng(seed).permutation(len(labels))
    one = label_permutation_test(predicted, labels, groups, seed=0)
    other = label_permutation_test(
        predicted[order], labels[order], [groups[i] for i in order], seed=0
    )
    assert (one.observed == other.observed).all()
    # each p is drawn with a standard error of at most 0.011
    np.testing.assert_allclose(one.p, other.p, atol=0.08)


@settings(deadline=None)
@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 1)))
def test_q_is_no_less_than_p_keeps_its_order_and_is_a_share(p):
    q = false_discovery_rate(p)
    assert ((q >= p - 1e-12) & (q <= 1)).all()
    assert (np.diff(q[np.argsort(p)]) >= -1e-12).all()
