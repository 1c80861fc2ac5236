"""``appraise`` on a model whose appraisals are planted, and its parts in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from affectscope.analyses.appraise import Appraise
from affectscope.analyses.directions import appraisal_directions, emotion_directions
from affectscope.analyses.experiment import MemoryStore, collect, finish_units
from affectscope.analyses.study import Study
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.appraise import appraise_figures
from affectscope.models.planted_appraisals import (
    APPRAISALS,
    LABELS,
    planted_appraisal_corpus,
    planted_appraisals,
)
from affectscope.prompts import EmotionTask
from affectscope.stats.dealt_rows import dealt_rows
from affectscope.stats.refit import PENALTY, refit_r2

LAYER = 1


@pytest.fixture(scope="module")
def study():
    planted = planted_appraisals(layer=LAYER, n_layers=3, noise=0.3)
    task = EmotionTask(planted.lm, labels=LABELS, calibration="none")
    return Study(planted.lm, task, planted_appraisal_corpus(240), MemoryStore(), 0)


def done(study):
    appraise = Appraise(study, folds=4)
    for _ in finish_units(appraise, study.store):
        pass
    return appraise, collect(appraise, study.store)


@pytest.fixture(scope="module")
def result(study):
    return done(study)[1]


def of(result, **wanted):
    rows = result.table
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    return rows


def test_planted_appraisals_are_read_where_they_are(result):
    for appraisal in APPRAISALS:
        assert result.summary[f"appraise.{appraisal}.r2"].value > 0.95
        assert result.summary[f"appraise.{appraisal}.layer"] >= LAYER
    rows = of(result, metric="r2", items="all", appraisal="mean")
    holds = (rows["site"] == "resid_post") & (rows["layer"] >= LAYER)
    holds |= (rows["site"] == "attn_out") & (rows["layer"] == LAYER)
    assert rows[holds]["value"].min() > 0.9
    assert rows[~holds]["value"].max() < 0.1


def test_the_test_finds_these_places_and_no_others(result):
    rows = of(result, metric="r2", items="all")
    rows = rows[rows["appraisal"] != "mean"]
    there = rows["value"] > 0.5
    assert (rows[there]["p"] <= 0.05).all()
    assert (rows[~there]["p"] > 0.05).all()
    assert result.summary["appraise.significant"] == int(there.sum())


def test_ratings_without_meaning_are_not_read(result):
    for metric in ("control_word", "control_item"):
        assert of(result, metric=metric)["value"].max() < 0.15
    selectivity = of(result, metric="selectivity", items="all")
    assert selectivity["value"].max() > 0.8


def test_r2_is_of_out_of_fold_errors_over_deviations(study):
    appraise, result = done(study)
    seen = result.observations
    here = seen[(seen["part"] == "read") & (seen["site"] == "resid_post") & (seen["layer"] == 2)]
    y, read = appraise.ratings.values[:, 0], here.sort_values("item")[APPRAISALS[0]].to_numpy()
    means = np.array([y[appraise.folds != fold].mean() for fold in appraise.folds])
    truth = 1 - ((y - read) ** 2).sum() / ((y - means) ** 2).sum()
    found = of(
        result, metric="r2", items="all", appraisal=APPRAISALS[0], site="resid_post", layer=2
    )
    assert found["value"].item() == pytest.approx(truth, abs=1e-6)


def test_the_black_box_knows_what_causes_the_emotion(result):
    for source in ("people", "decoded"):
        assert result.summary[f"appraise.black_box.{source}.author"].value > 0.8
    weights = of(result, metric="coefficient", source="people").pivot_table(
        index="appraisal", columns="emotion", values="value"
    )
    assert weights.loc["pleasantness", "joy"] == weights.to_numpy().max()
    assert weights.loc["other_responsblt", "anger"] > 0 > weights.loc["other_responsblt", "guilt"]


def test_it_is_said_and_drawn(result):
    assert "Read best is" in result.answer
    assert set(appraise_figures(result.table)) == {
        "appraise_r2",
        "appraise_layers",
        "appraise_map",
        "appraise_black_box_people",
        "appraise_black_box_decoded",
    }


def test_what_cannot_be_done_is_refused(study):
    with pytest.raises(UsageError, match="1 folds"):
        Appraise(study, folds=1)
    items = study.corpus.items.drop(columns=list(APPRAISALS))
    bare = Appraise(replace(study, corpus=replace(study.corpus, items=items)))
    with pytest.raises(NotPossibleError, match="no appraisal"):
        bare.units()


def test_refitted_r2_is_scikit_learns_and_its_null_is_low():
    generator = np.random.default_rng(0)
    n, d = 120, 30
    X = generator.normal(size=(n, d)).astype(np.float32)
    Y = np.column_stack([X[:, 0] + generator.normal(size=n), generator.normal(size=n)])
    folds = np.arange(n) % 4
    found = refit_r2(X, Y, [str(i // 2) for i in range(n)], folds, seed=0, n_permutations=99)
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    for k in range(2):
        error = deviation = 0.0
        for fold in range(4):
            train, test = folds != fold, folds == fold
            model = Ridge(alpha=PENALTY * d, fit_intercept=False)
            model.fit(Z[train], Y[train, k] - Y[train, k].mean())
            # the closed form takes the training mean off the ratings, not off the activations
            read = Y[train, k].mean() + model.predict(Z[test])
            error += ((Y[test, k] - read) ** 2).sum()
            deviation += ((Y[test, k] - Y[train, k].mean()) ** 2).sum()
        assert found.observed[k] == pytest.approx(1 - error / deviation, abs=0.02)
    assert found.observed[0] > found.largest.max()
    assert found.observed[1] < np.quantile(found.largest, 0.95)


def test_rows_are_dealt_whole_groups_within_folds():
    groups = [f"g{i // 3}" for i in range(24)]
    folds = np.arange(24) // 12
    deals = np.concatenate(list(dealt_rows(groups, folds, seed=1, n_permutations=200)))
    assert deals.shape == (200, 24)
    assert (np.sort(deals, axis=1) == np.arange(24)).all()
    assert (folds[deals] == folds).all()
    kept = deals.reshape(200, 8, 3)
    assert (np.diff(kept, axis=2) == 1).all(), "groups of one size move as blocks"
    assert len({tuple(row) for row in deals.tolist()}) > 100


def test_directions_point_along_what_was_planted():
    generator = np.random.default_rng(3)
    n, d = 400, 20
    ratings = generator.normal(3, 1, (n, 2))
    basis = np.linalg.qr(generator.normal(size=(d, 2)))[0].T
    X = (ratings @ basis + 0.3 * generator.normal(size=(n, d))).astype(np.float32)
    folds = np.arange(n) % 5
    for kind in ("probe", "means"):
        found = appraisal_directions(X, ratings, ("pleasantness", "effort"), folds, kind=kind)
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1)
        assert (np.einsum("kd,kd->k", found.vectors, basis) > 0.95).all()
    emotions = np.where(ratings[:, 0] > 3, "joy", "anger").tolist()
    for kind in ("probe", "means"):
        found = emotion_directions(X, emotions, folds, kind=kind)
        assert found.of("joy") @ basis[0] > 0.9
        assert found.of("anger") @ basis[0] < -0.9
        with pytest.raises(UsageError, match="no direction of 'trust'"):
            found.of("trust")
