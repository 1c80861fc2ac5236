"""The embedded corpus: what its card promises."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affectscope.data import load_corpus
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

STEMS = """
anger angr rage furious fury irritat annoy outrag resent boring boredom bored tedious tedium dull
monoton disgust revolt revuls repuls repugn nause fear afraid scare scary fright terrif terror dread
panic horror horrif guilt remors regret sorry joy happ glad delight elat cheer neutral indifferen
pride proud reliev relief sad sorrow grief griev miser mourn depress heartbr unhapp shame asham
embarrass humiliat mortif surpris astonish amaz stun startl shock unexpected trust faith confid
emotion feel felt feeling mood upset worr anxi nervous excit thrill pleas content lonel calm love
hate enjoy jealous env
""".split()


@pytest.fixture(scope="module")
def corpus():
    return load_corpus("vignettes")


def test_twelve_or_more_for_each_of_the_13_emotions(corpus):
    counts = Counter(corpus.emotions)
    assert len(corpus) >= 156
    assert set(counts) == set(EMOTIONS)
    assert min(counts.values()) >= 12


def test_no_text_names_an_emotion_or_a_feeling(corpus):
    pattern = re.compile(rf"\b(?:{'|'.join(STEMS)})\w*", re.IGNORECASE)
    innocent = {"envelope", "envelopes", "happen", "happened", "happens", "please", "saddle"}
    found = [
        (item, hit.group())
        for item, text in zip(corpus.items["item_id"], corpus.texts, strict=True)
        for hit in pattern.finditer(text)
        if hit.group().lower() not in innocent
    ]
    assert found == []


def test_one_to_three_sentences(corpus):
    for text in corpus.texts:
        sentences = [s for s in re.split(r"(?<=[.!?])[\"'”’]?\s+", text) if s]
        assert 1 <= len(sentences) <= 4, text
        assert 8 <= len(text.split()) <= 60, text


def test_every_appraisal_is_rated_and_used(corpus):
    ratings = corpus.items[list(APPRAISAL_NAMES)]
    assert ratings.shape[1] == 21
    assert ratings.isin([1, 2, 3, 4, 5]).all().all()
    assert (ratings.nunique() >= 4).all()


def test_domains_and_openings_vary(corpus):
    by_emotion = corpus.items.groupby("emotion")["domain"].nunique()
    assert by_emotion.min() >= 8
    openings = Counter(text.split()[0] for text in corpus.texts)
    assert openings.most_common(1)[0][1] / len(corpus) < 0.35


def test_no_two_texts_are_alike(corpus):
    vectors = TfidfVectorizer().fit_transform(corpus.texts)
    cosine = (vectors @ vectors.T).toarray()
    np.fill_diagonal(cosine, 0)
    assert cosine.max() < 0.5


def test_the_ratings_carry_the_emotion_and_single_words_do_not(corpus):
    emotions = np.array(corpus.emotions)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    ratings = corpus.items[list(APPRAISAL_NAMES)].to_numpy()
    by_ratings = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    by_words = make_pipeline(CountVectorizer(), MultinomialNB())
    assert cross_val_score(by_ratings, ratings, emotions, cv=folds).mean() > 0.7
    assert cross_val_score(by_words, corpus.texts, emotions, cv=folds).mean() < 0.3


def test_the_appraisals_that_define_emotions_point_the_theorys_way(corpus):
    """Smith and Ellsworth (1985); Scherer (2001): agency, pleasantness and standards by emotion."""
    means = corpus.items.groupby("emotion")[list(APPRAISAL_NAMES)].mean()
    assert means["pleasantness"].nlargest(2).index.isin(["joy", "pride"]).all()
    assert means["other_responsblt"].loc["anger"] > means["self_responsblt"].loc["anger"] + 2
    for emotion in ("guilt", "shame", "pride"):
        assert means["self_responsblt"].loc[emotion] > means["self_responsblt"].mean() + 0.5
    assert means["suddenness"].loc["surprise"] > means["suddenness"].loc["boredom"] + 2
    assert means["standards"].loc["guilt"] > means["standards"].loc["sadness"]
    assert means["accept_conseq"].loc["joy"] > means["accept_conseq"].loc["fear"] + 1


def test_the_card_says_it_is_machine_written_and_its_count():
    card = files("affectscope").joinpath("vignettes/CARD.md").read_text(encoding="utf-8")
    assert "written by a machine" in " ".join(card.split()[:60])
    assert f"{len(load_corpus('vignettes'))} short" in card
