"""What the user sees while something takes long: our lines and bars, and not transformers' own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from transformers.utils import logging as transformers_logging

Say = Callable[[str], None]
"""Where a line that tells the user what happens goes."""


def say_on_stderr(message: str) -> None:
    """Show a line to the user, apart from the data on stdout."""
    Console(stderr=True).print(message, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Display:
    """What the user sees while something takes long: lines, and a bar on a terminal."""

    say: Say
    """Takes the lines."""
    bars: bool = False
    """Draw bars on stderr too."""

    @contextmanager
    def working(
        self, label: str, total_bytes: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Tell what is being done, and at the end how long it took.

        Yields:
            Takes the number of bytes that are there so far.
        """
        self.say(f"{label} ...")
        start = time.monotonic()
        counted = (DownloadColumn(), TransferSpeedColumn()) if total_bytes else ()
        columns = (SpinnerColumn(), BarColumn(), *counted, TimeElapsedColumn())
        # This very stream, whatever sys.stderr is meanwhile (see convert_gguf).
        console = Console(file=sys.stderr)
        with Progress(
            *columns,
            console=console,
            transient=True,
            redirect_stderr=False,
            disable=not self.bars,
        ) as bar:
            task = bar.add_task("", total=total_bytes)
            yield lambda count: bar.update(task, completed=count)
        self.say(f"  done in {time.monotonic() - start:.1f} s")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bars and no warnings of transformers' own meanwhile."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
