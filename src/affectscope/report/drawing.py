"""The figures of a run on disk, drawn from its stored results."""

from __future__ import annotations

from pathlib import Path

from affectscope.figures import FIGURES, save_figure
from affectscope.runs.folder import RunFolder
from affectscope.vocabulary import EXPERIMENTS


def draw_figures(run_folder: Path) -> list[Path]:
    """Draw ``figures/`` anew from ``results/``.

    Args:
        run_folder: The folder of a run.

    Returns:
        Every file written: a page, two pictures and a table for each figure.

    Raises:
        RunFolderError: The folder holds no run, or a result cannot be read.
        RunError: A result lacks a column.
        DiskFullError: No space is left.
    """
    run = RunFolder(run_folder)
    run.record  # noqa: B018 - raises where there is no run
    tables = {name: run.estimates(name) for name in EXPERIMENTS if name in run.finished()}
    return [
        path
        for experiment, table in tables.items()
        for name, figure in FIGURES[experiment](table).items()
        for path in save_figure(figure.chart, figure.rows, run_folder / "figures", name)
    ]
