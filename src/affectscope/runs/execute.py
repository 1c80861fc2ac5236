"""Doing a run: load, then every experiment unit by unit, each kept as soon as it is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from affectscope.analyses.experiment import Experiment, Result, collect, finish_units
from affectscope.errors import NotPossibleError
from affectscope.runs.folder import RunFolder
from affectscope.runs.progress import RunProgress
from affectscope.stats import Estimate


def run_experiments(
    experiments: Sequence[Experiment], folder: RunFolder, progress: RunProgress
) -> dict[str, Result]:
    """Do what is missing of each experiment, and store what each found as soon as it is done.

    Killed at any moment and called again, it ends with the same ``results/``: a unit is stored
    whole or not at all, and results are computed from the stored units alone.

    Args:
        experiments: In order; the clean passes first where others need them.
        folder: An opened run, whose lock is held and whose session is open.
        progress: Told about every unit.

    Returns:
        What each experiment found, by name; the clean passes find nothing of their own.
    """
    progress.plan({experiment.name: experiment.planned_cost() for experiment in experiments})
    results: dict[str, Result] = {}
    for experiment in experiments:
        began = progress.clock()
        try:
            _finish(experiment, folder, progress)
        except NotPossibleError as error:
            _store_refusal(experiment, error, folder)
            progress.note(f"{experiment.name} could not be done: {error}")
            continue
        result = collect(experiment, folder.units)
        _store(experiment, result, folder)
        folder.add_time(experiment.name, progress.clock() - began)
        results[experiment.name] = result
    return results


def _finish(experiment: Experiment, folder: RunFolder, progress: RunProgress) -> None:
    cost = sum(unit.cost for unit in experiment.units())
    with progress.stage(experiment.name, cost):
        began = progress.clock()
        for unit, computed in finish_units(experiment, folder.units):
            seconds = progress.clock() - began if computed else None
            progress.unit(experiment.name, unit.cost, seconds)
            began = progress.clock()


def _store(experiment: Experiment, result: Result, folder: RunFolder) -> None:
    """Put a result into the folder; that of the clean passes is empty."""
    if not len(result.table):
        return
    folder.write_estimates(result.experiment, result.table, result.observations)
    folder.write_summary(result.experiment, _as_json(result))
    folder.update(
        answers={**folder.record.answers, result.experiment: result.answer},
        settings={**folder.record.settings, result.experiment: experiment.method},
    )


def _store_refusal(experiment: Experiment, error: NotPossibleError, folder: RunFolder) -> None:
    """Say in the run why an experiment has no result; the others go on."""
    sentence = f"could not be done: {error.message}."
    folder.update(
        answers={**folder.record.answers, experiment.name: sentence},
        warnings=list(dict.fromkeys([*folder.record.warnings, f"{experiment.name} {sentence}"])),
    )


def _as_json(result: Result) -> dict[str, Any]:
    return {
        name: value.as_dict() if isinstance(value, Estimate) else value
        for name, value in result.summary.items()
    }
