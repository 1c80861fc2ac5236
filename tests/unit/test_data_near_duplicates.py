"""Near-duplicates against the comparison of all pairs, and splits that keep them together."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from affectscope.data import load_corpus
from affectscope.data.duplicates import text_key
from affectscope.data.near_duplicates import (
    THRESHOLD,
    merge_near_duplicates,
    near_duplicate_clusters,
)

WORDS = "the cat sat on a mat while my aunt sang about rain in Porto and nobody came home".split()


def jaccard(one, other):
    a, b = (
        {key[i : i + 5] for i in range(max(1, len(key) - 4))}
        for key in (text_key(one), text_key(other))
    )
    return len(a & b) / len(a | b)


def clusters_by_all_pairs(texts, threshold):
    cluster = list(range(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        if jaccard(texts[i], texts[j]) >= threshold:
            old, new = max(cluster[i], cluster[j]), min(cluster[i], cluster[j])
            cluster = [new if each == old else each for each in cluster]
    return cluster


@pytest.mark.parametrize("threshold", [0.3, 0.5, THRESHOLD, 0.9, 1.0])
def test_no_pair_is_missed_and_none_invented(threshold):
    for seed in range(6):
        rng = random.Random(seed)
        texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(40)]
        for text in rng.sample(texts, 15):  # and some that differ by a word
            words = text.split()
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            texts.append(" ".join(words))
        expected = clusters_by_all_pairs(texts, threshold)
        assert near_duplicate_clusters(texts, threshold) == expected


@pytest.mark.parametrize("threshold", [0.2, 1 / 3, 0.5, 0.75])
def test_pairs_just_at_the_threshold_are_found(threshold):
    """Of two letters, so that overlaps are simple fractions and many lie on the threshold."""
    at_it = 0
    for seed in range(12):
        rng = random.Random(seed)
        texts = ["".join(rng.choices("ab", k=rng.randint(5, 11))) for _ in range(60)]
        at_it += sum(jaccard(a, b) == threshold for a, b in itertools.combinations(texts, 2))
        assert near_duplicate_clusters(texts, threshold) == clusters_by_all_pairs(texts, threshold)
    assert at_it > 5


def test_case_punctuation_and_spacing_do_not_count():
    texts = ["I lost my keys!", "something else altogether", "i  lost my KEYS"]
    assert near_duplicate_clusters(texts, 1.0) == [0, 1, 0]


def test_texts_shorter_than_a_run_are_compared_whole():
    assert near_duplicate_clusters(["no", "No!", "yes", ""]) == [0, 0, 2, 3]


def test_groups_with_nearly_the_same_text_are_joined():
    texts = [
        "My brother lent me his car and I scratched the door on the way home.",
        "We won the quiz.",
        "My brother lent me his car and I scratched the door on the way back.",
        "It rained.",
    ]
    assert merge_near_duplicates(["b", "b", "a", "c"], texts) == ["a", "a", "a", "c"]


def test_a_loaded_corpus_has_its_near_duplicates_in_one_group(tmp_path):
    path = tmp_path / "corpus.csv"
    path.write_text(
        "text,emotion,who\n"
        "The last bus drove off while I was still counting my coins at the kerb.,sadness,1\n"
        "The last bus drove off while I was still counting coins at the kerb.,anger,2\n"
        "We baked bread.,joy,3\n"
    )
    groups = load_corpus(path, group_column="who").groups
    assert groups[0] == groups[1] != groups[2]


def test_many_texts_are_clustered_in_a_moment():
    """Quadratic work on 20,000 texts would take hours; the test would never end."""
    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(rng.choices(letters, k=6)) for _ in range(3000)]
    texts = [" ".join(rng.choices(vocabulary, k=12)) for _ in range(20_000)]
    texts[17] = texts[3] + " indeed"
    clusters = near_duplicate_clusters(texts)
    assert clusters[17] == 3
    assert len(np.unique(clusters)) == 19_999
