"""The model beside readers and beside a bag of words, against counts made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import jensenshannon

import affectscope.analyses as afa
import readers_file
from affectscope.data import Corpus, load_readers
from affectscope.errors import DataError, NotPossibleError, UsageError
from affectscope.figures import human_figures, infer_figures
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS, EXPERIMENTS
from reference import log_softmax


@pytest.fixture
def readers(tmp_path):
    return load_readers(readers_file.write(tmp_path / "readers.csv"))


@pytest.fixture(scope="module")
def task(lm):
    return EmotionTask(lm, calibration="batch")


@pytest.fixture
def study(lm, task, readers):
    return afa.Study(lm, task, readers_file.corpus(), readers=readers)


def run(experiment):
    for _ in afa.finish_units(experiment, experiment.study.store):
        pass
    return afa.collect(experiment, experiment.study.store)


@pytest.fixture
def probabilities(lm, task):
    """Calibrated label probabilities [item, label] from one plain pass each, in float64."""
    logits = np.stack(
        [
            lm.model(input_ids=torch.tensor([lm.tokenizer.encode(task.template.fill(text))]))
            .logits[0, -1][task.label_ids]
            .numpy()
            .astype(float)
            for text in readers_file.corpus().texts
        ]
    )
    assert len(set(logits.argmax(axis=1))) > 1, "texts that the tiny model tells apart"
    scores = log_softmax(logits) - log_softmax(logits).mean(axis=0)
    return np.exp(log_softmax(scores))


READ = {1: "13", 2: "10", 4: "12", 5: "11"}
"""Index in the corpus of each text that was read."""


def shares(said, leaving_out: int | None = None) -> np.ndarray:
    left = [
        each.replace("no-emotion", "neutral") for k, each in enumerate(said) if k != leaving_out
    ]
    return np.array([left.count(label) / len(left) for label in EMOTIONS])


def test_distances_are_those_of_scipy(study, probabilities):
    summary = run(afa.Human(study)).summary
    of = {text: said for text, _, said, *_ in readers_file.RATINGS}
    model, answer, reader = [], [], []
    for row, text in READ.items():
        model.append(jensenshannon(probabilities[row], shares(of[text]), base=2))
        one_hot = np.eye(13)[probabilities[row].argmax()]
        for k in range(4):
            others = shares(of[text], leaving_out=k)
            answer.append(jensenshannon(one_hot, others, base=2))
            reader.append(jensenshannon(shares([of[text][k]]), others, base=2))
    expected = {"js_model": model, "js_answer": answer, "js_reader": reader}
    for name, distances in expected.items():
        # a distance that is 0 leaves the root of a rounding error
        value = np.nan_to_num(distances).mean()
        assert summary[f"human.{name}"].value == pytest.approx(value, abs=1e-5)
        assert summary[f"human.{name}"].n == 4
    every = [
        jensenshannon(probabilities[row], shares(of[text]), base=2)
        for row in READ
        for text in READ.values()
    ]
    assert summary["human.js_null"].value == pytest.approx(np.mean(every), abs=0.005)
    assert 0 < summary["human.js_p"] <= 1


def test_observations_are_both_distributions_of_every_item(study, probabilities):
    seen = run(afa.Human(study)).observations
    assert len(seen) == 4 * 13
    for row, text in READ.items():
        here = seen[seen["item"] == row]
        assert set(here["item_id"]) == {text}
        assert here["label"].tolist() == list(EMOTIONS)
        assert here["model"].to_numpy() == pytest.approx(probabilities[row], abs=1e-5)
        assert here["readers"].sum() == 1


def test_the_readers_part_is_the_human_reference(study, readers):
    from affectscope.stats import human_reference

    summary = run(afa.Human(study)).summary
    reference = human_reference(study.corpus, readers)
    assert {name: summary[name] for name in reference.summary} == dict(reference.summary)


def test_the_answer_and_figures_say_it(study):
    result = run(afa.Human(study))
    assert "43.8%" in result.answer
    assert "4 items that were read" in result.answer
    assert list(result.charts(result.table)) == [
        "human_accuracy",
        "human_recall",
        "human_appraisals",
        "human_distance",
        "human_confusion",
    ]
    texts = {name: figure.alt_text for name, figure in human_figures(result.table).items()}
    assert "one reader: 43.8 %" in texts["human_accuracy"]
    assert "disgust" in texts["human_confusion"]


def test_a_public_function_gives_the_same(task, study, readers):
    result = afa.human(task, study.corpus, readers)
    assert result.summary == run(afa.Human(study)).summary


def test_infer_stands_beside_the_readers_of_the_same_items(study, probabilities):
    result = run(afa.Infer(study))
    emotions = study.corpus.emotions
    right = [EMOTIONS[probabilities[row].argmax()] == emotions[row] for row in READ]
    summary = result.summary
    assert summary["infer.read_accuracy"].value == np.mean(right)
    assert summary["infer.reader_accuracy"].value == 7 / 16
    assert summary["infer.plurality_accuracy"].value == pytest.approx(1.75 / 4)
    assert summary["infer.above_reader"].value == pytest.approx(np.mean(right) - 7 / 16)
    assert "Of the 4 items that people read too" in result.answer
    assert "one reader: 43.8 %" in infer_figures(result.table)["infer_readers"].alt_text


def test_infer_without_readers_says_nothing_of_them(lm, task):
    result = run(afa.Infer(afa.Study(lm, task, readers_file.corpus())))
    assert not [name for name in result.summary if "read" in name or "words" in name]
    assert "infer_readers" not in result.charts(result.table)
    assert "people" not in result.answer
    assert "bag of words" not in result.answer


def test_items_that_nobody_read(lm, task, readers):
    """human cannot be done, and says so; infer can."""
    corpus = readers_file.corpus().without([1, 2, 4, 5], "a test")
    study = afa.Study(lm, task, corpus, readers=readers)
    with pytest.raises(NotPossibleError, match="none of the 2 items"):
        run(afa.Human(study))
    assert "infer.reader_accuracy" not in run(afa.Infer(study)).summary


def test_readers_of_another_corpus_are_refused_before_any_work(lm, task, readers):
    corpus = readers_file.corpus()
    corpus.items.loc[1, "emotion"] = "joy"
    with pytest.raises(DataError, match="does not fit the corpus"):
        afa.Study(lm, task, corpus, readers=readers)


def test_which_experiments_apply(lm, task, readers, study):
    corpus = readers_file.corpus()
    rare = ("pairs", "appraise", "geometry", "promote", "surgery", "generate", "human")
    always = tuple(name for name in EXPERIMENTS if name not in rare)
    assert afa.applicable(corpus) == always
    assert afa.applicable(corpus, readers) == (*always, "human")
    versions = replace(corpus, items=corpus.items.assign(scenario="a", version=1, flipped=""))
    assert afa.applicable(versions) == ("infer", "pairs", *always[1:])
    assert [each.name for each in afa.build(None, study)] == ["clean", *always, "human"]
    many = corpus.items.loc[np.arange(afa.ENOUGH_ITEMS) % len(corpus)].reset_index(drop=True)
    unrated = many.drop(columns=[name for name in APPRAISAL_NAMES if name in many])
    pleasant = unrated.assign(pleasantness=1.0 + np.arange(afa.ENOUGH_ITEMS) % 5)
    assert afa.applicable(replace(corpus, items=unrated)) == (*always, "promote")
    appraisals = ("appraise", "geometry", "promote", "surgery", "generate")
    assert afa.applicable(replace(corpus, items=pleasant)) == (*always, *appraisals)
    assert afa.applicable(replace(corpus, items=pleasant.iloc[1:])) == always
    chosen = afa.build(["human", "infer"], study)
    assert [each.name for each in chosen] == ["clean", "infer", "human"]


def test_human_without_readers_is_a_wrong_option(lm, task):
    study = afa.Study(lm, task, readers_file.corpus())
    with pytest.raises(UsageError, match="no readers were given") as caught:
        afa.build(["human"], study)
    assert "--readers" in str(caught.value)


def written(n: int, words: dict[str, str], groups: int) -> Corpus:
    """Texts of an emotion's own word and a filler; every author writes of every emotion."""
    labels = list(words)
    rows = [
        {
            "item_id": str(k),
            "text": f"{words[labels[k % len(labels)]]} filler{k % 7}",
            "emotion": labels[k % len(labels)],
            "group": f"g{k % groups}",
        }
        for k in range(n)
    ]
    return Corpus("made", pd.DataFrame(rows), tuple(labels), "memory", "0" * 64, "utf-8", ())


class TestBagOfWords:
    def test_words_that_tell_the_emotion_are_used(self):
        corpus = written(60, {"joy": "cake", "fear": "spider", "anger": "queue"}, 20)
        words = afa.bag_of_words(corpus)
        assert words.accuracy.value == 1
        assert words.accuracy.n == 60

    def test_no_group_is_on_both_sides(self):
        corpus = written(60, {"joy": "cake", "fear": "spider"}, 20)
        folds = afa.bag_of_words(corpus).folds
        groups = pd.Series(folds).groupby(corpus.groups).nunique()
        assert groups.max() == 1
        assert set(folds) == set(range(5))

    def test_a_word_of_one_author_tells_nothing_of_another(self):
        """Each author has a word of their own and one emotion: right only if they are split."""
        rows = [
            {
                "item_id": f"{author}.{k}",
                "text": f"word{author} twice",
                "emotion": ("joy", "fear")[author % 2],
                "group": f"g{author}",
            }
            for author in range(20)
            for k in range(5)
        ]
        items = pd.DataFrame(rows)
        corpus = Corpus("made", items, ("fear", "joy"), "memory", "0" * 64, "utf-8", ())
        apart = items.assign(group=items["item_id"])
        assert afa.bag_of_words(corpus).accuracy.value <= 0.5
        assert afa.bag_of_words(replace(corpus, items=apart)).accuracy.value == 1

    def test_by_hand(self):
        """Multinomial naive Bayes with Laplace's smoothing, written out in logarithms."""
        rng = np.random.default_rng(0)
        vocabulary = [f"word{k}" for k in range(12)]
        texts = [" ".join(rng.choice(vocabulary, size=6)) for _ in range(40)]
        emotions = [
            ("joy", "fear")[int("word1" in text or k % 3 == 0)] for k, text in enumerate(texts)
        ]
        items = pd.DataFrame(
            {
                "item_id": [str(k) for k in range(40)],
                "text": texts,
                "emotion": emotions,
                "group": [f"g{k}" for k in range(40)],
            }
        )
        corpus = Corpus("made", items, ("fear", "joy"), "memory", "0" * 64, "utf-8", ())
        words = afa.bag_of_words(corpus)
        for item in range(40):
            train = [k for k in range(40) if words.folds[k] != words.folds[item]]
            known = sorted({word for k in train for word in texts[k].split()})
            scores = {}
            for label in ("fear", "joy"):
                own = [word for k in train if emotions[k] == label for word in texts[k].split()]
                prior = np.mean([emotions[k] == label for k in train])
                scores[label] = np.log(prior) + sum(
                    np.log((own.count(word) + 1) / (len(own) + len(known)))
                    for word in texts[item].split()
                    if word in known
                )
            assert words.predicted[item] == max(scores, key=lambda label: scores[label])

    def test_function_words_count_unless_left_out(self):
        corpus = written(60, {"joy": "because", "fear": "although"}, 20)
        assert afa.bag_of_words(corpus).accuracy.value == 1
        assert afa.bag_of_words(corpus, function_words=False).accuracy.value < 0.9

    def test_too_few_items_or_words_or_groups(self):
        with pytest.raises(NotPossibleError, match="19 items of 2 labels are too few"):
            afa.bag_of_words(written(19, {"joy": "cake", "fear": "spider"}, 19))
        corpus = written(40, {"joy": "cake", "fear": "spider"}, 20)
        empty = replace(corpus, items=corpus.items.assign(text="? !"))
        with pytest.raises(NotPossibleError, match="no words"):
            afa.bag_of_words(empty)
        with pytest.raises(NotPossibleError, match="groups"):
            afa.bag_of_words(written(40, {"joy": "cake", "fear": "spider"}, 4))

    def test_it_stands_in_infer_where_there_are_enough_items(self, lm, task):
        corpus = written(60, {"joy": "cake", "fear": "spider", "anger": "queue"}, 20)
        study = afa.Study(lm, task, replace(corpus, labels=EMOTIONS))
        result = run(afa.Infer(study))
        assert result.summary["infer.bag_of_words"].value == 1
        assert "A bag of words" in result.answer
        figure = infer_figures(result.table)["infer_accuracy"]
        assert "bag of words: 100.0 %" in figure.alt_text
        assert "naive Bayes" in figure.caption
