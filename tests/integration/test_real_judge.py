"""The judge on what people wrote: how good it is, and that it takes it from the texts."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from affectscope.data import load_corpus
from affectscope.texts import neutral_texts, train_judge
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

pytestmark = pytest.mark.integration

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED") or Path(__file__).parents[3] / "shared")
CROWD_ENVENT = SHARED / "data/crowd-envent/enVent_gen_Data.csv"
ISEAR = SHARED / "data/isear/isear.csv"


def corpus_at(file: Path):
    if not file.exists():
        pytest.skip(f"there is no {file}")
    return load_corpus(file)


def quality_of(judge):
    return judge.quality.set_index(["metric", "target"])["value"]


@pytest.fixture(scope="module")
def crowd_envent():
    return corpus_at(CROWD_ENVENT)


@pytest.fixture(scope="module")
def judge(crowd_envent):
    return train_judge(crowd_envent)


def test_emotions_of_crowd_envent_are_found(judge):
    quality = quality_of(judge)
    assert judge.labels == EMOTIONS
    assert judge.n_items == 6600
    assert quality["accuracy", "emotion"] > 0.40
    assert quality["macro_f1", "emotion"] > 0.38
    assert quality["log_loss", "emotion"] < 2.0
    assert quality["calibration_error", "emotion"] < 0.1


def test_appraisals_of_crowd_envent_are_found(judge):
    quality = quality_of(judge)
    assert judge.appraisals == APPRAISAL_NAMES
    assert quality["r2", "pleasantness"] > 0.30
    assert (quality["r2"] > 0).all()


def test_it_reads_other_writers_vignettes(judge):
    """Written by another hand in another manner, and yet above chance."""
    vignettes = load_corpus("vignettes")
    p = judge.emotion_probabilities(vignettes.texts)
    named = [judge.labels[code] for code in p.argmax(axis=1)]
    right = np.mean(np.array(named) == np.array(vignettes.emotions))
    assert right > 1 / 13 + 4 * np.sqrt(1 / 13 * 12 / 13 / len(vignettes))


def test_it_is_unsure_of_texts_in_which_nothing_is_felt(judge):
    """It is right in its own field as often as it says; of neutral passages it is less sure."""
    p = judge.emotion_probabilities(neutral_texts()["text"].tolist())
    assert p.max(axis=1).mean() < quality_of(judge)["accuracy", "emotion"] - 0.1


def test_shuffled_emotions_teach_nothing(crowd_envent):
    items = crowd_envent.items.iloc[:2000].copy()
    items["emotion"] = np.random.default_rng(0).permutation(items["emotion"])
    quality = train_judge(replace(crowd_envent, items=items)).quality
    row = quality[quality.metric == "accuracy"].iloc[0]
    assert row.value < row.chance + 3 * np.sqrt(row.chance * (1 - row.chance) / row.n)


def test_emotions_of_isear_are_found():
    judge = train_judge(corpus_at(ISEAR))
    assert judge.appraisals == ()
    assert quality_of(judge)["accuracy", "emotion"] > 0.55
