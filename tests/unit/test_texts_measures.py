"""What is measured of a text: valence, repetition, named labels, kept content."""

from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest

from affectscope.errors import ColumnError, UsageError
from affectscope.texts import (
    appraisal_words,
    content_recall,
    distinct_by_text,
    distinct_n,
    kept_meaning,
    label_echo,
    repeated_share,
    valence,
)
from affectscope.texts.meaning import stem
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS


@pytest.mark.parametrize("name", ["valence", "fluency", "echo", "meaning"])
def test_examples_in_docstrings_hold(name):
    outcome = doctest.testmod(importlib.import_module(f"affectscope.texts.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_valence_orders_texts_and_follows_the_published_normalisation():
    scores = valence(["I love it, it is wonderful.", "", "I hate it, it is horrible.", "great"])
    assert scores[0] > 0.6
    assert scores[1] == 0
    assert scores[2] < -0.6
    # the lexicon rates "great" 3.1
    assert scores[3] == pytest.approx(3.1 / math.sqrt(3.1**2 + 15), abs=1e-4)
    assert valence(["not great"])[0] < 0 < valence(["great"])[0] < valence(["GREAT!!"])[0] + 1e-9


def naive_repeated(text, n):
    """The definition, word by word."""
    grams = [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]
    again = sum(gram in grams[:i] for i, gram in enumerate(grams))
    return again / len(grams) if grams else 0.0


@pytest.mark.parametrize("n", [1, 2, 4])
def test_repeated_share_is_its_definition(n):
    generator = np.random.default_rng(0)
    texts = [generator.integers(0, 4, size=size).tolist() for size in (0, 1, 3, 4, 5, 40, 200)]
    np.testing.assert_allclose(repeated_share(texts, n), [naive_repeated(t, n) for t in texts])


def test_a_looping_text_is_found():
    once = list(range(200))
    loop = list(range(5)) * 40
    shares = repeated_share([once, loop])
    assert shares[0] == 0
    assert shares[1] == pytest.approx(1 - 5 / 197)


def test_shuffled_words_keep_distinct_1_and_lose_repeats():
    loop = list(range(30)) * 4
    shuffled = np.random.default_rng(1).permutation(loop).tolist()
    assert distinct_n([shuffled], 1) == distinct_n([loop], 1) == 0.25
    assert repeated_share([loop])[0] > 0.7
    assert repeated_share([shuffled])[0] < 0.05


def test_distinct_of_a_set_sees_what_texts_share_and_crosses_no_border():
    assert distinct_n([[1, 2], [1, 2]], 2) == 0.5
    assert distinct_n([[1, 2], [3, 4]], 2) == 1  # 2 3 is no 2-gram
    assert distinct_n([[1, 2], [1, 2]], 1) == 0.5
    np.testing.assert_array_equal(distinct_by_text([[1, 2], [1, 1], []], 1), [1, 0.5, math.nan])
    assert math.isnan(distinct_n([[1], []], 2))


def test_n_must_be_one_or_more():
    with pytest.raises(UsageError, match="n-grams of 0"):
        repeated_share([[1, 2]], 0)


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("Joyful at last", ["joy"], True),
        ("She enjoyed it", ["joy"], False),
        ("JOY!", ["joy", "fear"], True),
        ("I was afraid", ["fear"], True),
        ("I was afraid", ["joy"], False),
        ("so sudden", ["sudden"], True),
        ("it came suddenly", ["sudden"], True),
        ("unpleasant", ["pleasant"], False),
        ("", ["joy"], False),
        ("joy", [], False),
    ],
)
def test_labels_are_echoed_as_words(text, words, found):
    assert label_echo([text], words).tolist() == [found]


def test_every_emotion_and_appraisal_can_be_looked_for():
    for emotion in EMOTIONS:
        assert label_echo([f"It was {emotion}."], [emotion]).all()
    for appraisal in APPRAISAL_NAMES:
        words = appraisal_words(appraisal)
        assert words
        assert label_echo([f"It was {word}." for word in words], words).all()
    with pytest.raises(ColumnError, match="joyfulness"):
        appraisal_words("joyfulness")


def test_kept_meaning_is_the_cosine_of_tf_idf():
    references = ["blue desk", "blue lamp"]
    found = kept_meaning(["Blue desk!", "the desk", "lamp", "green", ""], [references[0]] * 5)
    np.testing.assert_allclose(found[[0, 2, 3, 4]], [1, 0, 0, 0])
    assert found[1] == pytest.approx(1 / math.sqrt(2))  # both words have the same idf
    rare = math.log(3 / 2) + 1  # desk and lamp stand in one of two references, blue in both
    both = kept_meaning(["desk", "lamp"], references)
    np.testing.assert_allclose(both, rare / math.hypot(rare, 1))


def test_kept_meaning_of_a_text_does_not_hang_on_other_texts():
    alone = kept_meaning(["a green desk"], ["the desk"])
    beside = kept_meaning(["a green desk", "green green lamps"], ["the desk", "the desk"])
    assert alone[0] == beside[0]
    assert math.isnan(kept_meaning(["desk"], ["of the"])[0])


def test_recall_counts_forms_and_figures_once():
    required = ["delivery", "desk", "Tuesday", "nine"]
    texts = [
        "The delivery of the desk comes on Tuesday at nine.",
        "Desks, desks: delivered at 9 on Tuesdays",
        "I am so glad!",
        "Nineteen tuesdays",
        "",
    ]
    np.testing.assert_allclose(content_recall(texts, [required] * 5), [1, 1, 0, 0.25, 0])
    assert math.isnan(content_recall(["desk"], [[]])[0])


@pytest.mark.parametrize(
    "forms",
    [
        "close closes closed closing",
        "city cities",
        "box boxes",
        "bus buses",
        "class classes",
        "stop stops stopped stopping",
        "Monday Mondays monday",
        "table tables",
        "serve served serves serving",
    ],
)
def test_forms_share_a_stem(forms):
    assert len({stem(form) for form in forms.split()}) == 1


def test_different_words_have_different_stems():
    words = "desk nine nineteen Tuesday Thursday delivery deliver2 room road bus book three tree"
    assert len({stem(word) for word in words.split()}) == len(words.split())


def test_as_many_references_as_texts():
    with pytest.raises(UsageError, match="2 texts and 1 references"):
        kept_meaning(["a", "b"], ["a"])
    with pytest.raises(UsageError, match="1 texts and 0 sequences"):
        content_recall(["a"], [])
