"""Tells what runs, how far it is and how long is left, on stderr.

On a terminal there are bars; off one (a log file, a cluster) plain lines, one at the start and end
of each stage and one about every ten seconds between.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from affectscope.runs.pace import Pace, duration

LINE_EVERY_SECONDS = 10.0


class _View(Protocol):
    def say(self, text: str) -> None: ...
    def start(self, stage: str) -> None: ...
    def show(self, stage: str, share: float, pace: Pace) -> None: ...
    def finish(self, stage: str, text: str) -> None: ...
    def close(self) -> None: ...


class RunProgress:
    """What the user sees of a run while it runs. Use as a context manager.

    Args:
        stream: Where to write; stderr when not given.
        clock: Seconds from any beginning; for tests.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        stream = stream or sys.stderr
        self.clock = clock
        self._view: _View = _Bars(stream) if stream.isatty() else _Lines(stream, clock)
        self._pace = Pace({})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._view.close()

    def note(self, text: str) -> None:
        """Tell something."""
        self._view.say(text)

    def plan(self, costs: Mapping[str, float]) -> None:
        """Set the stages and their expected costs, in order."""
        self._pace = Pace(costs)

    @contextmanager
    def stage(self, name: str, cost: float | None = None) -> Iterator[None]:
        """The block does one stage.

        Args:
            name: The stage.
            cost: What it costs, now that its units are known.
        """
        if cost is not None or name not in self._pace.stages:
            self._pace.recost(name, cost or 0.0)
        began = self.clock()
        self._view.start(_called(name))
        yield
        self._pace.finish(name)
        self._view.finish(_called(name), f"done in {duration(self.clock() - began)}")

    def unit(self, name: str, cost: float, seconds: float | None) -> None:
        """Count a finished unit; ``seconds`` is None for one that was found on disk."""
        self._pace.unit(name, cost, seconds)
        self._view.show(_called(name), self._pace.stages[name].share, self._pace)


def _called(stage: str) -> str:
    return "clean passes" if stage == "clean" else stage


def _left(pace: Pace) -> str:
    seconds = pace.seconds_left
    if seconds is None:
        return "time left not known yet"
    return f"about {duration(seconds)} left" if seconds >= 1 else "almost done"


class _Lines:
    """Plain lines, for logs."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._last = clock()

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def start(self, stage: str) -> None:
        self.say(f"{stage} ...")
        self._last = self._clock()

    def show(self, stage: str, share: float, pace: Pace) -> None:
        if self._clock() - self._last >= LINE_EVERY_SECONDS:
            self._last = self._clock()
            self.say(f"{stage} {share:.0%}, the whole run {pace.share:.0%}, {_left(pace)}")

    def finish(self, stage: str, text: str) -> None:
        self.say(f"{stage} {text}")

    def close(self) -> None:
        pass


class _Bars:
    """Two bars on a terminal: the stage and the whole run."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream)
        self._bars = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TaskProgressColumn("{task.percentage:>3.0f} %", text_format_no_percentage=""),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
        )
        self._stage: TaskID | None = None
        self._whole: TaskID | None = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, stage: str) -> None:
        if self._stage is not None:
            self._bars.remove_task(self._stage)
        self._stage = self._bars.add_task(stage, total=None, left="")
        self._bars.start()

    def show(self, stage: str, share: float, pace: Pace) -> None:
        if self._whole is None:
            self._whole = self._bars.add_task("the whole run", total=1.0, left="")
        if self._stage is not None:
            self._bars.update(self._stage, total=1.0, completed=share)
        self._bars.update(self._whole, completed=pace.share, left=_left(pace))

    def finish(self, stage: str, text: str) -> None:
        if self._stage is not None:
            self._bars.remove_task(self._stage)
            self._stage = None
        self.say(f"{stage} {text}")

    def close(self) -> None:
        self._bars.stop()
