"""The options of a run, and where each comes from.

A flag beats the environment (``AFFECTSCOPE_SEED``), which beats the YAML file, which beats the
default. An unknown key or an impossible value is an error that says where it came from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from affectscope.errors import ConfigError, UsageError
from affectscope.memory_limits import MEMORY_LIMITS
from affectscope.runs.config_sources import from_environment, from_file
from affectscope.runs.option_types import (
    AT_LEAST_ONE,
    Allowed,
    Column,
    Count,
    LabelMap,
    Switch,
    Whole,
    memory_limits,
    named_path,
    split_experiments,
    split_names,
    split_positions,
    split_spans,
    split_templates,
    text_encoding,
)
from affectscope.vocabulary import CALIBRATIONS, EXPERIMENTS, Calibration, ExperimentName

_LOAD_OPTIONS = (
    "revision",
    "dtype",
    "device",
    "device_map",
    "max_memory",
    "offload_folder",
    "batch_size",
    "strict",
    "trust_remote_code",
)

_CORPUS_OPTIONS = (
    "text_column",
    "label_column",
    "group_column",
    "encoding",
    "label_map",
    "split",
)


class RunConfig(BaseModel):
    """Everything a run is asked to do, resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: Annotated[str, Field(min_length=1), Allowed("a name, Hub id or local folder")] = (
        "smollm2-135m"
    )
    """The model."""
    revision: Annotated[str | None, Allowed("a branch, tag or commit of the Hub")] = None
    """Revision of a Hub model."""
    data: Annotated[
        str, Field(min_length=1), Allowed("a corpus name, a file, a folder, or a Hub data set")
    ] = "vignettes"
    """The corpus."""
    split: Annotated[
        str | None, Field(min_length=1), Allowed("the name of a split; else its only one, or train")
    ] = None
    """Split of a Hugging Face data set."""
    text_column: Column = None
    """Column with the text."""
    label_column: Column = None
    """Column with the emotion."""
    label_map: LabelMap = None
    """What labels of the corpus are called; those called - are left out."""
    group_column: Column = None
    """Column that tells which items belong together, such as the author."""
    encoding: Annotated[
        str | None, AfterValidator(text_encoding), Allowed("an encoding such as utf-8")
    ] = None
    """Encoding of the file; found out when not given."""
    template: Annotated[
        str,
        Field(min_length=1),
        Allowed(
            "a name; chat or chat:NAME for the model's chat format; or your own as TEXT with "
            "{text} once, NAME=TEXT, @FILE or NAME=@FILE"
        ),
    ] = "joy_sadness_0"
    """Prompt template."""
    calibration: Annotated[Calibration, Allowed(" or ".join(CALIBRATIONS))] = "batch"
    """How label scores are corrected for the prompt's own preferences."""
    readers: Annotated[Path | None, BeforeValidator(named_path), Allowed("a file")] = None
    """The readers' ratings of crowd-enVENT, to compare the model with."""
    experiments: Annotated[
        tuple[ExperimentName, ...] | None,
        BeforeValidator(split_experiments),
        Allowed(f"a comma list of {', '.join(EXPERIMENTS)}"),
    ] = None
    """Which experiments to do; all that apply when not given."""
    limit: Annotated[Count | None, Whole, AT_LEAST_ONE] = None
    """At most so many items, drawn by the seed."""
    seed: Annotated[int, Whole, Field(ge=0, lt=2**32), Allowed("a whole number, 0 to 2^32 - 1")] = 0
    """Seed of every random choice."""
    pairs: Annotated[Count, Whole, AT_LEAST_ONE] = 200
    """Pairs of items for patching."""
    span: Annotated[Literal[1, 3, 5], Whole, Allowed("1, 3 or 5")] = 3
    """Layers patched together, centred on each."""
    spans: Annotated[
        tuple[int, ...], BeforeValidator(split_spans), Allowed("odd numbers, such as 1,3,5")
    ] = (1, 3, 5)
    """Sizes of window that knock-outs and patches are compared over."""
    positions: Annotated[
        tuple[int, ...],
        BeforeValidator(split_positions),
        Allowed("tokens counted from the end, such as -1,-2"),
    ] = (-1, -2, -3, -4, -5)
    """Tokens that are probed and patched."""
    heads: Switch = True
    """Patch every single attention head too."""
    ablate_items: Annotated[Count | None, Whole, AT_LEAST_ONE] = None
    """At most so many items in the knock-outs; all when not given."""
    attend_items: Annotated[Count, Whole, AT_LEAST_ONE] = 200
    """At most so many items whose attention is read and knocked out."""
    control_items: Annotated[Count, Whole, AT_LEAST_ONE] = 300
    """At most so many items in the control tasks."""
    control_pairs: Annotated[Count, Whole, AT_LEAST_ONE] = 100
    """Patching pairs of the control task, and of the emotion task beside it."""
    robust_items: Annotated[Count, Whole, AT_LEAST_ONE] = 200
    """At most so many items, put into every template."""
    robust_pairs: Annotated[Count, Whole, AT_LEAST_ONE] = 60
    """Patching pairs under each template."""
    templates: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(split_templates),
        Allowed("a comma list of template names; in a file, a list"),
    ] = None
    """Templates to compare with the run's own; the paper's, and the model's chat format, when not
    given."""
    promote_items: Annotated[Count, Whole, AT_LEAST_ONE] = 200
    """At most so many items to which emotions' directions are added."""
    surgery_items: Annotated[Count, Whole, AT_LEAST_ONE] = 200
    """At most so many items whose appraisals are moved inside the model."""
    set: Annotated[
        str | None, Field(min_length=1), Allowed("APPRAISAL=SIZE,..., several separated by ;")
    ] = None
    """Appraisals to move together in surgery, beside each alone: pleasantness=-2,urgency=+1."""
    hold: Annotated[str | None, Allowed("a comma list of appraisals; empty for none")] = None
    """Appraisals that --set holds; all others when not given."""
    steer: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(split_names),
        Allowed("a comma list of appraisals and emotions"),
    ] = None
    """What generate steers the writing by; the paper's three appraisals when not given."""
    judge: Annotated[
        str | None,
        Field(min_length=1),
        Allowed("a corpus name, a file, a folder, or a Hub data set"),
    ] = None
    """Corpus that generate trains its judge of texts on; parts of the own when not given."""
    generate_prompts: Annotated[Count, Whole, AT_LEAST_ONE] = 4
    """Prompts of each of four kinds that generate writes from."""
    generate_texts: Annotated[Count, Whole, AT_LEAST_ONE] = 2
    """Texts that generate writes for each prompt and setting."""
    generate_tokens: Annotated[Count, Whole, AT_LEAST_ONE] = 32
    """Tokens that generate writes at most."""
    generate_random: Annotated[Count, Whole, AT_LEAST_ONE] = 10
    """Random directions at each place and length in generate."""
    folds: Annotated[int, Whole, Field(ge=2), Allowed("a whole number, 2 or more")] = 5
    """Cross-validation folds of the probes."""
    probe_mlp: Switch = True
    """Fit non-linear probes too."""
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"), Allowed("auto, cpu, mps, cuda, cuda:N")
    ] = "auto"
    """Where the model runs."""
    device_map: Annotated[Literal["auto"] | None, Allowed("auto")] = None
    """Spread a model larger than one device over GPUs, main memory and disk."""
    max_memory: Annotated[str | None, BeforeValidator(memory_limits), Allowed(MEMORY_LIMITS)] = None
    """Most memory of each device for the spread model; a device not named holds nothing."""
    offload_folder: Annotated[
        Path | None, BeforeValidator(named_path), Allowed("a folder that is there")
    ] = None
    """Where a spread model writes weights that its files do not have in the form it needs."""
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Allowed("auto, float32, bfloat16 or float16"),
    ] = "auto"
    """Number format of the weights."""
    batch_size: Annotated[
        Literal["auto"] | Count,
        Whole,
        Allowed("auto, or a whole number, 1 or more"),
    ] = "auto"
    """Prompts that go through the model together."""
    out: Annotated[Path | None, BeforeValidator(named_path), Allowed("a folder")] = None
    """Folder of the run; ``runs/MODEL-DATA`` when not given."""
    strict: Switch = False
    """Fail when the model does not pass the self-check, instead of taking the slow way."""
    trust_remote_code: Switch = False
    """Run code that the model's repository carries."""
    keep_activations: Switch = False
    """Keep the clean activations after the run is complete."""

    @classmethod
    def allowed(cls, key: str) -> str:
        """What an option may be, in words."""
        metadata = cls.model_fields[key].metadata
        return next(entry.text for entry in metadata if isinstance(entry, Allowed))

    @property
    def load_options(self) -> dict[str, Any]:
        """What :func:`affectscope.models.load_model` is told of the model besides its name."""
        return {key: getattr(self, key) for key in _LOAD_OPTIONS}

    @property
    def corpus_options(self) -> dict[str, Any]:
        """What :func:`affectscope.data.load_corpus` is told of the corpus besides its name."""
        return {key: getattr(self, key) for key in _CORPUS_OPTIONS}

    @property
    def run_path(self) -> Path:
        """The folder of the run."""
        if self.out is not None:
            return self.out.expanduser()
        return Path("runs") / f"{_slug(Path(self.model).name)}-{_slug(Path(self.data).stem)}"

    def as_plain(self) -> dict[str, Any]:
        """The options as JSON values, in their order."""
        return self.model_dump(mode="json")

    def as_yaml(self) -> str:
        """The options as a file for ``--config``."""
        return str(yaml.safe_dump(self.as_plain(), sort_keys=False, allow_unicode=True))


def resolve_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The options of a run from flags, environment, file and defaults, in this order.

    Args:
        flags: Options given on the command line; None means not given.
        file: YAML file with options.
        environment: Variables; those of the process when not given. An empty one counts as not
            given.
        defaults: Where a command's defaults are not those of a run.

    Raises:
        ConfigError: A key is unknown or a value is not allowed, in the file or the environment.
        UsageError: A value given as a flag is not allowed, or does not go with another.
    """
    layers = [
        {key: (value, "the default") for key, value in (defaults or {}).items()},
        from_file(file, RunConfig.model_fields) if file else {},
        from_environment(
            os.environ if environment is None else environment, RunConfig.model_fields
        ),
        {
            key: (value, f"--{key.replace('_', '-')}")
            for key, value in flags.items()
            if value is not None
        },
    ]
    chosen: dict[str, tuple[Any, str]] = {}
    for layer in layers:
        chosen |= layer
    try:
        config = RunConfig(**{key: value for key, (value, _) in chosen.items()})
    except ValidationError as error:
        raise _explained(error, chosen) from error
    _refuse_conflicts(config, {key: source for key, (_, source) in chosen.items()})
    return config


def _explained(error: ValidationError, chosen: Mapping[str, tuple[Any, str]]) -> UsageError:
    first = error.errors()[0]
    key = str(first["loc"][0])
    value, source = chosen[key]
    from_flag = source.startswith("--")
    reason = f" ({first['ctx']['error']})" if first["type"] == "value_error" else ""
    quoting = isinstance(value, int | float) and "string" in first["type"]
    return (UsageError if from_flag else ConfigError)(
        f"{key} cannot be {value!r}{reason}, from {source}",
        expected=RunConfig.allowed(key),
        remedy=f'put quotes around it: {key}: "{value}"' if quoting else None,
    )


def _refuse_conflicts(config: RunConfig, sources: Mapping[str, str]) -> None:
    """Refuse options that do not go together, before anything is loaded."""

    def refuse(key: str, message: str, remedy: str) -> None:
        error = UsageError if sources[key].startswith("--") else ConfigError
        raise error(f"{key} (from {sources[key]}) {message}", remedy=remedy)

    if "human" in (config.experiments or ()) and config.readers is None:
        refuse("experiments", "has human, which needs readers", "give --readers FILE too")
    if config.device_map is None:
        for key in ("max_memory", "offload_folder"):
            if getattr(config, key) is not None:
                refuse(key, "is for a model that is spread", "give --device-map auto too")
    elif config.device != "auto":
        refuse(
            "device",
            f"names one device, and device_map (from {sources['device_map']}) spreads the model "
            "over several",
            "leave the device out; --max-memory says how much of which device is used",
        )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.").lower() or "run"
