"""A model's folder, read by transformers: its configuration, its tokenizer and its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
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

from affectscope.errors import ModelError, ModelFileError
from affectscope.models.folder_checks import broken_file, read_json
from affectscope.models.progress import quiet_transformers

_TOKENIZER_FILES = re.compile(
    r"tokenizer\.json|vocab\.(json|txt)|tekken\.json|.*\.tiktoken|"
    r"(tokenizer|spiece|spm|sentencepiece\.bpe|tiktoken)\.model"
)
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
    folder: Path, config: Any, dtype: torch.dtype, trusted: bool
) -> tuple[PreTrainedModel, str]:
    """The model, and its attention implementation: one that takes a 4-D mask of floats."""
    # SDPA cannot cap attention logits, and some versions of transformers use it all the same.
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    attention = "eager" if capped else "sdpa"
    try:
        try:
            model, report = _from_folder(folder, config, dtype, trusted, attention)
        except ValueError:  # so transformers refuses SDPA, before it reads any weights
            attention = "eager"
            model, report = _from_folder(folder, config, dtype, trusted, attention)
    except ImportError as error:
        raise ModelError(
            f"the model in {folder} needs a package that is not installed: {_first_line(error)}",
            remedy="install it, or use the model's unquantised weights",
        ) from error
    except _UNREADABLE as error:
        raise ModelFileError(
            f"the model in {folder} cannot be loaded: {_first_line(error)}",
            remedy="check config.json, or fetch the model again",
        ) from error
    misfits = sorted(report["missing_keys"]) + sorted(key[0] for key in report["mismatched_keys"])
    if misfits:
        raise ModelFileError(
            f"the weights in {folder} do not fit its config.json: {len(misfits)} tensors are "
            f"missing or of another shape, such as {misfits[0]}",
            remedy="fetch the model again, with config.json and weights of one revision",
        )
    return model, attention


def _from_folder(
    folder: Path, config: Any, dtype: torch.dtype, trusted: bool, attention: str
) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    with quiet_transformers():
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=trusted,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # told apart from the report, by name
            output_loading_info=True,
        )
    return model, report


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
