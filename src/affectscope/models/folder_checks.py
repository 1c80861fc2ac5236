"""What can be wrong with a model's folder, looked for before transformers reads it.

So the message names the file or the option.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from affectscope.errors import (
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    UnsupportedArchitectureError,
)
from affectscope.models.weights import SINGLE_WEIGHTS, WEIGHTS_INDEX, weight_names

_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5", ".gguf"}


def check_folder(folder: Path, *, trusted: bool) -> None:
    """Raise unless the folder holds a causal language model whose weight files are whole.

    Args:
        folder: The model's folder.
        trusted: Python code that comes with the model may be run.

    Raises:
        ModelError: The model needs code of its own, which is not trusted.
        ModelNotFoundError: There is no ``config.json``.
        ModelFileError: A file is missing or broken.
        UnsupportedArchitectureError: Not a causal language model.
    """
    _check_config(read_json(folder / "config.json"), folder, trusted=trusted)
    _check_weights(folder)


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object of the model's folder."""
    if not path.is_file():
        raise ModelNotFoundError(
            f"{path.parent} holds no {path.name}, so it is not a model",
            expected="a folder as save_pretrained of transformers writes it",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise broken_file(path, str(error)) from error
    if not isinstance(content, dict):
        raise broken_file(path, "it is not a JSON object")
    return content


def broken_file(path: Path, reason: str) -> ModelFileError:
    """The error for a file of a model's folder, with why it is not what it should be."""
    # A link of the Hub's cache leads to the file that has to go.
    return ModelFileError(
        f"{path} is broken: {reason}",
        remedy=f"delete {path.resolve()} and fetch the model again",
    )


def _check_config(config: Mapping[str, Any], folder: Path, *, trusted: bool) -> None:
    """Raise for anything but a causal language model that transformers itself knows."""
    family = config.get("model_type")
    if config.get("auto_map") and family not in CONFIG_MAPPING:
        if not trusted:
            raise ModelError(
                f"the model in {folder} needs Python code that comes with it, which is not run "
                "unasked",
                remedy="read that code; if you trust it, give --trust-remote-code",
            )
        return
    if not isinstance(family, str):
        raise broken_file(folder / "config.json", "it names no model_type")
    if family not in CONFIG_MAPPING:
        raise UnsupportedArchitectureError(
            f"transformers {version('transformers')} knows no model type {family!r}",
            remedy="install a newer transformers, or use another model",
        )
    named = config.get("architectures") or []
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if family not in known or (named and not set(named) & set(known.values())):
        raise UnsupportedArchitectureError(
            f"{', '.join(named) or family} in {folder} is not a causal language model",
            expected="a decoder that predicts the next token, such as LlamaForCausalLM",
        )


def _check_weights(folder: Path) -> None:
    """Raise unless every weight file is there, is safetensors, and is as long as it says."""
    missing = [name for name in weight_names(folder) if not (folder / name).is_file()]
    if missing == [SINGLE_WEIGHTS]:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        found = f", only {', '.join(others)}, which is not read" if others else ""
        raise ModelFileError(
            f"{folder} holds no safetensors weights{found}",
            expected=f"{SINGLE_WEIGHTS}, or shards named in {WEIGHTS_INDEX} (a pickle such as "
            "pytorch_model.bin can run code when it is read)",
            remedy="save the model again with save_pretrained of transformers",
        )
    if missing:
        raise ModelFileError(
            f"{folder} lacks {len(missing)} of its weight files: {', '.join(missing[:3])}",
            remedy="fetch the model again",
        )
    for name in weight_names(folder):
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise broken_file(folder / name, f"truncated or not safetensors ({error})") from error
