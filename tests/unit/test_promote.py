"""Emotion promotion on a tiny model, against full passes and counts made by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import affectscope.analyses as afa
import reference
from affectscope.analyses.parts import draw_in_proportion, split_items
from affectscope.analyses.promote import Promote
from affectscope.analyses.promote_plan import ARMS, MAIN, RANDOM, Plan
from affectscope.analyses.promote_rows import CHOOSING, DIRECTIONS, PROMOTED, RANDOMLY, observed
from affectscope.analyses.promote_table import mean_of_blocks, promote_estimates, success_of
from affectscope.data import Corpus
from affectscope.errors import NotPossibleError, UsageError
from affectscope.prompts import EmotionTask
from affectscope.stats import GroupBootstrap
from affectscope.vocabulary import EMOTIONS
from reference import log_softmax

WORDS = "I lost found saw told rain money train house friend school work late early home".split()
PROMOTED_HERE = ("fear", "joy")
SOME = {"joy": "friend money found", "fear": "train lost late", "anger": "told rain work"}
N_LAYERS = 4


def corpus_of(n: int, emotions=tuple(SOME), per_group: int = 2) -> Corpus:
    rng = np.random.default_rng(0)
    labels = [emotions[(i // per_group) % len(emotions)] for i in range(n)]
    texts = [
        " ".join(rng.choice([*WORDS, *SOME.get(label, "").split() * 4], size=5)) + f" {i % 3}."
        for i, label in enumerate(labels)
    ]
    items = pd.DataFrame(
        {
            "item_id": [f"t{i}" for i in range(n)],
            "text": texts,
            "emotion": labels,
            "group": [f"g{i // per_group}" for i in range(n)],
        }
    )
    return Corpus("made", items, EMOTIONS, "memory", "0" * 64, "utf-8", ())


@pytest.fixture(scope="module")
def study(lm):
    return afa.Study(lm, EmotionTask(lm, calibration="batch"), corpus_of(72), seed=3)


@pytest.fixture(scope="module")
def experiment(study):
    return Promote(
        study,
        items=10,
        emotions=PROMOTED_HERE,
        coefficients=(0.0, 0.3, 0.6),
        raw=(1, 2, 4),
        random=19,
    )


@pytest.fixture(scope="module")
def result(experiment):
    for _ in afa.finish_units(experiment, experiment.study.store):
        pass
    return afa.collect(experiment, experiment.study.store)


@pytest.fixture(scope="module")
def by_hand(study, experiment):
    """Difference-of-means directions [emotion, d_model] and the mean norm at every layer."""
    fitting = experiment.parts.not_test
    emotions = np.asarray(study.corpus.emotions)[fitting]
    ids = [study.lm.encode([study.prompts[item]])[0] for item in fitting]
    directions, norms = [], []
    for layer in range(N_LAYERS):
        X = np.stack(
            [reference.activation(study.lm.model, i, "resid_post", layer).numpy() for i in ids]
        )
        gaps = [
            X[emotions == name].mean(axis=0) - X[emotions != name].mean(axis=0)
            for name in PROMOTED_HERE
        ]
        directions.append(np.stack([gap / np.linalg.norm(gap) for gap in gaps]))
        norms.append(np.linalg.norm(X, axis=1).mean())
    return directions, norms


class TestParts:
    def test_no_group_is_in_two_parts_and_all_items_are_used(self, study):
        parts = split_items(study, test_items=None)
        groups = [
            {study.corpus.groups[item] for item in part}
            for part in (parts.fit, parts.test, parts.read)
        ]
        assert sum(map(len, groups)) == len(set().union(*groups)) == 36
        everything = np.concatenate([parts.fit, parts.test, parts.read])
        assert sorted(everything.tolist()) == list(range(72))
        assert set(parts.not_test.tolist()) == set(range(72)) - set(parts.test.tolist())

    def test_the_test_part_is_cut_and_the_others_stay(self, study):
        whole, cut = split_items(study, test_items=None), split_items(study, test_items=9)
        assert len(cut.test) == 9
        assert set(cut.test.tolist()) < set(whole.test.tolist())
        assert cut.not_test.tolist() == whole.not_test.tolist()

    def test_a_draw_keeps_shares(self):
        emotions = ["joy"] * 60 + ["fear"] * 30 + ["anger"] * 10
        drawn = draw_in_proportion(emotions, 21, seed=0)
        counts = Counter(emotions[item] for item in drawn)
        assert len(set(drawn.tolist())) == 21
        # 12.6, 6.3 and 2.1: the one left over goes to the largest remainder
        assert counts == {"joy": 13, "fear": 6, "anger": 2}
        assert draw_in_proportion(emotions, 200, seed=0).tolist() == list(range(100))
        assert drawn.tolist() != draw_in_proportion(emotions, 21, seed=1).tolist()

    def test_a_corpus_that_is_too_small(self, lm):
        task = EmotionTask(lm, calibration="batch")
        with pytest.raises(NotPossibleError, match="8 items with 3 emotions"):
            split_items(afa.Study(lm, task, corpus_of(8)), test_items=None)
        with pytest.raises(NotPossibleError, match="2 groups"):
            split_items(afa.Study(lm, task, corpus_of(12, per_group=6)), test_items=None)


class TestEdits:
    @pytest.mark.parametrize("arm", [0, 1, 3])
    def test_the_answer_is_that_of_a_full_pass(self, study, experiment, result, by_hand, arm):
        """A vector of its own at every layer of the window, times c and the layer's mean norm."""
        directions, norms = by_hand
        seen = result.observations
        label_ids = study.task.label_ids
        for item, emotion, step, centre in [(0, 0, 1, 0), (4, 1, 2, 2), (9, 0, 2, 3)]:
            at = int(experiment.parts.test[item])
            ids = study.lm.encode([study.prompts[at]])[0]
            sign = {0: 1, 1: -1, 3: 1}[arm]
            edits = []
            for layer in {0: [0, 1], 2: [1, 2, 3], 3: [2, 3]}[centre]:
                if arm == 3:
                    vector = experiment._vectors("probe", layer)[emotion]
                    scale = (1, 2, 4)[step]
                else:
                    vector = directions[layer][emotion]
                    scale = sign * (0.0, 0.3, 0.6)[step] * norms[layer]
                added = (scale * vector).astype(np.float32)
                edits.append(
                    ("resid_post", layer, -1, lambda x, _ids, v=added: x + x.new_tensor(v))
                )
            after, before = (
                log_softmax(
                    reference.full_pass(study.lm.model, ids, some, label_ids).numpy().astype(float)
                )
                for some in (edits, [])
            )
            offsets = study.clean.offsets.offsets.numpy()
            column = EMOTIONS.index(PROMOTED_HERE[emotion])
            where = {"part": PROMOTED, "arm": arm, "emotion": emotion, "step": step}
            where |= {"layer": centre, "item": at}
            row = seen[np.logical_and.reduce([seen[k] == v for k, v in where.items()])]
            assert len(row) == 1
            assert row["value"].iloc[0] == pytest.approx(after[column] - before[column], abs=2e-4)
            assert row["predicted"].iloc[0] == (after - offsets).argmax()

    def test_zero_changes_nothing(self, study, result):
        seen = result.observations
        norm = [number for number, arm in enumerate(ARMS) if arm.unit == "norm"]
        zero = seen[(seen["part"] == PROMOTED) & (seen["step"] == 0) & seen["arm"].isin(norm)]
        assert len(zero) == 10 * len(norm) * len(PROMOTED_HERE) * N_LAYERS
        assert zero["value"].to_numpy() == pytest.approx(0, abs=1e-4)
        assert (zero["predicted"] == study.clean.predicted[zero["item"]]).all()
        moved = seen[(seen["part"] == PROMOTED) & (seen["step"] == 2)]
        assert moved["value"].abs().median() > 0.01

    def test_random_directions_have_the_same_norm(self, experiment, by_hand, result):
        centre = int(result.summary["promote.layer"].value)
        norms = experiment._stored[1]
        edits = experiment._fitter.random(experiment.plan, centre, experiment.parts.not_test, norms)
        assert len(edits) == len(RANDOM) * 19
        window = [at for at in (centre - 1, centre, centre + 1) if 0 <= at < N_LAYERS]
        for one in edits:
            assert [edit.layer for edit in one.edits] == window
            for edit in one.edits:
                length = float((edit.coefficient * edit.vector).norm())
                assert length == pytest.approx(0.3 * by_hand[1][edit.layer], rel=1e-4)

    def test_directions_are_never_fitted_on_the_items_they_are_tried_on(
        self, study, experiment, monkeypatch
    ):
        groups = np.asarray(study.corpus.groups)
        fitted: list[set[str]] = []
        fitter = type(experiment._fitter)
        real = fitter.directions

        def watched(self, kind, layer, items):
            fitted.append(set(groups[items]))
            return real(self, kind, layer, items)

        monkeypatch.setattr(fitter, "directions", watched)
        fresh = Promote(
            afa.Study(study.lm, study.task, study.corpus, seed=3),
            items=10,
            emotions=PROMOTED_HERE,
            random=2,
        )
        units = fresh.units()
        fits = [fresh.compute(unit) for unit in units if unit.key["part"] == "fit"]
        tested = set(groups[fresh.parts.test])
        assert fits
        assert fitted
        assert not any(some & tested for some in fitted)
        fitted.clear()
        choosing = fresh.compute(next(u for u in units if u.key["part"] == "choose")).table
        own = [some for some in fitted if len(some) < len(set(groups[fresh.parts.not_test]))]
        assert len(own) == N_LAYERS
        tried = set(groups[choosing["item"].unique()])
        assert not any(some & tried for some in own)
        assert not tried & tested


def test_success_is_the_share_of_what_could_change():
    # 8 items: 2 had the answer before; after adding 5 have it, one of the two lost it
    before = np.array([1, 1, 0, 0, 0, 0, 0, 0.0])[:, None]
    after = np.array([1, 0, 1, 1, 1, 1, 0, 0.0])[:, None]
    draws = GroupBootstrap(tuple("abcdefgh"), seed=0)
    up = success_of(draws, after, before, +1)
    assert up.value[0] == pytest.approx((5 / 8 - 2 / 8) / (1 - 2 / 8))
    down = success_of(draws, after, before, -1)
    assert down.value[0] == pytest.approx((2 / 8 - 5 / 8) / (2 / 8))
    estimate = up.estimates()[0]
    assert estimate.low < estimate.value < estimate.high


def test_a_mean_over_emotions_leaves_out_what_is_undefined():
    draws = GroupBootstrap(tuple("abcd"), seed=0)
    one = np.array([1, 0, 1, 1.0])
    values = np.stack([one, np.full(4, np.nan), 1 - one], axis=1)
    mean = mean_of_blocks(draws.ratio(values), 3)
    assert mean.value == pytest.approx([0.5])
    assert mean.draws[:, 0] == pytest.approx(np.full(2000, 0.5))


class TestTable:
    """Observations made by hand: at one centre the emotion comes always, elsewhere never."""

    CENTRE = 2

    @pytest.fixture(scope="class")
    def plan(self):
        return Plan(PROMOTED_HERE, N_LAYERS, 3, (0.1, 0.2, 0.4), (1.0, 2.0, 4.0), 19)

    @pytest.fixture(scope="class")
    def made(self, study, plan):
        columns = np.array([EMOTIONS.index(name) for name in PROMOTED_HERE])
        anger = EMOTIONS.index("anger")
        items, all_of = np.arange(30, 50), plan.promotions()
        of = np.array([one.emotion for one in all_of])
        works = np.array(
            [ARMS[p.arm].sign > 0 and p.layer == self.CENTRE and p.step == 1 for p in all_of]
        )
        keys = {
            "arm": [one.arm for one in all_of],
            "emotion": of,
            "step": [one.step for one in all_of],
            "layer": [one.layer for one in all_of],
        }
        tested = observed(
            PROMOTED,
            items=items,
            **keys,
            predicted=np.where(works, columns[of], anger),
            value=np.where(works, 2.0, -1.0),
        )
        chosen = np.flatnonzero([(p.arm, p.step) == (MAIN, 1) for p in all_of])
        choosing = observed(
            CHOOSING,
            items=np.arange(20),
            **{name: np.asarray(values)[chosen] for name, values in keys.items()},
            predicted=anger,
            value=np.where(works[chosen], 1.0, 0.0),
        )
        # the first random direction moves the second emotion (joy) as much as its own does
        draw, emotion = np.divmod(np.arange(19 * 2), 2)
        random = [
            observed(
                RANDOMLY,
                items=items,
                arm=number,
                draw=draw,
                emotion=emotion,
                step=1,
                layer=self.CENTRE,
                predicted=anger,
                value=np.where((draw == 0) & (emotion == 1) & (number == 1), 2.5, 0.5),
            )
            for number in range(len(RANDOM))
        ]
        norms = observed(DIRECTIONS, layer=list(range(N_LAYERS)), value=np.ones(N_LAYERS))
        return pd.concat([norms, choosing, tested, *random], ignore_index=True)

    def test_estimates(self, study, plan, made):
        table, summary = promote_estimates(study, plan, made)
        assert summary["promote.layer"].value == self.CENTRE
        clean = study.clean.predicted[np.arange(30, 50)]
        for name in PROMOTED_HERE:
            column = EMOTIONS.index(name)
            rate = (clean == column).mean()
            where = (table["emotion"] == name) & (table["kind"] == "means")
            up = table[where & (table["metric"] == "success") & (table["sense"] == "up")]
            assert len(up) == 3 * N_LAYERS
            works = (up["layer"] == self.CENTRE) & (up["coefficient"] == 0.2)
            assert up.loc[works, "value"].tolist() == [1.0]
            assert up.loc[~works, "value"].to_numpy() == pytest.approx(-rate / (1 - rate))
            wrong = table[where & (table["metric"] == "wrong_way") & (table["sense"] == "down")]
            assert (wrong["value"] == 0).all(), "-1 is the right way down"
            before = table[(table["metric"] == "rate_clean") & (table["emotion"] == name)]
            assert before["value"].item() == pytest.approx(rate)
            moved = table[where & (table["metric"] == "moved") & (table["sense"] == "up")]
            moved = moved[moved["coefficient"] == 0.2].set_index("label")["value"]
            assert moved.sum() == pytest.approx(0)
            assert moved[name] == pytest.approx(1 - rate)
            assert moved["anger"] == pytest.approx(-(clean == EMOTIONS.index("anger")).mean())

    def test_random_directions_are_compared_over_all_emotions(self, study, plan, made):
        table, summary = promote_estimates(study, plan, made)
        rows = table[(table["metric"] == "over_random") & (table["sense"] == "up")]
        rows = rows[rows["kind"] == "means"].set_index(["random", "emotion"])
        assert rows["p"]["isotropic"].tolist() == [1 / 20, 1 / 20]
        # one of 19 reaches 2.5 at joy. Standardised with the observed 2, which lies 1.325 above the
        # mean of joy's 20 numbers (sd 0.531: 2.5 sd) and 1.425 above that of fear's (sd 0.327:
        # 4.4 sd), it is 3.4 sd: more than joy's own, less than fear's.
        assert rows["p"]["covariance"].to_dict() == {"fear": 1 / 20, "joy": 2 / 20}
        assert rows["value"]["isotropic", "joy"] == pytest.approx(1.5)
        assert rows["value"]["covariance", "joy"] == pytest.approx(2 - (0.5 + 2 / 19))
        assert summary["promote.joy.random_p"] == pytest.approx(0.1)
        spread = table[(table["metric"] == "random_change") & (table["random"] == "isotropic")]
        assert spread[["low", "value", "high"]].to_numpy() == pytest.approx(0.5)
        assert (spread["n"] == 19).all()

    def test_every_estimate_lies_in_its_interval(self, study, plan, made):
        table, _ = promote_estimates(study, plan, made)
        there = table.dropna(subset=["value", "low"])
        assert len(there) > 500
        assert (there["low"] <= there["value"] + 1e-9).all()
        assert (there["value"] <= there["high"] + 1e-9).all()


class TestWhole:
    def test_summary_and_answer(self, result):
        for name in PROMOTED_HERE:
            for key in ("success", "layer"):
                assert result.summary[f"promote.{name}.{key}"].n > 0
            assert 0.05 <= result.summary[f"promote.{name}.random_p"] <= 1
        layer = result.summary["promote.layer"]
        assert 0 <= layer.low <= layer.value <= layer.high < N_LAYERS
        assert f"around layer {layer.value}" in result.answer
        assert "promote.mean_success" in result.summary

    def test_the_centre_is_the_layer_of_the_largest_gain_on_the_choosing_items(self, result):
        seen = result.observations
        tried = seen[seen["part"] == CHOOSING]
        gains = tried.groupby("layer")["value"].mean()
        assert result.summary["promote.layer"].value == gains.idxmax()
        randoms = seen[seen["part"] == RANDOMLY]
        assert set(randoms["layer"]) == {gains.idxmax()}

    def test_success_by_counting(self, study, result):
        seen = result.observations
        table = result.table
        for number, arm in enumerate(ARMS):
            rows = seen[(seen["part"] == PROMOTED) & (seen["arm"] == number)]
            rows = rows[(rows["emotion"] == 1) & (rows["step"] == 2) & (rows["layer"] == 1)]
            joy = EMOTIONS.index("joy")
            p = (rows["predicted"] == joy).mean()
            p0 = (study.clean.predicted[rows["item"]] == joy).mean()
            c = {"norm": 0.6, "raw": 4.0}[arm.unit]
            where = {"metric": "success", "emotion": "joy", "layer": 1, "coefficient": c}
            where |= arm.names
            row = table[np.logical_and.reduce([table[k] == v for k, v in where.items()])]
            if arm.sign < 0 and p0 == 0:
                assert np.isnan(row["value"].item())
            else:
                truth = (p - p0) / (1 - p0) if arm.sign > 0 else (p0 - p) / p0
                assert row["value"].item() == pytest.approx(truth)

    def test_the_figures_are_drawn(self, result):
        charts = result.charts(result.table)
        assert list(charts) == [
            "promote_success",
            "promote_ways",
            "promote_random",
            "promote_moved",
        ]
        for chart in charts.values():
            chart.to_dict()

    def test_the_cost_that_is_planned_is_that_of_the_units(self, experiment):
        total = sum(unit.cost for unit in experiment.units())
        assert experiment.planned_cost() == pytest.approx(total)


def test_what_cannot_be_promoted(study):
    with pytest.raises(UsageError, match="no item of made has: trust"):
        Promote(study, emotions=("trust", "joy"))
    with pytest.raises(UsageError, match="coefficients"):
        Promote(study, coefficients=(0.2, 0.1, 0.3))
    with pytest.raises(UsageError, match="3 coefficients and 2 raw"):
        Promote(study, raw=(1, 2))
    with pytest.raises(UsageError, match="span 2"):
        Promote(study, span=2)
    assert Promote(study).plan.emotions == ("anger", "fear", "joy")
