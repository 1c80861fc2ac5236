"""Samples are in proportion and seeded; repeats are found and joined."""

from collections import Counter

import pandas as pd
import pytest

from affectscope.data import Corpus, DroppedRows
from affectscope.data.duplicates import merge_groups, text_key
from affectscope.errors import DataError, UsageError


def make_corpus(emotions, texts=None):
    n = len(emotions)
    items = pd.DataFrame(
        {
            "item_id": [f"i{k}" for k in range(n)],
            "text": texts or [f"text {k}" for k in range(n)],
            "emotion": emotions,
            "group": [f"g{k}" for k in range(n)],
        }
    )
    dropped = (DroppedRows("the text is empty", 1, (4,)),)
    labels = tuple(sorted(set(emotions)))
    return Corpus("made", items, labels, "made.csv", "0" * 64, "utf-8", dropped)


def test_shares_are_exact_where_they_can_be():
    corpus = make_corpus(["joy"] * 60 + ["fear"] * 30 + ["anger"] * 10)
    assert Counter(corpus.sample(50, seed=3).emotions) == {"joy": 30, "fear": 15, "anger": 5}


def test_largest_remainders_get_the_rest():
    # Of 7, the exact shares are 3.5, 2.8 and 0.7; two places go to .8 and .7.
    corpus = make_corpus(["joy"] * 50 + ["fear"] * 40 + ["anger"] * 10)
    for seed in range(5):
        assert Counter(corpus.sample(7, seed).emotions) == {"joy": 3, "fear": 3, "anger": 1}


def test_ties_are_broken_by_the_seed_not_the_alphabet():
    corpus = make_corpus(["a", "b", "c", "d"] * 10)
    seen = {corpus.sample(1, seed).emotions[0] for seed in range(60)}
    assert seen == {"a", "b", "c", "d"}


def test_items_keep_their_values_and_are_renumbered():
    corpus = make_corpus(["joy", "fear"] * 10)
    sample = corpus.sample(6, seed=0)
    assert len(sample) == 6
    assert sample.items.index.tolist() == list(range(6))
    original = corpus.items.set_index("item_id")
    for row in sample.items.itertuples():
        assert original.loc[row.item_id, "text"] == row.text
        assert original.loc[row.item_id, "emotion"] == row.emotion


@pytest.mark.parametrize("limit", [None, 20, 1000])
def test_no_limit_means_all_in_a_seeded_order(limit):
    corpus = make_corpus(["joy", "fear"] * 10)
    sample = corpus.sample(limit, seed=1)
    assert sorted(sample.texts) == sorted(corpus.texts)
    assert sample.texts != corpus.texts
    assert sample.texts == corpus.sample(limit, seed=1).texts
    assert sample.texts != corpus.sample(limit, seed=2).texts


def test_corpus_itself_is_untouched():
    corpus = make_corpus(["joy", "fear"] * 10)
    before = corpus.items.copy()
    corpus.sample(3, seed=0, exclude_texts=["text 1"])
    pd.testing.assert_frame_equal(corpus.items, before)
    assert len(corpus.dropped) == 1


def test_examples_of_the_prompt_are_left_out_and_counted():
    corpus = make_corpus(
        ["joy", "fear", "joy", "fear"],
        ["My dog died last week.", "  my DOG died, last week", "My dog died", "Other"],
    )
    sample = corpus.sample(None, seed=0, exclude_texts=["My dog died last week."])
    assert sorted(sample.texts) == ["My dog died", "Other"]
    assert [(d.reason, d.count) for d in sample.dropped] == [
        ("the text is empty", 1),
        ("the text is an example in the prompt", 2),
    ]


def test_sample_of_nothing_is_refused():
    corpus = make_corpus(["joy", "fear"], ["a", "b"])
    with pytest.raises(UsageError, match="sample of 0 items"):
        corpus.sample(0, seed=0)
    with pytest.raises(DataError, match="no item of made is left: the text is an example"):
        corpus.sample(None, seed=0, exclude_texts=["A", "B!"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It rained.", "it  rained", True),
        ("don’t", "don't", True),
        ("“Well”—no", "well no", True),
        ("Straße", "STRASSE", True),
        ("caf\u0065\u0301", "café", True),  # combining accent and composed letter
        ("I won 😀", "I won 😡", False),
        ("I owe 5", "I owe 6", False),
        ("résumé", "resume", False),
        ("?", "!", False),
        ("...", " ... ", True),
    ],
)
def test_same_text_but_for_case_punctuation_and_spacing(one, other, same):
    assert (text_key(one) == text_key(other)) is same


def test_groups_chain_through_shared_texts_whatever_the_order():
    groups = ["c", "b", "b", "a", "d"]
    texts = ["one", "one!", "two", "Two", "three"]
    assert merge_groups(groups, list(map(text_key, texts))) == ["a", "a", "a", "a", "d"]
    assert merge_groups(groups[::-1], list(map(text_key, texts[::-1]))) == ["d", "a", "a", "a", "a"]


def test_items_that_cannot_be_used_are_among_the_dropped():
    corpus = make_corpus(["joy", "fear", "joy"])
    left = corpus.without([1], "too long for the model")
    assert left.items["item_id"].tolist() == ["i0", "i2"]
    assert left.items.index.tolist() == [0, 1]
    assert left.dropped[-1] == DroppedRows("too long for the model", 1)
    assert corpus.without([], "nothing") is corpus
    with pytest.raises(DataError, match="no item of made is left: all too long"):
        corpus.without([0, 1, 2], "all too long")
