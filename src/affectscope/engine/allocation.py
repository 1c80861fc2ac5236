"""Memory that one pass frees is kept by the process for the next.

A pass on a CPU takes and frees tensors of some megabytes for every block. The C library of Linux
(glibc) hands so much back to the system each time, which then clears every page anew: measured,
three of four page faults and 6 % of a sweep's time. Told to keep up to :data:`KEPT` bytes, it does
not; the most memory a run takes stays what it was.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from typing import Any

KEPT = 64 * 2**20
"""Most freed bytes at the top of the heap that are kept."""

LARGEST = 32 * 2**20
"""Tensors up to so many bytes come from the heap (glibc takes no larger number)."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h, see mallopt(3)

_CHOSEN_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, for the whole process.

    Returns:
        Whether it was told: not where another C library is at work, nor where the environment sets
        these things.
    """
    if any(name in os.environ for name in _CHOSEN_BY_USER):
        return False
    mallopt = _glibc("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGEST)) and bool(mallopt(_M_TRIM_THRESHOLD, KEPT))


def hand_back_freed_memory() -> None:
    """Hand what is free inside the heap back to the system, where glibc is at work.

    Between calls of the engine: what a call leaves in its heap is scattered, and the next call's
    larger tensors would not fit between; without this the memory of a long run creeps up.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _glibc(function: str) -> Any:
    """A function of glibc; None where another C library is at work."""
    if platform.libc_ver()[0] != "glibc":
        return None
    try:
        return getattr(ctypes.CDLL(None), function)
    except (OSError, AttributeError):
        return None
