"""Experiments inside an experiment: what is stored, what a stopped run goes on with."""

from __future__ import annotations

import pandas as pd
import pytest
from test_analyses import corpus_of, random_texts

import affectscope.analyses as afa
from affectscope.analyses.control import Control
from affectscope.analyses.experiment import Experiment, MemoryStore, Unit, UnitOutput, finish_units
from affectscope.analyses.nested import Nested, Part, StoreView, first_items
from affectscope.analyses.robust import Robust
from affectscope.data import Corpus
from affectscope.errors import NotPossibleError
from affectscope.prompts import EmotionTask


class Counting(MemoryStore):
    """Counts how often each unit is written; can be told to stop as a killed run does."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.written: list[str] = []
        self.stop_after = stop_after

    def write(self, unit: Unit, output: UnitOutput) -> None:
        if self.stop_after is not None and len(self.written) >= self.stop_after:
            raise KeyboardInterrupt
        self.written.append(self._name(unit))
        super().write(unit, output)


def answered_corpus(lm) -> Corpus:
    """Half the items are labelled as the model answers under one template, half under another."""
    texts = random_texts(40)
    emotions = []
    for template in ("joy_sadness_0", "joy_sadness_2"):
        scores = EmotionTask(lm, template=template).score_texts(texts)
        best = scores.loc[scores.groupby("text")["p"].idxmax(), "label"].tolist()
        emotions.append(best)
    return corpus_of(texts, [emotions[i % 2][i] for i in range(40)])


@pytest.fixture(scope="module")
def corpus(lm) -> Corpus:
    return answered_corpus(lm)


def robust_of(lm, corpus, store) -> Robust:
    task = EmotionTask(lm, calibration="batch")
    study = afa.Study(lm, task, corpus, store, seed=3)
    return Robust(study, templates=["joy_sadness_2", "mine={text} Answer:"], items=36, pairs=20)


def done(experiment):
    for _ in finish_units(experiment, experiment.study.store):
        pass
    return afa.collect(experiment, experiment.study.store)


def test_a_view_keeps_the_units_of_its_part_apart():
    store = MemoryStore()
    views = [
        StoreView(store, "outer", "a"),
        StoreView(store, "outer", "b"),
        StoreView(store, "outer", "a", {"prompt": "other"}),
    ]
    unit = Unit("clean", {"items": [0, 2]})
    for number, view in enumerate(views):
        assert not view.has(unit)
        view.write(unit, UnitOutput(pd.DataFrame({"x": [number]})))
    assert [view.read(unit)["x"][0] for view in views] == [0, 1, 2]
    assert not store.has(unit), "the outer study's own clean passes are others"
    assert store.has(Unit("outer", {"part": "a", "inner": "clean", "items": [0, 2]}))


def test_every_inner_unit_is_computed_and_stored_once(lm, corpus, monkeypatch):
    store = Counting()
    experiment = robust_of(lm, corpus, store)
    seen: list[tuple] = []
    clean = afa.CleanExperiment.compute
    monkeypatch.setattr(
        afa.CleanExperiment,
        "compute",
        lambda self, unit: (
            seen.append((self.study.task.template.name, *unit.key["items"])) or clean(self, unit)
        ),
    )
    done(experiment)
    assert len(store.written) == len(set(store.written)) == len(experiment.units())
    assert len(seen) == len(set(seen)) == 3 * 2, "three templates, two blocks of items"


def test_units_are_named_before_anything_is_computed(lm, corpus, monkeypatch):
    """A run plans with them; the clean passes come first and show as progress of their own."""
    monkeypatch.setattr(type(lm), "capture", lambda *a, **k: pytest.fail("computed"))
    units = robust_of(lm, corpus, MemoryStore()).units()
    kinds = [(unit.key["part"], unit.key["inner"]) for unit in units]
    assert {unit.experiment for unit in units} == {"robust"}
    for part in ("joy_sadness_0", "joy_sadness_2", "mine"):
        inner = [kind for name, kind in kinds if name == part]
        assert inner == ["clean", "clean", "patch", "patch"]


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_a_killed_run_that_goes_on_ends_as_an_undisturbed_one(lm, corpus, stop_after):
    undisturbed = done(robust_of(lm, corpus, Counting()))
    store = Counting(stop_after)
    with pytest.raises(KeyboardInterrupt):
        done(robust_of(lm, corpus, store))
    store.stop_after = None
    resumed = done(robust_of(lm, corpus, store))
    assert len(store.written) == len(set(store.written))
    pd.testing.assert_frame_equal(resumed.table, undisturbed.table)
    assert resumed.summary == undisturbed.summary
    assert "robust.mine.attn_out.peak_layer" in resumed.summary


def test_shares_cover_the_inner_units_whatever_their_number(lm, corpus):
    """More pairs are planned than there are: the shares beyond are empty, and nothing is lost."""
    study = afa.Study(lm, EmotionTask(lm), corpus, seed=3)
    experiment = Robust(study, templates=[], items=36, pairs=2000)
    done(experiment)
    seen = experiment.observed("joy_sadness_0", "patch")
    patch = afa.Patch(
        experiment.studies["joy_sadness_0"], pairs=2000, spans=(3,), positions=(-1,), heads=False
    )
    assert 0 < len(patch.pairs) < 2000
    assert sorted(seen["pair"].unique()) == list(range(len(patch.pairs)))
    direct = pd.concat([patch.compute(unit).table for unit in patch.units()], ignore_index=True)
    order = ["pair", "direction", "site", "layer"]
    pd.testing.assert_frame_equal(
        seen.sort_values(order, ignore_index=True), direct.sort_values(order, ignore_index=True)
    )


class Seven(Experiment):
    """Seven units, whose number nobody knows beforehand."""

    name = "seven"

    def planned_cost(self) -> float:
        return 6.0

    def units(self) -> list[Unit]:
        return [Unit(self.name, {"k": k}) for k in range(7)]

    def compute(self, unit: Unit) -> UnitOutput:
        return UnitOutput(pd.DataFrame({"k": [unit.key["k"]]}))

    def result(self, observations: pd.DataFrame):
        raise NotImplementedError


class Outer(Nested):
    name = "outer"

    def __init__(self, study, shares: int) -> None:
        self.study, self.shares = study, shares

    def make_parts(self) -> list[Part]:
        return [Part("p", Seven(), shares=self.shares, settings={"why": "so"})]

    def result(self, observations: pd.DataFrame):
        raise NotImplementedError


@pytest.mark.parametrize("shares", [1, 3, 7, 9])
def test_each_inner_unit_is_in_one_share(lm, corpus, shares):
    outer = Outer(afa.Study(lm, EmotionTask(lm), corpus), shares)
    assert sum(unit.cost for unit in outer.units()) == pytest.approx(6)
    tables = [output.table for output in map(outer.compute, outer.units())]
    assert sorted(k for table in tables if len(table) for k in table["k"]) == list(range(7))


def test_a_part_that_is_not_possible_does_not_stop_the_others(lm, corpus, monkeypatch):
    study = afa.Study(lm, EmotionTask(lm), corpus, seed=3)
    experiment = Robust(study, templates=["joy_sadness_2"], items=36, pairs=20)
    refused = experiment.parts[1].experiment

    def refuse(self):
        if self is refused:
            raise NotPossibleError("it gets 0 items right")
        return original.func(self)

    original = afa.Patch.__dict__["pairs"]
    monkeypatch.setattr(afa.Patch, "pairs", property(refuse))
    result = done(experiment)
    assert "Not possible under joy_sadness_0: it gets 0 items right" in result.answer
    assert "robust.joy_sadness_2.attn_out.peak_layer" in result.summary
    assert "robust.joy_sadness_0.accuracy" in result.summary
    assert "robust.moves_p" not in result.summary


def test_first_items(corpus):
    assert first_items(corpus, 5).texts == corpus.texts[:5]
    assert first_items(corpus, None) is corpus
    assert len(first_items(corpus, 500)) == 40


def test_control_units_do_not_depend_on_the_runs_other_experiments(lm, corpus):
    store = Counting()
    study = afa.Study(lm, EmotionTask(lm), corpus, store, seed=3)
    names = [unit.key["part"] for unit in Control(study, pairs=10).units()]
    assert set(names) >= {"no_question", "shuffled", "emotion"}
    assert not store.written
