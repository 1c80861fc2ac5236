"""``affectscope monitor``: emotion and appraisals in a chat, turn by turn, with alarms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectscope.cli import options as o
from affectscope.cli.chat_lines import Chat, at_line, turns_on_stdin
from affectscope.errors import UsageError

if TYPE_CHECKING:
    from affectscope.models import LanguageModel
    from affectscope.monitor import MonitorProbes
    from affectscope.runs.config import RunConfig

RATE = 0.05
TEMPERATURE = 0.8


def monitor(
    context: typer.Context,
    *,
    model: o.Model = None,
    revision: o.Revision = None,
    probes: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Probes that --save wrote; else they are fitted to --data."
        ),
    ] = None,
    data: o.Data = None,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    group_column: o.GroupColumn = None,
    limit: o.Limit = None,
    layer: Annotated[
        int | None,
        typer.Option(metavar="N", help="Layer to fit probes at (default: the best out of fold)."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the probes and thresholds there.")
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help=f"Share of neutral turns that may raise an alarm (default {RATE:g})",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Emotions and appraisals that can raise an alarm (default: the negative ones)",
            show_default=False,
        ),
    ] = None,
    neutral: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Neutral texts of your own for the thresholds, one a line (default: those that "
            "come with the package)",
            show_default=False,
        ),
    ] = None,
    reply: Annotated[
        bool, typer.Option("--reply", help="Let the model answer the user's last turn.")
    ] = False,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens of the reply at most.")
    ] = 60,
    temperature: Annotated[
        float, typer.Option(metavar="T", min=0, help="Of the reply's draws; 0 for none.")
    ] = TEMPERATURE,
    per_token: Annotated[
        bool, typer.Option("--per-token", help="Print every token's readings too.")
    ] = False,
    seed: o.Seed = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    max_memory: o.MaxMemory = None,
    offload_folder: o.OffloadFolder = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    strict: o.Strict = None,
    trust_remote_code: o.TrustRemoteCode = None,
) -> None:
    """Read a chat turn by turn, and tell where an emotion stands out.

    stdin has one JSON object a line: {"role": "user" or "assistant", "content": "..."}, the turns
    of one chat, or {"text": "..."}, a text of its own. Each gets a JSON line on stdout at once.
    """
    from affectscope.runs.config import resolve_config

    config = resolve_config(o.given_flags(context))
    asked = _Asked(
        watched=None if watch is None else tuple(name.strip() for name in watch.split(",")),
        rate=false_alarm_rate,
        neutral=None if neutral is None else _neutral_texts(neutral),
        layer=layer,
    )
    _refuse_conflicts(context, asked, probes)

    from affectscope.models import load_model
    from affectscope.monitor import Monitor

    lm = load_model(config.model, **config.load_options)
    used = _fitted(lm, config, asked) if probes is None else _read(lm, probes, config, asked)
    if save is not None:
        typer.echo(f"probes written to {used.save_pretrained(save)}", err=True)
    chat = Chat(Monitor(lm, used), per_token)
    for number, turn in turns_on_stdin():
        with at_line(number):
            chat.take(turn)
    if reply:
        chat.reply(max_new_tokens=max_new_tokens, temperature=temperature, seed=config.seed)


@dataclass(frozen=True)
class _Asked:
    """What the options say of probes and thresholds; None where they say nothing."""

    watched: tuple[str, ...] | None
    rate: float | None
    neutral: list[str] | None
    layer: int | None

    @property
    def of_thresholds(self) -> bool:
        return any(one is not None for one in (self.watched, self.rate, self.neutral))


def _refuse_conflicts(context: typer.Context, asked: _Asked, probes: Path | None) -> None:
    if asked.rate is not None and not 0 < asked.rate < 1:
        raise UsageError(
            f"--false-alarm-rate {asked.rate}",
            expected="a share above 0 and below 1, such as 0.05",
        )
    if probes is None:
        return
    for key in ("data", "text_column", "label_column", "group_column", "limit", "layer"):
        if context.params[key] is not None:
            option = f"--{key.replace('_', '-')}"
            raise UsageError(
                f"{option} is for fitting probes, and --probes names some",
                expected="one of them",
                remedy=f"leave {option} out, or fit anew without --probes",
            )


def _fitted(lm: LanguageModel, config: RunConfig, asked: _Asked) -> MonitorProbes:
    from affectscope.data import load_corpus
    from affectscope.monitor import fit_monitor

    corpus = load_corpus(config.data, **config.corpus_options).sample(config.limit, config.seed)
    typer.echo(f"fitting probes to {len(corpus):,} items of {corpus.name}", err=True)
    probes = fit_monitor(
        lm,
        corpus,
        layer=asked.layer,
        neutral=asked.neutral,
        watched=asked.watched,
        false_alarm_rate=RATE if asked.rate is None else asked.rate,
        seed=config.seed,
    )
    quality = probes.about["quality"]
    typer.echo(
        f"layer {probes.layer}: {quality['accuracy']:.0%} of the emotions right out of fold "
        f"(chance {quality['chance']:.0%})",
        err=True,
    )
    return probes


def _read(lm: LanguageModel, folder: Path, config: RunConfig, asked: _Asked) -> MonitorProbes:
    """Probes as they were saved, with new thresholds where an option asks for others."""
    from affectscope.monitor import Monitor, MonitorProbes, calibrate

    probes = MonitorProbes.from_pretrained(folder)
    Monitor(lm, probes)  # which refuses another model's before they are calibrated on this one
    if not asked.of_thresholds and probes.thresholds:
        return probes
    saved = next(iter(probes.thresholds.values()), None)
    return calibrate(
        lm,
        probes,
        asked.neutral,
        watched=asked.watched or (saved.watched if saved else None),
        false_alarm_rate=asked.rate or (saved.false_alarm_rate if saved else RATE),
        seed=config.seed,
    )


def _neutral_texts(file: Path) -> list[str]:
    """The lines of a file that are not empty."""
    from affectscope.data.table_file import read_file

    try:
        lines = read_file(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8", expected="a text in UTF-8 on each line") from error
    return [line.strip() for line in lines if line.strip()]
