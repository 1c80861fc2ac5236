"""What the user sees when a command does not end well: a message and an exit code."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import typer

from affectscope.errors import AffectscopeError, DiskFullError

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130

NOTHING_KEPT_REMEDY = (
    "free some space and give the same command again, or choose a folder on another disk"
)
"""What to do about a full disk on which nothing of a run is stored yet."""


class Failures:
    """Turns whatever ends the block into a message on stderr and an exit code.

    A context manager, since it has to see every exception, expected or not.

    Args:
        arguments: What was given after the program's name.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = shlex.join(["affectscope", *arguments])
        """The command line, as it can be given again."""
        self.run_path: Path | None = None
        """Folder of the run that is being worked on, if one is."""
        self.exit_code = 0

    def __enter__(self) -> Self:
        # Python has None for a stream that its caller closed (>&-), which libraries do not expect.
        sys.stdout = sys.stdout or _nowhere()
        sys.stderr = sys.stderr or _nowhere()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if os.environ.get("AFFECTSCOPE_DEBUG") and isinstance(error, Exception):
            traceback.print_exception(error)
        unwritten = _while_printing(error) or _flush_stdout()
        if unwritten and (error is None or isinstance(error, OSError | SystemExit)):
            error = _stdout_error(unwritten)
        try:
            self.exit_code = self._handled(error)
        except BrokenPipeError as left:
            self.exit_code, unwritten = EXIT_FAILURE, left
        if unwritten:
            _give_up_stdout()
        return True

    def _handled(self, error: BaseException | None) -> int:
        if error is None:
            return 0
        if isinstance(error, SystemExit) and error.code != EXIT_INTERRUPTED:
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            _tell(self._interrupted())
            return EXIT_INTERRUPTED
        if isinstance(error, BrokenPipeError):
            raise error
        if isinstance(error, OSError):
            error = self._known(error) or error
        if isinstance(error, DiskFullError) and not self._holds_run():
            error = DiskFullError(
                error.message, expected=error.expected, remedy=NOTHING_KEPT_REMEDY
            )
        if isinstance(error, AffectscopeError):
            _tell(f"affectscope: {error}")
            return error.exit_code
        _tell(self._crashed(error))
        return EXIT_FAILURE

    def _known(self, error: OSError) -> AffectscopeError | None:
        """A full disk, wherever it was met."""
        from affectscope.atomic import disk_full, is_disk_full

        path = Path(error.filename) if isinstance(error.filename, str) else self.run_path
        return disk_full(error, path) if is_disk_full(error) else None

    def _interrupted(self) -> str:
        if not self._holds_run():
            return "affectscope: stopped"
        return (
            f"affectscope: stopped; finished work is kept in {self.run_path}\n"
            f"  to do: the same command goes on from there: {self.command}"
        )

    def _crashed(self, error: BaseException) -> str:
        text = "".join(traceback.format_exception(error))
        where = self._write_crash_log(f"{self.command}\n\n{text}")
        return (
            f"affectscope: an error that should not happen: {type(error).__name__}: {error}\n"
            f"  to do: please report it, with {where}"
        )

    def _write_crash_log(self, text: str) -> Path:
        """Keep the traceback with the run; where that cannot be written, among temporary files."""
        if self.run_path is not None and self._holds_run():
            path = self.run_path / "crash.log"
            if os.access(self.run_path, os.W_OK):
                path.write_text(text, encoding="utf-8")
                return path
        with tempfile.NamedTemporaryFile(
            "w", prefix="affectscope-crash-", suffix=".log", delete=False, encoding="utf-8"
        ) as stream:
            stream.write(text)
        return Path(stream.name)

    def _holds_run(self) -> bool:
        """Whether anything of a run that is being worked on is stored."""
        return self.run_path is not None and (self.run_path / "run.json").exists()


def _while_printing(error: BaseException | None) -> OSError | None:
    """The error, if printing raised it; no file name tells it from that of another file."""
    if not isinstance(error, OSError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return error if any(frame.f_code is typer.echo.__code__ for frame in frames) else None


def _flush_stdout() -> OSError | None:
    """Write what stdout still holds; returns why that failed."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def _stdout_error(error: OSError) -> Exception:
    """What it means that stdout cannot be written; a reader that has left is no news."""
    if isinstance(error, BrokenPipeError):
        return error
    return AffectscopeError(
        f"stdout cannot be written: {error.strerror or error}",
        expected="a terminal, pipe or file with room for what is printed",
        remedy="send stdout elsewhere and give the same command again",
    )


def _give_up_stdout() -> None:
    """Keep Python from writing at its exit what nobody takes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _tell(text: str) -> None:
    typer.echo(text, err=True)
