"""Files are written whole or not at all: the one place that puts a file on disk.

A file goes to a temporary name in its folder, is synced, renamed, and the folder is synced. So a
reader sees the old file or the new one, also after a power cut, and a killed writer leaves at most
a temporary file (see :func:`remove_leftovers`).
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save as safetensors_bytes

from affectscope.errors import AffectscopeError, DiskFullError, RunError, RunFolderError

TEMPORARY_SUFFIX = ".tmp"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made where it is missing.

    Raises:
        DiskFullError: No space, quota or allowed file size is left.
        RunFolderError: The folder may not be written.
        RunError: Any other failure to write.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        # Already renamed when all went well; left behind by an error or an interrupt otherwise.
        with suppress(OSError):
            temporary.unlink()


def write_json(path: Path, value: Any, *, sort_keys: bool = False) -> None:
    """Write indented JSON; NaN and infinities become null, which JSON has no other word for."""
    text = json.dumps(
        plain(value), indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False
    )
    write_bytes(path, f"{text}\n".encode())


def write_table(
    path: Path, table: pd.DataFrame, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a table as Parquet without its index; the same table gives the same bytes.

    Pages carry checksums, so that a damaged file is told apart from a whole one.

    Args:
        path: Where to.
        table: What to write.
        metadata: Further entries of the schema's metadata.
    """
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if metadata:
        arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **metadata})
    buffer = pa.BufferOutputStream()
    pq.write_table(arrow, buffer, compression="zstd", write_page_checksum=True)
    write_bytes(path, buffer.getvalue().to_pybytes())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as safetensors."""
    write_bytes(
        path,
        safetensors_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
    )


def remove_leftovers(folder: Path) -> int:
    """Remove the temporary files of a killed writer from a folder and those in it.

    Only for a folder in which nobody else is writing.

    Returns:
        How many there were.
    """
    leftovers = list(folder.rglob(f".*{TEMPORARY_SUFFIX}"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    return len(leftovers)


def plain(value: Any) -> Any:
    """A value as JSON knows it: NaN as null, numpy scalars as numbers, paths as strings."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def write_error(error: OSError, path: Path) -> AffectscopeError:
    """What a failed write means for the user."""
    if error.errno in _FULL:
        return disk_full(error, path)
    reason = error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        return RunFolderError(
            f"cannot write {path}: {reason}",
            expected="a folder that you may write",
            remedy="choose another folder, or change its permissions",
        )
    return RunError(f"cannot write {path}: {reason}", remedy="check the path and the disk")


def is_disk_full(error: OSError) -> bool:
    """Whether a failure means that no space, quota or allowed file size is left."""
    return error.errno in _FULL


def disk_full(error: OSError, path: Path | None) -> DiskFullError:
    """The message for a full disk, with the free space that there is."""
    where = f" while writing {path}" if path else ""
    existing = next((p for p in (path or Path.cwd()).absolute().parents if p.exists()), Path("/"))
    free = shutil.disk_usage(existing).free / 2**20
    return DiskFullError(
        f"the disk is full{where}: {error.strerror or error} ({free:,.0f} MiB free on the disk)",
        expected="free space, and a quota and file-size limit that leave room",
        remedy="free some space and give the same command again: finished work is kept; "
        "or choose a folder on another disk",
    )


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # a folder cannot be opened elsewhere
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
