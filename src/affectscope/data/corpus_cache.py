"""Puts the files of known corpora into the user's cache, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from affectscope.atomic import is_disk_full, write_bytes
from affectscope.data.catalogue import KnownFile, corpus_folder
from affectscope.errors import DataError, DiskFullError, RunError
from affectscope.user_cache import CACHE_VARIABLE, only_one

Say = Callable[[str], None]
"""Where a line that tells the user what happens goes."""


@contextmanager
def writing_into_cache(name: str, *, needed_bytes: int, say: Say) -> Iterator[Path]:
    """Let one process at a time write into the folder of a known corpus.

    Yields:
        The folder, which exists.

    Raises:
        DiskFullError: There is too little space.
        DataError: The folder cannot be written.
    """
    folder = corpus_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = f"another process is writing into {folder}; waiting for it"
        with only_one(folder / ".lock", waiting, say):
            if shutil.disk_usage(folder).free < needed_bytes:
                raise _disk_full(folder, needed_bytes)
            yield folder
    except DiskFullError as error:
        raise _disk_full(folder, needed_bytes) from error
    except OSError as error:
        if is_disk_full(error):
            raise _disk_full(folder, needed_bytes) from error
        raise _unwritable(f"{folder} cannot be written: {error.strerror or error}") from error
    except RunError as error:
        raise _unwritable(error.message) from error


def store(folder: Path, file: KnownFile, content: bytes) -> Path:
    """Write a known file; the caller has compared its content and holds the folder.

    The files are a few megabytes, so that they are written from memory by the one writer of files.
    """
    path = folder / file.name
    write_bytes(path, content)
    return path


def _disk_full(folder: Path, needed_bytes: int) -> DiskFullError:
    free = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists()))
    return DiskFullError(
        f"the disk, or the quota on it, is full: {free.free / 1e6:,.1f} MB free for {folder}",
        expected=f"{needed_bytes / 1e6:,.1f} MB of free space, there or in a folder on another "
        f"disk that {CACHE_VARIABLE} is set to",
        remedy=f"free some space, or set {CACHE_VARIABLE}, and give the same command again",
    )


def _unwritable(message: str) -> DataError:
    return DataError(
        message,
        expected="a folder in which corpora can be kept",
        remedy=f"make it writable, or set {CACHE_VARIABLE} to a folder that is",
    )
