"""Which words give a label away."""

from __future__ import annotations

import pytest

from affectscope.data.label_words import STEMS, find_label_words
from affectscope.vocabulary import EMOTIONS


def test_every_emotion_has_words_and_its_own_is_one():
    assert set(STEMS) == set(EMOTIONS)
    for label in EMOTIONS:
        assert find_label_words(f"It was {label}.", EMOTIONS) == {label}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("She was FURIOUS, and I felt guilty.", {"anger", "guilt"}),
        ("Worried sick, then relieved", {"fear", "relief"}),
        ("I trusted him unexpectedly.", {"trust", "surprise"}),
        ("We were proudest of the happy ending", {"pride", "joy"}),
        ("The gladiolus in the envelope happened to be blue; I enjoyed madrigals.", set()),
        ("A saddle, an angular shape, two angles, a bridesmaid, scarecrow, dulcimer", set()),
        ("", set()),
    ],
)
def test_words_are_found_whole(text, found):
    assert find_label_words(text, EMOTIONS) == found


def test_other_labels_count_by_their_own_word_and_its_endings():
    labels = ("calm", "joy and pride", "c++")
    assert find_label_words("Calmly I waited", labels) == {"calm"}
    assert find_label_words("joy and pride", labels) == {"joy and pride"}
    assert find_label_words("I write C++.", labels) == {"c++"}
    assert find_label_words("becalmed, calmatives", labels) == set()
