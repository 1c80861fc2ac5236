"""Every kind of patch against full passes, and on a model in which one head carries all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import affectscope.analyses as afa
import reference
from affectscope.analyses.patch_emotions import flip_test
from affectscope.engine.starts import chain_length
from affectscope.errors import UsageError
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import EMOTIONS, SITES
from made_study import (
    finished,
    one_head_model,
    only_row,
    plain_scores,
    random_texts,
    study_of,
    token_ids,
)
from reference import log_softmax
from tiny import loaded, tiny_llama

MAIN = {"span": 3, "position": -1, "direction": "sufficient", "source_emotion": ""}


@pytest.fixture(scope="module")
def task(lm):
    return EmotionTask(lm, calibration="batch")


@pytest.fixture(scope="module")
def study(lm, task):
    return study_of(lm, task, wrong_every=3)


@pytest.fixture(scope="module")
def patched(study):
    return finished(afa.Patch(study, pairs=20))


class TestFullPasses:
    """Predicted labels and logit differences of single rows, computed naively."""

    @pytest.fixture(scope="class")
    def plain(self, lm, task):
        texts = random_texts(40)
        log_p = np.stack(
            [
                log_softmax(
                    reference.full_pass(lm.model, token_ids(lm, task, text), [], task.label_ids)
                    .numpy()
                    .astype(float)
                )
                for text in texts
            ]
        )
        return lm, task, texts, log_p.mean(axis=0), log_p - log_p.mean(axis=0)

    def check(self, row, plain) -> None:
        lm, task, texts, offsets, clean = plain
        source, target = (int(name[1:]) for name in (row.source_id, row.target_id))
        given, receiving = (source, target) if row.direction == "sufficient" else (target, source)
        half = row.span // 2
        layers = [at for at in range(row.layer - half, row.layer + half + 1) if 0 <= at < 4]
        ids = token_ids(lm, task, texts[given])
        values = {
            at: reference.activation(lm.model, ids, row.site, at, row.position) for at in layers
        }
        edits = [(row.site, at, row.position, reference.replace(values[at])) for at in layers]
        logits = reference.full_pass(
            lm.model, token_ids(lm, task, texts[receiving]), edits, task.label_ids
        )
        scores = log_softmax(logits.numpy().astype(float)) - offsets
        assert row.predicted == EMOTIONS[int(scores.argmax())]
        named = {row.source_emotion: "source", row.target_emotion: "target"}
        assert row.outcome == named.get(row.predicted, "neither")
        a, b = EMOTIONS.index(row.source_emotion), EMOTIONS.index(row.target_emotion)
        patched, at_source, at_target = (
            of[a] - of[b] for of in (scores, clean[source], clean[target])
        )
        moved = patched - at_target if row.direction == "sufficient" else at_source - patched
        assert row.carried == pytest.approx(moved, abs=1e-3)
        assert row.whole == pytest.approx(at_source - at_target, abs=1e-3)

    @pytest.mark.parametrize(
        ("where", "n"),
        [
            ("span == 1 and position == -1 and direction == 'sufficient'", 12),
            ("span == 5", 24),
            ("position == -3", 24),
            ("position == -5 and site == 'resid_post'", 12),
            ("direction == 'necessary'", 24),
            ("site == 'head_out[2]'", 16),
        ],
    )
    def test_rows_are_those_of_full_passes(self, patched, plain, where, n):
        rows = patched.observations.query(where)
        for row in rows.sample(n, random_state=1).itertuples():
            self.check(row, plain)

    def test_every_condition_is_there_once(self, patched):
        seen = patched.observations
        keys = ["pair", "site", "layer", "span", "position", "direction"]
        assert not seen.duplicated(keys).any()
        per_pair = 4 * (3 * (3 + 4 + 1) + 4)
        assert len(seen) == 20 * per_pair


class TestOneHead:
    """Head 1 of layer 2 alone tells the last token anything: all is known beforehand."""

    @pytest.fixture(scope="class")
    def found(self, tokenizer):
        model = tiny_llama(len(tokenizer), seed=5)
        lm = one_head_model(lambda m: loaded(m, tokenizer), model, layer=2, head=1)
        task = EmotionTask(lm, calibration="batch")
        answers = plain_scores(lm, task, random_texts(40)).argmax(axis=1)
        assert len(set(answers.tolist())) >= 3
        return finished(afa.Patch(study_of(lm, task), pairs=60))

    def curve(self, table, metric, **where):
        rows = table[table["metric"] == metric]
        for column, value in where.items():
            rows = rows[rows[column] == value]
        return rows.sort_values("layer")["value"].to_numpy()

    @pytest.mark.parametrize(
        ("span", "attn", "resid"),
        [(1, [0, 0, 1, 0], [0, 0, 1, 1]), (3, [0, 1, 1, 1], [0, 1, 1, 1]), (5, [1] * 4, [1] * 4)],
    )
    @pytest.mark.parametrize("metric", ["source", "recovered"])
    def test_windows_smear_as_far_as_they_reach(self, found, metric, span, attn, resid):
        where = MAIN | {"span": span}
        for site, expected in zip(SITES, (attn, [0] * 4, resid), strict=True):
            curve = self.curve(found.table, metric, site=site, **where)
            np.testing.assert_allclose(curve, expected, atol=1e-4)

    def test_the_head_and_no_other(self, found):
        for head in range(4):
            curve = self.curve(found.table, "recovered", site=f"head_out[{head}]")
            np.testing.assert_allclose(curve, [0, 0, float(head == 1), 0], atol=1e-4)
        summary = found.summary
        assert summary["patch.heads.peak"] == summary["patch.heads.recovered_peak"] == "L2H1"
        assert summary["patch.heads.peak_transfer"].value == 1
        assert summary["patch.heads.recovered_support"] == 1
        assert "L2H1" in found.answer

    def test_what_is_necessary(self, found):
        for metric in ("broken", "target", "lost"):
            curve = self.curve(found.table, metric, site="attn_out", direction="necessary")
            np.testing.assert_allclose(curve, [0, 1, 1, 1], atol=1e-4)
        own = self.curve(found.table, "source", site="mlp_out", direction="necessary")
        np.testing.assert_allclose(own, 1)
        assert found.summary["patch.attn_out.necessary_peak_layer"].value == 1, (
            "the first of equals"
        )
        assert found.summary["patch.attn_out.necessary_peak"].value == 1

    def test_tokens_that_all_prompts_share_carry_nothing(self, found):
        for position in (-2, -3):
            rows = found.table[found.table["position"] == position]
            assert len(rows) == 4 * 3 * 4
            of = rows[rows["metric"].isin(["source", "recovered"])]
            np.testing.assert_allclose(of["value"], 0, atol=1e-4)
            assert found.summary[f"patch.position{position}.attn_out.peak_transfer"].value == 0

    def test_only_layers_that_reach_the_head_are_significant(self, found):
        rows = found.table[found.table["p"].notna() & (found.table["metric"] == "recovered")]
        assert (rows[["span", "position"]].drop_duplicates() == [3, -1]).all(axis=None)
        significant = rows[rows["p"] <= 0.05]
        assert set(zip(significant["site"], significant["layer"], strict=True)) == {
            (site, layer) for site in ("attn_out", "resid_post") for layer in (1, 2, 3)
        }
        assert found.summary["patch.attn_out.significant_layers"] == 3
        assert found.summary["patch.mlp_out.significant_layers"] == 0

    def test_a_window_is_what_its_layers_are(self, found):
        assert found.summary["patch.attn_out.single_layers_share"].value == pytest.approx(1)

    def test_by_emotion(self, found):
        rows = found.table[found.table["metric"] == "recovered_by_emotion"]
        np.testing.assert_allclose(rows[rows["site"] == "attn_out"]["value"], 1, atol=1e-4)
        np.testing.assert_allclose(rows[rows["site"] == "mlp_out"]["value"], 0, atol=1e-4)
        assert (rows[rows["site"] == "mlp_out"]["p"] == 1).all()


def test_emotions_are_counted_by_hand(patched, study):
    peak = int(patched.summary["patch.attn_out.peak_layer"].value)
    seen = patched.observations.query(
        f"site == 'attn_out' and layer == {peak} and span == 3 and position == -1 "
        "and direction == 'sufficient'"
    )
    table = patched.table[patched.table["site"] == "attn_out"]
    by_pair = table[table["metric"] == "source_by_pair"]
    assert len(by_pair) > 0
    for row in by_pair.itertuples():
        here = seen[
            (seen.source_emotion == row.source_emotion)
            & (seen.target_emotion == row.target_emotion)
        ]
        assert row.n == len(here) >= 2
        assert row.value == pytest.approx((here.outcome == "source").mean())
    by_source = table[table["metric"] == "recovered_by_emotion"]
    assert len(by_source) >= 2
    for row in by_source.itertuples():
        here = seen[seen.source_emotion == row.source_emotion]
        assert row.value == pytest.approx(here.carried.sum() / here.whole.sum())
        assert row.layer == peak
    ordered = np.sort(by_source["p"])
    m = len(ordered)
    hand = [min(m * ordered[j] / (j + 1) for j in range(i, m)) for i in range(m)]
    np.testing.assert_allclose(np.sort(by_source["q"]), hand)


def test_units_are_the_same_in_any_order(lm, task):
    """Computed alone, or after others: equal to the bit."""
    orders = []
    for reverse in (False, True):
        experiment = afa.Patch(study_of(lm, task, wrong_every=3), pairs=20)
        units = experiment.units()
        assert len(units) == 2
        tables = {u.key["pairs"][0]: experiment.compute(u).table for u in units[:: 1 - 2 * reverse]}
        orders.append([tables[start] for start in sorted(tables)])
    for first, again in zip(*orders, strict=True):
        pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_the_plan_counts_the_chains_that_are_run(study, lm, monkeypatch):
    tokens = []
    original = type(lm).intervene

    def counted(self, prompts, interventions, **options):
        tokens.append(len(prompts) * sum(map(chain_length, interventions)))
        return original(self, prompts, interventions, **options)

    monkeypatch.setattr(type(lm), "intervene", counted)
    experiment = afa.Patch(study, pairs=16)
    experiment.compute(experiment.units()[0])
    assert sum(tokens) == 16 * experiment.plan.n_tokens()
    assert len(tokens) == 4


def test_a_model_without_heads_of_its_own(study, lm, monkeypatch):
    monkeypatch.setattr(type(lm), "n_heads", property(lambda _: 0))
    experiment = afa.Patch(study, pairs=4)
    assert "cannot be told apart" in experiment.method
    result = finished(experiment)
    assert set(result.observations["site"]) == set(SITES)
    assert not any(key.startswith("patch.heads") for key in result.summary)
    assert "head" not in afa.Patch(study, pairs=4, heads=False).method


def test_positions_that_are_not_kept_are_refused(study):
    with pytest.raises(UsageError, match="tokens -9 cannot be patched"):
        afa.Patch(study, positions=(-1, -9))
    with pytest.raises(UsageError, match="cannot span 2"):
        afa.Patch(study, spans=(1, 2))


def test_old_names_are_those_of_the_main_window(patched):
    for site in SITES:
        rows = patched.table[
            (patched.table["metric"] == "source") & (patched.table["site"] == site)
        ]
        for column, value in MAIN.items():
            rows = rows[rows[column] == value]
        peak = patched.summary[f"patch.{site}.peak_layer"]
        assert peak == patched.summary[f"patch.{site}.span3.peak_layer"]
        assert peak.value == rows.loc[rows["value"].idxmax(), "layer"]
        assert patched.summary[f"patch.{site}.peak_transfer"].value == rows["value"].max()


def test_every_estimate_has_an_interval_around_it(patched):
    table = patched.table
    assert table[["value", "low", "high"]].notna().all(axis=None)
    assert (table["low"] <= table["value"] + 1e-5).all()
    assert (table["value"] <= table["high"] + 1e-5).all()
    only_row(table, metric="recovered", site="attn_out", layer=1, **MAIN)


def test_a_source_that_many_pairs_share_counts_once(study):
    """Twenty pairs of two sources cannot be twenty witnesses: at best 1 in 4 flips is as good."""
    items = np.array([[0, 2 * k] for k in range(1, 11)] + [[2, 2 * k + 1] for k in range(2, 12)])
    carried = np.ones((20, 1))
    assert flip_test(study, items, carried)[0] == pytest.approx(0.25)
    spread = np.array([[2 * k, 2 * k + 4] for k in range(15)])
    assert flip_test(study, spread, np.ones((15, 1)))[0] < 0.01
