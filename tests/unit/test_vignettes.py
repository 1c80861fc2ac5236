"""The embedded corpus: what its card promises, computed from the file."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

import corpus_figures
from affectscope.data import load_corpus
from affectscope.data.label_words import find_label_words
from affectscope.data.near_duplicates import near_duplicate_clusters
from affectscope.data.vignettes import second_rating
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

FEELING = re.compile(
    r"\b(?:emotion|mood|feel|feels|felt|feeling\w*|upset|cried|cry|crying|wept|weep|tears|sob\w*|"
    r"smil\w*|laugh\w*|grinn\w*|frown\w*|blush\w*|trembl\w*|sigh(?:ed|s|ing)?)\b",
    re.IGNORECASE,
)
"""Words for feelings at large and for their outward signs, which stand in for a label."""


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("vignettes")


@pytest.fixture(scope="module")
def scenarios(corpus):
    return corpus_figures.scenarios(corpus)


def test_120_or_more_scenarios_of_four_versions(scenarios):
    assert len(scenarios) >= 120
    for versions in scenarios:
        assert [each["version"] for each in versions] == [1, 2, 3, 4]
        assert len({each["emotion"] for each in versions}) == 4
        assert versions[0]["flipped"] == ""
        assert all(each["flipped"] in APPRAISAL_NAMES for each in versions[1:])
        assert len({each["group"] for each in versions}) == 1


def test_every_emotion_thirty_times_or_more(corpus):
    counts = Counter(corpus.emotions)
    assert set(counts) == set(EMOTIONS)
    assert min(counts.values()) >= 30
    assert max(counts.values()) <= 1.3 * min(counts.values())


def test_no_text_names_an_emotion_or_a_feeling(corpus):
    found = {
        item: words
        for item, text in zip(corpus.items["item_id"], corpus.texts, strict=True)
        if (words := find_label_words(text, EMOTIONS) or set(FEELING.findall(text)))
    }
    assert found == {}


def test_texts_are_of_the_length_that_the_card_says(corpus):
    lengths = [len(corpus_figures.words(text)) for text in corpus.texts]
    assert min(lengths) >= 16
    assert max(lengths) <= 60


def test_versions_share_their_wording_and_scenarios_do_not(corpus, scenarios):
    inside = corpus_figures.within(corpus)
    assert min(inside) >= 0.5
    assert np.mean(inside) >= 0.65
    assert max(corpus_figures.between(corpus)) <= 0.4
    openings = Counter(
        " ".join(corpus_figures.words(versions[0]["text"])[:3]) for versions in scenarios
    )
    assert openings.most_common(1)[0][1] <= 2


def test_near_duplicates_are_versions_of_one_scenario(corpus):
    scenario = corpus.items["scenario"].tolist()
    for index, first in enumerate(near_duplicate_clusters(corpus.texts)):
        assert scenario[index] == scenario[first]


def test_the_flipped_appraisal_moves_and_is_among_those_that_move_most(corpus, scenarios):
    for versions in scenarios:
        for each in versions[1:]:
            assert abs(each[each["flipped"]] - versions[0][each["flipped"]]) >= 2, each["item_id"]
    ranks = corpus_figures.moved_more(corpus)
    assert max(ranks) <= 3
    assert np.mean([rank == 0 for rank in ranks]) >= 0.75


def test_many_appraisals_are_flipped(corpus):
    counts = Counter(corpus.items["flipped"])
    del counts[""]
    assert len(counts) >= 15


def test_every_appraisal_is_rated_and_its_scale_used(corpus):
    ratings = corpus.items[list(APPRAISAL_NAMES)]
    assert ratings.isin([1, 2, 3, 4, 5]).all().all()
    assert (ratings.nunique() == 5).all()


def test_a_bag_of_words_stays_below_thirty_percent(corpus):
    assert max(corpus_figures.word_accuracies(corpus).values()) < 0.3


def test_the_emotion_can_be_told_from_either_rating(corpus):
    assert min(corpus_figures.rating_accuracies(corpus).values()) > 0.85


def test_the_two_ratings_agree(corpus):
    second = second_rating()
    assert second["item_id"].tolist() == corpus.items["item_id"].tolist()
    assert (second["emotion"].to_numpy() == np.array(corpus.emotions)).mean() > 0.95
    assert min(corpus_figures.kappas(corpus).values()) > 0.6


def test_the_appraisals_that_define_emotions_point_the_theorys_way(corpus):
    """Smith and Ellsworth (1985); Scherer (2001): agency, pleasantness and standards by emotion."""
    for ratings in (corpus.items, second_rating()):
        means = ratings.groupby("emotion")[list(APPRAISAL_NAMES)].mean()
        assert set(means["pleasantness"].nlargest(4).index) == {"joy", "pride", "relief", "trust"}
        assert means["other_responsblt"]["anger"] > means["self_responsblt"]["anger"] + 2
        for emotion in ("guilt", "pride"):
            assert means["self_responsblt"][emotion] > means["other_responsblt"][emotion] + 1
        assert means["suddenness"]["surprise"] > means["suddenness"]["boredom"] + 2
        assert means["standards"]["guilt"] > means["standards"]["sadness"] + 1
        assert means["accept_conseq"]["joy"] > means["accept_conseq"]["fear"] + 1
        assert means["predict_conseq"]["fear"] < means["predict_conseq"]["sadness"]
        assert means["goal_relevance"]["neutral"] < means["goal_relevance"].mean() - 1


def test_the_card_says_it_is_machine_written_and_its_figures(corpus):
    card = files("affectscope").joinpath("vignettes/CARD.md").read_text(encoding="utf-8")
    assert "written by a machine" in " ".join(card.split()[:60])
    assert f"{len(corpus)} short" in card
    assert f"{len(set(corpus.groups))} scenarios" in card
    missing = [line for line in corpus_figures.card_tables(corpus) if line not in card]
    assert missing == []
