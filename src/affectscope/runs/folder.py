"""The folder of a run: who may use it, what it holds, and how a run is gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from affectscope.atomic import write_json, write_table
from affectscope.errors import AffectscopeError, RunFolderError
from affectscope.runs.config import RunConfig
from affectscope.runs.identity import Identity, deciding_options, differences
from affectscope.runs.lock import locked
from affectscope.runs.record import (
    RECORD_NAME,
    REPORT_NAME,
    RunRecord,
    State,
    now,
    own_version,
    read_record,
    versions,
)
from affectscope.runs.units import UnitFolder
from affectscope.vocabulary import EXPERIMENTS


def _say_nothing(_: str) -> None:
    """For readers, who are told by errors alone."""


@dataclass(frozen=True)
class Opening:
    """How a run was opened."""

    resumed: bool
    """Whether the folder held this run already."""
    n_units: int
    """How many units were stored."""
    previous_state: State | None
    """State that it was left in; None for a new run."""


class RunFolder:
    """The folder of one run.

    Writing goes ``with folder.lock(): folder.open_or_create(...)``; reading needs neither.

    Args:
        path: The folder.
        say: Told what the user should know and need not act on.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = _say_nothing) -> None:
        self.path = path
        self._say = say
        self._record: RunRecord | None = None

    # --- reading -----------------------------------------------------------------------------

    @property
    def record(self) -> RunRecord:
        """``run.json``.

        Raises:
            RunFolderError: The folder holds no run, or a damaged one.
        """
        if self._record is None:
            self._record = read_record(self.path)
        return self._record

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / REPORT_NAME

    @cached_property
    def units(self) -> UnitFolder:
        """The stored units."""
        return UnitFolder(self.path, self.record.identity, self._say)

    def summary(self) -> dict[str, Any]:
        """``summary.json``; empty before the first experiment is done."""
        path = self.path / "summary.json"
        try:
            return dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def finished(self) -> tuple[str, ...]:
        """The experiments whose estimates are stored, in the order of the house."""
        return tuple(name for name in EXPERIMENTS if self._result_path(name).exists())

    def holds(self, experiments: Iterable[str]) -> bool:
        """Whether the estimates and observations of all these experiments are stored, whole."""
        try:
            summary = self.summary()
            for name in experiments:
                self.estimates(name)
                self.observations(name)
        except RunFolderError:
            return False
        known = {key.partition(".")[0] for key in summary}
        return known.issuperset(experiments) and set(self.record.answers).issuperset(experiments)

    def estimates(self, experiment: str) -> pd.DataFrame:
        """The tidy estimates of an experiment, with their intervals."""
        return self._read_table(self._result_path(experiment))

    def observations(self, experiment: str) -> pd.DataFrame:
        """The observations that the estimates of an experiment were computed from."""
        return self._read_table(self._result_path(f"{experiment}_observations"))

    # --- writing -----------------------------------------------------------------------------

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes out; see :func:`affectscope.runs.lock.locked`."""
        return locked(self.path)

    def require_same_options(self, config: RunConfig) -> None:
        """Refuse early, before a model is loaded, what :meth:`open_or_create` would refuse.

        Raises:
            RunFolderError: The folder holds a run with other options.
        """
        if self._holds_run():
            self._refuse(differences(self.record.identity_of, deciding_options(config)))

    def open_or_create(
        self, identity: Identity, config: RunConfig, description: Mapping[str, Any]
    ) -> Opening:
        """Begin the run, or go on with it. Needs the lock.

        Args:
            identity: Everything that decides the numbers.
            config: The options.
            description: What else ``run.json`` says of this start: ``command``, ``model``,
                ``corpus``, ``prompts``, ``self_check``, ``engine``, ``seeds``, ``settings``,
                ``warnings``, ``timings``.

        Raises:
            RunFolderError: The folder holds another run.
        """
        start: dict[str, Any] = {
            **description,
            "affectscope_version": own_version(),
            "pid": os.getpid(),
            "state": "running",
            "state_detail": "",
            "updated": now(),
            "versions": versions(),
        }
        if not self._holds_run():
            fixed: dict[str, Any] = {
                "identity": identity.hash,
                "identity_of": dict(identity.content),
            }
            self._save(RunRecord(**start, **fixed, config=config.as_plain(), created=now()))
            return Opening(resumed=False, n_units=0, previous_state=None)
        old = self.record
        if old.identity != identity.hash:
            self._refuse(differences(old.identity_of, identity.content) or ["(unknown)"])
        self._save(RunRecord(**{**old.model_dump(), **start, **_carried_over(old, start, config)}))
        opening = Opening(True, self.units.count(), old.state)
        self._say(
            f"going on with the run in {self.path} (finished pieces of work: {opening.n_units})"
        )
        return opening

    @contextmanager
    def session(self) -> Iterator[None]:
        """Record how the work in the block ended; that it is complete, the block says itself."""
        recorded = False
        try:
            yield
            recorded = self.record.state != "running"
        except KeyboardInterrupt:
            recorded = True
            self._leave("interrupted", "stopped by Ctrl-C or a signal")
            raise
        except (AffectscopeError, OSError) as error:
            recorded = True
            self._leave("failed", str(error))
            raise
        finally:
            if not recorded:
                self._leave("failed", "an unexpected error; see crash.log")

    def update(self, **changes: Any) -> None:
        """Change entries of ``run.json``."""
        self._save(RunRecord(**{**self.record.model_dump(), **changes, "updated": now()}))

    def add_time(self, stage: str, seconds: float) -> None:
        """Count seconds that were spent on a stage, on top of those of earlier starts."""
        spent = self.record.timings.get(stage, 0.0) + seconds
        self.update(timings={**self.record.timings, stage: round(spent, 3)})

    def write_estimates(
        self, experiment: str, estimates: pd.DataFrame, observations: pd.DataFrame
    ) -> None:
        """Store what an experiment found. An empty table is not written."""
        # The estimates come last: they are what says that the experiment is done.
        for table, name in ((observations, f"{experiment}_observations"), (estimates, experiment)):
            if len(table):
                write_table(self._result_path(name), table)

    def write_summary(self, experiment: str, entries: Mapping[str, Any]) -> None:
        """Put the numbers of an experiment into ``summary.json``, in place of its earlier ones."""
        try:
            before = self.summary()
        except RunFolderError as error:
            self._say(f"{error.message}; it is written anew")
            before = {}
        kept = {k: v for k, v in before.items() if not k.startswith(f"{experiment}.")}
        write_json(self.path / "summary.json", {**kept, **entries}, sort_keys=True)

    def complete(self) -> None:
        """Record that everything asked is done; remove the activations unless they are wanted."""
        self._save(self.record.as_complete())
        if not self.record.config["keep_activations"]:
            for arrays in (self.path / "activations").glob("*.safetensors"):
                arrays.unlink()
            with suppress(OSError):
                (self.path / "activations").rmdir()

    # --- inside ------------------------------------------------------------------------------

    def _result_path(self, name: str) -> Path:
        return self.path / "results" / f"{name}.parquet"

    @staticmethod
    def _read_table(path: Path) -> pd.DataFrame:
        try:
            return pq.read_table(path, page_checksum_verification=True).to_pandas()
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, error) from error

    def _holds_run(self) -> bool:
        return (self.path / RECORD_NAME).exists()

    def _save(self, record: RunRecord) -> None:
        write_json(self.path / RECORD_NAME, record.model_dump())
        self._record = record

    def _leave(self, state: State, detail: str) -> None:
        # A disk that is full stays full: the failure that is under way is the one to tell.
        with suppress(AffectscopeError):
            self.update(state=state, state_detail=detail)

    def _refuse(self, different: list[str]) -> None:
        if different:
            raise RunFolderError(
                f"{self.path} holds another run; what differs: {'; '.join(different)}",
                expected="the options that the run was started with",
                remedy="choose another folder with --out, or give the same options as before",
            )


def _carried_over(old: RunRecord, start: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    """What a resumed run keeps of its earlier starts."""
    asked = {*old.answers, *(config.experiments or ())}
    union = config.model_copy(
        update={"experiments": tuple(name for name in EXPERIMENTS if name in asked)}
    )
    changed = [
        f"{package} {old.versions[package]} -> {version}"
        for package, version in start["versions"].items()
        if old.versions.get(package, version) != version
    ]
    note = [f"parts were computed with other versions: {', '.join(changed)}"] if changed else []
    mixed = [w for w in old.warnings if w.startswith("parts were computed with other versions")]
    timings = dict(old.timings)
    for stage, seconds in start.get("timings", {}).items():
        timings[stage] = timings.get(stage, 0.0) + seconds
    return {
        "config": union.as_plain(),
        "timings": timings,
        "settings": {**old.settings, **start.get("settings", {})},
        "warnings": list(dict.fromkeys([*start.get("warnings", []), *mixed, *note])),
    }


def _damaged(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"cannot read {path}: {str(error).splitlines()[0]}",
        expected="a file that 'affectscope run' wrote",
        remedy="give the command of the run again: it is made anew from the stored pieces",
    )
