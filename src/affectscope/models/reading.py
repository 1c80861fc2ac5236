"""A model's folder, read by transformers: its configuration, its tokenizer and its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from affectscope.engine import is_out_of_memory
from affectscope.errors import DiskFullError, ModelError, ModelFileError
from affectscope.models.disk import write_error
from affectscope.models.folder_checks import broken_file, read_json
from affectscope.models.offload import offload_folder
from affectscope.models.progress import quiet_transformers
from affectscope.models.spread import Spread, misfits_on_disk, quiet_accelerate

_TOKENIZER_FILES = re.compile(
    r"tokenizer\.json|vocab\.(json|txt)|tekken\.json|.*\.tiktoken|"
    r"(tokenizer|spiece|spm|sentencepiece\.bpe|tiktoken)\.model"
)
MAKE_IT_FIT = (
    "give --dtype bfloat16; or --device-map auto, which uses all devices and the disk (with lower "
    "limits in --max-memory where it was given already); or take a smaller model"
)
"""What to do about a model that is too large."""

# What transformers raises for a folder whose content it cannot make sense of.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)


def read_config(folder: Path, trusted: bool) -> Any:
    """The configuration, an object of the family's own class."""
    try:
        with quiet_transformers():
            return AutoConfig.from_pretrained(
                folder, trust_remote_code=trusted, local_files_only=True
            )
    except _UNREADABLE as error:
        raise broken_file(folder / "config.json", _first_line(error)) from error


def read_tokenizer(folder: Path, trusted: bool) -> PreTrainedTokenizerBase:
    """The tokenizer, which has to lie with the model."""
    if not any(_TOKENIZER_FILES.fullmatch(path.name) for path in folder.iterdir()):
        raise ModelFileError(
            f"{folder} holds no tokenizer",
            expected="tokenizer.json or tokenizer.model",
            remedy="save the tokenizer there with its save_pretrained",
        )
    if (folder / "tokenizer.json").exists():
        read_json(folder / "tokenizer.json")
    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(
                folder, trust_remote_code=trusted, local_files_only=True
            )
    except _UNREADABLE as error:
        raise ModelFileError(
            f"the tokenizer in {folder} cannot be read: {_first_line(error)}",
            remedy="fetch the model again, or save its tokenizer there with save_pretrained",
        ) from error


def read_model(
    folder: Path,
    config: Any,
    dtype: torch.dtype,
    trusted: bool,
    spread: Spread | None = None,
) -> tuple[PreTrainedModel, str]:
    """The model, and its attention implementation.

    In main memory, unless it is to be spread over several devices.
    """
    # SDPA cannot cap attention logits, and some versions of transformers use it all the same.
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    attention = "eager" if capped else "sdpa"
    options = {"config": config, "dtype": dtype, "trust_remote_code": trusted}
    with nullcontext() if spread is None else offload_folder(spread.offload_folder) as scratch:
        if spread is not None and scratch is not None:
            limits = None if spread.limits is None else dict(spread.limits)
            options |= {"device_map": "auto", "max_memory": limits, "offload_folder": scratch.path}
        try:
            try:
                model, report = _from_folder(folder, attention, options)
            except ValueError:  # so transformers refuses SDPA, before it reads any weights
                attention = "eager"
                model, report = _from_folder(folder, attention, options)
        except _UNREADABLE as error:
            raise _load_error(error, folder, None if scratch is None else scratch.path) from error
        misfits = sorted(report["missing_keys"])
        misfits += sorted(key[0] for key in report["mismatched_keys"])
        misfits += misfits_on_disk(model)
        if misfits:
            raise ModelFileError(
                f"the weights in {folder} do not fit its config.json: {len(misfits)} tensors are "
                f"missing or of another shape, such as {misfits[0]}",
                remedy="fetch the model again, with config.json and weights of one revision",
            )
        if scratch is not None:
            scratch.keep_for(model)
    return model, attention


def _from_folder(
    folder: Path, attention: str, options: Mapping[str, Any]
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    with quiet_transformers(), quiet_accelerate():
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # told apart from the report, by name
            output_loading_info=True,
            **options,
        )
    return model, report


def _load_error(error: Exception, folder: Path, scratch: Path | None) -> ModelError | DiskFullError:
    """The error for a model that transformers does not load, by what stood in the way."""
    reason = _first_line(error)
    if isinstance(error, ImportError):
        return ModelError(
            f"the model in {folder} needs a package that is not installed: {reason}",
            remedy="install it, or use the model's unquantised weights",
        )
    if is_out_of_memory(error):
        return ModelError(f"the model in {folder} does not fit into memory", remedy=MAKE_IT_FIT)
    if scratch is not None and isinstance(error, OSError | SafetensorError):
        written = write_error(error, scratch)
        if isinstance(written, DiskFullError):
            return DiskFullError(
                written.message,
                expected="room for the weights that are converted at load",
                remedy="free some space, or give --offload-folder a folder on another disk",
            )
    return ModelFileError(
        f"the model in {folder} cannot be loaded: {reason}",
        remedy="check config.json, or fetch the model again",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
