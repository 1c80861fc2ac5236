"""Where model files lie: the user's cache, folders made in it once, and the Hub's snapshots.

A folder that is made here (a converted model) is filled under a temporary name next to its place,
described by a ``manifest.json``, synced to disk and renamed: it is there whole or not at all. At
every use the size of each file is compared with the manifest; its SHA-256 is computed again when
its size or modification time differs from those of the last check (kept in ``verified.json``),
which costs nothing on an ordinary start and half a second after a copy or an edit.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from affectscope.atomic import write_json
from affectscope.errors import RunError
from affectscope.models.disk import disk_full, write_error
from affectscope.models.hub import hub_snapshot, offline
from affectscope.models.progress import Say
from affectscope.models.weights import combined_sha256, file_sha256
from affectscope.user_cache import CACHE_VARIABLE, cache_path, only_one

__all__ = [
    "CACHE_VARIABLE",
    "Manifest",
    "StoredFile",
    "cache_folder",
    "cache_path",
    "find_defect",
    "hub_snapshot",
    "offline",
    "stored_folder",
]

_SCHEMA_VERSION = 1
_MANIFEST = "manifest.json"
_VERIFIED = "verified.json"


def cache_folder() -> Path:
    """The cache, created if need be.

    Raises:
        ModelError: It cannot be created or written.
    """
    folder = cache_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise write_error(error, folder) from error
    return folder


@dataclass(frozen=True)
class StoredFile:
    """A file as it was when its folder was made."""

    size: int
    """In bytes."""
    sha256: str
    """Of its content, in hexadecimal."""


@dataclass(frozen=True)
class Manifest:
    """What a folder was made from, and what it holds."""

    facts: Mapping[str, str]
    """Where the content comes from: source, revision, versions."""
    files: Mapping[str, StoredFile]
    """Every file of the folder by its name, except the records of this module."""

    @property
    def weights_sha256(self) -> str:
        """One SHA-256 for all weight files."""
        return combined_sha256(
            {
                name: stored.sha256
                for name, stored in self.files.items()
                if name.endswith(".safetensors")
            }
        )


def stored_folder(
    target: Path, make: Callable[[Path], Mapping[str, str]], *, needed_bytes: int, say: Say
) -> Manifest:
    """The manifest of a whole and unbroken folder, which is made now if it is not there.

    One process makes it; others wait for that one.

    Args:
        target: Where the folder lies, in the cache.
        make: Fills an empty folder with files and returns the facts about them.
        needed_bytes: Free space that making it takes.
        say: Told of waiting for another process and of a broken folder.

    Raises:
        DiskFullError: There is too little space.
        ModelError: The cache cannot be written.
    """
    if find_defect(target) is None:
        return _read_manifest(target)
    cache_folder()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"another process is preparing {target.name}; waiting for it"
        with only_one(target.with_name(f"{target.name}.lock"), waiting, say):
            defect = find_defect(target)
            if defect is None:
                return _read_manifest(target)
            if target.exists():
                say(f"{target} is broken or partial: {defect}; making it again")
                shutil.rmtree(target)
            return _make_folder(target, make, needed_bytes)
    except (OSError, SafetensorError) as error:
        raise write_error(error, target, needed_bytes) from error


def _make_folder(
    target: Path, make: Callable[[Path], Mapping[str, str]], needed_bytes: int
) -> Manifest:
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    if shutil.disk_usage(target.parent).free < needed_bytes:
        raise disk_full(target, needed_bytes)
    partial.mkdir()
    try:
        facts = make(partial)
        paths = sorted(partial.iterdir())
        files = {path.name: StoredFile(path.stat().st_size, file_sha256(path)) for path in paths}
        for path in paths:
            with path.open("r+b") as stream:
                os.fsync(stream.fileno())
        manifest = Manifest(facts, files)
        write_json(partial / _MANIFEST, {"schema_version": _SCHEMA_VERSION, **asdict(manifest)})
        write_json(partial / _VERIFIED, {path.name: _stamp(path) for path in paths})
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _read_manifest(folder: Path) -> Manifest:
    record = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    if record["schema_version"] != _SCHEMA_VERSION:
        raise ValueError(f"schema version {record['schema_version']}")
    files = {name: StoredFile(**stored) for name, stored in record["files"].items()}
    return Manifest(record["facts"], files)


def find_defect(folder: Path) -> str | None:
    """What is wrong with a folder that was made here, or None when it is whole and unbroken."""
    try:
        manifest = _read_manifest(folder)
    except OSError:
        return f"it has no readable {_MANIFEST}"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its {_MANIFEST} is not understood ({error})"
    stamps = {}
    for name, stored in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != stored.size:
            return f"{name} is missing" if size is None else f"{name} has {size} bytes"
        stamps[name] = _stamp(path)
    if stamps == _last_verified(folder):
        return None
    changed = (name for name in stamps if file_sha256(folder / name) != manifest.files[name].sha256)
    for name in changed:
        return f"the content of {name} is not what was written"
    with suppress(RunError):  # a read-only cache is verified at every start
        write_json(folder / _VERIFIED, stamps)
    return None


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _last_verified(folder: Path) -> object:
    try:
        return json.loads((folder / _VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
