"""What must hold of every corpus, sample and split."""

import csv
import io
from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from affectscope.data import Corpus, grouped_folds
from affectscope.data.duplicates import merge_groups, text_key
from affectscope.data.table_file import parse_table

seeds = st.integers(0, 2**32 - 1)
emotion_lists = st.lists(st.sampled_from("abcde"), min_size=1, max_size=60)
nasty_texts = st.text(
    st.one_of(
        st.sampled_from(",;|\t\"'\r\n \\\u2028\u0085\ufeff\u200d😀é"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=30,
)


def make_corpus(emotions, texts=None):
    names = [str(n) for n in range(len(emotions))]
    items = pd.DataFrame(
        {"item_id": names, "text": texts or names, "emotion": emotions, "group": names}
    )
    return Corpus("made", items, tuple("abcde"), "made.csv", "0" * 64, "utf-8")


@settings(deadline=None)
@given(emotion_lists, st.integers(1, 70), seeds)
def test_sample_is_within_one_item_of_proportional(emotions, limit, seed):
    sample = make_corpus(emotions).sample(limit, seed)
    size = min(limit, len(emotions))
    assert len(sample) == size
    assert sample.items["item_id"].is_unique
    drawn = Counter(sample.emotions)
    for emotion, count in Counter(emotions).items():
        assert abs(drawn[emotion] - Fraction(count * size, len(emotions))) < 1


@settings(deadline=None)
@given(emotion_lists, st.integers(1, 70), seeds)
def test_sample_is_the_same_for_the_same_seed(emotions, limit, seed):
    corpus = make_corpus(emotions)
    first, second = corpus.sample(limit, seed), corpus.sample(limit, seed)
    pd.testing.assert_frame_equal(first.items, second.items)


def retold(text):
    """The text in capitals and with other punctuation, if it has a word to be known by."""
    if not any(character.isalnum() for character in text):
        return text
    return f" «{''.join(c.upper() if c.isascii() else c for c in text)} ..."


@settings(deadline=None)
@given(st.lists(nasty_texts, min_size=1, max_size=20), st.data(), seeds)
def test_excluded_texts_are_never_drawn_and_no_other_is_lost(texts, data, seed):
    excluded = data.draw(st.lists(st.sampled_from(texts), max_size=5))
    keys = {text_key(text) for text in excluded}
    kept = [text for text in texts if text_key(text) not in keys]
    assume(kept)
    corpus = make_corpus(["a"] * len(texts), texts)
    sample = corpus.sample(None, seed, exclude_texts=[retold(text) for text in excluded])
    assert not set(excluded) & set(sample.texts)
    assert sorted(sample.texts) == sorted(kept)


@settings(deadline=None)
@given(st.data(), st.integers(2, 6), seeds)
def test_folds_never_split_a_group_and_none_is_empty(data, n_folds, seed):
    emotions = data.draw(st.lists(st.sampled_from("abcde"), min_size=n_folds, max_size=60))
    groups = data.draw(
        st.lists(st.sampled_from("stuvwxyz"), min_size=len(emotions), max_size=len(emotions))
    )
    assume(len(set(groups)) >= n_folds)
    folds = grouped_folds(emotions, groups, n_folds, seed)
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))
    assert set(folds.tolist()) == set(range(n_folds))


@settings(deadline=None)
@given(emotion_lists, st.integers(2, 6), seeds)
def test_folds_of_single_items_share_every_emotion_evenly(emotions, n_folds, seed):
    assume(len(emotions) >= n_folds)
    folds = grouped_folds(emotions, [str(n) for n in range(len(emotions))], n_folds, seed)
    for emotion in set(emotions):
        counts = np.bincount(folds[np.array(emotions) == emotion], minlength=n_folds)
        assert counts.max() - counts.min() <= 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pqrstuvw"), st.sampled_from("ABCDEFGH")), min_size=1))
def test_merged_groups_are_the_connected_components(pairs):
    groups, texts = (list(values) for values in zip(*pairs, strict=True))
    merged = merge_groups(groups, list(map(text_key, texts)))
    rows = [ord(group) - ord("p") for group in groups]
    columns = [8 + ord(text) - ord("A") for text in texts]
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(16, 16))
    _, component = connected_components(graph, directed=False)
    expected = [component[row] for row in rows]
    for one in range(len(pairs)):
        for other in range(one):
            assert (merged[one] == merged[other]) == (expected[one] == expected[other])


@settings(deadline=None)
@given(
    st.lists(st.tuples(nasty_texts, nasty_texts), min_size=1, max_size=8),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_nasty_strings_survive_a_csv_file(rows, separator, codec):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    table = parse_table(buffer.getvalue().encode(codec), source="made.csv")
    assert list(table.records) == rows


@settings(deadline=None)
@given(st.lists(st.tuples(nasty_texts, st.sampled_from("ab")), min_size=1, max_size=8))
def test_nasty_strings_written_by_pandas_survive(rows):
    # pandas does not quote a lone carriage return, which then ends the line for every reader.
    rows = [(text.replace("\r", "\r\n"), label) for text, label in rows]
    frame = pd.DataFrame(rows, columns=["text", "label"])
    table = parse_table(frame.to_csv(index=False).encode(), source="made.csv")
    assert list(table.records) == rows
