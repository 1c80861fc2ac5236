"""``affectscope run`` and ``affectscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_json

if TYPE_CHECKING:
    from affectscope.runs.record import RunRecord


def run(
    context: typer.Context,
    *,
    model: o.Model = None,
    revision: o.Revision = None,
    data: o.Data = None,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    label_map: o.LabelMap = None,
    group_column: o.GroupColumn = None,
    split: o.Split = None,
    encoding: o.Encoding = None,
    template: o.Template = None,
    calibration: o.CalibrationName = None,
    readers: o.Readers = None,
    experiments: o.Experiments = None,
    limit: o.Limit = None,
    seed: o.Seed = None,
    pairs: o.Pairs = None,
    span: o.Span = None,
    spans: o.Spans = None,
    positions: o.Positions = None,
    heads: o.Heads = None,
    ablate_items: o.AblateItems = None,
    attend_items: o.AttendItems = None,
    control_items: o.ControlItems = None,
    control_pairs: o.ControlPairs = None,
    robust_items: o.RobustItems = None,
    robust_pairs: o.RobustPairs = None,
    templates: o.Templates = None,
    promote_items: o.PromoteItems = None,
    surgery_items: o.SurgeryItems = None,
    set: o.Set = None,  # noqa: A002 - the flag's name
    hold: o.Hold = None,
    steer: o.Steer = None,
    judge: o.Judge = None,
    generate_prompts: o.GeneratePrompts = None,
    generate_texts: o.GenerateTexts = None,
    generate_tokens: o.GenerateTokens = None,
    generate_random: o.GenerateRandom = None,
    folds: o.Folds = None,
    probe_mlp: o.ProbeMlp = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    max_memory: o.MaxMemory = None,
    offload_folder: o.OffloadFolder = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    out: o.Out = None,
    strict: o.Strict = None,
    trust_remote_code: o.TrustRemoteCode = None,
    keep_activations: o.KeepActivations = None,
    config: o.ConfigFile = None,
    as_json: o.AsJson = False,
) -> None:
    """Do the experiments on a model and a corpus, and write a report.

    A stopped run goes on with the same command. Prints the report's path.
    """
    from affectscope.runs.config import resolve_config

    resolved = resolve_config(o.given_flags(context), file=config)
    context.obj.run_path = resolved.run_path
    typer.echo(f"affectscope run: {resolved.model} on {resolved.data}", err=True)

    from affectscope.runs.progress import RunProgress
    from affectscope.runs.start import start_run

    with RunProgress() as progress:
        folder = start_run(
            resolved,
            command=context.obj.command,
            progress=progress,
            write_report=_draw,
        )
    for experiment, answer in folder.record.answers.items():
        typer.echo(f"{experiment}: {answer}", err=True)
    if as_json:
        typer.echo(f"report: {folder.page}", err=True)
        print_json(folder.summary())
    else:
        typer.echo(str(folder.page))


def _draw(folder: Path, record: RunRecord) -> Path:
    """Figures and page; imported late, since what draws them takes a second to load."""
    from affectscope.report import write_report

    return write_report(folder, record)


def report(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
) -> None:
    """Draw the figures and the report of a run anew from its results."""
    from affectscope.runs.folder import RunFolder

    run_folder = RunFolder(folder)
    run_folder.record  # noqa: B018 - raises where there is no run, so that none is begun
    context.obj.run_path = folder

    from affectscope.report import write_report

    with run_folder.lock():
        page = write_report(folder)
    typer.echo(str(page))
