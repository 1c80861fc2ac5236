"""A steering vector as one safetensors file.

Tensors ``directions`` float32 ``[layer, d_model]`` and ``norms`` float32 ``[layer]``; all else is
in the file's metadata, which knows strings only: ``format``, ``version``, ``name``, ``site``,
``layers`` (a JSON list), ``coefficient`` (the shortest decimal that reads back as the same number)
and ``about`` (a JSON object). What a later version adds is ignored unless it raises ``version``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from affectscope.errors import ModelFileError

if TYPE_CHECKING:
    from affectscope.vectors.vector import SteeringVector

FORMAT = "affectscope.steering-vector"
VERSION = 1


def file_content(vector: SteeringVector) -> bytes:
    """The file of a vector; the same vector gives the same bytes."""
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "name": vector.name,
        "site": vector.site,
        "layers": json.dumps(vector.layers),
        "coefficient": repr(vector.coefficient),
        "about": json.dumps(vector.about, allow_nan=False),
    }
    tensors = {"directions": vector.directions, "norms": vector.norms}
    return _with_metadata(safetensors_bytes(tensors), metadata)


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with metadata, which the library itself would write in any order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps({"__metadata__": dict(metadata), **json.loads(content[8:end])}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_fields(file: Path) -> dict[str, Any]:
    """The values of a vector's fields, as its file has them.

    Raises:
        ModelFileError: The file is damaged, is not a steering vector, or is too new.
    """
    metadata, tensors = _read(file)
    if metadata.get("format") != FORMAT:
        raise ModelFileError(
            f"{file} is not a steering vector: its format is {metadata.get('format')!r}",
            expected=f"a safetensors file whose metadata has the format {FORMAT!r}",
        )
    _check_version(file, metadata.get("version", ""))
    try:
        return {
            "name": metadata["name"],
            "site": metadata["site"],
            "layers": tuple(map(index, json.loads(metadata["layers"]))),
            "directions": _float32(tensors["directions"]),
            "norms": _float32(tensors["norms"]),
            "coefficient": float(metadata["coefficient"]),
            "about": _json_object(metadata["about"]),
        }
    except KeyError as error:
        raise broken_file(file, f"it lacks {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise broken_file(file, str(error)) from error


def _read(file: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        with safe_open(file, framework="pt") as content:
            wanted = {"directions", "norms"} & set(content.keys())
            return content.metadata() or {}, {name: content.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise broken_file(file, f"truncated or not safetensors ({error})") from error


def _check_version(file: Path, version: str) -> None:
    if not re.fullmatch("[0-9]{1,9}", version):
        raise broken_file(file, f"its version is {version!r}")
    if int(version) > VERSION:
        raise ModelFileError(
            f"{file} has version {version} of the format of steering vectors",
            expected=f"version {VERSION}, which this affectscope reads",
            remedy="update affectscope",
        )


def _float32(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype != torch.float32:
        raise ValueError(f"its numbers are {tensor.dtype}, not torch.float32")
    return tensor


def _json_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("what it says about itself is not a JSON object")
    return value


def broken_file(file: Path, reason: str) -> ModelFileError:
    """The error for a file of a steering vector that is not what it should be."""
    # A link of the Hub's cache leads to the file that has to go.
    return ModelFileError(
        f"{file} is broken: {reason}",
        remedy=f"delete {file.resolve()} and fetch or make the vector again",
    )
