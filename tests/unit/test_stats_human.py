"""The human reference on four texts read by four people, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr

import readers_file
from affectscope.data import load_readers
from affectscope.errors import NotPossibleError
from affectscope.stats import (
    GroupBootstrap,
    human_reference,
    jensen_shannon,
    permuted_distance,
    squared_correlation,
)


@pytest.fixture
def readers(tmp_path):
    return load_readers(readers_file.write(tmp_path / "readers.csv"))


@pytest.fixture
def reference(readers):
    return human_reference(readers_file.corpus(), readers)


def row(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_one_reader(reference):
    """2 + 3 + 1 + 1 of 16."""
    one = reference.summary["human.reader_accuracy"]
    assert (one.value, one.n) == (7 / 16, 16)


def test_ties_are_split_evenly(reference):
    """A tie of two counts 1/2, a clear majority 1, a tie of four 1/4, a wrong one 0."""
    plurality = reference.summary["human.plurality_accuracy"]
    assert plurality.value == pytest.approx((1 / 2 + 1 + 1 / 4 + 0) / 4)
    assert plurality.n == 4


def test_confusion_is_what_readers_named(reference):
    cell = row(reference.table, metric="confusion", emotion="joy", predicted="pride")
    assert (cell["value"], cell["n"]) == (0.5, 4)
    assert row(reference.table, metric="recall", emotion="fear")["value"] == 0.75
    assert np.isnan(row(reference.table, metric="recall", emotion="shame")["value"])
    said = row(reference.table, metric="predicted_share", predicted="disgust")
    assert said["value"] == pytest.approx(3 / 16)


def test_r2_of_the_mean_and_of_one_reader_against_scipy(reference):
    author = [pleasant for *_, pleasant, _ in readers_file.RATINGS]
    rated = [ratings for *_, ratings in readers_file.RATINGS]
    mean = reference.summary["human.r2.pleasantness"]
    assert mean.value == pytest.approx(pearsonr(author, np.mean(rated, axis=1))[0] ** 2)
    one = reference.summary["human.reader_r2.pleasantness"]
    assert one.value == pytest.approx(pearsonr(np.repeat(author, 4), np.ravel(rated))[0] ** 2)
    assert (mean.n, one.n) == (4, 16)


def test_a_missing_rating_is_left_out_of_the_mean(tmp_path):
    records = readers_file.rows()
    records[0]["pleasantness"] = ""  # of text 10, whose others are 4, 5, 4
    readers = load_readers(readers_file.write(tmp_path / "readers.csv", records))
    reference = human_reference(readers_file.corpus(), readers)
    means = [13 / 3, 1.25, 3.25, 1.75]
    expected = pearsonr([5, 1, 3, 2], means)[0] ** 2
    assert reference.summary["human.r2.pleasantness"].value == pytest.approx(expected)
    assert reference.summary["human.reader_r2.pleasantness"].n == 15


def test_the_distribution_of_every_item(reference):
    shares = reference.distribution
    assert shares.groupby("item_id")["readers"].sum().tolist() == [1, 1, 1, 1]
    assert row(shares, item_id="13", label="disgust")["readers"] == 0.75
    assert row(shares, item_id="13", label="anger")["item"] == 1


def test_it_is_printed(reference):
    lines = str(reference).splitlines()
    assert lines[0].split()[:2] == ["human.reader_accuracy", "0.438"]
    assert len(lines) == 4


def test_items_that_nobody_read_change_nothing(readers, reference):
    more = human_reference(readers_file.corpus(("97", "shame"), ("96", "joy")), readers)
    assert dict(more.summary) == dict(reference.summary)


def test_nobody_read_any(readers):
    with pytest.raises(NotPossibleError, match="none of the 2 items"):
        human_reference(readers_file.corpus().without([1, 2, 4, 5], "a test"), readers)


def test_r2_has_the_interval_of_fishers_z():
    """Bivariate normal ratings of 1,500 items: the interval of r, squared."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1500)
    y = 0.6 * x + 0.8 * rng.normal(size=1500) + 1000
    groups = tuple(map(str, range(1500)))
    draws = squared_correlation(GroupBootstrap(groups, seed=0), x[:, None], y[:, None])
    (estimate,) = draws.estimates()
    interval = pearsonr(x, y).confidence_interval()
    assert estimate.value == pytest.approx(pearsonr(x, y)[0] ** 2)
    assert (estimate.low, estimate.high) == pytest.approx(
        (interval.low**2, interval.high**2), abs=0.015
    )


def test_r2_draws_are_those_of_resampled_groups():
    """Each replicate equals scipy's r² of the items written out as often as they are drawn."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 12))
    groups = tuple("aabbccddeeff")
    bootstrap = GroupBootstrap(groups, seed=5, n_draws=20)
    draws = squared_correlation(bootstrap, x[:, None], y[:, None]).draws[:, 0]
    counts = np.random.default_rng(5).multinomial(6, np.full(6, 1 / 6), size=20)
    for draw, count in zip(draws, counts, strict=True):
        rows = np.repeat(np.arange(12), np.repeat(count, 2))
        assert draw == pytest.approx(pearsonr(x[rows], y[rows])[0] ** 2)


def test_r2_of_a_constant_is_undefined():
    groups = tuple("abcd")
    x = np.column_stack([np.full(4, 0.1), [1.0, 2.0, 3.0, 4.0]])
    draws = squared_correlation(GroupBootstrap(groups, seed=0), x, x[:, [1, 1]])
    assert np.isnan(draws.value[0])
    assert draws.value[1] == pytest.approx(1)


def test_jensen_shannon_against_scipy():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(13, 0.3), size=(2, 50))
    q[:5] = np.eye(13)[:5]
    p[5] = q[5]
    expected = [jensenshannon(a, b, base=2) for a, b in zip(p, q, strict=True)]
    assert jensen_shannon(p, q) == pytest.approx(np.nan_to_num(expected), abs=1e-7)
    assert jensen_shannon(np.eye(2), np.eye(2)[::-1]).tolist() == [1, 1]


def test_the_permuted_null_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(4, 0.5), size=(2, 30))
    every = np.mean([[jensenshannon(a, b, base=2) for b in q] for a in p])
    null = permuted_distance(p, q, seed=0)
    assert null.mean.value == pytest.approx(every, abs=0.002)
    assert null.mean.low < every < null.mean.high
    assert 0.01 < null.p <= 1


def test_p_is_small_where_distributions_belong_together_and_one_where_all_are_equal():
    p = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=30)
    assert permuted_distance(p, p, seed=0, n_permutations=499).p == 1 / 500
    same = np.tile([0.2, 0.8], (30, 1))
    assert permuted_distance(same, same, seed=0, n_permutations=99).p == 1


def test_p_is_uniform_when_nothing_belongs_together():
    rng = np.random.default_rng(2)
    ps = []
    for _ in range(200):
        p, q = rng.dirichlet(np.full(4, 0.5), size=(2, 25))
        ps.append(permuted_distance(p, q, seed=int(rng.integers(1 << 30)), n_permutations=99).p)
    assert 0.01 < np.mean(np.array(ps) <= 0.05) < 0.11
    assert 0.4 < np.mean(ps) < 0.6
