"""``run.json``: what a run is, of what, and how far it got."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from affectscope.errors import RunFolderError

SCHEMA_VERSION: Final = 1
RECORD_NAME = "run.json"
REPORT_NAME = "report.html"

GIVE_A_RUN = "give the folder that 'affectscope run' printed"
"""What a reader of runs can do about a path that is none."""

State = Literal["running", "interrupted", "failed", "complete"]

PACKAGES = (
    "affectscope",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "altair",
)
"""Packages whose versions may decide a number or a figure."""


class RunRecord(BaseModel):
    """The content of ``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    """Version of this layout."""
    affectscope_version: str
    """Version that wrote it last."""
    command: str
    """Command line that was given last."""
    state: State = "running"
    """How far the run got. ``running`` in a folder that nobody works in: it was killed."""
    state_detail: str = ""
    """What went wrong, if something did."""
    pid: int
    """Process that wrote it last."""
    identity: str
    """sha256 of ``identity_of``."""
    identity_of: dict[str, Any]
    """Everything that decides the numbers."""
    config: dict[str, Any]
    """All options, resolved."""
    created: str
    """When the run began, UTC."""
    updated: str
    """When this was last written, UTC."""
    versions: dict[str, str]
    """Versions of Python and of the packages that matter."""
    model: dict[str, Any] = {}
    """The model: name, revision, architecture, sizes, dtype, device, hash."""
    corpus: dict[str, Any] = {}
    """The corpus: source, hash, how many items were used, what was dropped and why."""
    prompts: dict[str, Any] = {}
    """Template, its text, calibration, audit of the label tokens."""
    self_check: list[dict[str, Any]] = []
    """What the model was checked for when it was loaded."""
    engine: str = ""
    """``sweep``, or ``full pass`` for a model that did not pass the self-check."""
    seeds: dict[str, int] = {}
    """Seeds, by what they are for."""
    timings: dict[str, float] = {}
    """Seconds spent on loading and on each experiment, over all starts."""
    answers: dict[str, str] = {}
    """What each finished experiment found, in a sentence."""
    warnings: list[str] = []
    """What the reader of the numbers must know."""
    settings: dict[str, str] = {}
    """How each experiment was done, in a sentence."""

    def as_complete(self) -> RunRecord:
        """The record of this run when everything is done."""
        return self.model_copy(update={"state": "complete", "state_detail": "", "updated": now()})


def read_record(folder: Path, *, remedy: str = GIVE_A_RUN) -> RunRecord:
    """Read ``run.json``.

    Args:
        folder: The folder of a run.
        remedy: What to do about one that cannot be read.

    Raises:
        RunFolderError: It is missing, damaged, or written by a newer version.
    """
    if not folder.is_dir():
        raise RunFolderError(
            f"{folder} is a file, not the folder of a run"
            if folder.exists()
            else f"there is no folder {folder}",
            expected="the folder of a run of 'affectscope run'",
            remedy=remedy,
        )
    path = folder / RECORD_NAME
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunFolderError(
            f"{folder} holds no run: there is no {RECORD_NAME}",
            expected="the folder of a run of 'affectscope run'",
            remedy=remedy,
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error), remedy) from error
    if not isinstance(content, dict):
        raise _damaged(path, f"it holds a {type(content).__name__}", remedy)
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunFolderError(
            f"{path} has layout version {version}, written by affectscope "
            f"{content.get('affectscope_version', '(unknown)')}",
            expected=f"layout version {SCHEMA_VERSION}",
            remedy=f"use that version of affectscope, or {remedy}",
        )
    try:
        return RunRecord(**content)
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _damaged(path, reason, remedy) from error


def _damaged(path: Path, reason: str, remedy: str) -> RunFolderError:
    return RunFolderError(
        f"cannot read {path}: {reason}",
        expected="the whole run.json of a run",
        remedy=remedy,
    )


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python, the system and the packages that are installed."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def own_version() -> str:
    """The version of affectscope."""
    return versions(["affectscope"]).get("affectscope", "0 (not installed)")


def now() -> str:
    """The time, as run.json gives it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
