"""How far a run is, and how long it still takes.

Work is counted in the cost of units (token positions through the model). The rate is learnt from
the units that were computed in this process; those found on disk tell nothing about speed. A stage
that has computed units is paced by its own rate, since the cost of a unit is only an expectation,
and a stage that has not by that of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass
class Stage:
    """One part of the work, such as an experiment."""

    cost: float
    """Expected cost of the whole stage."""
    done: float = 0.0
    """Cost of the units that are finished, computed now or found on disk."""
    computed: float = 0.0
    """Cost of the units computed now."""
    seconds: float = 0.0
    """Time those took."""
    finished: bool = False
    """Whether nothing is left to do."""

    @property
    def share(self) -> float:
        """Part of the stage that is done, 0 to 1."""
        if self.finished or self.cost <= 0:
            return 1.0 if self.finished else 0.0
        return min(1.0, self.done / self.cost)

    @property
    def left(self) -> float:
        """Cost that is left."""
        return 0.0 if self.finished else max(0.0, self.cost - self.done)


class Pace:
    """The stages of a run and their rates.

    Args:
        costs: Expected cost of every stage, in order.
    """

    def __init__(self, costs: Mapping[str, float]) -> None:
        self.stages = {name: Stage(cost) for name, cost in costs.items()}

    def recost(self, name: str, cost: float) -> None:
        """Put the cost that is known now in place of the expected one."""
        self.stages.setdefault(name, Stage(cost)).cost = cost

    def unit(self, name: str, cost: float, seconds: float | None) -> None:
        """Count a finished unit.

        Args:
            name: Its stage.
            cost: Its cost.
            seconds: Time it took; None if it was found on disk.
        """
        stage = self.stages[name]
        stage.done += cost
        if seconds is not None:
            stage.computed += cost
            stage.seconds += seconds

    def finish(self, name: str) -> None:
        """Nothing of the stage is left."""
        self.stages[name].finished = True

    @property
    def share(self) -> float:
        """Part of the run that is done, 0 to 1."""
        total = sum(stage.cost for stage in self.stages.values())
        left = sum(stage.left for stage in self.stages.values())
        return 1.0 - left / total if total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time the run still takes; None before anything was computed."""
        computed = sum(stage.computed for stage in self.stages.values())
        seconds = sum(stage.seconds for stage in self.stages.values())
        if not computed or not seconds:
            return None
        overall = computed / seconds
        left = 0.0
        for stage in self.stages.values():
            own = stage.computed / stage.seconds if stage.computed and stage.seconds else overall
            left += stage.left / own
        return left


def duration(seconds: float) -> str:
    """A length of time for people: ``40 s``, ``4 min``, ``1 h 20 min``."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
