"""The options that commands share.

Values are taken as text and judged in one place, :func:`affectscope.runs.config.resolve_config`,
whether they come from a flag, the environment or a file; so are defaults and what is allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from affectscope.runs.config import RunConfig


def _option(key: str, metavar: str) -> Any:
    field = RunConfig.model_fields[key]
    described = (field.description or "").replace("`", "").rstrip(".")
    default = "" if field.default is None else f"; default {_default(field.default)}"
    return typer.Option(
        f"--{key.replace('_', '-')}",
        metavar=metavar,
        help=f"{described} ({RunConfig.allowed(key)}{default})",
        show_default=False,
    )


def _switch(key: str) -> Any:
    name = key.replace("_", "-")
    return typer.Option(
        f"--{name}/--no-{name}", help=RunConfig.model_fields[key].description, show_default=False
    )


def _default(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


Model = Annotated[str | None, _option("model", "NAME")]
Revision = Annotated[str | None, _option("revision", "REVISION")]
Data = Annotated[str | None, _option("data", "NAME|PATH|HUB-ID")]
TextColumn = Annotated[str | None, _option("text_column", "COLUMN")]
LabelColumn = Annotated[str | None, _option("label_column", "COLUMN")]
LabelMap = Annotated[str | None, _option("label_map", "LABEL=NAME,...|FILE")]
Split = Annotated[str | None, _option("split", "NAME")]
Readers = Annotated[str | None, _option("readers", "FILE")]
GroupColumn = Annotated[str | None, _option("group_column", "COLUMN")]
Encoding = Annotated[str | None, _option("encoding", "NAME")]
Template = Annotated[str | None, _option("template", "NAME")]
CalibrationName = Annotated[str | None, _option("calibration", "NAME")]
Experiments = Annotated[str | None, _option("experiments", "LIST")]
Limit = Annotated[str | None, _option("limit", "N")]
Seed = Annotated[str | None, _option("seed", "N")]
Pairs = Annotated[str | None, _option("pairs", "N")]
Span = Annotated[str | None, _option("span", "N")]
Spans = Annotated[str | None, _option("spans", "LIST")]
Positions = Annotated[str | None, _option("positions", "LIST")]
Heads = Annotated[bool | None, _switch("heads")]
AblateItems = Annotated[str | None, _option("ablate_items", "N")]
AttendItems = Annotated[str | None, _option("attend_items", "N")]
ControlItems = Annotated[str | None, _option("control_items", "N")]
ControlPairs = Annotated[str | None, _option("control_pairs", "N")]
RobustItems = Annotated[str | None, _option("robust_items", "N")]
RobustPairs = Annotated[str | None, _option("robust_pairs", "N")]
Templates = Annotated[str | None, _option("templates", "LIST")]
PromoteItems = Annotated[str | None, _option("promote_items", "N")]
SurgeryItems = Annotated[str | None, _option("surgery_items", "N")]
Set = Annotated[str | None, _option("set", "NAME=SIZE,...")]
Hold = Annotated[str | None, _option("hold", "LIST")]
Steer = Annotated[str | None, _option("steer", "LIST")]
Judge = Annotated[str | None, _option("judge", "NAME|PATH|HUB-ID")]
GeneratePrompts = Annotated[str | None, _option("generate_prompts", "N")]
GenerateTexts = Annotated[str | None, _option("generate_texts", "N")]
GenerateTokens = Annotated[str | None, _option("generate_tokens", "N")]
GenerateRandom = Annotated[str | None, _option("generate_random", "N")]
Folds = Annotated[str | None, _option("folds", "N")]
ProbeMlp = Annotated[bool | None, _switch("probe_mlp")]
Device = Annotated[str | None, _option("device", "DEVICE")]
DeviceMap = Annotated[str | None, _option("device_map", "auto")]
MaxMemory = Annotated[str | None, _option("max_memory", "DEVICE=SIZE,...")]
OffloadFolder = Annotated[str | None, _option("offload_folder", "FOLDER")]
Dtype = Annotated[str | None, _option("dtype", "DTYPE")]
BatchSize = Annotated[str | None, _option("batch_size", "N|auto")]
Out = Annotated[str | None, _option("out", "FOLDER")]
Strict = Annotated[bool | None, _switch("strict")]
TrustRemoteCode = Annotated[bool | None, _switch("trust_remote_code")]
KeepActivations = Annotated[bool | None, _switch("keep_activations")]

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file with options; flags beat it."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def given_flags(context: typer.Context) -> dict[str, Any]:
    """The options of a run that were given as flags."""
    return {key: value for key, value in context.params.items() if key in RunConfig.model_fields}
