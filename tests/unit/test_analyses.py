"""The experiments on a tiny model, against counts and full passes made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

import affectscope.analyses as afa
import reference
from affectscope.analyses.ablate import draw_donors
from affectscope.analyses.patch import draw_pairs
from affectscope.analyses.study import ITEMS
from affectscope.analyses.windows import window
from affectscope.data import Corpus
from affectscope.errors import LabelError, NotPossibleError, UsageError
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import EMOTIONS, SITES
from reference import log_softmax

WORDS = "I lost found saw told rain money train house friend school work late early home".split()


def corpus_of(texts: list[str], emotions: list[str], groups: list[str] | None = None) -> Corpus:
    items = pd.DataFrame(
        {
            "item_id": [f"t{i}" for i in range(len(texts))],
            "text": texts,
            "emotion": emotions,
            "group": groups or [f"g{i}" for i in range(len(texts))],
        }
    )
    return Corpus("made", items, EMOTIONS, "memory", "0" * 64, "utf-8", ())


def random_texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, size=rng.integers(2, 9))) + f" {i % 2}." for i in range(n)]


@pytest.fixture(scope="module")
def task(lm):
    return EmotionTask(lm, calibration="batch")


@pytest.fixture(scope="module")
def truth(lm, task):
    """Texts, and label logits [item, label] from one plain pass each."""
    texts = random_texts(40)
    logits = np.stack(
        [
            lm.model(input_ids=torch.tensor([lm.tokenizer.encode(task.template.fill(text))]))
            .logits[0, -1][task.label_ids]
            .numpy()
            for text in texts
        ]
    )
    log_p = log_softmax(logits.astype(float))
    offsets = log_p.mean(axis=0)
    return texts, logits, offsets


@pytest.fixture(scope="module")
def study(lm, task, truth):
    """Two thirds of the items are labelled as the model answers, the others as the next emotion."""
    texts, logits, offsets = truth
    answers = (log_softmax(logits.astype(float)) - offsets).argmax(axis=1)
    emotions = [EMOTIONS[(a + (i % 3 == 0)) % 13] for i, a in enumerate(answers)]
    corpus = corpus_of(texts, emotions, [f"g{i // 2}" for i in range(40)])
    return afa.Study(lm, task, corpus, seed=3)


def run(experiment):
    store = experiment.study.store
    for _ in afa.finish_units(experiment, store):
        pass
    return afa.collect(experiment, store)


def value_of(table: pd.DataFrame, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


class TestInfer:
    def test_accuracy_chance_and_confusion_by_hand(self, study, truth):
        _, logits, offsets = truth
        result = run(afa.Infer(study))
        emotion = np.array([EMOTIONS.index(e) for e in study.corpus.emotions])
        raw = logits.argmax(axis=1)
        calibrated = (log_softmax(logits.astype(float)) - offsets).argmax(axis=1)
        assert result.summary["infer.accuracy_raw"].value == pytest.approx((raw == emotion).mean())
        assert result.summary["infer.accuracy"].value == pytest.approx(
            (calibrated == emotion).mean()
        )
        shuffled = np.mean([(calibrated == np.roll(emotion, k)).mean() for k in range(40)])
        assert result.summary["infer.chance"].value == pytest.approx(shuffled)
        for true in range(13):
            for said in range(13):
                row = value_of(
                    result.table,
                    metric="confusion",
                    emotion=EMOTIONS[true],
                    predicted=EMOTIONS[said],
                )
                of = emotion == true
                assert row["n"] == of.sum()
                if of.any():
                    assert row["value"] == pytest.approx((calibrated[of] == said).mean())
                else:
                    assert np.isnan(row["value"])

    def test_open_vocabulary_is_the_largest_logit_of_all(self, study, lm, task):
        observations = run(afa.Infer(study)).observations
        for row in (0, 17, 39):
            ids = lm.tokenizer.encode(task.template.fill(study.corpus.texts[row]))
            answer = int(lm.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            assert observations["open_id"][row] == answer

    def test_every_estimate_has_an_interval_around_it(self, study):
        table = run(afa.Infer(study)).table.dropna(subset=["value"])
        of_groups = table[table["low"].notna()]
        assert (of_groups["low"] <= of_groups["value"] + 1e-12).all()
        assert (of_groups["value"] <= of_groups["high"] + 1e-12).all()
        only_one_group = table[table["low"].isna()]
        assert set(only_one_group["metric"]) <= {
            "recall",
            "recall_raw",
            "confusion",
            "confusion_raw",
        }
        assert (only_one_group["n"] <= 2).all()
        assert (table["n"] > 0).all()


class TestAblate:
    def test_answers_are_those_of_full_passes(self, study, lm, task, truth):
        texts, clean_logits, offsets = truth
        experiment = afa.Ablate(study, spans=(1,))
        result = run(experiment)
        changes = {
            "zero": lambda site, layer: reference.zero(),
            "noise": lambda site, layer: reference.noise(3, site, layer),
        }

        def activation(item, site, layer):
            ids = lm.tokenizer.encode(task.template.fill(texts[item]))
            return reference.activation(lm.model, ids, site, layer)

        def change_of(row):
            if row.kind == "mean":
                every = [activation(item, row.site, row.layer) for item in range(40)]
                return reference.replace(torch.stack(every).mean(dim=0))
            if row.kind == "resample":
                donor = experiment.donors[row.item]
                return reference.replace(activation(donor, row.site, row.layer))
            return changes[row.kind](row.site, row.layer)

        assert len(result.observations) == 40 * 4 * 3 * 4
        for row in result.observations.sample(80, random_state=0).itertuples():
            ids = lm.tokenizer.encode(task.template.fill(texts[row.item]))
            change = change_of(row)
            edits = [(row.site, row.layer, -1, change)]
            logits = reference.full_pass(lm.model, ids, edits, task.label_ids).numpy()
            scores = log_softmax(logits.astype(float)) - offsets
            assert row.predicted == EMOTIONS[int(scores.argmax())]
            clean = log_softmax(clean_logits[row.item].astype(float)) - offsets
            p, q = (np.exp(log_softmax(values)) for values in (clean, scores))
            assert row.kl == pytest.approx((p * np.log(p / q)).sum(), abs=1e-4)

    def test_the_divergence_and_its_peak(self, study):
        result = run(afa.Ablate(study, spans=(1,)))
        seen = result.observations
        assert (seen["kl"] >= 0).all()
        here = seen[(seen.kind == "resample") & (seen.site == "mlp_out")]
        means = here.groupby("layer")["kl"].mean()
        for layer in range(4):
            where = {"kind": "resample", "site": "mlp_out", "layer": layer, "items": "all"}
            row = value_of(result.table, metric="kl", **where)
            assert row["value"] == pytest.approx(means[layer])
            assert row["low"] <= row["value"] <= row["high"]
        peak = result.summary["ablate.resample.mlp_out.highest_kl_layer"].value
        assert peak == means.idxmax()
        assert result.summary["ablate.resample.mlp_out.highest_kl"].value == means.max()

    def test_donors_are_of_other_groups(self, study):
        donors = afa.Ablate(study).donors
        groups = np.array(study.corpus.groups)
        assert (groups[donors] != groups).all()
        assert len(set(donors.tolist())) > 15

    def test_donors_are_drawn_evenly_from_all_items_of_other_groups(self):
        groups = list("aabbbcdd")
        counts = np.zeros((8, 8))
        for seed in range(3000):
            counts[np.arange(8), draw_donors(groups, seed)] += 1
        for item, group in enumerate(groups):
            allowed = np.array([other != group for other in groups])
            assert (counts[item, ~allowed] == 0).all()
            expected = 3000 / allowed.sum()
            assert abs(counts[item, allowed] - expected).max() < 5 * expected**0.5

    def test_donors_of_a_single_group_or_item(self):
        donors = draw_donors(["a"] * 5, 0)
        assert (donors != np.arange(5)).all()
        assert draw_donors(["a"], 0).tolist() == [0]

    def test_estimates_are_the_shares_of_the_observations(self, study):
        result = run(afa.Ablate(study, spans=(1,)))
        everything = result.observations
        right = everything[everything.clean == everything.emotion]
        assert 0 < len(right) < len(everything)
        for (items, seen), kind in itertools.product(
            {"all": everything, "right": right}.items(), ("zero", "noise", "mean", "resample")
        ):
            lows = {}
            for layer in range(4):
                here = seen[(seen.kind == kind) & (seen.site == "mlp_out") & (seen.layer == layer)]
                where = {"kind": kind, "site": "mlp_out", "layer": layer, "items": items}
                agreement = value_of(result.table, metric="agreement", **where)
                accuracy = value_of(result.table, metric="accuracy", **where)
                lows[layer] = (here.predicted == here.clean).mean()
                assert agreement["n"] == len(here)
                assert agreement["value"] == pytest.approx(lows[layer])
                assert accuracy["value"] == pytest.approx((here.predicted == here.emotion).mean())
            suffix = "" if items == "all" else "_right"
            lowest = result.summary[f"ablate.{kind}.mlp_out.lowest_layer{suffix}"]
            assert lowest.value == min(lows, key=lambda layer: lows[layer])

    def test_zeroing_the_last_residual_stream_forgets_the_text(self, study):
        """The unembedding then sees the same vector for every item: one answer for all."""
        seen = run(afa.Ablate(study, spans=(1,))).observations
        last = seen[(seen.kind == "zero") & (seen.site == "resid_post") & (seen.layer == 3)]
        assert last.predicted.nunique() == 1

    def test_fewer_items_can_be_asked_for(self, study):
        seen = run(afa.Ablate(study, items=7)).observations
        assert sorted(seen["item"].unique()) == list(range(7))


ONLY_THE_WINDOW = {"spans": (), "positions": (-1,), "heads": False}


class TestPatch:
    def test_outcomes_are_those_of_full_passes(self, study, lm, task, truth):
        texts, logits, offsets = truth
        experiment = afa.Patch(study, pairs=20, span=3, **ONLY_THE_WINDOW)
        result = run(experiment)
        seen = result.observations[result.observations["direction"] == "sufficient"]
        row_of = {f"t{i}": i for i in range(40)}
        assert len(seen) == 20 * 3 * 4
        for row in seen.sample(60, random_state=1).itertuples():
            source, target = row_of[row.source_id], row_of[row.target_id]
            source_ids = lm.tokenizer.encode(task.template.fill(texts[source]))
            edits = [
                (
                    row.site,
                    layer,
                    -1,
                    reference.replace(reference.activation(lm.model, source_ids, row.site, layer)),
                )
                for layer in range(row.layer - 1, row.layer + 2)
                if 0 <= layer < 4
            ]
            target_ids = lm.tokenizer.encode(task.template.fill(texts[target]))
            patched = reference.full_pass(lm.model, target_ids, edits, task.label_ids).numpy()
            scores = log_softmax(patched.astype(float)) - offsets
            answer = EMOTIONS[int(scores.argmax())]
            expected = {row.source_emotion: "source", row.target_emotion: "target"}
            assert row.outcome == expected.get(answer, "neither")
            a, b = EMOTIONS.index(row.source_emotion), EMOTIONS.index(row.target_emotion)
            clean = log_softmax(logits.astype(float)) - offsets
            carried = (scores[a] - scores[b]) - (clean[target, a] - clean[target, b])
            whole = (clean[source, a] - clean[source, b]) - (clean[target, a] - clean[target, b])
            assert row.carried == pytest.approx(carried, abs=1e-3)
            assert row.whole == pytest.approx(whole, abs=1e-3)

    def test_the_last_residual_stream_carries_everything(self, study):
        result = run(afa.Patch(study, pairs=30, span=1, **ONLY_THE_WINDOW))
        where = {"site": "resid_post", "layer": 3, "direction": "sufficient"}
        assert value_of(result.table, metric="source", **where)["value"] == 1.0
        assert value_of(result.table, metric="recovered", **where)["value"] == pytest.approx(1.0)
        assert result.summary["patch.resid_post.peak_transfer"].value == 1.0

    def test_outcomes_sum_to_one(self, study):
        table = run(afa.Patch(study, pairs=30)).table
        outcomes = table[table["metric"].isin(["source", "target", "neither"])]
        keys = ["site", "layer", "span", "position", "direction"]
        sums = outcomes.groupby(keys)["value"].sum()
        assert len(sums) == 3 * 4 * (3 + 4 + 1) + 4 * 4, "spans, positions, necessary; heads"
        assert np.allclose(sums, 1.0)

    def test_the_same_pairs_at_every_layer_and_again(self, study):
        first, again = (run(afa.Patch(study, pairs=15)).observations for _ in range(2))
        keys = ["site", "layer", "span", "position", "direction"]
        pairs = first.groupby(keys)[["source_id", "target_id"]].agg(tuple)
        assert pairs.map(hash).nunique().tolist() == [1, 1]
        pd.testing.assert_frame_equal(first, again)

    def test_an_even_span_is_refused(self, study):
        with pytest.raises(UsageError, match="cannot span 4 layers"):
            afa.Patch(study, span=4)


class TestPairs:
    emotions = np.array([0, 0, 1, 1, 2, 2, 2, 3])
    predicted = np.array([0, 1, 1, 1, 2, 2, 0, 0])

    def test_only_right_answers_of_different_emotions(self):
        pairs = draw_pairs(self.emotions, self.predicted, 1000, seed=0)
        right = {0, 2, 3, 4, 5}
        every = {(s, t) for s in right for t in right if self.emotions[s] != self.emotions[t]}
        assert {tuple(pair) for pair in pairs.tolist()} == every
        assert len(pairs) == len(every)

    def test_the_draw_is_uniform(self):
        counts: dict[tuple[int, int], int] = {}
        for seed in range(2000):
            for pair in draw_pairs(self.emotions, self.predicted, 4, seed=seed).tolist():
                counts[tuple(pair)] = counts.get(tuple(pair), 0) + 1
        expected = 4 * 2000 / 16
        assert len(counts) == 16
        assert max(abs(count - expected) for count in counts.values()) < 5 * expected**0.5

    def test_nothing_to_pair(self):
        with pytest.raises(NotPossibleError, match="2 items right, of 1 emotion"):
            draw_pairs(np.array([0, 0, 1]), np.array([0, 0, 0]), 10, seed=0)


class TestProbe:
    AT_THE_END = {"metric": "accuracy", "probe": "linear", "position": -1}  # noqa: RUF012

    @pytest.fixture(scope="class")
    def planted(self, lm, task):
        """The label is the sign of a direction in attn_out of layer 2, at the last token."""
        texts = random_texts(160)
        states = lm.capture(task.prompts(texts), sites=("attn_out",), layers=(2,))
        direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
        value = (states.at("attn_out", 2) @ direction).numpy()
        emotions = ["joy" if v > np.median(value) else "fear" for v in value]
        return run(afa.Probe(afa.Study(lm, task, corpus_of(texts, emotions)), folds=4))

    def test_a_planted_feature_is_found_where_it_is(self, planted):
        """Read there, not before, and not at the token before."""
        result = planted
        where = {**self.AT_THE_END, "site": "attn_out", "items": "all"}
        there = value_of(result.table, **where, layer=2)
        assert there["value"] > 0.9
        assert there["p"] == pytest.approx(1 / 1001)
        for elsewhere in ({"layer": 0}, {"layer": 2, "position": -2}):
            row = value_of(result.table, **(where | elsewhere))
            assert row["value"] < there["value"] - 0.1
        assert result.summary["probe.attn_out.best_layer"].value == 2
        assert result.summary["probe.attn_out.significant_layers"] >= 1
        assert result.summary["probe.mlp.attn_out.best_layer"].value == 2
        assert result.summary["probe.mlp.attn_out.accuracy"].value > 0.85
        assert result.summary["probe.baseline"].value == pytest.approx(0.5)
        gain = result.summary["probe.attn_out.gain_over_prior"].value
        assert gain == pytest.approx(there["value"] - 0.5)

    def test_accuracies_are_shares_of_the_predictions(self, planted):
        """Counted by hand for both probes, at every token, layer and site."""
        seen = planted.observations[planted.observations["probe"] != "dealt"]
        keys = ["probe", "position", "site", "layer"]
        rates = (seen.predicted == seen.emotion).groupby([seen[key] for key in keys]).mean()
        assert len(rates) == 2 * 5 * 3 * 4
        table = planted.table.query("metric == 'accuracy' and items == 'all'").set_index(keys)
        assert len(table) == len(rates)
        assert table["value"].to_numpy() == pytest.approx(rates[table.index].to_numpy())
        named = {("linear", -1): "", ("mlp", -1): "mlp."}
        named |= {("linear", -k): f"position{k}." for k in range(2, 6)}
        for (probe, position), name in named.items():
            for site in SITES:
                by_layer = rates[probe, position, site]
                key = f"probe.{name}{site}"
                assert planted.summary[f"{key}.best_layer"].value == by_layer.idxmax()
                assert planted.summary[f"{key}.accuracy"].value == pytest.approx(by_layer.max())

    def test_the_recall_of_each_emotion_is_that_of_the_best_layer(self, planted):
        seen = planted.observations.query("probe == 'linear' and position == -1")
        for site in SITES:
            layer = planted.summary[f"probe.{site}.best_layer"].value
            here = seen[(seen["site"] == site) & (seen["layer"] == layer)]
            recalls = (here.predicted == here.emotion).groupby(here["emotion"]).mean()
            for emotion, recall in recalls.items():
                where = {"metric": "recall", "items": "all", "site": site, "emotion": emotion}
                row = value_of(planted.table, **where)
                assert row["value"] == pytest.approx(recall)
                assert row["layer"] == layer
                assert row["low"] <= recall <= row["high"]

    @pytest.fixture(scope="class")
    def meaningless(self, lm, task):
        """Labels dealt at random."""
        texts = random_texts(96)
        emotions = np.random.default_rng(4).permutation(["joy", "fear", "pride"] * 32).tolist()
        study = afa.Study(lm, task, corpus_of(texts, emotions), positions=(-1,))
        return run(afa.Probe(study, folds=4, mlp=False))

    def test_p_counts_the_deals_that_reach_the_accuracy_anywhere(self, planted, meaningless):
        for result in (planted, meaningless):
            dealt = result.observations.query("probe == 'dealt'")
            shares = dealt.pivot(index="deal", columns=["site", "layer"], values="share")
            largest = shares.loc[1:].max(axis=1)
            assert len(largest) == 1000
            for (site, layer), observed in shares.loc[0].items():
                where = {**self.AT_THE_END, "items": "all", "site": site, "layer": layer}
                p = (1 + (largest >= observed - 1e-9).sum()) / 1001
                assert value_of(result.table, **where)["p"] == pytest.approx(p)

    def test_labels_dealt_at_random_are_not_significant(self, meaningless):
        rows = meaningless.table.query("metric == 'accuracy' and items == 'all'")
        assert rows["p"].min() > 0.05
        counts = [meaningless.summary[f"probe.{site}.significant_layers"] for site in SITES]
        assert counts == [0, 0, 0]

    def test_without_networks_and_earlier_tokens(self, lm, task, truth):
        texts, *_ = truth
        corpus = corpus_of(texts, [EMOTIONS[i % 3] for i in range(40)])
        study = afa.Study(lm, task, corpus, positions=(-1,))
        with_both, without = afa.Probe(study), afa.Probe(study, mlp=False)
        assert without.planned_cost() < with_both.planned_cost()
        assert [u.key for u in without.units()] != [u.key for u in with_both.units()]
        result = run(without)
        assert set(result.observations["probe"]) == {"linear", "dealt"}
        assert set(result.observations["position"]) == {-1}
        assert not [key for key in result.summary if "mlp." in key and "mlp_out" not in key]
        assert "non-linear" not in result.answer + without.method

    def test_items_that_the_model_gets_right_are_a_set_of_their_own(self, study):
        result = run(afa.Probe(study, folds=4))
        right = study.clean.right
        assert 0 < len(right) < len(study.corpus)
        seen = result.observations[result.observations["item"].isin(right)]
        seen = seen.query("probe == 'linear' and position == -1")
        for site in SITES:
            here = seen[seen["site"] == site]
            rates = (here.predicted == here.emotion).groupby(here["layer"]).mean()
            where = {**self.AT_THE_END, "site": site, "items": "right"}
            for layer in range(4):
                row = value_of(result.table, **where, layer=layer)
                assert row["value"] == pytest.approx(rates[layer])
                assert row["n"] == len(right)
            assert result.summary[f"probe.{site}.best_layer_right"].value == rates.idxmax()

    def test_groups_stay_together(self, study):
        seen = run(afa.Probe(study, folds=4)).observations.query("probe != 'dealt'")
        groups = pd.Series(study.corpus.groups)[seen["item"]].to_numpy()
        assert seen.groupby(groups)["fold"].nunique().max() == 1

    def test_one_fold_is_refused(self, study):
        with pytest.raises(UsageError, match="1 folds"):
            afa.Probe(study, folds=1)


def test_labels_outside_the_task_are_refused_before_any_work(lm, task):
    with pytest.raises(LabelError, match="calm") as caught:
        afa.Study(lm, task, corpus_of(["I lost it", "rain"], ["calm", "joy"]))
    assert "labels=corpus.labels" in str(caught.value)


def test_counts_below_one_are_refused(study):
    with pytest.raises(UsageError, match="0 pairs"):
        afa.Patch(study, pairs=0)
    with pytest.raises(UsageError, match="0 items"):
        afa.Ablate(study, items=0)
    with pytest.raises(UsageError, match="cannot span 2"):
        afa.Ablate(study, spans=(1, 2))


def test_observations_name_their_items(task, study):
    """Joined on item_id, the observations of a public function agree with the caller's corpus."""
    emotions = study.corpus.items.set_index("item_id")["emotion"]
    for analysis in (afa.infer, afa.ablate):
        seen = analysis(task, study.corpus).observations
        assert (seen["emotion"].to_numpy() == emotions[seen["item_id"]].to_numpy()).all()


def test_windows():
    assert window(0, 1, 5) == [0]
    assert window(2, 5, 5) == [0, 1, 2, 3, 4]
    assert window(4, 3, 5) == [3, 4]


def test_clean_passes_are_done_once(lm, task, truth, monkeypatch):
    texts, *_ = truth
    study = afa.Study(lm, task, corpus_of(texts, [EMOTIONS[i % 3] for i in range(40)]))
    calls = []
    original = type(lm).capture
    monkeypatch.setattr(
        type(lm), "capture", lambda self, *a, **k: calls.append(1) or original(self, *a, **k)
    )
    for experiment in afa.build(["infer", "probe"], study):
        run(experiment)
    assert len(calls) == -(-40 // ITEMS), "each unit of items once"


def test_public_functions_give_the_same_as_the_experiments(task, study):
    result = afa.infer(task, study.corpus, seed=3)
    again = run(afa.Infer(study))
    assert result.summary["infer.accuracy"].value == again.summary["infer.accuracy"].value
    assert "%" in result.answer
    assert result.figure().to_dict()["$schema"].endswith(".json")
