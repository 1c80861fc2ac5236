"""The evaluation of steered writing, on a writer whose texts are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from affectscope.analyses.generate import Generate
from affectscope.analyses.generate_matched import MATCHED, least_damage
from affectscope.analyses.generate_plan import Condition, directions_of, wish
from affectscope.analyses.generate_rows import texts_of
from affectscope.analyses.study import Study
from affectscope.errors import NotPossibleError, UsageError
from affectscope.models import Generation, LanguageModel
from affectscope.models.planted_appraisals import (
    LABELS,
    planted_appraisal_corpus,
    planted_appraisals,
)
from affectscope.prompts import EmotionTask
from made_study import finished
from reference import full_pass, logits_when_steered

SMALL = {
    "openings": 3,
    "repeats": 2,
    "max_new_tokens": 4,
    "random": 2,
    "coefficients": (0.1, 0.3),
    "centres": (2,),
    "span": 1,
    "items": 12,
    "passages": 2,
    "asked": 6,
    "methods": ("held", "means"),
}


@pytest.fixture(scope="module")
def planted():
    return planted_appraisals()


def study_on(planted, seed=0):
    task = EmotionTask(planted.lm, labels=LABELS, calibration="none")
    judge = planted_appraisal_corpus(300, seed=7)
    return Study(planted.lm, task, planted_appraisal_corpus(240), seed=seed, judge=judge)


def writer_of_known_texts(monkeypatch, *, shuffled: bool):
    """In place of the model: texts whose pleasantness is that of the vector, or of none.

    Unsteered texts have any rating; ones with pleasantness up the highest, down the lowest.
    """
    corpus = planted_appraisal_corpus(400, seed=11)
    rating, texts = corpus.items["pleasantness"].to_numpy(), np.array(corpus.texts)
    generator = np.random.default_rng(5)
    high, low = texts[rating >= 4], texts[rating <= 2]

    def write(self, prompts, *, steering_each, seed, **_):
        written = []
        for vectors in steering_each:
            name = vectors[0].name if vectors and not shuffled else ""
            pool = high if name == "pleasantness+" else low if name == "pleasantness-" else texts
            written.append(str(generator.choice(pool)))
        ids = [tuple(self.encode([text])[0]) for text in written]
        n = len(prompts)
        return Generation(tuple(written), tuple(ids), (True,) * n, tuple(self.encode(prompts)))

    monkeypatch.setattr(LanguageModel, "generate", write)


def known(planted, monkeypatch, **options):
    with monkeypatch.context() as patched:
        writer_of_known_texts(patched, **options)
        more = SMALL | {"targets": ["pleasantness"], "openings": 8}
        return finished(Generate(study_on(planted), **more))


def rows(result, **wanted):
    table = result.table
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def test_texts_that_are_known_to_be_pleasant_are_scored_as_pleasant(planted, monkeypatch):
    result = known(planted, monkeypatch, shuffled=False)
    for direction in ("pleasantness+", "pleasantness-"):
        effects = rows(result, metric="effect", direction=direction, method="means")
        assert set(effects["reader"]) == {"judge", "own"}
        assert (effects["low"] > 0.4).all(), effects
        assert rows(result, metric="recommended_effect", direction=direction)["low"].item() > 0
        wrong = rows(result, metric="wrong_way", direction=direction, method="means")
        assert (wrong["value"] < 0.4).all()
    assert result.summary["generate.pleasantness+.effect"].low > 0
    assert "Moved as meant: pleasantness+" in result.answer


def test_shuffled_texts_have_no_effect(planted, monkeypatch):
    result = known(planted, monkeypatch, shuffled=True)
    effects = rows(result, metric="effect")
    directed = effects[effects["method"].isin(["held", "means"])]
    inside = (directed["low"] <= 0) & (directed["high"] >= 0)
    assert inside.mean() > 0.85
    assert directed["value"].abs().max() < 0.6
    for direction in ("pleasantness+", "pleasantness-"):
        effect = result.summary.get(f"generate.{direction}.effect")
        assert effect is None or effect.low <= 0


@pytest.fixture(scope="module")
def written(planted):
    experiment = Generate(study_on(planted), **SMALL)
    return experiment, finished(experiment)


def test_every_setting_is_written_by_every_prompt(written):
    experiment, result = written
    texts = result.observations[result.observations["what"] == "text"]
    conditions = [c for block in experiment._blocks() for c in block]
    # 2 targets, both ways: asked in words 4; held and means at 2 lengths 16; random 4; none 1
    assert len(conditions) == 25
    assert len(texts) == 25 * len(experiment.plan.openings) * 2
    assert not texts.duplicated(
        ["method", "target", "sign", "layer", "coefficient", "draw", "id", "repeat"]
    ).any()
    assert texts["n_tokens"].between(1, 4).all()


def test_the_vector_is_what_is_added(written):
    experiment, _ = written
    vector = experiment.vector(Condition("means", "pleasantness", -1, 2, 0.3))
    assert vector.layers == (2,)
    assert float(vector.added()[0].norm() / vector.norms[0]) == pytest.approx(0.3, rel=1e-4)
    up = experiment.vector(Condition("means", "pleasantness", 1, 2, 0.3))
    assert torch.allclose(up.added(), -vector.added(), atol=1e-5)
    held = experiment.vector(Condition("held", "pleasantness", 1, 2, 0.3))
    assert held.about["held"] == ["other_responsblt"]


def test_fluency_is_that_of_the_unsteered_model(written, planted):
    experiment, result = written
    texts = result.observations[result.observations["what"] == "text"]
    lm, checked = planted.lm, 0
    for _, row in texts.sample(60, random_state=0).iterrows():
        opening = next(o for o in experiment.plan.openings if o.id == row["id"])
        ids = lm.encode([opening.text])[0]
        tokens = lm.tokenizer.encode(row["text"])
        if len(tokens) != row["n_tokens"]:
            continue  # words that the tokenizer does not know do not come back
        logits = logits_when_steered(lm.model, [*ids, *tokens], len(ids), {}, "last")
        log_p = logits.log_softmax(-1)
        expected = -np.mean([float(log_p[len(ids) - 1 + k, t]) for k, t in enumerate(tokens)])
        assert row["nll"] == pytest.approx(expected, abs=1e-3)
        checked += 1
    assert checked >= 5


def test_the_answers_under_steering_are_those_of_whole_passes(written, planted):
    experiment, result = written
    costs = result.observations[result.observations["what"] == "infer"]
    condition = Condition("means", "other_responsblt", 1, 2, 0.3)
    chosen = costs[
        (costs["method"] == "means")
        & (costs["target"] == "other_responsblt")
        & (costs["sign"] == 1)
        & (costs["coefficient"] == 0.3)
    ]
    study, vector = experiment.study, experiment.vector(condition)
    assert len(chosen) == len(experiment.parts.test)
    for item, right in zip(chosen["id"].astype(int), chosen["value"], strict=True):
        ids = planted.lm.tokenizer.encode(study.prompts[item])
        add = [("resid_post", 2, -1, lambda x, _: x + vector.added()[0])]
        logits = full_pass(planted.lm.model, ids, add, study.task.label_ids)
        assert (LABELS[int(logits.argmax())] == study.corpus.emotions[item]) == bool(right)


def test_no_vector_costs_nothing(written):
    _, result = written
    none = rows(result, metric="divergence", method="none")
    assert none["value"].abs().max() < 1e-5
    steered = rows(result, metric="divergence", method="means")
    larger = steered[steered["coefficient"] == 0.3]["value"].to_numpy()
    assert (larger > steered[steered["coefficient"] == 0.1]["value"].to_numpy()).all()


def test_the_table_says_of_every_direction_what_it_must(written):
    _, result = written
    for name, _, _ in directions_of(("pleasantness", "other_responsblt")):
        of = rows(result, direction=name)
        wanted = {"effect", "wrong_way", "echo", "random_effect", "over_random", "matched_damage"}
        assert wanted <= set(of["metric"])
        assert f"generate.{name}.recommended" in result.summary
    assert rows(result, metric="over_random")["p"].between(0, 1).all()
    assert rows(result, metric="judge_accuracy")["value"].item() > 0.5


def test_a_stopped_run_ends_with_the_same_table(written, planted):
    _, result = written
    again = Generate(study_on(planted), **SMALL)
    for unit in reversed(again.units()):
        again.study.store.write(unit, again.compute(unit))
    pd.testing.assert_frame_equal(finished(again).table, result.table)


def test_least_damage_is_where_the_effect_is_reached():
    effect = np.array([[0.2, 0.8, 0.1, 0.3], [0.1, 0.2, 0.1, 0.2]])
    damage = np.array([[1.0, 3.0, 0.1, 0.2], [1.0, 3.0, 0.1, 0.2]])
    least = least_damage(effect, damage, np.array([1, 1, 2, 2]))
    assert least[0] == pytest.approx(1 + (MATCHED - 0.2) / 0.6 * 2)
    assert np.isinf(least[1])
    asked = least_damage(np.array([[0.6], [0.4]]), np.array([[0.7], [0.7]]), np.array([-1]))
    assert asked.tolist() == [0.7, np.inf]


def test_few_prompts_give_no_interval(written):
    """Six prompts are left to measure on: their bootstrap would be surer than they are."""
    _, result = written
    found = rows(result, metric="recommended_effect")
    assert len(found) > 0
    assert found["low"].isna().all()
    assert found["value"].notna().all()
    assert "Nothing moved as meant" in result.answer


def test_random_draws_are_no_settings_of_their_own(written):
    experiment, result = written
    texts = texts_of(result.observations[result.observations["what"] == "text"], experiment.plan)
    assert len(texts.index(method="random")) == 4
    assert len(rows(result, metric="nll", method="random")) == 2


def test_wishes_are_in_words():
    assert "not true: it was caused by my own behaviour" in wish("self_responsblt", -1)
    assert wish("joy", 1).endswith("feels joy.")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"targets": ["nothing"]}, UsageError, "tells of nothing"),
        ({"targets": []}, UsageError, "nothing is to be steered"),
        ({"coefficients": (0.3, 0.1)}, UsageError, "ascending"),
        ({"coefficients": ()}, UsageError, "coefficients"),
        ({"openings": 0}, UsageError, "n_openings"),
        ({"passages": 0}, UsageError, "passages"),
    ],
)
def test_wrong_options_are_refused(planted, options, error, said):
    with pytest.raises(error, match=said):
        Generate(study_on(planted), **(SMALL | options))


def test_a_judge_that_cannot_tell_a_target_is_refused(planted):
    study = study_on(planted)
    items = study.judge.items.drop(columns=["pleasantness"])
    blind = Study(
        study.lm, study.task, study.corpus, judge=type(study.judge)(
            "blind", items, study.judge.labels, "memory", "1" * 64, "utf-8"
        )
    )  # fmt: skip
    with pytest.raises(NotPossibleError, match="cannot tell pleasantness"):
        finished(Generate(blind, **SMALL))
