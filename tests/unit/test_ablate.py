"""Knock-outs in windows of several sizes, against full passes and on a planted head."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import affectscope.analyses as afa
import reference
from affectscope.analyses.ablate_table import layer_test
from affectscope.errors import UsageError
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import ABLATION_KINDS, EMOTIONS, SITES
from made_study import (
    finished,
    one_head_model,
    plain_scores,
    random_texts,
    study_of,
    token_ids,
)
from reference import log_softmax
from tiny import loaded, tiny_llama


@pytest.fixture(scope="module")
def task(lm):
    return EmotionTask(lm, calibration="batch")


@pytest.fixture(scope="module")
def experiment(lm, task):
    return afa.Ablate(study_of(lm, task, wrong_every=3))


@pytest.fixture(scope="module")
def result(experiment):
    return finished(experiment)


@pytest.mark.parametrize("span", [3, 5])
def test_windows_are_those_of_full_passes(result, experiment, lm, task, span):
    texts = random_texts(40)
    clean = np.stack(
        [
            reference.full_pass(lm.model, token_ids(lm, task, text), [], task.label_ids)
            .numpy()
            .astype(float)
            for text in texts
        ]
    )
    offsets = log_softmax(clean).mean(axis=0)

    def activation(item, site, layer):
        return reference.activation(lm.model, token_ids(lm, task, texts[item]), site, layer)

    def change(row, layer):
        match row.kind:
            case "zero":
                return reference.zero()
            case "noise":
                return reference.noise(3, row.site, layer)
            case "mean":
                every = [activation(item, row.site, layer) for item in range(40)]
                return reference.replace(torch.stack(every).mean(dim=0))
            case "resample":
                donor = experiment.donors[row.item]
                return reference.replace(activation(donor, row.site, layer))

    seen = result.observations[result.observations["span"] == span]
    assert len(seen) == 40 * 4 * 3 * 4
    picked = seen.groupby("kind").sample(10, random_state=span)
    for row in picked.itertuples():
        layers = range(row.layer - span // 2, row.layer + span // 2 + 1)
        edits = [(row.site, at, -1, change(row, at)) for at in layers if 0 <= at < 4]
        ids = token_ids(lm, task, texts[row.item])
        logits = reference.full_pass(lm.model, ids, edits, task.label_ids).numpy()
        scores = log_softmax(logits.astype(float)) - offsets
        assert row.predicted == EMOTIONS[int(scores.argmax())]
        p, q = (log_softmax(of) for of in (log_softmax(clean[row.item]) - offsets, scores))
        assert row.kl == pytest.approx((np.exp(p) * (p - q)).sum(), abs=1e-4)


def test_summary_of_every_span(result):
    for kind in ABLATION_KINDS:
        for site in SITES:
            for span in (1, 3, 5):
                rows = result.table.query(
                    f"metric == 'agreement' and items == 'all' and kind == '{kind}' "
                    f"and site == '{site}' and span == {span}"
                )
                assert len(rows) == 4
                name = f"ablate.{kind}.{site}.span{span}"
                found = result.summary[f"{name}.lowest_agreement"]
                assert found.value == rows["value"].min()
                where = result.summary[f"{name}.lowest_layer"].value
                assert where == rows.loc[rows["value"].idxmin(), "layer"]
            first = result.summary[f"ablate.{kind}.{site}.lowest_layer"]
            assert first == result.summary[f"ablate.{kind}.{site}.span1.lowest_layer"]


def test_the_smallest_span_has_the_plain_names(lm, task):
    found = finished(afa.Ablate(study_of(lm, task, n=6), spans=(5, 3))).summary
    plain = found["ablate.zero.mlp_out.lowest_agreement"]
    assert plain == found["ablate.zero.mlp_out.span3.lowest_agreement"]
    assert "ablate.zero.mlp_out.span1.lowest_agreement" not in found


def test_a_planted_head_is_found_and_smeared(tokenizer):
    """Only attention of layer 2 adds anything: no other knock-out can change an answer."""
    model = tiny_llama(len(tokenizer), seed=5)
    lm = one_head_model(lambda m: loaded(m, tokenizer), model, layer=2, head=1)
    task = EmotionTask(lm, calibration="batch")
    assert len(set(plain_scores(lm, task, random_texts(40)).argmax(axis=1).tolist())) >= 3
    result = finished(afa.Ablate(study_of(lm, task)))
    for kind in ABLATION_KINDS:
        for span, hit in ((1, {2}), (3, {1, 2, 3}), (5, {0, 1, 2, 3})):
            rows = result.table.query(
                f"items == 'all' and kind == '{kind}' and span == {span} and site == 'attn_out'"
            )
            agreement = rows[rows["metric"] == "agreement"].set_index("layer")
            assert set(agreement.index[agreement["value"] < 1]) == hit, (kind, span)
            kl = rows[rows["metric"] == "kl"].set_index("layer")
            np.testing.assert_allclose(kl["value"].drop(list(hit)), 0, atol=1e-5)
            expected = hit if len(hit) < 4 else set()  # where all are alike, none stands out
            assert set(agreement.index[agreement["p"] <= 0.05]) == expected, (kind, span)
            pd.testing.assert_series_equal(agreement["p"], kl["p"])
        assert result.summary[f"ablate.{kind}.attn_out.significant_layers"] == 1
        assert result.summary[f"ablate.{kind}.mlp_out.significant_layers"] == 0
        assert result.summary[f"ablate.{kind}.attn_out.lowest_layer"].value == 2


def observations_of(kl: np.ndarray) -> pd.DataFrame:
    """Divergences [item, layer] at one site."""
    n, layers = kl.shape
    item, layer = np.repeat(np.arange(n), layers), np.tile(np.arange(layers), n)
    return pd.DataFrame({"item": item, "site": "attn_out", "layer": layer, "kl": kl.ravel()})


def test_layers_that_are_alike_are_seldom_significant():
    """Divergences are skewed; where no layer is special at most 1 in 20 families has a finding."""
    rng = np.random.default_rng(0)
    study = SimpleNamespace(
        corpus=SimpleNamespace(groups=[f"g{i // 2}" for i in range(40)]), seed=0
    )
    found = 0
    for _ in range(100):
        kl = rng.lognormal(0, 1.5, size=(40, 12)) * rng.lognormal(0, 1, size=(40, 1))
        found += bool((layer_test(study, observations_of(kl))["attn_out"] <= 0.05).any())
    assert found <= 11, "binomial: more than 11 of 100 have a chance below 1 in 200"
    kl[:, 3] *= 4
    assert layer_test(study, observations_of(kl))["attn_out"][3] < 0.01


def test_p_is_given_for_all_items_only(result):
    has_p = result.table[result.table["p"].notna()]
    assert set(has_p["items"]) == {"all"}
    assert set(has_p["metric"]) == {"agreement", "kl"}
    assert len(has_p) == 2 * 4 * 3 * 4 * 3


def test_cost_counts_what_is_run(experiment, lm, monkeypatch):
    counts = []
    original = type(lm).intervene

    def counted(self, prompts, interventions, **options):
        counts.append(len(interventions))
        return original(self, prompts, interventions, **options)

    monkeypatch.setattr(type(lm), "intervene", counted)
    units = experiment.units()
    for unit in (next(u for u in units if u.key["span"] == span) for span in (1, 3, 5)):
        experiment.compute(unit)
    assert max(counts) <= 400
    share = 0.8 * 40 * sum(counts)
    assert experiment.planned_cost() == pytest.approx(share + experiment.study.n_tokens)
    assert sum(unit.cost for unit in units) == pytest.approx(experiment.planned_cost())


def test_spans_that_are_none_are_refused(experiment):
    with pytest.raises(UsageError, match="cannot span 4"):
        afa.Ablate(experiment.study, spans=(1, 4))
    with pytest.raises(UsageError, match="no window"):
        afa.Ablate(experiment.study, spans=())
