"""Surgery on a model in which two appraisals cause three emotions by hand-set weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from affectscope.analyses.experiment import MemoryStore, collect, finish_units
from affectscope.analyses.study import Study
from affectscope.analyses.surgery import Surgery
from affectscope.analyses.surgery_edits import Place, Surgeon
from affectscope.analyses.surgery_settings import Setting
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.surgery import surgery_figures
from affectscope.models.planted_appraisals import (
    APPRAISALS,
    CAUSES,
    LABELS,
    planted_appraisal_corpus,
    planted_appraisals,
)
from affectscope.prompts import EmotionTask


@pytest.fixture(scope="module")
def planted():
    return planted_appraisals()


@pytest.fixture(scope="module")
def study(planted):
    corpus = planted_appraisal_corpus(600)
    task = EmotionTask(planted.lm, labels=LABELS, calibration="none")
    return Study(planted.lm, task, corpus, MemoryStore(), 0)


@pytest.fixture(scope="module")
def surgery(study):
    found = Surgery(
        study, items=60, coefficients=(0.02, 0.05), random=100, choose_items=12, spans=(1,)
    )
    for _ in finish_units(found, study.store):
        pass
    return found


@pytest.fixture(scope="module")
def result(surgery):
    return collect(surgery, surgery.study.store)


def rows(result, **wanted):
    table = result.table
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_the_planted_model_answers_what_its_appraisals_say(study):
    levels = (study.corpus.items[list(APPRAISALS)].to_numpy() - 3) / 2
    ordered = np.sort(levels @ CAUSES, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.1  # levels may make two labels equal
    assert clear.mean() > 0.6
    assert (study.clean.predicted == study.clean.emotions)[clear].mean() > 0.93


def test_appraisals_are_read_from_the_planted_layer_on(study, planted):
    ratings = study.corpus.items[list(APPRAISALS)].to_numpy()
    level = (ratings - ratings.mean(axis=0)) / ratings.std(axis=0)
    for layer in range(study.lm.n_layers):
        X = study.clean.activations("resid_post", layer)
        read = X @ planted.readouts.numpy().T
        r = np.array([np.corrcoef(read[:, k], level[:, k])[0, 1] for k in (0, 1)])
        assert (r > 0.95).all() if layer >= planted.layer else (np.abs(r) < 0.3).all()


def test_the_causal_table_is_recovered(result):
    moves = rows(result, metric="move", method="held")
    found = moves.pivot_table(index="edit", columns="emotion", values="value")
    found = found.loc[list(APPRAISALS), list(LABELS)].to_numpy()
    # log probabilities are logits up to a constant for each edit
    found = found - found.mean(axis=1, keepdims=True)
    truth = CAUSES - CAUSES.mean(axis=1, keepdims=True)
    caused = np.abs(truth) > 0.1
    assert (np.sign(found[caused]) == np.sign(truth[caused])).all()
    assert np.abs(found[~caused]).max() < 0.5 * np.abs(found[caused]).min()
    for row, wanted in zip(found, truth, strict=True):
        assert row @ wanted / np.linalg.norm(row) / np.linalg.norm(wanted) > 0.95
    signs = moves.pivot_table(index="edit", columns="emotion", values="significant")
    signs = signs.loc[list(APPRAISALS), list(LABELS)].to_numpy()
    assert (signs * CAUSES >= 0).all()
    assert signs[0, LABELS.index("joy")] == 1


def test_holding_holds_and_raw_edits_leak(result):
    held, raw = (result.summary[f"surgery.leakage_{method}"] for method in ("held", "raw"))
    assert held.value < 0.1
    assert raw.value > 0.2
    assert held.high < raw.low


def test_the_held_probes_themselves_see_nothing_of_the_move(result):
    """V z = 0 in the model as it ran: where the projection is not applied, this is not 0."""
    own = rows(result, metric="reading_change_own", method="held")
    intended = own[own["edit"] == own["read"]].set_index("edit")["value"].abs()
    others = own[own["edit"] != own["read"]]
    assert (others["value"].abs() < 1e-3 * intended.loc[others["edit"]].to_numpy()).all()
    held, raw = (result.summary[f"surgery.leakage_{method}_own"] for method in ("held", "raw"))
    assert held.value < 1e-3
    assert raw.value > 0.2


def test_the_place_is_where_the_appraisals_are(result, planted):
    assert result.summary["surgery.layer"].value >= planted.layer
    assert result.summary["surgery.site"] in ("attn_out", "resid_post")
    early = rows(result, metric="specific", site="resid_post")
    before = early[early["layer"] < planted.layer]["value"].abs().max()
    assert before < 0.2 * early["value"].max()


def test_what_is_added_is_orthogonal_to_what_is_held(surgery):
    """The released code's error at the experiment itself: z is computed, and z is what is added."""
    place = surgery.chosen.place
    for setting in surgery.settings:
        for method in ("held", "raw"):
            [edit] = surgery.surgeon.edit(setting, place, 0.2, method).edits
            probes = surgery.surgeon.directions(place.site, edit.layer, "probe")
            held = [probes.of(name) for name in setting.held(probes.names)]
            along = np.abs(np.array(held) @ edit.vector.numpy()) if held else np.zeros(1)
            assert along.max() < 1e-5 if method == "held" or not held else along.max() > 0.1


def test_an_edit_is_as_long_as_it_says(surgery, study):
    place = Place("resid_post", 3, 2)
    lengths = np.linalg.norm(
        study.clean.activations("resid_post", 2)[surgery.parts.fit], axis=1
    ).mean()
    edits = surgery.surgeon.edit(Setting((("pleasantness", -2.0),)), place, 0.3).edits
    assert [edit.layer for edit in edits] == [1, 2, 3]
    added = edits[1].coefficient * np.linalg.norm(edits[1].vector.numpy())
    assert added == pytest.approx(2 * 0.3 * lengths / 3, rel=1e-5)


def test_the_three_parts_share_no_author(surgery, study):
    groups = np.asarray(study.corpus.groups)
    parts = [set(groups[items]) for items in
             (surgery.parts.fit, surgery.parts.test, surgery.parts.read)]  # fmt: skip
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    made, operated = surgery.halves
    assert set(made) | set(operated) <= set(surgery.parts.fit)
    assert not set(groups[made]) & set(groups[operated])


def test_directions_do_not_see_the_items_operated_on(study, surgery):
    other = Surgeon(study, surgery.ratings, surgery.parts.fit)
    values = surgery.ratings.values.copy()
    values[surgery.parts.test] = 3.0
    blind = Surgeon(study, type(surgery.ratings)(APPRAISALS, values), surgery.parts.fit)
    one, two = (s.directions("resid_post", 2, "probe").vectors for s in (other, blind))
    np.testing.assert_array_equal(one, two)


def test_erasure_leaves_nothing_to_move(result, surgery):
    """LEACE: what was erased cannot be told from the readings any more."""
    edited = rows(result, metric="reading_change", method="leace")
    layer = edited["layer"].min()
    seen = result.observations
    here = seen[(seen["part"] == "leakage") & (seen["method"] == "leace")]
    here = here[here["layer"] == layer]
    assert (here["reader"] == "other").all()
    [reader] = [r for r in surgery.readings.readers if (r.kind, r.layer) == ("other", layer)]
    clean = surgery.study.clean.activations("resid_post", int(layer)) @ reader.weights.T
    deviation = clean[surgery.parts.test].std(axis=0)
    for k, name in enumerate(APPRAISALS):
        mine = here[here["edit"] == name].sort_values("item")
        items = mine["item"].to_numpy(dtype=int)
        after = clean[items, k] + mine[f"read.{name}"].to_numpy() * deviation[k]
        assert after.std() < 0.25 * clean[items, k].std()


def test_the_summary_and_the_answer_say_it(result):
    for name in ("theory_agreement", "people_agreement", "leakage_held", "leakage_raw"):
        assert np.isfinite(result.summary[f"surgery.{name}"].value)
    assert result.summary["surgery.theory_agreement"].value == 1.0
    assert "with all others held" in result.answer
    assert set(surgery_figures(result.table)) >= {
        "surgery_moves",
        "surgery_leakage",
        "surgery_leakage_layers",
        "surgery_place",
        "surgery_compounds",
    }


def test_a_users_own_setting_is_done(study):
    own = Setting((("pleasantness", -2.0),), ())
    found = Surgery(study, items=9, random=20, choose_items=6, spans=(1,), settings=[own])
    for _ in finish_units(found, study.store):
        pass
    table = collect(found, study.store).table
    mine = table[(table["edit"] == own.name) & (table["metric"] == "rate")]
    assert len(mine) == 2 * 3 * len(LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coefficients": []}, "coefficients"),
        ({"coefficients": [0.1, -1.0]}, "coefficients"),
        ({"random": 0}, "random directions"),
        ({"choose_items": 0}, "choose the place"),
        ({"spans": [2]}, "span"),
    ],
)
def test_impossible_sizes_are_refused(study, options, message):
    with pytest.raises(UsageError, match=message):
        Surgery(study, **options)


def test_a_corpus_without_ratings_is_refused(study):
    items = study.corpus.items.drop(columns=list(APPRAISALS))
    bare = replace(study, corpus=replace(study.corpus, items=items))
    with pytest.raises(NotPossibleError, match="no appraisal"):
        Surgery(bare)
