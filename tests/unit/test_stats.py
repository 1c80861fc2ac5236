"""The bootstrap against closed forms and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from affectscope.stats import Estimate, GroupBootstrap


def names(codes) -> tuple[str, ...]:
    return tuple(str(code) for code in codes)


def test_a_mean_has_its_normal_interval():
    """With singleton groups the interval is close to mean ± 1.96 s / sqrt(n)."""
    x = np.random.default_rng(0).normal(3.0, 2.0, size=2000)
    (estimate,) = GroupBootstrap(names(range(2000)), seed=1).ratio(x[:, None]).estimates()
    half = 1.96 * x.std() / np.sqrt(2000)
    assert estimate.value == pytest.approx(x.mean())
    assert estimate.low == pytest.approx(x.mean() - half, abs=0.15 * half)
    assert estimate.high == pytest.approx(x.mean() + half, abs=0.15 * half)
    assert estimate.n == 2000


def test_copies_within_a_group_add_no_certainty():
    """Every item repeated ten times in its group: the interval must not shrink by sqrt(10)."""
    x = np.random.default_rng(0).normal(size=300)
    (single,) = GroupBootstrap(names(range(300)), seed=0).ratio(x[:, None]).estimates()
    groups = names(np.repeat(np.arange(300), 10))
    (copied,) = GroupBootstrap(groups, seed=0).ratio(np.repeat(x, 10)[:, None]).estimates()
    assert copied.value == pytest.approx(single.value)
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.1)


def test_intervals_cover_the_truth_95_times_in_100():
    """Clustered observations of mean 0; coverage over 300 simulated samples."""
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        cluster = np.repeat(rng.normal(size=80), 4)
        x = cluster + rng.normal(size=320)
        groups = names(np.repeat(np.arange(80), 4))
        draws = GroupBootstrap(groups, seed=trial, n_draws=400)
        (estimate,) = draws.ratio(x[:, None]).estimates()
        covered += estimate.low <= 0 <= estimate.high
    assert 0.90 <= covered / 300 <= 0.98


def test_a_ratio_of_sums_with_missing_observations():
    top = np.array([[1.0, np.nan], [3.0, 4.0], [np.nan, 2.0]])
    bottom = np.array([[2.0, 9.0], [2.0, 2.0], [7.0, 4.0]])
    draws = GroupBootstrap(("a", "b", "c"), seed=0).ratio(top, bottom)
    assert draws.value.tolist() == [4.0 / 4.0, 6.0 / 6.0]
    assert draws.n.tolist() == [2, 2]


def test_an_undefined_statistic_is_nan_not_an_error():
    draws = GroupBootstrap(("a", "b"), seed=0).ratio(np.full((2, 1), np.nan))
    (estimate,) = draws.estimates()
    assert np.isnan([estimate.value, estimate.low, estimate.high]).all()
    assert estimate.n == 0


def test_a_clear_peak_is_certain_and_a_flat_curve_is_not():
    rng = np.random.default_rng(0)
    clear = rng.normal(0, 0.1, size=(200, 10))
    clear[:, 6] += 1
    flat = rng.normal(0, 1, size=(200, 10))
    draws = GroupBootstrap(names(range(200)), seed=0)
    assert draws.ratio(clear).peak(range(10)) == Estimate(6, 6, 6, 200)
    assert draws.ratio(-clear).peak(range(10), lowest=True) == Estimate(6, 6, 6, 200)
    wide = draws.ratio(flat).peak(range(10))
    assert wide.high - wide.low >= 3
    assert wide.low <= wide.value <= wide.high


def test_the_interval_of_a_plateau_spans_it():
    step = np.zeros((50, 10))
    step[:, 4:] = 1.0
    draws = GroupBootstrap(names(range(50)), seed=0)
    assert draws.ratio(step).peak(range(10)) == Estimate(4, 4, 9, 50)
    assert draws.ratio(step).peak(range(10), lowest=True) == Estimate(0, 0, 3, 50)


def test_a_curve_without_values_has_no_peak():
    nothing = GroupBootstrap(names(range(9)), seed=0).ratio(np.full((9, 3), np.nan))
    assert np.isnan(nothing.peak(range(3)).value)


def test_the_same_seed_gives_the_same_draws():
    x = np.random.default_rng(0).normal(size=(50, 2))
    first, again, other = (
        GroupBootstrap(names(range(50)), seed=seed).ratio(x).draws for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_estimate_as_json_values():
    assert Estimate(0.5, 0.4, 0.6, 10).as_dict() == {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 10,
    }


def test_pairs_that_share_items_have_intervals_that_cover():
    """Pairs of 40 items with effects of source and target; resampling targets alone is too sure."""
    rng = np.random.default_rng(5)
    covered = {"both": 0, "targets only": 0}
    for trial in range(200):
        pairs = rng.integers(0, 40, size=(200, 2))
        x = rng.normal(size=40)[pairs[:, 0]] + rng.normal(size=40)[pairs[:, 1]]
        x += rng.normal(size=200)
        source, target = names(pairs[:, 0]), names(pairs[:, 1])
        for name, draws in (
            ("both", GroupBootstrap(target, trial, second=source, n_draws=400)),
            ("targets only", GroupBootstrap(target, trial, n_draws=400)),
        ):
            (estimate,) = draws.ratio(x[:, None]).estimates()
            covered[name] += estimate.low <= 0 <= estimate.high
    assert covered["both"] / 200 >= 0.93
    assert covered["targets only"] < covered["both"]


def test_where_all_agree_the_interval_is_the_exact_one():
    """0 of 30: the upper limit of Clopper and Pearson, from scipy."""
    draws = GroupBootstrap(names(range(30)), seed=0)
    none, every = draws.ratio(np.column_stack([np.zeros(30), np.ones(30)])).estimates()
    exact = binomtest(0, 30).proportion_ci(method="exact")
    assert (none.low, none.high) == (0.0, pytest.approx(exact.high))
    assert (every.low, every.high) == (pytest.approx(1 - exact.high), 1.0)


def test_agreement_within_groups_counts_groups_not_observations():
    groups = names(np.repeat(np.arange(4), 25))
    (estimate,) = GroupBootstrap(groups, seed=0).ratio(np.zeros((100, 1))).estimates()
    assert estimate.high == pytest.approx(binomtest(0, 4).proportion_ci(method="exact").high)
    assert estimate.n == 100


def test_one_group_has_no_interval():
    (estimate,) = GroupBootstrap(("a",) * 9, seed=0).ratio(np.eye(9)[:, :1]).estimates()
    assert estimate.value == pytest.approx(1 / 9)
    assert np.isnan([estimate.low, estimate.high]).all()
