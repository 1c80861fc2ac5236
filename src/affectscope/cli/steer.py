"""``affectscope steer``: what a model writes while appraisals or emotions are moved inside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_json, shown
from affectscope.cli.stdin import read_stdin
from affectscope.cli.task import load_task
from affectscope.errors import UsageError

if TYPE_CHECKING:
    from affectscope.engine import SteeringVector
    from affectscope.models import Generation, LanguageModel
    from affectscope.prompts import EmotionTask
    from affectscope.runs.config import RunConfig

Prompts = Annotated[
    list[str],
    typer.Option(
        "--prompt", metavar="TEXT", help="What to go on from; may be repeated; - reads stdin."
    ),
]
Moved = Annotated[
    str | None,
    typer.Option("--set", metavar="APPRAISAL=SIZE,...", help="Appraisals to move."),
]
Held = Annotated[
    str | None,
    typer.Option("--hold", metavar="LIST", help="Appraisals to hold; none when not given."),
]
Emotion = Annotated[
    str | None, typer.Option("--emotion", metavar="EMOTION=SIZE,...", help="Emotions to move.")
]
Vectors = Annotated[
    list[str] | None,
    typer.Option("--vector", metavar="FOLDER|FILE|HUB-ID", help="A vector made before."),
]
Coefficient = Annotated[
    float | None,
    typer.Option(
        metavar="C",
        help="Length of a move of size 1, in mean lengths of the residual stream (default 0.15; "
        "of a --vector, its own)",
        show_default=False,
    ),
]
Layer = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Layer that it is centred on (default: at 75 % of depth)", min=0
    ),
]
Width = Annotated[int, typer.Option("--span", metavar="N", help="Layers that share it.")]
Kind = Annotated[
    str,
    typer.Option(
        "--direction", metavar="means|probe", help="Difference of means, or a probe's weights."
    ),
]
Steered = Annotated[
    str,
    typer.Option(
        metavar="last|generated|all",
        help="Steered tokens: the prompt's last; it and what is written; or all.",
    ),
]
Chat = Annotated[
    bool | None,
    typer.Option(
        "--chat/--no-chat",
        help="Put the prompt into the model's chat format (default: where it has one)",
        show_default=False,
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write the vector and its card here, for export."),
]


def steer(
    context: typer.Context,
    *,
    prompt: Prompts,
    set: Moved = None,  # noqa: A002 - the flag's name
    hold: Held = None,
    emotion: Emotion = None,
    vector: Vectors = None,
    coefficient: Coefficient = None,
    layer: Layer = None,
    span: Width = 3,
    direction: Kind = "means",
    steered: Steered = "generated",
    compare: Annotated[
        bool, typer.Option("--compare", help="The same without steering, beside it.")
    ] = False,
    samples: Annotated[int, typer.Option(metavar="N", min=1, help="Texts for each prompt.")] = 1,
    max_new_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Tokens written at most.")
    ] = 80,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Of the draws; 0 takes the most probable token.")
    ] = 0.8,
    top_k: Annotated[
        int, typer.Option(metavar="N", min=0, help="Draw among the N most probable; 0 for all.")
    ] = 50,
    top_p: Annotated[
        float, typer.Option(metavar="P", help="And among the fewest that hold this share.")
    ] = 1.0,
    chat: Chat = None,
    save: Save = None,
    model: o.Model = None,
    revision: o.Revision = None,
    data: o.Data = None,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    label_map: o.LabelMap = None,
    group_column: o.GroupColumn = None,
    split: o.Split = None,
    encoding: o.Encoding = None,
    limit: o.Limit = None,
    template: o.Template = None,
    seed: o.Seed = None,
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
    """Let a model write while appraisals or emotions are moved inside it.

    Vectors are fitted to a corpus (--data), once, and kept in the user's cache; or made before and
    given with --vector.
    """
    from affectscope.runs.config import resolve_config

    _check(set, hold, emotion, vector, direction=direction, steered=steered, save=save)
    flags = {k: v for k, v in o.given_flags(context).items() if k not in ("set", "hold", "span")}
    config = resolve_config(flags)
    texts = [_text(each) for each in prompt]
    lm, task = load_task(config)
    vectors = _given(vector or (), coefficient)
    if set or emotion:
        vectors += _made(
            config, task, set, hold, emotion,
            layer=layer, span=span, kind=direction, coefficient=coefficient,
        )  # fmt: skip
    if save is not None:
        vectors[0].save_pretrained(save)
        typer.echo(f"the vector {vectors[0].name} is in {save}", err=True)
    chatting = _has_chat(lm) if chat is None else chat
    rows = [text for text in texts for _ in range(samples)]
    stream = sys.stdout.isatty() and len(rows) == 1 and not compare and not as_json
    options: dict[str, Any] = {
        "steered": steered,
        "chat": chatting,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
    }
    seeds = [config.seed + k for k in range(len(rows))]
    if compare:
        both = lm.generate(
            [*rows, *rows],
            steering_each=[*[vectors] * len(rows), *[()] * len(rows)],
            seed=[*seeds, *seeds],
            **options,
        )
    else:
        both = lm.generate(
            rows, steering=vectors, seed=seeds, on_text=_say if stream else None, **options
        )
    if stream:
        typer.echo()
    elif as_json:
        print_json(_answer(lm, vectors, rows, both, seeds=seeds, options=options))
    else:
        _print_people(rows, both.texts)


def _check(
    moved: str | None,
    hold: str | None,
    emotion: str | None,
    vector: Sequence[str] | None,
    *,
    direction: str,
    steered: str,
    save: Path | None,
) -> None:
    """Raise for what can be told to be wrong before anything is loaded."""
    for given, name, allowed in (
        (direction, "--direction", ("means", "probe")),
        (steered, "--steered", ("last", "generated", "all")),
    ):
        if given not in allowed:
            raise UsageError(f"{name} {given}", expected=" or ".join(allowed))
    if not (moved or emotion or vector):
        raise UsageError(
            "nothing is to be moved",
            expected="--set pleasantness=+2, --emotion joy=+2, or --vector FOLDER",
            remedy="name what to move; `affectscope infer` reads emotions without moving any",
        )
    if hold and not moved:
        raise UsageError(
            "--hold says what stays while an appraisal is moved, and none is",
            expected="--hold together with --set",
            remedy="leave it out, or name appraisals with --set",
        )
    if save is not None and sum(map(bool, (moved, emotion, vector))) > 1:
        raise UsageError(
            "--save writes one vector, and there are several",
            expected="one of --set, --emotion and --vector",
            remedy="save them one by one",
        )


def _text(given: str) -> str:
    text = read_stdin() if given == "-" else given
    if not text.strip():
        raise UsageError(
            "a prompt is empty",
            expected="some words to go on from",
            remedy='give --prompt "This morning I"',
        )
    return text


def _given(names: Sequence[str], coefficient: float | None) -> list[SteeringVector]:
    from affectscope.engine import SteeringVector

    read = [SteeringVector.from_pretrained(name) for name in names]
    return read if coefficient is None else [one.with_coefficient(coefficient) for one in read]


def _made(
    config: RunConfig,
    task: EmotionTask,
    moved: str | None,
    hold: str | None,
    emotion: str | None,
    *,
    layer: int | None,
    span: int,
    kind: Any,
    coefficient: float | None,
) -> list[SteeringVector]:
    from affectscope.analyses.steer import COEFFICIENT, steering_vectors
    from affectscope.data import load_corpus
    from affectscope.prompts import EmotionTask

    corpus = load_corpus(config.data, **config.corpus_options).sample(config.limit, config.seed)
    named = EmotionTask(task.lm, template=task.template, labels=corpus.labels)
    typer.echo(
        f"fitting to {len(corpus)} items of {corpus.name}, unless that was done ...", err=True
    )
    return steering_vectors(
        named,
        corpus,
        appraisals=moved,
        hold=hold,
        emotions=emotion,
        layer=layer,
        span=span,
        kind=kind,
        coefficient=COEFFICIENT if coefficient is None else coefficient,
        seed=config.seed,
        keep=True,
    )


def _has_chat(lm: LanguageModel) -> bool:
    return bool(getattr(lm.tokenizer, "chat_template", None))


def _say(_row: int, piece: str) -> None:
    typer.echo(shown(piece), nl=False)


def _answer(
    lm: LanguageModel,
    vectors: Sequence[SteeringVector],
    rows: Sequence[str],
    both: Generation,
    *,
    seeds: Sequence[int],
    options: dict[str, Any],
) -> dict[str, Any]:
    """Everything, for programs; the unsteered text where it was asked for."""
    texts = [
        {"prompt": text, "seed": seeds[k], "steered": both.texts[k], "ended": both.ended[k]}
        for k, text in enumerate(rows)
    ]
    for k, text in enumerate(both.texts[len(rows) :]):
        texts[k]["unsteered"] = text
    said = [
        {"name": v.name, "layers": v.layers, "coefficient": v.coefficient, **v.about}
        for v in vectors
    ]
    return {"model": lm.describe(), "vectors": said, "options": options, "texts": texts}


def _print_people(rows: Sequence[str], texts: Sequence[str]) -> None:
    """Steered texts, with the unsteered ones beside them where there are any."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    comparing = len(texts) > len(rows)
    console = Console(highlight=False)
    for k, prompt in enumerate(rows):
        if len(rows) > 1:
            console.print(Text(shown(prompt), style="bold"))
        if not comparing:
            console.print(Text(shown(texts[k]).strip()))
            continue
        table = Table("steered", "unsteered", box=None, padding=(0, 2, 1, 0), expand=True)
        table.columns[0].ratio = table.columns[1].ratio = 1
        table.add_row(Text(shown(texts[k]).strip()), Text(shown(texts[len(rows) + k]).strip()))
        console.print(table)
