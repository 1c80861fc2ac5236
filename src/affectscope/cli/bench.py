"""``affectscope bench``: how fast the sweep is on a model and a machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_columns, print_json
from affectscope.cli.task import load_task

if TYPE_CHECKING:
    from affectscope.bench import Speed


def bench(
    context: typer.Context,
    *,
    model: o.Model = None,
    revision: o.Revision = None,
    template: o.Template = None,
    items: Annotated[int, typer.Option(metavar="N", min=2, max=512, help="Vignettes used.")] = 16,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="How often it is timed.")] = 3,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    max_memory: o.MaxMemory = None,
    offload_folder: o.OffloadFolder = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    trust_remote_code: o.TrustRemoteCode = None,
    as_json: o.AsJson = False,
) -> None:
    """Time activation patching by the sweep and by full passes, on this model and machine."""
    from affectscope.runs.config import resolve_config

    config = resolve_config(o.given_flags(context))
    lm, task = load_task(config)

    from affectscope.bench import measure_speed
    from affectscope.data import load_corpus

    texts = load_corpus("vignettes").sample(items, config.seed).texts
    speed = measure_speed(lm, task.prompts(texts), task.label_ids, rounds=rounds)
    if as_json:
        print_json({"model": lm.describe(), **asdict(speed)})
    else:
        print_columns(_rows(speed))


def _rows(speed: Speed) -> list[list[str]]:
    return [
        [
            "the job",
            f"{speed.prompts} prompts of {speed.tokens_per_prompt:.0f} tokens "
            f"({speed.shared_prefix} shared), {speed.interventions} interventions each",
        ],
        ["clean pass", f"{speed.clean_ms:.3g} ms a prompt"],
        ["sweep alone", f"{speed.sweep_ms:.3g} ms an intervention"],
        ["with clean passes", f"{speed.total_ms:.3g} ms an intervention"],
        ["a full pass each", f"{speed.full_pass_ms:.3g} ms an intervention"],
        ["ratio", f"{speed.ratio:.0f} times faster"],
        ["largest difference", f"{speed.largest_difference:.1e} of a logit"],
        [
            "matrix products",
            f"{speed.product_rate / 1e9:.0f} GFLOP/s; the sweep reaches {speed.share:.0%} of it",
        ],
    ]
