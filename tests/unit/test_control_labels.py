"""Control labels are random, yet the same for the same word."""

from __future__ import annotations

from collections import Counter

from affectscope.analyses.control_labels import labels_by_item, labels_by_word, last_word

TEXTS = [
    "I lost my keys.",
    "She found the KEYS!",
    "It rained",
    "We were late; it rained...",
    "?!",
] * 40
LABELS = ["joy", "fear", "fear", "pride", "fear"] * 40


def test_texts_that_end_with_the_same_word_share_a_label():
    drawn = labels_by_word(TEXTS, LABELS, seed=0)
    assert drawn[0] == drawn[1]
    assert drawn[2] == drawn[3]
    assert set(drawn) <= set(LABELS)
    assert drawn == labels_by_word(TEXTS, LABELS, seed=0)
    assert len({tuple(labels_by_word(TEXTS, LABELS, seed=seed)[:5]) for seed in range(10)}) > 1


def test_labels_of_words_are_as_frequent_as_the_corpus_has_them():
    texts = [f"word{k}" for k in range(2000)]
    share = Counter(labels_by_word(texts, LABELS, seed=1))["fear"] / 2000
    assert abs(share - 0.6) < 0.05


def test_labels_dealt_to_items_are_the_corpus_s_own():
    dealt = labels_by_item(LABELS, seed=0)
    assert Counter(dealt) == Counter(LABELS)
    assert dealt != LABELS
    assert dealt == labels_by_item(LABELS, seed=0)


def test_the_last_word_is_the_one_before_the_punctuation():
    assert last_word("I was at Pete's.") == "pete's"
    assert last_word("Wie schön …") == "schön"
    assert last_word("?!") == "?!"
