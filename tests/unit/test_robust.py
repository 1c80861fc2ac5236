"""Patching under several templates: against planted curves, and full passes made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_nested import answered_corpus, done

import affectscope.analyses as afa
from affectscope.analyses.robust import Robust
from affectscope.analyses.robust_table import common_curves, shift_between
from affectscope.analyses.transfer import peak_of, shift_test
from affectscope.data import Corpus
from affectscope.errors import PromptError, UsageError
from affectscope.figures.robust import robust_figures
from affectscope.prompts import SHOTS, TEMPLATES, EmotionTask
from affectscope.stats import GroupBootstrap, RatioDraws
from affectscope.vocabulary import SITES

PEAKED = np.array([0.03, 0.03, 0.03, 0.1, 0.5, 0.6, 0.2, 0.03, 0.03, 0.03])


def planted(rng, curves: list[np.ndarray], n_pairs: int = 60, n_items: int = 80):
    """Hits of pairs that carry over with the probability that the curve says, by template."""
    hits = {}
    for number, curve in enumerate(curves):
        pairs = np.stack([rng.choice(n_items, size=2, replace=False) for _ in range(n_pairs)])
        carried = rng.random((n_pairs, len(SITES), len(curve))) < curve
        hits[f"t{number}"] = (pairs, carried.astype(float))
    return hits


def p_of(rng, curves) -> np.ndarray:
    hits = planted(rng, curves)
    found = common_curves(np.arange(80).astype(str), hits, seed=int(rng.integers(2**31)))
    first, *others = (by_site["attn_out"] for by_site in found.values())
    return shift_test([shift_between(other, first, "centre") for other in others]).p


def test_templates_that_move_nothing_are_rarely_found_to():
    rng = np.random.default_rng(0)
    rejected = [(p_of(rng, [PEAKED] * 5) <= 0.05).any() for _ in range(60)]
    assert np.mean(rejected) <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 60)


def test_a_template_that_moves_the_peak_is_found_and_no_other():
    rng = np.random.default_rng(1)
    p = np.array([p_of(rng, [PEAKED, PEAKED, np.roll(PEAKED, 2)]) for _ in range(20)])
    assert (p[:, 1] <= 0.05).mean() > 0.9
    assert (p[:, 0] <= 0.05).mean() < 0.2


def made_up(value: float, draws: np.ndarray) -> RatioDraws:
    return RatioDraws(
        np.array([value]), draws[:, None], np.array([50]), np.array([50]), np.zeros(1, dtype=bool)
    )


def test_the_maximum_has_its_level_where_draws_spread_as_estimates_do():
    """Six correlated normal differences of different scale, none of them real."""
    rng = np.random.default_rng(3)
    scale = np.array([0.1, 1, 1, 5, 20, 1])
    rejected = []
    for _ in range(600):
        error, errors = (
            (rng.normal(size=(n, 6)) + rng.normal(size=(n, 1))) * scale for n in (1, 400)
        )
        shifts = [made_up(error[0, k], error[0, k] + errors[:, k]) for k in range(6)]
        rejected.append((shift_test(shifts).p <= 0.05).any())
    assert 0.025 < np.mean(rejected) < 0.08


def test_differences_that_cannot_be_tested_or_never_vary():
    nan = made_up(np.nan, np.full(99, np.nan))
    certain, nothing = made_up(3.0, np.full(99, 3.0)), made_up(0.0, np.zeros(99))
    noisy = made_up(0.2, np.random.default_rng(0).normal(0.2, 1, 99))
    p = shift_test([nan, certain, nothing, noisy]).p
    assert np.isnan(p[0])
    assert p[1] == pytest.approx(1 / 100)
    assert p[2] == 1
    assert p[3] > 0.5


def test_common_curves_are_each_templates_own_means_with_draws_in_common():
    rng = np.random.default_rng(2)
    groups = np.array([f"g{i // 2}" for i in range(80)])
    hits = planted(rng, [PEAKED, PEAKED])
    hits["again"] = hits["t0"]
    found = common_curves(groups, hits, seed=5)
    for name, (pairs, carried) in hits.items():
        alone = GroupBootstrap(
            tuple(groups[pairs[:, 1]]), seed=5, second=tuple(groups[pairs[:, 0]])
        )
        for j, site in enumerate(SITES):
            assert np.allclose(found[name][site][0].value, carried[:, j].mean(axis=0))
            own = alone.ratio(carried[:, j]).draws.std(axis=0)
            assert np.allclose(found[name][site][0].draws.std(axis=0), own, rtol=0.35, atol=0.01)
    same = peak_of(found["again"]["mlp_out"][0]).minus(peak_of(found["t0"]["mlp_out"][0]))
    assert (same.draws == 0).all(), "the same pairs in the same draws"


@pytest.fixture(scope="module")
def corpus(lm) -> Corpus:
    return answered_corpus(lm)


@pytest.fixture(scope="module")
def robust(lm, corpus) -> Robust:
    study = afa.Study(lm, EmotionTask(lm), corpus, seed=3)
    return Robust(study, templates=["joy_sadness_2", "shots_1"], items=36, pairs=20, span=1)


def test_estimates_are_counts_of_the_patches(robust):
    result = done(robust)
    table = result.table
    for name, study in robust.studies.items():
        right = (study.clean.predicted == study.clean.emotions).mean()
        assert result.summary[f"robust.{name}.accuracy"].value == pytest.approx(right)
        patch = afa.Patch(study, pairs=20, span=1, spans=(1,), positions=(-1,), heads=False)
        direct = pd.concat([patch.compute(unit).table for unit in patch.units()])
        direct = direct[(direct["direction"] == "sufficient") & (direct["site"] == "attn_out")]
        shares = (direct["outcome"] == "source").groupby(direct["layer"]).mean()
        rows = table[(table.metric == "transfer") & (table.template == name)]
        rows = rows[rows.site == "attn_out"].sort_values("layer")
        assert np.allclose(rows["value"], shares)
        peak = result.summary[f"robust.{name}.attn_out.peak_layer"]
        assert peak.value == shares.to_numpy().argmax()
    peaks = [result.summary[f"robust.{name}.attn_out.peak_layer"].value for name in robust.studies]
    assert result.summary["robust.attn_out.peak_range"].value == np.ptp(peaks)
    moved = table[(table.metric == "peak_difference") & (table.site == "attn_out")]
    assert moved["value"].tolist() == [peak - peaks[0] for peak in peaks[1:]]
    assert table[table.own].template.unique().tolist() == ["joy_sadness_0"]
    for part in ("joy_sadness_0", "joy_sadness_2", "shots_1"):
        assert part in result.observations["part"].unique()


def test_items_are_the_same_and_no_example_of_any_template_is_among_them(lm, corpus):
    texts = [SHOTS["anger"], SHOTS["joy"], *corpus.texts[2:]]
    with_shots = replace(corpus, items=corpus.items.assign(text=texts))
    study = afa.Study(lm, EmotionTask(lm), with_shots, seed=3)
    robust = Robust(study, templates=["shots_3"], items=30)
    assert robust.corpus.texts == corpus.texts[2:32]
    assert all(inner.corpus is robust.corpus for inner in robust.studies.values())


def test_which_templates(lm, corpus):
    study = afa.Study(lm, EmotionTask(lm, template="mine=Context: {text} Answer:"), corpus)
    assert list(Robust(study).templates) == ["mine", *TEMPLATES]
    lm.tokenizer.chat_template = "{{ messages[0]['content'] }}"
    try:
        assert list(Robust(study).templates) == ["mine", *TEMPLATES, "chat-mine"]
        for own in ("chat", "chat:mine=Context: {text} Answer:"):
            chatting = afa.Study(lm, EmotionTask(lm, template=own), corpus)
            assert list(Robust(chatting).templates)[1:] == list(TEMPLATES)
        chatty = afa.Study(lm, EmotionTask(lm, template="chatty=So {text} Answer:"), corpus)
        assert list(Robust(chatty).templates)[-1] == "chat-chatty"
    finally:
        lm.tokenizer.chat_template = None
    assert list(Robust(study, templates=["shots_1"]).templates) == ["mine", "shots_1"]
    with pytest.raises(UsageError, match="two templates are called 'mine'"):
        Robust(study, templates=["mine=Text: {text} Answer:"])
    with pytest.raises(PromptError, match="no chat template"):
        Robust(study, templates=["chat"])
    with pytest.raises(UsageError, match="cannot span 2"):
        Robust(study, span=2)


def test_figures_draw_what_there_is(robust):
    figures = robust_figures(done(robust).table)
    assert list(figures) == ["robust_peak", "robust_transfer", "robust_accuracy"]
    assert "joy_sadness_0" in figures["robust_peak"].alt_text
    assert set(figures["robust_peak"].rows["template"]) == set(robust.templates)
