"""``affectscope infer``: the emotions a model reads in a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_columns, print_json
from affectscope.cli.stdin import read_stdin
from affectscope.cli.task import load_task
from affectscope.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from affectscope.runs.config import RunConfig


def infer(
    context: typer.Context,
    texts: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="One or more texts; - reads one from stdin."),
    ],
    *,
    model: o.Model = None,
    revision: o.Revision = None,
    template: o.Template = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How scores are corrected (none or content-free, or batch for several texts; "
            "default content-free)",
            show_default=False,
        ),
    ] = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    max_memory: o.MaxMemory = None,
    offload_folder: o.OffloadFolder = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    strict: o.Strict = None,
    trust_remote_code: o.TrustRemoteCode = None,
    as_json: o.AsJson = False,
) -> None:
    """Tell which emotions a model reads in a text.

    Prints how probable the model finds each of the 13, raw and calibrated.
    """
    from affectscope.runs.config import resolve_config

    # Batch calibration, the default of a run, is fitted on many texts; here there are few.
    config = resolve_config(o.given_flags(context), defaults={"calibration": "content-free"})
    if config.calibration == "batch" and len(texts) < 2:
        raise UsageError(
            "batch calibration cannot be fitted on one text",
            expected="several texts, or the calibration none or content-free",
            remedy="give --calibration content-free",
        )
    read = _checked(texts)
    lm, task = load_task(config)
    scores = task.score_texts(read)
    for warning in task.warnings:
        typer.echo(warning, err=True)
    answers = [_answer(text, rows) for text, (_, rows) in zip(read, _by_text(scores), strict=True)]
    if as_json:
        print_json({**_asked(config, lm.describe()), "texts": answers})
    else:
        _print_people(answers, config.calibration)


def _checked(texts: list[str]) -> list[str]:
    """The texts, with ``-`` read from stdin; each must be usable."""
    from affectscope.data.assembly import MAX_WORDS

    read = [(read_stdin() if text == "-" else text).strip() for text in texts]
    for text in read:
        n_words = len(text.split())
        if not 1 <= n_words <= MAX_WORDS:
            raise UsageError(
                "the text is empty" if not text else f"the text has {n_words:,} words",
                expected=f"a text of 1 to {MAX_WORDS:,} words",
                remedy="describe one situation in a few sentences",
            )
    return read


def _by_text(scores: pd.DataFrame) -> Any:
    return scores.sort_values(["text", "p"], ascending=[True, False]).groupby("text")


def _asked(config: RunConfig, model: dict[str, Any]) -> dict[str, Any]:
    return {"model": model, "template": config.template, "calibration": config.calibration}


def _answer(text: str, rows: pd.DataFrame) -> dict[str, Any]:
    """What the model says of one text, the most probable emotion first."""
    labels = rows[["label", "logit", "p_raw", "p"]].to_dict(orient="records")
    return {"text": text, "label": labels[0]["label"], "labels": labels}


def _print_people(answers: list[dict[str, Any]], calibration: str) -> None:
    for answer in answers:
        if len(answers) > 1:
            typer.echo(f"{answer['text']}")
        calibrated = [] if calibration == "none" else [calibration]
        rows = [["emotion", *calibrated, "raw"]]
        for label in answer["labels"]:
            cells = [label["p"], label["p_raw"]] if calibrated else [label["p_raw"]]
            rows.append([label["label"], *(f"{100 * share:.1f} %" for share in cells)])
        print_columns(rows, right=(1, 2))
