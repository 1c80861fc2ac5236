"""A finished (or unfinished) run as one page that works offline.

The page is made from ``run.json``, ``summary.json``, ``results/`` and ``figures/`` alone; no model
is loaded, and nothing on the page is fetched from anywhere.
"""

from __future__ import annotations

from pathlib import Path

from affectscope.atomic import write_bytes
from affectscope.report.contents import read_contents
from affectscope.report.drawing import draw_figures
from affectscope.report.page import render_page

__all__ = ["build_report", "draw_figures", "write_report"]


def build_report(run_folder: Path) -> Path:
    """Write ``report.html`` from what is stored; pieces that are missing are named on the page.

    Args:
        run_folder: The folder of a run, complete or not.

    Returns:
        The page.

    Raises:
        RunFolderError: The folder holds no run, or its ``run.json`` cannot be read.
        DiskFullError: No space is left.
    """
    page = run_folder / "report.html"
    write_bytes(page, render_page(read_contents(run_folder)).encode())
    return page


def write_report(run_folder: Path) -> Path:
    """Draw the figures anew, then write ``report.html``; returns the page.

    Raises:
        RunError: There is no run, or one of its results cannot be drawn.
    """
    draw_figures(run_folder)
    return build_report(run_folder)
