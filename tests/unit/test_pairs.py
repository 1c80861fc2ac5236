"""Minimal pairs: counted by hand, and on models that read the change or do not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from affectscope.analyses.pairs import Pairs
from affectscope.data import load_corpus
from affectscope.errors import NotPossibleError
from affectscope.figures import pairs_charts
from affectscope.prompts import LabelOffsets

LABELS = ("anger", "fear", "joy")


def study_of(items, logits, offsets=(0.0, 0.0, 0.0)):
    """What the experiment asks of a study, made of given label logits."""
    logits = torch.tensor(np.asarray(logits), dtype=torch.float32)
    shift = LabelOffsets("none", torch.tensor(offsets))
    emotions = np.array([LABELS.index(emotion) for emotion in items["emotion"]])
    return SimpleNamespace(
        corpus=SimpleNamespace(
            items=items,
            name="made up",
            has_pairs={"scenario", "version", "flipped"} <= set(items.columns),
        ),
        clean=SimpleNamespace(
            logits=logits,
            offsets=shift,
            emotions=emotions,
            predicted=shift.scores(logits).argmax(dim=-1).numpy(),
        ),
        task=SimpleNamespace(labels=LABELS, calibration="none"),
        seed=0,
    )


def versions(*rows):
    return pd.DataFrame(rows, columns=["scenario", "version", "emotion", "flipped"])


def result_of(study):
    experiment = Pairs(study)
    (unit,) = experiment.units()
    return experiment.result(experiment.compute(unit).table)


ITEMS = versions(
    ("bus", 2, "joy", "pleasantness"),
    ("bus", 1, "anger", ""),
    ("bus", 3, "fear", "self_control"),
    ("dog", 1, "fear", ""),
    ("dog", 2, "joy", "pleasantness"),
    ("tea", 3, "joy", "pleasantness"),  # its base is not among the items
)
LOGITS = [
    [0.0, 0.0, 1.0],  # bus.2: joy, answered joy
    [2.0, 1.0, 0.0],  # bus.1: anger, answered anger
    [2.0, 0.5, 0.0],  # bus.3: fear, answered anger; fear has lost ground
    [1.0, 0.0, 0.0],  # dog.1: fear, answered anger
    [1.0, 0.0, 0.5],  # dog.2: joy, answered anger; joy has gained
    [9.0, 9.0, 9.0],
]


def test_counted_by_hand():
    result = result_of(study_of(ITEMS, LOGITS))
    rows = result.observations.set_index(["scenario", "version"])
    assert rows.loc[("bus", 2), ["before", "after"]].tolist() == pytest.approx([-2.0, 1.0])
    assert rows.loc[("bus", 3), ["before", "after"]].tolist() == pytest.approx([-1.0, -1.5])
    assert rows.loc[("dog", 2), ["before", "after"]].tolist() == pytest.approx([0.0, 0.5])
    assert len(rows) == 3
    found = {name: (value.value, value.n) for name, value in result.summary.items()}
    assert found["pairs.moved"] == (pytest.approx(2 / 3), 3)
    assert found["pairs.shift"] == (pytest.approx((3 - 0.5 + 0.5) / 3), 3)
    assert found["pairs.base_right"] == (pytest.approx(2 / 3), 3)
    assert found["pairs.version_right"] == (pytest.approx(1 / 3), 3)
    assert found["pairs.both_right"] == (pytest.approx(1 / 3), 3)
    assert found["pairs.followed"] == (pytest.approx(1 / 2), 2)
    assert found["pairs.moved.pleasantness"] == (1.0, 2)
    assert found["pairs.moved.self_control"] == (0.0, 1)


def test_the_calibration_does_not_decide():
    plain, shifted = (
        result_of(study_of(ITEMS, LOGITS, offsets)).observations["after"].to_numpy()
        - result_of(study_of(ITEMS, LOGITS, offsets)).observations["before"].to_numpy()
        for offsets in ((0.0, 0.0, 0.0), (3.0, -1.0, 0.5))
    )
    assert np.allclose(plain, shifted)


def many(reads):
    """200 scenarios of a model that prefers labels by whim, and reads the change or does not."""
    rng = np.random.default_rng(0)
    rows, logits = [], []
    for scenario in range(200):
        one, other = rng.choice(3, size=2, replace=False)
        for version, label in ((1, one), (2, other)):
            rows.append((f"s{scenario}", version, LABELS[label], "" if version == 1 else "effort"))
            logits.append(rng.normal(size=3) + reads * (np.arange(3) == label))
    return study_of(versions(*rows), logits)


def test_a_model_that_reads_the_change_moves_and_one_that_does_not_stays_at_half():
    blind = result_of(many(0.0)).summary["pairs.moved"]
    reading = result_of(many(2.0)).summary["pairs.moved"]
    assert blind.low < 0.5 < blind.high
    assert reading.low > 0.85


def test_a_model_that_gives_the_same_to_every_text_is_at_half():
    result = result_of(study_of(ITEMS, [[1.0, 0.0, 0.0]] * 6))
    assert result.summary["pairs.moved"].value == 0.5
    assert "no clearer" in result.answer


def test_what_has_no_pairs_says_so():
    plain = ITEMS.drop(columns=["scenario"])
    with pytest.raises(NotPossibleError, match="no scenarios in versions"):
        Pairs(study_of(plain, LOGITS)).units()
    alone = ITEMS[ITEMS["version"] == 1].reset_index(drop=True)
    with pytest.raises(NotPossibleError, match="whose base is among them"):
        Pairs(study_of(alone, LOGITS[:2])).units()


def test_the_chart_has_a_row_for_every_appraisal():
    result = result_of(study_of(ITEMS, LOGITS))
    (chart,) = pairs_charts(result.table).values()
    drawn = str(chart.to_dict())
    for row in ("all pairs (3)", "pleasantness (2)", "self_control (1)"):
        assert row in drawn


def test_a_limit_takes_whole_scenarios():
    corpus = load_corpus("vignettes").sample(40, seed=1)
    assert len(corpus) == 40
    assert set(corpus.items.groupby("scenario").size()) == {4}
