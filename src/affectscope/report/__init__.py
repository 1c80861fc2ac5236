"""A finished (or unfinished) run as one page that works offline.

The page is made from ``run.json``, ``summary.json``, ``results/`` and ``figures/`` alone; no model
is loaded, and nothing on the page is fetched from anywhere.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from affectscope.atomic import write_bytes
from affectscope.report.contents import read_contents
from affectscope.report.drawing import draw_figures
from affectscope.report.page import render_page
from affectscope.runs.record import REPORT_NAME, RunRecord

__all__ = ["build_report", "draw_figures", "write_report"]


def build_report(run_folder: Path, record: RunRecord | None = None) -> Path:
    """Write ``report.html`` from what is stored; pieces that are missing are named on the page.

    Args:
        run_folder: The folder of a run, complete or not.
        record: Shown in place of the stored ``run.json``: a run is stored as complete only once
            its page is there.

    Returns:
        The page.

    Raises:
        RunFolderError: The folder holds no run, or its ``run.json`` cannot be read.
        DiskFullError: No space is left.
    """
    contents = read_contents(run_folder)
    if record is not None:
        contents = replace(contents, record=record)
    page = run_folder / REPORT_NAME
    write_bytes(page, render_page(contents).encode())
    return page


def write_report(run_folder: Path, record: RunRecord | None = None) -> Path:
    """Draw the figures anew, then write ``report.html``; see :func:`build_report`.

    Raises:
        RunError: There is no run, or one of its results cannot be drawn.
    """
    draw_figures(run_folder)
    return build_report(run_folder, record)
