"""The weight files of a model's folder: their names and their SHA-256."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from affectscope.errors import ModelFileError

SINGLE_WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def combined_sha256(digests: Mapping[str, str]) -> str:
    """One SHA-256 for several files: of the sorted lines ``name sha256``."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def weight_names(folder: Path) -> list[str]:
    """Names of the safetensors files that a model folder should hold.

    Raises:
        ModelFileError: The index of the shards is broken.
    """
    index = folder / WEIGHTS_INDEX
    if not index.is_file():
        return [SINGLE_WEIGHTS]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{index} is broken: {error!r}",
            expected="JSON with a weight_map from tensors to files",
            remedy="delete it and fetch the model again",
        ) from error


def weights_sha256(folder: Path) -> str:
    """One SHA-256 for all weight files of a model folder.

    The Hub's cache names a large file by its SHA-256, which is then not computed again.

    Raises:
        ModelFileError: A file is missing.
    """
    digests = {}
    for name in weight_names(folder):
        path = (folder / name).resolve()
        if not path.is_file():
            raise ModelFileError(f"{folder} lacks {name}", remedy="fetch the model again")
        named = path.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", path.name)
        digests[name] = path.name if named else file_sha256(path)
    return combined_sha256(digests)
