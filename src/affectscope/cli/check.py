"""``affectscope models check``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_columns, print_json
from affectscope.cli.task import load_task

models_app = typer.Typer(no_args_is_help=True)


@models_app.callback()
def _models() -> None:
    """Look at a model."""


@models_app.command("check")
def models_check(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name, Hub id or local folder.")],
    *,
    revision: o.Revision = None,
    template: o.Template = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    max_memory: o.MaxMemory = None,
    offload_folder: o.OffloadFolder = None,
    dtype: o.Dtype = None,
    strict: o.Strict = None,
    trust_remote_code: o.TrustRemoteCode = None,
    as_json: o.AsJson = False,
) -> None:
    """Load a model and check that affectscope can read and edit it. Exit code 1 if it cannot."""
    from affectscope.runs.config import resolve_config

    config = resolve_config({**o.given_flags(context), "model": name})
    lm, task = load_task(config)
    found = {
        "model": lm.describe(),
        "sites": list(lm.sites),
        "heads": lm.n_heads,
        "engine": lm.engine,
        "self_check": [asdict(check) for check in lm.checks],
        "label_tokens": task.describe()["label_tokens"],
        "warnings": task.warnings,
    }
    if as_json:
        print_json(found)
    else:
        _print_model(found)
    if lm.engine != "sweep":
        raise typer.Exit(1)


def _print_model(found: dict[str, Any]) -> None:
    print_columns([[key, str(value)] for key, value in found["model"].items()])
    heads = f" and head_out[0] to head_out[{found['heads'] - 1}]" if found["heads"] else ""
    typer.echo(f"\nsites: {', '.join(found['sites'])}{heads} at each layer")
    typer.echo("\nself-check")
    print_columns(
        [
            ["passed" if c["passed"] else "FAILED", c["name"], _measured(c), c["detail"]]
            for c in found["self_check"]
        ]
    )
    slow = "" if found["engine"] == "sweep" else " (slower: the model failed its self-check)"
    typer.echo(f"engine: {found['engine']}{slow}")
    typer.echo("\nlabel tokens")
    print_columns(
        [
            [
                token["label"],
                " ".join(repr(piece) for piece in token["tokens"]),
                _shared(token["shares_first_token_with"]),
            ]
            for token in found["label_tokens"]
        ]
    )
    for warning in found["warnings"]:
        typer.echo(warning)


def _measured(check: dict[str, Any]) -> str:
    return f"{check['value']:.2g} (at most {check['tolerance']:.2g})"


def _shared(labels: list[str]) -> str:
    return f"first token shared with {', '.join(labels)}" if labels else ""
