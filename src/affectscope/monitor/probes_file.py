"""Probes and thresholds as one safetensors file.

Tensors ``weights`` float32 ``[label+appraisal, d_model]`` and ``bias`` float32; all else is JSON in
one entry of the metadata, with a checksum of the tensors, so that a damaged file is told apart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from affectscope.errors import ModelFileError, ModelNotFoundError
from affectscope.monitor.thresholds import Thresholds

if TYPE_CHECKING:
    from affectscope.monitor.probes import MonitorProbes

FILE_NAME = "monitor.safetensors"
ENTRY = "affectscope.monitor"
"""Name of the metadata's only entry: more than one would be written in any order."""
VERSION = 1

_TENSORS = ("bias", "weights")


def probes_file(path: str | Path, *, writing: bool = False) -> Path:
    """The file of probes in a folder, or the file that is named itself.

    Raises:
        ModelNotFoundError: There is none, unless it is to be written.
    """
    place = Path(path)
    if writing:
        return place / FILE_NAME
    file = place / FILE_NAME if place.is_dir() else place
    if not file.is_file():
        raise ModelNotFoundError(
            f"there are no monitor's probes at {place}",
            expected=f"a folder with {FILE_NAME}, as `affectscope monitor --save` writes it",
            remedy="check the path, or fit probes with --data CORPUS --save FOLDER",
        )
    return file


def file_content(probes: MonitorProbes) -> bytes:
    """The file of probes; the same probes give the same bytes."""
    tensors = {"bias": probes.bias, "weights": probes.weights}
    said = {
        "version": VERSION,
        "layer": probes.layer,
        "site": probes.site,
        "labels": probes.labels,
        "appraisals": probes.appraisals,
        "thresholds": [asdict(one) for one in probes.thresholds.values()],
        "about": probes.about,
        "checksum": _checksum(tensors),
    }
    return bytes(safetensors_bytes(tensors, metadata={ENTRY: json.dumps(said, allow_nan=False)}))


def read_file(file: Path) -> dict[str, Any]:
    """The values of the probes' fields, as a file has them.

    Raises:
        ModelFileError: The file is damaged, is something else, or is too new.
    """
    try:
        with safe_open(file, framework="pt") as content:
            metadata = content.metadata() or {}
            known = set(_TENSORS) & set(content.keys())
            tensors = {name: content.get_tensor(name) for name in known}
    except (SafetensorError, OSError) as error:
        raise broken_file(file, f"truncated or not safetensors ({error})") from error
    if ENTRY not in metadata:
        raise ModelFileError(
            f"{file} does not hold a monitor's probes",
            expected=f"a safetensors file whose metadata has the entry {ENTRY!r}",
        )
    try:
        said = json.loads(metadata[ENTRY])
        _check_version(file, said["version"])
        if said["checksum"] != _checksum(tensors):
            raise ValueError("its numbers are not those that were written")
        return {
            "layer": int(said["layer"]),
            "site": str(said["site"]),
            "labels": tuple(said["labels"]),
            "appraisals": tuple(said["appraisals"]),
            "thresholds": {one["kind"]: _thresholds(one) for one in said["thresholds"]},
            "about": dict(said["about"]),
            **tensors,
        }
    except KeyError as error:
        raise broken_file(file, f"it lacks {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise broken_file(file, str(error)) from error


def _thresholds(said: dict[str, Any]) -> Thresholds:
    lists = {key: tuple(value) for key, value in said.items() if isinstance(value, list)}
    return Thresholds(**{**said, **lists})


def _check_version(file: Path, version: object) -> None:
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"its version is {version!r}")
    if version > VERSION:
        raise ModelFileError(
            f"{file} has version {version} of the format of a monitor's probes",
            expected=f"version {VERSION}, which this affectscope reads",
            remedy="update affectscope",
        )


def _checksum(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in _TENSORS:
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()


def broken_file(file: Path, reason: str) -> ModelFileError:
    """The error for a file of probes that is not what it should be."""
    return ModelFileError(
        f"{file} is broken: {reason}", remedy=f"delete {file} and fit or fetch the probes again"
    )
