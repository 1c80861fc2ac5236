"""Experiments inside an experiment: other studies' units, stored under the outer one's name.

``control`` and ``robust`` ask the questions of other experiments under other prompts. Each such
inner experiment has a study of its own, whose clean passes are units of the outer experiment too,
so that a stopped run goes on where it was and nothing is computed twice.

The units of an inner experiment may depend on its clean passes (patching pairs are drawn from what
the model gets right). The outer one must name all its units before any is computed, so such a part
is planned as a number of *shares*: share k of n does the inner units k, k + n, k + 2n, ... when its
turn comes, after the clean passes. Where the inner experiment turns out not to be possible, its
shares are empty.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import Experiment, Unit, UnitOutput, UnitStore
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.data import Corpus
from affectscope.errors import NotPossibleError
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask

CLEAN = CleanExperiment.name


@dataclass(frozen=True)
class StoreView:
    """The part of a store in which an outer experiment keeps the units of inner ones.

    Args:
        store: Where everything is kept.
        experiment: The outer experiment.
        part: Which of its parts; inner units of different parts never meet.
        settings: What else decides what the inner units hold, such as the prompt; JSON values.
    """

    store: UnitStore
    experiment: str
    part: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def outer(self, unit: Unit) -> Unit:
        """The outer unit that an inner one is stored as."""
        key = {"part": self.part, "inner": unit.experiment, **self.settings, **unit.key}
        return Unit(self.experiment, key, unit.cost)

    def has(self, unit: Unit) -> bool:
        """Whether the inner unit is stored, whole."""
        return self.store.has(self.outer(unit))

    def write(self, unit: Unit, output: UnitOutput) -> None:
        """Store an inner unit, all of it or nothing."""
        self.store.write(self.outer(unit), output)

    def read(self, unit: Unit) -> pd.DataFrame:
        """The stored table of an inner unit."""
        return self.store.read(self.outer(unit))

    def read_arrays(self, unit: Unit) -> Mapping[str, np.ndarray]:
        """The stored arrays of an inner unit."""
        return self.store.read_arrays(self.outer(unit))


class InnerStudy(Study):
    """A study inside an experiment; its model keeps no passes from one call to the next.

    Several such studies stand side by side, and each is gone through once.
    """

    @cached_property
    def remembering_lm(self) -> LanguageModel:
        """The model as it is."""
        return self.lm


def inner_study(
    outer: Study,
    experiment: str,
    part: str,
    task: EmotionTask,
    corpus: Corpus,
) -> InnerStudy:
    """A study of another task or corpus, whose units are stored with an outer experiment's.

    Args:
        outer: Model, store and seed.
        experiment: The outer experiment.
        part: Which of its parts.
        task: What the model is asked.
        corpus: The items.
    """
    view = StoreView(outer.store, experiment, part, prompt_settings(task, corpus))
    return InnerStudy(outer.lm, task, corpus, view, seed=outer.seed, positions=(-1,))


def prompt_settings(task: EmotionTask, corpus: Corpus) -> dict[str, Any]:
    """What decides the prompts of a study, for the keys of its units."""
    return {
        "prompt": [task.template.prefix, task.template.suffix],
        "labels": list(task.labels),
        "of": len(corpus),
    }


@dataclass(frozen=True)
class Part:
    """An inner experiment in its place."""

    name: str
    """Which part of the outer experiment it belongs to."""
    experiment: Experiment
    shares: int | None = None
    """Into how many units its work is planned; None where its own units are known beforehand."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What decides the content of a share beside the prompts, as JSON values."""

    @property
    def all_settings(self) -> dict[str, Any]:
        """What goes into every key of this part, beside the inner unit's own."""
        inner = getattr(self.experiment, "study", None)
        own = prompt_settings(inner.task, inner.corpus) if isinstance(inner, InnerStudy) else {}
        return {**own, **self.settings}


class Nested(Experiment):
    """An experiment made of others."""

    study: Study

    @abstractmethod
    def make_parts(self) -> list[Part]:
        """The inner experiments in order, each study's clean passes before what needs them."""

    @cached_property
    def parts(self) -> list[Part]:
        """The inner experiments, made once."""
        return self.make_parts()

    def planned_cost(self) -> float:
        """All parts'."""
        return sum(part.experiment.planned_cost() for part in self.parts)

    def units(self) -> list[Unit]:
        """The units of all parts, in order."""
        return [unit for part in self.parts for unit in self._units_of(part)]

    def compute(self, unit: Unit) -> UnitOutput:
        """Do one unit of one part."""
        key = dict(unit.key)
        part = self._part(key.pop("part"), key.pop("inner"))
        if part.shares is None:
            own = {name: value for name, value in key.items() if name not in part.all_settings}
            inner = Unit(part.experiment.name, own, unit.cost)
            return part.experiment.compute(inner)
        k, n = key["share"]
        try:
            mine = list(part.experiment.units())[k::n]
        except NotPossibleError:
            return UnitOutput(pd.DataFrame())
        tables = [part.experiment.compute(inner).table for inner in mine]
        return UnitOutput(pd.concat(tables, ignore_index=True) if tables else pd.DataFrame())

    def observed(self, part: str, inner: str) -> pd.DataFrame:
        """The observations of one part, as the inner experiment wrote them; may be empty."""
        units = self._units_of(self._part(part, inner))
        tables = [self.study.store.read(unit) for unit in units]
        full = [table for table in tables if len(table)]
        return pd.concat(full, ignore_index=True) if full else pd.DataFrame()

    def all_observed(self, without: Collection[str] = ()) -> pd.DataFrame:
        """The observations of all parts but clean passes, told apart by ``part`` and ``inner``.

        Args:
            without: Names of inner experiments that are left out too.
        """
        tables = [
            self.observed(part.name, part.experiment.name).assign(
                part=part.name, inner=part.experiment.name
            )
            for part in self.parts
            if part.experiment.name not in (CLEAN, *without)
        ]
        full = [table for table in tables if len(table)]
        together = pd.concat(full or [pd.DataFrame(columns=["part", "inner"])], ignore_index=True)
        keys = ["part", "inner"]
        return together[[*keys, *(name for name in together.columns if name not in keys)]]

    def _part(self, name: str, inner: str) -> Part:
        return next(
            part for part in self.parts if (part.name, part.experiment.name) == (name, inner)
        )

    def _units_of(self, part: Part) -> Sequence[Unit]:
        view = StoreView(self.study.store, self.name, part.name, part.all_settings)
        if part.shares is None:
            return [view.outer(unit) for unit in part.experiment.units()]
        cost = part.experiment.planned_cost() / part.shares
        return [
            view.outer(Unit(part.experiment.name, {"share": [k, part.shares]}, cost))
            for k in range(part.shares)
        ]


def first_items(corpus: Corpus, count: int | None) -> Corpus:
    """The first items of a corpus, whose order a run has drawn at random."""
    if count is None or count >= len(corpus):
        return corpus
    return replace(corpus, items=corpus.items.iloc[:count].reset_index(drop=True))
