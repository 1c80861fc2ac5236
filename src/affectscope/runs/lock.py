"""One process in a run's folder at a time, and only in a folder that is a run's or empty."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from affectscope.atomic import TEMPORARY_SUFFIX, remove_leftovers, write_bytes, write_error
from affectscope.errors import RunBusyError, RunFolderError
from affectscope.runs.record import RECORD_NAME, read_record

_LOCK_NAME = ".lock"
_OWNER_NAME = ".owner"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from working in a folder.

    The folder is made where it is missing, and removed again if nothing came into it. Temporary
    files of a killed process are removed.

    Raises:
        RunBusyError: Another process works in it.
        RunFolderError: It holds something that is not a run, or may not be written.
    """
    made = not path.exists()
    try:
        _require_run_or_nothing(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path / _LOCK_NAME)
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise _busy(path) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise RunFolderError(
            f"{path} cannot be the folder of a run: it, or a folder above it, is a file",
            remedy="choose another folder with --out",
        ) from error
    except OSError as error:
        raise write_error(error, path / _LOCK_NAME) from error
    try:
        owner = f"process {os.getpid()} on {socket.gethostname()}"
        write_bytes(path / _OWNER_NAME, owner.encode())
        remove_leftovers(path)
        yield
    finally:
        with suppress(OSError):
            (path / _OWNER_NAME).unlink()
        lock.release()
        if made and not (path / RECORD_NAME).exists():
            with suppress(OSError):
                (path / _LOCK_NAME).unlink(missing_ok=True)
                path.rmdir()


def _require_run_or_nothing(path: Path) -> None:
    if not path.exists():
        return
    if (path / RECORD_NAME).exists():
        read_record(path, remedy="choose another folder with --out, or move this one away")
        return
    found = [
        entry.name
        for entry in sorted(path.iterdir())
        if entry.name not in {_LOCK_NAME, _OWNER_NAME}
        and not (entry.name.startswith(".") and entry.name.endswith(TEMPORARY_SUFFIX))
    ]
    if found:
        raise RunFolderError(
            f"{path} is not empty and holds no run (it has {', '.join(found[:3])}"
            f"{', ...' if len(found) > 3 else ''})",
            expected="a new or empty folder, or that of a run",
            remedy="choose another folder with --out",
        )


def _busy(path: Path) -> RunBusyError:
    try:
        owner = (path / _OWNER_NAME).read_text()
    except OSError:
        owner = "another process"
    return RunBusyError(
        f"{owner} is working in {path}",
        expected="one process in a run's folder at a time",
        remedy="wait until it has ended, or choose another folder with --out",
    )
