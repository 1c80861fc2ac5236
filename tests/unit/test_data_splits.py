"""Parts of a corpus: stratified, of the sizes asked for, never splitting a group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

import planted_duplicates
from affectscope.data import grouped_folds
from affectscope.data.splits import grouped_parts, paper_split
from affectscope.errors import DataError, NotPossibleError


def grouped_items(n=600, n_groups=150, seed=0):
    rng = np.random.default_rng(seed)
    emotions = rng.choice(["anger", "fear", "joy", "sadness"], n, p=[0.4, 0.3, 0.2, 0.1])
    return emotions.tolist(), rng.integers(0, n_groups, n).astype(str).tolist()


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.5, 0.3, 0.2), (1, 1, 1)])
def test_parts_have_their_share_of_every_emotion(shares):
    emotions, groups = grouped_items()
    part = grouped_parts(emotions, groups, shares, seed=0)
    wanted = np.array(shares) / sum(shares)
    for emotion, count in Counter(emotions).items():
        got = np.bincount(part[np.array(emotions) == emotion], minlength=len(shares)) / count
        assert np.abs(got - wanted).max() < 0.05, emotion


def test_no_group_is_in_two_parts():
    emotions, groups = grouped_items()
    part = grouped_parts(emotions, groups, (0.7, 0.2, 0.1), seed=3)
    of_group: dict[str, set[int]] = {}
    for group, number in zip(groups, part, strict=True):
        of_group.setdefault(group, set()).add(int(number))
    assert all(len(numbers) == 1 for numbers in of_group.values())
    assert set(part) == {0, 1, 2}


def test_the_seed_decides():
    emotions, groups = grouped_items()
    one, again, other = (grouped_parts(emotions, groups, (0.8, 0.2), s) for s in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()


def test_equal_parts_are_the_folds():
    emotions, groups = grouped_items()
    folds = grouped_folds(emotions, groups, 5, seed=4)
    assert (grouped_parts(emotions, groups, [1] * 5, seed=4) == folds).all()


@pytest.mark.parametrize(
    ("shares", "groups", "error", "words"),
    [
        ((0.8, 0.2), ["a"] * 4, NotPossibleError, "1 group of items cannot be split into 2 parts"),
        ((1.0,), list("abcd"), NotPossibleError, "shares of 1"),
        ((1.0, 0.0), list("abcd"), NotPossibleError, "shares of 1, 0"),
        ((0.8, 0.2), list("abc"), DataError, "4 emotions and 3 groups"),
    ],
)
def test_what_cannot_be_split_is_an_error_that_says_so(shares, groups, error, words):
    with pytest.raises(error, match=words):
        grouped_parts(["joy", "fear", "joy", "fear"], groups, shares, seed=0)


def test_the_papers_split_is_scikit_learns_with_seed_42():
    _, test = train_test_split(list(range(6600)), test_size=0.2, random_state=42)
    part = paper_split(6600)
    assert sorted(test) == np.flatnonzero(part).tolist()
    assert part.sum() == 1320


def test_an_item_alone_cannot_be_split_the_papers_way():
    with pytest.raises(NotPossibleError, match="1 items cannot be split"):
        paper_split(1)


def test_planted_duplicates_raise_every_ungrouped_score_and_no_grouped_one():
    scores = planted_duplicates.scores()
    for model, honest in scores["no copies"].items():
        assert scores["copies, ungrouped"][model] > honest + 0.1, model
        assert scores["copies, grouped"][model] < honest + 0.03, model
