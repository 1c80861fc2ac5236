"""The command line. Heavy imports are inside the commands, so that ``--help`` is quick.

stdout is for data, stderr for everything else. Exit codes: 0, 1 failure, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from affectscope.cli import bench, check, data, doctor, export, infer, monitor, run, steer
from affectscope.cli.failures import Failures
from affectscope.runs.interrupt import sigterm_as_interrupt

__all__ = ["app", "main"]

app = typer.Typer(
    name="affectscope",
    help="A microscope for how language models infer emotion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("infer")(infer.infer)
app.command("steer")(steer.steer)
app.command("monitor")(monitor.monitor)
app.command("report")(run.report)
app.command("export")(export.export)
app.add_typer(data.data_app, name="data", help="List, get and check corpora.")
app.add_typer(check.models_app, name="models", help="Look at a model.")
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)


def _print_version(asked: bool) -> None:
    if asked:
        from affectscope.runs.record import own_version

        typer.echo(f"affectscope {own_version()}")
        raise typer.Exit


@app.callback()
def _affectscope(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Say the version."),
    ] = False,
) -> None:
    """A microscope for how language models infer emotion."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What was given after the program's name; those of the process when absent.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    failures = Failures(given)
    with failures, sigterm_as_interrupt():
        app(given, prog_name="affectscope", obj=failures)
    return failures.exit_code
