"""The folder for weights that lie on the disk in a form that the model's files do not have.

Weights are read from the model's own safetensors files wherever those hold them as the model needs
them. What is converted at load (a mixture's experts, stacked into one tensor) is written out once,
into a folder of this process' own, which goes when the model does or the process ends. What a
killed process left is removed by the next one: its lock is free then.
"""

from __future__ import annotations

import os
import secrets
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from affectscope.errors import UsageError
from affectscope.models.cache import cache_folder
from affectscope.models.disk import write_error

_PREFIX = "affectscope-offload-"


def check_offload_folder(chosen: Path) -> Path:
    """The folder that the user names for the offload.

    It has to be there: making it would fill another disk where one is not mounted.

    Raises:
        UsageError: It is not there, or cannot be written.
    """
    folder = chosen.expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"the offload folder {chosen} is {'no folder' if folder.exists() else 'not there'}",
            expected="a folder, on a disk with room for the weights",
            remedy="make it, or leave out --offload-folder to use affectscope's cache",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"the offload folder {chosen} may not be written",
            remedy="make it writable, or leave out --offload-folder to use affectscope's cache",
        )
    return folder


@dataclass(frozen=True)
class OffloadFolder:
    """A folder of this process' own."""

    path: Path
    lock: FileLock
    process: int

    def keep_for(self, model: object) -> None:
        """Remove it when the model goes or the process ends; at once when nothing is in it."""
        if any(self.path.iterdir()):
            weakref.finalize(model, self.remove)
        else:
            self.remove()

    def remove(self) -> None:
        """Remove it, unless a forked process asks, which did not make it."""
        if os.getpid() == self.process:
            _remove(self.path, self.lock)


@contextmanager
def offload_folder(chosen: Path | None) -> Iterator[OffloadFolder]:
    """A new folder in the chosen one or in the cache, removed again when loading fails.

    Raises:
        ModelError: It cannot be made.
        DiskFullError: There is no space.
    """
    parent = chosen or cache_folder() / "offload"
    try:
        parent.mkdir(exist_ok=True)
        _remove_leftovers(parent)
        made = _make(parent)
    except OSError as error:
        raise write_error(error, parent) from error
    try:
        yield made
    except BaseException:
        made.remove()
        raise


def _make(parent: Path) -> OffloadFolder:
    path = parent / f"{_PREFIX}{secrets.token_hex(8)}"
    # not per thread: the model may be collected in another one
    lock = FileLock(path.with_suffix(".lock"), thread_local=False)
    lock.acquire(timeout=0)  # before the folder, so that nobody takes it for a leftover
    path.mkdir(mode=0o700)
    return OffloadFolder(path, lock, os.getpid())


def _remove_leftovers(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        if path.is_dir():
            lock = FileLock(path.with_suffix(".lock"))
            with suppress(Timeout, OSError):  # in use, or of another user
                lock.acquire(timeout=0)
                _remove(path, lock)


def _remove(path: Path, lock: FileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        Path(lock.lock_file).unlink()  # while it is held, so that nobody else holds it
    lock.release()
