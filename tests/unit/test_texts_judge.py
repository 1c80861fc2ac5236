"""The judge finds what was planted, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from affectscope.data import Corpus, load_corpus
from affectscope.errors import NotPossibleError
from affectscope.texts import train_judge
from affectscope.texts.judge_fit import LOGISTIC_C, RIDGE_PENALTIES, best_by_fold
from affectscope.texts.judge_quality import calibration_error, emotion_rows, rating_rows
from affectscope.vocabulary import EMOTIONS

PLANTED = {
    "anger": ("shouted", "slammed", 1.0),
    "joy": ("sang", "danced", 5.0),
    "sadness": ("wept", "mourned", 2.0),
}
FILLER = "the a we at home in town on day door street road table again later then".split()


def corpus_of(texts, emotions, groups, **columns) -> Corpus:
    items = pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(len(texts))],
            "text": texts,
            "emotion": emotions,
            "group": groups,
            **columns,
        }
    )
    return Corpus(
        name="planted",
        items=items,
        labels=tuple(sorted(set(emotions))),
        source="memory",
        sha256="0" * 64,
        encoding="utf-8",
    )


def planted(n: int = 120, *, seed: int = 0, **columns) -> Corpus:
    """Filler with one of two words for each emotion; pleasantness follows the emotion."""
    generator = np.random.default_rng(seed)
    emotions = generator.choice(list(PLANTED), size=n).tolist()
    texts = [
        " ".join([*generator.choice(FILLER, size=8), str(generator.choice(PLANTED[emotion][:2]))])
        for emotion in emotions
    ]
    ratings = {"pleasantness": [PLANTED[emotion][2] for emotion in emotions]} | columns
    return corpus_of(texts, emotions, [f"g{row // 2}" for row in range(n)], **ratings)


def value(judge, metric, target="emotion") -> float:
    rows = judge.quality
    return float(rows.loc[(rows.metric == metric) & (rows.target == target), "value"].item())


@pytest.fixture(scope="module")
def judge():
    return train_judge(planted())


def test_planted_words_are_read(judge):
    p = judge.emotion_probabilities(["the door slammed", "we sang in town", "then he mourned"])
    assert p.shape == (3, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert [judge.labels[code] for code in p.argmax(axis=1)] == ["anger", "joy", "sadness"]
    ratings = judge.appraisal_ratings(["the door slammed", "we sang in town", "then he mourned"])
    np.testing.assert_allclose(ratings[:, 0], [1, 5, 2], atol=0.8)


def test_quality_of_planted_words(judge):
    assert judge.labels == ("anger", "joy", "sadness")
    assert judge.appraisals == ("pleasantness",)
    assert (judge.corpus_name, judge.n_items) == ("planted", 120)
    assert value(judge, "accuracy") == 1
    assert value(judge, "macro_f1") == 1
    assert value(judge, "r2", "pleasantness") > 0.9
    assert (judge.quality["n"] == 120).all()


def test_empty_texts_get_what_training_holds(judge):
    corpus = planted()
    shares = [corpus.emotions.count(label) / 120 for label in judge.labels]
    np.testing.assert_allclose(judge.emotion_probabilities(["", " \n"]), [shares, shares])
    mean = corpus.items["pleasantness"].mean()
    np.testing.assert_allclose(judge.appraisal_ratings([""]), [[mean]])
    assert judge.emotion_probabilities([]).shape == (0, 3)
    assert judge.appraisal_ratings([]).shape == (0, 1)


def test_a_text_without_known_words_is_judged_without_error(judge):
    p = judge.emotion_probabilities(["zzz", "日本語"])
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_same_seed_same_judge(judge):
    again = train_judge(planted())
    texts = ["we sang", "the door", "wept and shouted"]
    np.testing.assert_array_equal(
        judge.emotion_probabilities(texts), again.emotion_probabilities(texts)
    )
    np.testing.assert_array_equal(judge.appraisal_ratings(texts), again.appraisal_ratings(texts))
    pd.testing.assert_frame_equal(judge.quality, again.quality)


def test_models_are_scikit_learns_on_all_items(judge):
    """A pipeline built here, at the strengths that the judge may have chosen, is one of them."""
    corpus, texts = planted(), ["we sang", "the door was slammed", "wept again", "a day in town"]
    blocks = [
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2),
    ]
    X = np.hstack([block.fit_transform(corpus.texts).toarray() for block in blocks])
    Z = np.hstack([block.transform(texts).toarray() for block in blocks])
    logistic = [
        LogisticRegression(C=C, class_weight="balanced", tol=1e-8, max_iter=5000)
        .fit(X, corpus.emotions)
        .predict_proba(Z)
        for C in LOGISTIC_C
    ]
    off = [np.abs(p - judge.emotion_probabilities(texts)).max() for p in logistic]
    assert min(off) < 0.01
    y = corpus.items["pleasantness"]
    ridge = [Ridge(alpha=a, solver="cholesky").fit(X, y).predict(Z) for a in RIDGE_PENALTIES]
    off = [np.abs(r - judge.appraisal_ratings(texts)[:, 0]).max() for r in ridge]
    assert min(off) < 0.01


def test_ratings_may_be_missing_and_each_is_fitted_on_its_own_texts():
    whole = planted()
    hidden = whole.items["pleasantness"].where(np.arange(120) % 3 > 0)
    few = pd.Series([3.0] + [np.nan] * 119)
    urgency = np.where(hidden.isna(), 5.0, 2.0)
    judge = train_judge(planted(pleasantness=hidden, effort=few, urgency=urgency))
    assert judge.appraisals == ("pleasantness", "urgency")  # one rating of effort is too few
    n = judge.quality.set_index("target")["n"]
    assert n["pleasantness"] == 80
    assert value(judge, "r2", "pleasantness") > 0.8
    # residuals of ridge regression with an intercept average to 0 over the texts it is fitted on
    np.testing.assert_allclose(judge.appraisal_ratings(whole.texts)[:, 1].mean(), 3, atol=1e-3)
    rated = [row for row in range(120) if row % 3]
    alone = train_judge(replace(whole, items=whole.items.iloc[rated].reset_index(drop=True)))
    read = [each.appraisal_ratings(["we sang", "he wept"])[:, 0] for each in (judge, alone)]
    np.testing.assert_allclose(*read, atol=0.4)


def test_a_corpus_without_ratings_judges_emotions_only():
    corpus = planted()
    judge = train_judge(replace(corpus, items=corpus.items.drop(columns="pleasantness")))
    assert judge.appraisals == ()
    assert judge.appraisal_ratings(["we sang"]).shape == (1, 0)
    assert set(judge.quality["metric"]) == {
        "accuracy",
        "macro_f1",
        "log_loss",
        "calibration_error",
    }


def test_two_emotions_are_enough_and_one_is_not():
    corpus = planted()
    two = corpus.items[corpus.items["emotion"] != "joy"].reset_index(drop=True)
    judge = train_judge(replace(corpus, items=two))
    assert judge.emotion_probabilities(["he wept"])[0].argmax() == 1
    one = corpus.items[corpus.items["emotion"] == "joy"].reset_index(drop=True)
    with pytest.raises(NotPossibleError, match="1 emotion"):
        train_judge(replace(corpus, items=one))


def test_an_emotion_of_a_single_author_is_never_guessed_and_counts_as_wrong():
    corpus = planted()
    items = corpus.items.copy()
    items.loc[items["group"] == "g0", "emotion"] = "pride"
    judge = train_judge(replace(corpus, items=items))
    assert "pride" in judge.labels
    assert value(judge, "accuracy") == pytest.approx(118 / 120)


def test_texts_that_share_no_word_teach_nothing():
    emotions = ["joy", "anger"] * 5
    words = [f"{chr(97 + k)}{chr(98 + k)}{chr(99 + k)}"[:3] for k in range(10)]
    with pytest.raises(NotPossibleError, match="no word occurs in two"):
        train_judge(corpus_of(words, emotions, words), folds=2)


def test_strength_is_chosen_on_other_folds():
    losses = np.array([[1.0, 1.0, 5.0, 5.0], [2.0, 2.0, 0.0, 0.0]])
    # fold 0 (texts 0 and 1) is chosen for by texts 2 and 3, and the other way round
    assert best_by_fold(losses, np.array([0, 0, 1, 1])).tolist() == [1, 0]
    assert best_by_fold(np.ones((3, 4)), np.array([0, 0, 1, 1])).tolist() == [0, 0]


def test_measures_by_hand():
    p = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])
    codes = np.array([0, 1, 1, 1])
    rows = {row["metric"]: row for row in emotion_rows(p, codes)}
    assert rows["accuracy"]["value"] == rows["accuracy"]["chance"] == 0.75
    # label 0: precision 1/2, recall 1; label 1: precision 1, recall 2/3
    assert rows["macro_f1"]["value"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert rows["macro_f1"]["chance"] == pytest.approx((0 + 6 / 7) / 2)
    assert rows["log_loss"]["value"] == pytest.approx(-np.log([0.8, 0.4, 0.7, 0.9]).mean())
    # four texts in four bins: confidences .8 .6 .7 .9, right, wrong, right, right
    assert calibration_error(p, codes) == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0

    Y = np.array([[1.0], [3.0], [np.nan], [5.0]])
    row = rating_rows(("effort",), Y, np.array([[2.0], [3], [9], [4]]), np.full((4, 1), 3.0))[0]
    assert row["value"] == pytest.approx(1 - 2 / 8)
    assert row["n"] == 3


@pytest.fixture(scope="module")
def halves() -> tuple[Corpus, Corpus]:
    """The vignettes, half of the scenarios each."""
    corpus = load_corpus("vignettes")
    names = sorted(set(corpus.items["scenario"]))
    drawn = set(np.random.default_rng(0).permutation(names)[: len(names) // 2])
    inside = corpus.items["scenario"].isin(drawn)
    return tuple(
        replace(corpus, items=corpus.items[part].reset_index(drop=True))
        for part in (inside, ~inside)
    )


def share_right(judge, corpus: Corpus) -> float:
    p = judge.emotion_probabilities(corpus.texts)
    named = [judge.labels[code] for code in p.argmax(axis=1)]
    return float(np.mean(np.array(named) == np.array(corpus.emotions)))


def test_emotions_of_unseen_vignettes_are_found(halves):
    known, unseen = halves
    judge = train_judge(known)
    assert judge.labels == EMOTIONS
    error = np.sqrt(1 / 13 * 12 / 13 / len(unseen))
    assert share_right(judge, unseen) > 1 / 13 + 4 * error
    pleasant = judge.appraisal_ratings(unseen.texts)[:, judge.appraisals.index("pleasantness")]
    assert np.corrcoef(pleasant, unseen.items["pleasantness"])[0, 1] > 0.1


def test_shuffled_emotions_teach_nothing(halves):
    known, unseen = halves
    found = []
    for seed in range(3):
        shuffled = known.items.copy()
        shuffled["emotion"] = np.random.default_rng(seed).permutation(known.emotions)
        judge = train_judge(replace(known, items=shuffled))
        found.append(share_right(judge, unseen))
        assert value(judge, "accuracy") < 1 / 13 + 3 * np.sqrt(1 / 13 * 12 / 13 / len(known))
    error = np.sqrt(1 / 13 * 12 / 13 / len(unseen))
    assert max(found) < 1 / 13 + 3 * error
    assert abs(np.mean(found) - 1 / 13) < 3 * error
