"""When the disk is full or may not be written: the errors, with what to do about them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from safetensors import SafetensorError

from affectscope.atomic import is_disk_full
from affectscope.errors import DiskFullError, ModelError
from affectscope.user_cache import CACHE_VARIABLE


def disk_full(folder: Path, needed_bytes: int | None = None) -> DiskFullError:
    """The error for a disk on which something does not fit, with the space that there is."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return DiskFullError(
        f"the disk is full: {shutil.disk_usage(existing).free / 1e6:,.0f} MB free for {folder}",
        expected=f"{needed_bytes / 1e6:,.0f} MB of free space" if needed_bytes else None,
        remedy=f"free some space, or set {CACHE_VARIABLE} to a folder on another disk",
    )


def write_error(
    error: OSError | SafetensorError, folder: Path, needed_bytes: int | None = None
) -> ModelError | DiskFullError:
    """The error for a folder that cannot be written, by what stood in the way."""
    # safetensors writes in Rust and tells the error number only in its text
    number = re.search(r"os error (\d+)", str(error))
    cause = error if isinstance(error, OSError) else OSError(int(number[1]) if number else 0, "")
    if is_disk_full(cause):
        return disk_full(folder, needed_bytes)
    return ModelError(
        f"{folder} cannot be written: {cause.strerror or error}",
        expected="a folder in which models can be kept",
        remedy=f"make it writable, or set {CACHE_VARIABLE} to a folder that is",
    )
