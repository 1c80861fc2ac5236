"""``affectscope monitor``: emotion and appraisals in a chat, turn by turn, with alarms."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectscope.cli import options as o
from affectscope.errors import AffectscopeError, UsageError

if TYPE_CHECKING:
    from affectscope.models import LanguageModel
    from affectscope.monitor import Monitor, MonitorProbes, TurnReading
    from affectscope.monitor.conversation import Message
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
    chat = _Chat(Monitor(lm, used), per_token)
    for number, turn in _turns():
        with _at_line(number):
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


def _turns() -> Iterator[tuple[int, dict[str, str]]]:
    """The turns on stdin as they come, with their lines' numbers."""
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.strip():
            yield number, _turn(number, line)


def _turn(number: int, line: bytes) -> dict[str, str]:
    try:
        turn = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise _malformed(number, f"it is not JSON ({error})") from error
    if not isinstance(turn, dict):
        raise _malformed(number, "it is not a JSON object")
    keys = set(turn)
    if keys not in ({"text"}, {"role", "content"}):
        raise _malformed(number, f"it has the keys {', '.join(sorted(keys)) or 'none'}")
    if "role" in turn and turn["role"] not in ("user", "assistant"):
        raise _malformed(number, f"its role is {turn['role']!r}")
    said = turn.get("text", turn.get("content"))
    if not isinstance(said, str) or not said.strip():
        raise _malformed(number, "it has no text")
    return turn


def _malformed(number: int, what: str) -> UsageError:
    return UsageError(
        f"line {number} of stdin cannot be used: {what}",
        expected='{"role": "user" or "assistant", "content": "..."} or {"text": "..."}',
        remedy="correct the line; what was printed for the lines before it holds",
    )


@contextmanager
def _at_line(number: int) -> Iterator[None]:
    """An error inside names the line."""
    try:
        yield
    except AffectscopeError as error:
        raise type(error)(
            f"line {number} of stdin: {error.message}",
            expected=error.expected,
            remedy=error.remedy,
        ) from error


@dataclass
class _Chat:
    """Reads turns in the order in which they come, and prints what was read."""

    monitor: Monitor
    per_token: bool
    _messages: list[Message] = field(default_factory=list)
    _forgotten: int = 0
    _n: int = 0

    def take(self, turn: dict[str, str]) -> None:
        from affectscope.monitor.conversation import context_of, has_chat_format

        tokenizer = self.monitor.lm.tokenizer
        if "text" in turn:
            self._print(self.monitor.read([turn["text"]])[0], {"role": None, "forgotten": 0})
            return
        role = turn["role"]
        self._forget_what_does_not_fit(
            lambda messages: context_of(tokenizer, messages, role) + turn["content"],
            least=0 if role == "user" else 1,
        )
        before = context_of(tokenizer, self._messages, role)
        kind: Any = role if has_chat_format(tokenizer) else "text"
        read = self.monitor.read([turn["content"]], after=[before], kind=kind)[0]
        self._messages.append(turn)
        self._print(read, {"role": role, "forgotten": self._forgotten})

    def reply(self, *, max_new_tokens: int, temperature: float, seed: int) -> None:
        from affectscope.monitor.conversation import reply_prompt

        if not self._messages or self._messages[-1]["role"] != "user":
            raise UsageError(
                "--reply has nothing to answer: the chat's last turn is not the user's",
                expected='a last line {"role": "user", "content": "..."}',
                remedy="add it, or leave --reply out",
            )
        tokenizer = self.monitor.lm.tokenizer
        self._forget_what_does_not_fit(
            lambda messages: reply_prompt(tokenizer, messages), least=1, new=max_new_tokens
        )
        written, turns = self.monitor.generate(
            [reply_prompt(tokenizer, self._messages)],
            kind="assistant",
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
        )
        said = {"role": "assistant", "forgotten": self._forgotten, "text": written.texts[0]}
        self._print(turns[0], said)

    def _forget_what_does_not_fit(
        self, prompt_of: Callable[[Sequence[Message]], str], *, least: int, new: int = 0
    ) -> None:
        """Drop the oldest turns that leave no room in the model's context, and say so once."""
        from affectscope.monitor.conversation import recent

        lm = self.monitor.lm
        limit = lm.context_length
        if limit is None:
            return

        def fits(messages: Sequence[Message]) -> bool:
            return len(lm.tokenizer.encode(prompt_of(messages))) + new <= limit

        kept = list(recent(self._messages, fits, least=least))
        if len(kept) < len(self._messages) and not self._forgotten:
            typer.echo(
                f"the chat has outgrown the model's context of {limit:,} tokens: its oldest turns "
                "are left out",
                err=True,
            )
        self._forgotten += len(self._messages) - len(kept)
        self._messages = kept

    def _print(self, read: TurnReading, said: dict[str, Any]) -> None:
        from affectscope.atomic import plain

        self._n += 1
        line = {"turn": self._n, **said, **read.as_dict(per_token=self.per_token)}
        typer.echo(json.dumps(_rounded(plain(line)), ensure_ascii=False, allow_nan=False))
        sys.stdout.flush()


def _rounded(value: Any) -> Any:
    """Numbers to four decimals: more would say nothing of a reading."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    return [_rounded(entry) for entry in value] if isinstance(value, list) else value
