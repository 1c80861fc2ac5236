"""What an experiment is: units of work, and the result that is read off them.

An experiment splits into *units*. A unit is a pure function of its key: the same key always gives
the same table, whichever process computes it and in whatever order, so that a stopped run goes on
where it was and a finished unit is never computed again. The result (estimates with intervals and
the summary) is a pure function of all units' tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from affectscope.stats import Estimate

if TYPE_CHECKING:
    import altair as alt

SummaryValue = Estimate | float | int | str


@dataclass(frozen=True)
class Unit:
    """One piece of work that is stored whole or not at all."""

    experiment: str
    """Name of the experiment it belongs to."""
    key: Mapping[str, Any]
    """Everything that decides the content, as JSON values; its hash names the unit on disk."""
    cost: float = 1.0
    """Expected work, in token positions passed through the whole model; only for time estimates."""


@dataclass(frozen=True)
class UnitOutput:
    """What a unit computes."""

    table: pd.DataFrame
    """Tidy observations, one row each."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Large float32 arrays (activations), by name; empty for most experiments."""


class UnitStore(Protocol):
    """Where finished units are kept: a folder of a run, or memory."""

    def has(self, unit: Unit) -> bool:
        """Whether the unit is stored, whole."""

    def write(self, unit: Unit, output: UnitOutput) -> None:
        """Store a unit, all of it or nothing."""

    def read(self, unit: Unit) -> pd.DataFrame:
        """The stored table of a unit."""

    def read_arrays(self, unit: Unit) -> Mapping[str, np.ndarray]:
        """The stored arrays of a unit."""


class MemoryStore:
    """Keeps units in memory: the store of the Python API when no run folder is asked for."""

    def __init__(self) -> None:
        self._outputs: dict[str, UnitOutput] = {}

    @staticmethod
    def _name(unit: Unit) -> str:
        return f"{unit.experiment}:{sorted(unit.key.items())!r}"

    def has(self, unit: Unit) -> bool:
        """Whether the unit is stored."""
        return self._name(unit) in self._outputs

    def write(self, unit: Unit, output: UnitOutput) -> None:
        """Store a unit."""
        self._outputs[self._name(unit)] = output

    def read(self, unit: Unit) -> pd.DataFrame:
        """The stored table of a unit."""
        return self._outputs[self._name(unit)].table

    def read_arrays(self, unit: Unit) -> Mapping[str, np.ndarray]:
        """The stored arrays of a unit."""
        return self._outputs[self._name(unit)].arrays


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    Every estimate comes with a 95 % bootstrap interval.
    """

    experiment: str
    """Name of the experiment."""
    table: pd.DataFrame
    """Tidy estimates, one row each: what of, then ``value``, ``low``, ``high`` and ``n``."""
    observations: pd.DataFrame
    """Tidy observations the estimates were computed from."""
    summary: Mapping[str, SummaryValue]
    """The few numbers that go into ``summary.json``, by dotted name."""
    answer: str
    """What was found, in a sentence with its interval."""
    charts: Callable[[pd.DataFrame], dict[str, alt.TopLevelMixin]]
    """Draws the estimates; see :mod:`affectscope.figures`."""

    def figure(self, name: str | None = None) -> alt.TopLevelMixin:
        """One chart of the result; the first when no name is given."""
        charts = self.charts(self.table)
        return charts[name] if name else next(iter(charts.values()))


class Experiment(ABC):
    """A question asked of a model and a corpus."""

    name: ClassVar[str]

    @property
    def method(self) -> str:
        """What is done, with its settings, in a sentence or two for the report."""
        return ""

    @abstractmethod
    def planned_cost(self) -> float:
        """Expected cost of all units, known before any is computed (see :attr:`Unit.cost`)."""

    @abstractmethod
    def units(self) -> Sequence[Unit]:
        """The units, in order. May need the units of the clean passes to be done."""

    @abstractmethod
    def compute(self, unit: Unit) -> UnitOutput:
        """Do one unit."""

    @abstractmethod
    def result(self, observations: pd.DataFrame) -> Result:
        """Read the result off the concatenated tables of all units."""


def finish_units(experiment: Experiment, store: UnitStore) -> Iterator[tuple[Unit, bool]]:
    """Compute the units that are missing; yield each unit and whether it was computed just now."""
    for unit in experiment.units():
        missing = not store.has(unit)
        if missing:
            store.write(unit, experiment.compute(unit))
        yield unit, missing


def collect(experiment: Experiment, store: UnitStore) -> Result:
    """The result of an experiment whose units are all stored."""
    return experiment.result(read_observations(experiment, store))


def read_observations(experiment: Experiment, store: UnitStore) -> pd.DataFrame:
    """The tables of all units, which are stored; empty for an experiment without units."""
    tables = [store.read(unit) for unit in experiment.units()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
