"""Where what is fetched once is kept for this user, who may write there, and what offline means."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

CACHE_VARIABLE = "AFFECTSCOPE_CACHE"
OFFLINE_VARIABLE = "AFFECTSCOPE_OFFLINE"


def cache_path() -> Path:
    """Where the cache is: ``$AFFECTSCOPE_CACHE``, or this user's cache folder for affectscope."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("affectscope")


@contextmanager
def only_one(lock_file: Path, waiting: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time do something; others wait for it, and say so.

    Args:
        lock_file: What they share; it is made.
        waiting: What one that waits says.
        say: Takes that line.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def no_network_wanted() -> bool:
    """Whether the user wants no network (``AFFECTSCOPE_OFFLINE=1``)."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}
