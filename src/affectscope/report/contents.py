"""What a run holds, read without a model; what is missing or damaged is said, not raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectscope.errors import RunError
from affectscope.figures import FIGURES, Figure
from affectscope.runs.folder import RunFolder
from affectscope.runs.record import RunRecord
from affectscope.vocabulary import EXPERIMENTS, ExperimentName

_REFUSED = "could not be done"
"""How the answer begins of an experiment that this corpus and model cannot answer."""

_SAMPLED: tuple[ExperimentName, ...] = ("generate",)
"""Experiments of which the page shows observations, not only estimates."""


@dataclass(frozen=True)
class Findings:
    """What is stored of one experiment."""

    experiment: ExperimentName
    table: pd.DataFrame | None
    """Estimates; None when there are none yet or they cannot be read."""
    figures: Mapping[str, Figure]
    """The figures that the table makes, by file name."""
    problem: str
    """Why there is no table or figure; empty when all is well."""
    refused: bool = False
    """Whether the run ended without this experiment, for the reason that its answer gives."""
    observations: pd.DataFrame | None = None
    """What the estimates were computed from, of an experiment of which the page shows some."""


@dataclass(frozen=True)
class RunContents:
    """Everything the page is made from."""

    folder: Path
    record: RunRecord
    summary: Mapping[str, Any]
    findings: tuple[Findings, ...]
    """The experiments that were asked for or are stored, in the order of the house."""
    problems: tuple[str, ...]
    """Files that cannot be read, and experiments without a result."""


def read_contents(folder: Path) -> RunContents:
    """Read a run.

    Raises:
        RunFolderError: The folder holds no run, or its ``run.json`` cannot be read.
    """
    run = RunFolder(folder)
    record = run.record
    problems = []
    try:
        summary = run.summary()
    except RunError as error:
        summary = {}
        problems.append(_in_a_line(error))
    findings = tuple(_findings(run, name) for name in _asked(run))
    problems += [found.problem for found in findings if found.problem]
    return RunContents(folder, record, summary, findings, tuple(problems))


def _asked(run: RunFolder) -> list[ExperimentName]:
    wanted = run.record.config.get("experiments") or []
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    return [
        name
        for name in EXPERIMENTS
        if name in names or name in run.record.answers or name in run.finished()
    ]


def _findings(run: RunFolder, name: ExperimentName) -> Findings:
    if name not in run.finished():
        if run.record.answers.get(name, "").startswith(_REFUSED):
            return Findings(name, None, {}, "", refused=True)
        absent = f"{name} has no result: results/{name}.parquet is not there."
        return Findings(name, None, {}, absent)
    try:
        table = run.estimates(name)
    except RunError as error:
        return Findings(name, None, {}, _in_a_line(error))
    figures: Mapping[str, Figure] = {}
    try:
        figures = FIGURES[name](table)
        observations = run.observations(name) if name in _SAMPLED else None
    except RunError as error:
        return Findings(name, table, figures, _in_a_line(error))
    return Findings(name, table, figures, "", observations=observations)


def _in_a_line(error: RunError) -> str:
    message = error.message[:1].upper() + error.message[1:].rstrip(".") + "."
    return f"{message} To do: {error.remedy}." if error.remedy else message
