"""From a name or a folder to a Hugging Face model and its tokenizer.

What can be wrong with a model is looked for before transformers reads it, so that the message
names the file or the option. Weights are read from safetensors only: the older formats are pickles,
and reading a pickle runs whatever code it holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
from affectscope.models.reading import MAKE_IT_FIT, read_config, read_model, read_tokenizer
from affectscope.models.spread import MemoryLimits, choose_spread, places
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
    """``cpu``, ``cuda:0``, ``mps``; ``cuda:0 + cpu + disk`` for a model that is spread."""
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
    device_map: str | None = None,
    max_memory: MemoryLimits | None = None,
    offload_folder: str | Path | None = None,
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
        device_map: ``auto`` spreads the model over the GPUs, main memory and the disk, for one
            that is larger than any of them.
        max_memory: Most memory of each device that is used then: ``cpu=200MiB,0=20GiB``, or
            ``{"cpu": "200MiB", 0: "20GiB"}``. A device that is not named holds nothing; what does
            not fit lies on the disk. What is free, when not given.
        offload_folder: Where weights on the disk are written, those few that cannot be read from
            the model's own files; the cache when not given. What was written is removed when the
            model goes or the process ends.
        trust_remote_code: Run Python code that comes with the model.
        progress: Takes each line on what happens; stderr by default.

    Raises:
        UsageError: A dtype or device that there is not, a revision of something not on the Hub,
            options that do not go together.
        ModelNotFoundError: No such model, folder or revision.
        ModelAccessError: A gated model, or no network.
        ModelFileError: A file is missing or broken.
        DiskFullError: The disk has no room for what has to be written.
        UnsupportedArchitectureError: Not a causal language model.
    """
    say = progress or say_on_stderr
    spread = choose_spread(device, device_map, max_memory, offload_folder)
    target = choose_device(device) if spread is None else spread.computes_on
    wanted = parse_dtype(dtype)
    located = _locate(name, revision, code=trust_remote_code, progress=progress)
    check_folder(located.folder, trusted=trust_remote_code)
    config = read_config(located.folder, trust_remote_code)
    chosen = settle_dtype(wanted, target, config.dtype)
    where = f"on {target}{why_device(device, target)}" if spread is None else "over several devices"
    say(f"loading {name} {where} in {dtype_name(chosen)}")
    tokenizer = read_tokenizer(located.folder, trust_remote_code)
    model, attention = read_model(located.folder, config, chosen, trust_remote_code, spread)
    if spread is None:
        model = _move(model, target)
    held = places(model)
    if spread is not None:
        say(f"{name} lies on {_in_words(held)}")
    return Pretrained(
        model=model.eval().requires_grad_(False),
        tokenizer=tokenizer,
        name=name,
        path=str(located.folder),
        revision=located.revision,
        sha256=located.sha256 or weights_sha256(located.folder),
        dtype=dtype_name(chosen),
        device=" + ".join(held),
        attn_implementation=attention,
    )


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


def _move(model: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        raise ModelError(
            f"the model does not fit on {device}: its weights take {size / 1e9:.1f} GB",
            remedy=MAKE_IT_FIT,
        ) from error


def _in_words(held: Mapping[str, int]) -> str:
    sizes = [
        f"{device} ({n_bytes / 1e9:,.3g} GB)" if n_bytes else device
        for device, n_bytes in held.items()
    ]
    return " + ".join(sizes) + (", which every pass reads" if "disk" in held else "")
