"""What the user sees of a transfer: a bar on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from affectscope.data.catalogue import KnownFile

LINE_EVERY_SECONDS = 10.0


class TransferDisplay:
    """Shows how far transfers are. Use as a context manager.

    Args:
        stream: Where to write; stderr when not given.
        clock: Seconds from any beginning; for tests.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = Console(file=stream or sys.stderr)
        self._clock = clock
        self._last_line = clock()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Show a line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def arrived(self, file: KnownFile, count: int) -> None:
        """Show how many bytes of a file are there."""
        if self._console.is_terminal:
            if file.name not in self._tasks:
                # What is there from an earlier transfer has no part in the speed.
                self._tasks[file.name] = self._bars.add_task(
                    file.name, total=file.size, completed=count
                )
                self._bars.start()
            self._bars.update(self._tasks[file.name], completed=count)
        elif self._clock() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = self._clock()
            megabytes = f"{count / 1e6:.1f} of {file.size / 1e6:.1f} MB"
            self.say(f"{file.name}: {megabytes} ({count / file.size:.0%})")
