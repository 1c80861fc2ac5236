"""From a name or a folder to a Hugging Face model and its tokenizer.

What can be wrong with a model is looked for before transformers reads it, so that the message
names the file or the option. Weights are read from safetensors only: the older formats are pickles,
and reading a pickle runs whatever code it holds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from affectscope.errors import ModelError, ModelFileError, ModelNotFoundError, UsageError
from affectscope.models.default_model import DEFAULT_MODEL, fetch_default_model
from affectscope.models.devices import (
    choose_device,
    dtype_name,
    parse_dtype,
    settle_dtype,
    why_device,
)
from affectscope.models.folder_checks import check_folder
from affectscope.models.hub import hub_snapshot
from affectscope.models.progress import Say, say_on_stderr
from affectscope.models.reading import read_config, read_model, read_tokenizer
from affectscope.models.weights import weights_sha256


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A Hugging Face model and its tokenizer, and where they came from."""

    model: PreTrainedModel
    """The unmodified model, in evaluation mode, without gradients."""
    tokenizer: PreTrainedTokenizerBase
    """Its tokenizer."""
    name: str
    """As it was asked for."""
    path: str
    """The folder it was read from."""
    revision: str | None
    """The Hub's commit, or the default model's package; None for a folder of the user's."""
    sha256: str
    """One SHA-256 for all weight files, see :func:`affectscope.models.weights.combined_sha256`."""
    dtype: str
    """``float32``, ``bfloat16`` or ``float16``."""
    device: str
    """``cpu``, ``cuda:0``, ``mps``, ..."""
    attn_implementation: str
    """``sdpa``, or ``eager`` where the family has no other that takes a 4-D mask of floats."""


@dataclass(frozen=True)
class _Located:
    folder: Path
    revision: str | None
    sha256: str | None


def load_pretrained(
    name: str,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    progress: Say | None = None,
) -> Pretrained:
    """Load a causal language model and its tokenizer.

    Args:
        name: ``smollm2-135m`` (the default model), a folder, or a model's name on the Hub.
        revision: Branch, tag or commit on the Hub.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto``: float32, but on a CUDA device
            bfloat16 where that is supported, else float16 for a checkpoint in float16.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, or ``auto``: the first of CUDA, MPS and CPU
            that there is.
        trust_remote_code: Run Python code that comes with the model.
        progress: Takes each line on what happens; stderr by default.

    Raises:
        UsageError: A dtype or device that there is not, a revision of something not on the Hub.
        ModelNotFoundError: No such model, folder or revision.
        ModelAccessError: A gated model, or no network.
        ModelFileError: A file is missing or broken.
        UnsupportedArchitectureError: Not a causal language model.
    """
    say = progress or say_on_stderr
    target = choose_device(device)
    wanted = parse_dtype(dtype)
    located = _locate(name, revision, code=trust_remote_code, progress=progress)
    check_folder(located.folder, trusted=trust_remote_code)
    config = read_config(located.folder, trust_remote_code)
    chosen = settle_dtype(wanted, target, config.dtype)
    say(f"loading {name} on {target}{why_device(device, target)} in {dtype_name(chosen)}")
    return _load(name, located, config, chosen, target, trusted=trust_remote_code)


def _locate(name: str, revision: str | None, *, code: bool, progress: Say | None) -> _Located:
    """The folder of a model; fetched first where that is needed."""
    path = Path(name).expanduser()
    on_the_hub = name != DEFAULT_MODEL and not _looks_like_path(name) and not path.exists()
    if on_the_hub:
        (progress or say_on_stderr)(f"looking for {name} on the Hub")
        folder = hub_snapshot(name, revision=revision, code=code)
        return _Located(folder, folder.name, None)
    if revision is not None:
        raise UsageError(
            f"revision {revision!r} was given for {name}, which is not read from the Hub",
            remedy="leave out --revision, or give the model's name on the Hub",
        )
    if name == DEFAULT_MODEL:
        fetched = fetch_default_model(progress=progress)
        return _Located(fetched.path, fetched.revision, fetched.sha256)
    if not path.exists():
        raise ModelNotFoundError(
            f"there is no folder {name} (it was taken as a path because of its form)",
            expected="a folder with config.json, or OWNER/NAME of a model on the Hub",
            remedy=f"check the path; it was looked for at {path.absolute()}",
        )
    if not path.is_dir():
        raise ModelFileError(
            f"{name} is a single file",
            expected="a folder with config.json, safetensors weights and a tokenizer",
            remedy="give the folder that holds the model",
        )
    return _Located(path.resolve(), None, None)


def _looks_like_path(name: str) -> bool:
    separators = name.count("/") + (name.count(os.sep) if os.sep != "/" else 0)
    return (
        name.startswith((".", "~", "/", os.sep)) or name.endswith(("/", os.sep)) or separators > 1
    )


def _load(
    name: str,
    located: _Located,
    config: Any,
    dtype: torch.dtype,
    device: torch.device,
    *,
    trusted: bool,
) -> Pretrained:
    tokenizer = read_tokenizer(located.folder, trusted)
    model, attention = read_model(located.folder, config, dtype, trusted)
    return Pretrained(
        model=_move(model, device),
        tokenizer=tokenizer,
        name=name,
        path=str(located.folder),
        revision=located.revision,
        sha256=located.sha256 or weights_sha256(located.folder),
        dtype=dtype_name(dtype),
        device=str(device),
        attn_implementation=attention,
    )


def _move(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    try:
        model = model.to(device)
    except torch.OutOfMemoryError as error:
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        raise ModelError(
            f"the model does not fit on {device}: its weights take {size / 1e9:.1f} GB",
            remedy="give --dtype bfloat16, --device cpu, or a smaller model",
        ) from error
    return model.eval().requires_grad_(False)
