"""Appraisals and emotions read off, and moved inside, the real default model."""

from __future__ import annotations

import numpy as np
import pytest

import affectscope as afs
import affectscope.analyses as afa
from affectscope.analyses.promote import Promote
from affectscope.figures import FIGURES

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def study(smollm) -> afa.Study:
    task = afs.EmotionTask(smollm)
    corpus = afs.load_corpus("vignettes").sample(208, 0, exclude_texts=task.shot_texts)
    return afa.Study(smollm, task, corpus, seed=0)


def done(experiment: afa.Experiment) -> afa.Result:
    """All units, and what comes of them."""
    store = experiment.study.store
    for _ in afa.finish_units(experiment, store):
        pass
    return afa.collect(experiment, store)


def rows(result: afa.Result, **where):
    """The table's rows with these values."""
    table = result.table
    for column, value in where.items():
        table = table[table[column] == value]
    return table


@pytest.fixture(scope="module")
def promoted(study) -> afa.Result:
    return done(Promote(study, items=26, emotions=("fear", "joy"), random=20))


@pytest.fixture(scope="module")
def operated(study) -> afa.Result:
    surgery = afa.Surgery(
        study, items=13, coefficients=(0.2,), random=12, choose_items=4, spans=(1,)
    )
    return done(surgery)


def test_an_added_direction_is_what_the_model_answers_with(promoted):
    """And random ones of the same length are not."""
    layer = int(promoted.summary["promote.layer"].value)
    at = {"layer": layer, "kind": "means", "unit": "norm", "sense": "up"}
    for emotion in ("fear", "joy"):
        success = rows(promoted, metric="success", emotion=emotion, **at).sort_values("coefficient")
        assert success["value"].iloc[-1] > 0.2
        random = rows(promoted, metric="random_success", emotion=emotion)
        assert success["value"].iloc[-1] > random["high"].max()
        assert promoted.summary[f"promote.{emotion}.random_p"] <= 0.05


def test_a_direction_that_is_taken_away_takes_the_answer_along(promoted):
    down = rows(promoted, metric="change", kind="means", unit="norm", sense="down")
    here = down[down["layer"] == int(promoted.summary["promote.layer"].value)]
    assert (here["value"] < 0).all()


def test_what_is_held_stays_as_the_held_probes_read_it(operated):
    held, raw = (operated.summary[f"surgery.leakage_{m}_own"] for m in ("held", "raw"))
    assert held.value < 0.01
    assert raw.value > 5 * held.value


def test_surgery_moves_what_it_says(operated):
    """Readers that saw neither the directions nor the items find the moved appraisal moved."""
    readings = rows(operated, metric="reading_change", method="raw")
    first = readings[readings["layer"] == readings["layer"].min()]
    intended = first[first["edit"] == first["read"]]["value"]
    assert (intended > 0).mean() > 0.9
    assert np.isfinite(rows(operated, metric="move")["value"]).all()


def test_pleasantness_is_read_off_and_a_dealt_rating_is_not(study):
    result = done(afa.Appraise(study, folds=3))
    best = result.summary["appraise.pleasantness.r2"]
    assert best.low > 0
    dealt = rows(result, metric="control_item", appraisal="mean", items="all")
    assert len(dealt) == 3 * study.lm.n_layers
    assert dealt["value"].max() < 0.02


@pytest.mark.parametrize("name", ["promote", "surgery"])
def test_the_figures_can_be_drawn(name, promoted, operated):
    table = {"promote": promoted, "surgery": operated}[name].table
    figures = FIGURES[name](table)
    assert len(figures) >= 3
    assert all(figure.alt_text for figure in figures.values())
