"""Folds are stratified, keep groups whole, and exist wherever they can."""

import warnings
from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from affectscope.data import grouped_folds
from affectscope.errors import DataError, NotPossibleError


def test_single_items_are_spread_evenly():
    emotions = ["joy"] * 50 + ["fear"] * 25 + ["anger"] * 7
    folds = grouped_folds(emotions, [str(k) for k in range(82)], n_folds=5, seed=0)
    for emotion, per_fold in (("joy", {10}), ("fear", {5}), ("anger", {1, 2})):
        counts = Counter(folds[np.array(emotions) == emotion])
        assert set(counts) == set(range(5))
        assert set(counts.values()) == per_fold


def test_groups_are_never_split():
    generator = np.random.default_rng(0)
    emotions = generator.choice(["a", "b", "c"], 300).tolist()
    groups = generator.integers(0, 60, 300).astype(str).tolist()
    folds = grouped_folds(emotions, groups, n_folds=5, seed=0)
    for group in set(groups):
        assert len({folds[k] for k in range(300) if groups[k] == group}) == 1


def imbalance(emotions, folds, n_folds):
    """Mean over emotions of the standard deviation of their shares over folds."""
    names = np.array(emotions)
    return np.mean(
        [
            np.std([np.mean(folds[names == name] == fold) for fold in range(n_folds)])
            for name in set(emotions)
        ]
    )


def test_stratification_is_no_worse_than_scikit_learns():
    generator = np.random.default_rng(1)
    sizes = np.minimum(generator.geometric(0.3, 150), 30)
    groups = np.repeat(np.arange(150), sizes).astype(str).tolist()
    emotions = generator.choice(list("abcdefg"), len(groups)).tolist()
    theirs = np.empty(len(groups), dtype=int)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for fold, (_, test) in enumerate(splitter.split(emotions, emotions, groups)):
        theirs[test] = fold
    ours = grouped_folds(emotions, groups, n_folds=5, seed=0)
    assert imbalance(emotions, ours, 5) <= 1.1 * imbalance(emotions, theirs, 5)


def test_rare_emotion_is_spread_though_it_makes_a_fold_larger():
    emotions = ["rare", "joy", "joy", "joy"] * 2 + ["joy"] * 4
    groups = ["one"] * 4 + ["two"] * 4 + ["three"] * 4
    for seed in range(10):
        folds = grouped_folds(emotions, groups, n_folds=2, seed=seed)
        assert folds[0] != folds[4]


def test_seed_decides():
    emotions, groups = ["a", "b"] * 30, [str(k) for k in range(60)]
    first = grouped_folds(emotions, groups, 3, seed=0)
    assert (first == grouped_folds(emotions, groups, 3, seed=0)).all()
    assert (first != grouped_folds(emotions, groups, 3, seed=1)).any()


def test_emotion_with_fewer_groups_than_folds_gives_folds_without_a_warning():
    emotions = ["a"] * 3 + ["b"] * 2  # scikit-learn refuses: no class has five members
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folds = grouped_folds(emotions, list("vwxyz"), n_folds=5, seed=0)
    assert sorted(folds) == [0, 1, 2, 3, 4]


def test_no_fold_is_empty_beside_a_huge_group():
    emotions = ["a", "b"] * 50 + ["a", "b", "a"]
    groups = ["huge"] * 100 + ["x", "y", "z"]
    folds = grouped_folds(emotions, groups, n_folds=4, seed=0)
    assert set(folds) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("emotions", "groups", "n_folds", "counts"),
    [
        (["a", "b"] * 5, ["x", "y"] * 5, 3, "2 groups of items cannot be split into 3 folds"),
        (["a", "b"] * 5, ["x"] * 10, 5, "1 group of items cannot be split into 5 folds"),
        (["a", "b"], ["x", "y"], 1, "2 groups of items cannot be split into 1 fold"),
        ([], [], 2, "0 groups of items cannot be split into 2 folds"),
    ],
)
def test_impossible_folds_are_refused(emotions, groups, n_folds, counts):
    with pytest.raises(NotPossibleError) as caught:
        grouped_folds(emotions, groups, n_folds, seed=0)
    assert caught.value.message == counts
    assert "groups" in caught.value.expected
    assert "--limit" in caught.value.remedy
    assert "--folds" in caught.value.remedy


def test_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="2 emotions and 3 groups"):
        grouped_folds(["a", "b"], ["x", "y", "z"], 2, seed=0)
