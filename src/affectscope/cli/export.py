"""``affectscope export``: a steering vector as a file, for llama.cpp, or on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from affectscope.errors import UsageError

if TYPE_CHECKING:
    from affectscope.vectors import SteeringVector

Target = Literal["safetensors", "gguf", "hub"]
"""What a vector can become."""


def export(
    vector: Annotated[
        str,
        typer.Argument(
            metavar="VECTOR",
            help="A folder that `affectscope steer --save` wrote, a .safetensors file, or "
            "OWNER/NAME on the Hub.",
        ),
    ],
    *,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="|".join(get_args(Target)),
            help="safetensors, with a model card; gguf, a control vector for llama.cpp; or hub.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="PATH|OWNER/NAME",
            help="A folder for safetensors, a file for gguf, a repository for hub.",
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Branch, tag or commit of a VECTOR on the Hub."),
    ] = None,
    coefficient: Annotated[
        float | None,
        typer.Option(
            metavar="C",
            help="How much is added, in mean lengths of the residual stream (default: as it is)",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another name for it.", show_default=False)
    ] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who may see the repository on the Hub (default private)",
            show_default=False,
        ),
    ] = None,
    model_hint: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="For gguf: the model's family as GGUF names it (default llama)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a steering vector for others to use.

    Prints where it is.
    """
    _check(to, private, model_hint)
    from dataclasses import replace

    from affectscope.vectors import SteeringVector

    read = SteeringVector.from_pretrained(vector, revision=revision)
    if coefficient is not None:
        read = read.with_coefficient(coefficient)
    if name is not None:
        read = replace(read, name=name)
    typer.echo(_written(read, to, out, private is not False, model_hint or "llama"))


def _check(to: str, private: bool | None, model_hint: str | None) -> None:
    """Raise for a target that there is not, and for options of another target."""
    if to not in get_args(Target):
        raise UsageError(f"--to {to}", expected=" or ".join(get_args(Target)))
    for given, option, target in (
        (private, "--private/--public", "hub"),
        (model_hint, "--model-hint", "gguf"),
    ):
        if given is not None and to != target:
            raise UsageError(
                f"{option} says nothing about --to {to}",
                expected=f"{option} only with --to {target}",
                remedy="leave it out",
            )


def _written(vector: SteeringVector, to: str, out: str, private: bool, model_hint: str) -> str:
    """Write it; returns where it is."""
    if to == "hub":
        return vector.push_to_hub(out, private=private)
    if to == "gguf":
        from affectscope.vectors import write_gguf

        return str(write_gguf(vector, out, model_hint=model_hint))
    if Path(out).suffix == ".safetensors":
        raise UsageError(
            f"--out {out} names a file",
            expected="a folder, which gets the file and its card",
            remedy=f"give --out {Path(out).with_suffix('')}",
        )
    return str(vector.save_pretrained(Path(out)))
