"""A steering vector as a control vector of llama.cpp (GGUF).

llama.cpp reads float32 tensors of one dimension called ``direction.N`` and adds each, times its
scale, to the residual stream after block N, blocks counted from 0: our ``resid_post`` of layer N.
It has no place for block 0, and refuses a file with a ``direction.0`` (seen in its sources:
``common_control_vector_load_one`` in common/common.cpp; ``llama_adapter_cvec`` in
src/llama-adapter.cpp; ``build_cvec`` after a block's last addition, in src/models). The tensor is
the whole vector that is added, so that llama.cpp's scale 1 is our coefficient.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.atomic import write_bytes
from affectscope.errors import InterventionError, LayerError, ModelFileError, ModelNotFoundError
from affectscope.vectors.vector import SteeringVector

ARCHITECTURE = "controlvector"
MODEL_HINT = f"{ARCHITECTURE}.model_hint"
LAYER_COUNT = f"{ARCHITECTURE}.layer_count"
_DIRECTION = "direction."


@dataclass(frozen=True, eq=False)
class ControlVector:
    """What a control vector's file says."""

    model_hint: str
    """The model's family as GGUF names it; llama.cpp does not look at it."""
    layer_count: int
    """How many tensors there should be."""
    directions: Mapping[int, Float[Tensor, " d_model"]]
    """What is added after each block, blocks counted from 0."""


def write_gguf(vector: SteeringVector, path: str | Path, *, model_hint: str = "llama") -> Path:
    """Write a vector for llama.cpp, its coefficient included.

    Args:
        vector: One of the site ``resid_post`` without layer 0.
        path: The file.
        model_hint: The model's family as GGUF names it: ``llama``, ``qwen2``, ``gemma2``.

    Returns:
        The file.

    Raises:
        InterventionError: The site is not ``resid_post``.
        LayerError: Layer 0 is among the layers.
        DiskFullError: No space is left.
    """
    from gguf import GGUFWriter  # noqa: PLC0415 - slow

    _check(vector)
    with tempfile.TemporaryDirectory(prefix="affectscope-") as folder:
        partial = Path(folder) / "vector.gguf"
        writer = GGUFWriter(partial, ARCHITECTURE)
        writer.add_string(MODEL_HINT, model_hint)
        writer.add_uint32(LAYER_COUNT, len(vector.layers))
        writer.add_name(vector.name)
        for layer, added in zip(vector.layers, vector.added().numpy(), strict=True):
            writer.add_tensor(f"{_DIRECTION}{layer}", added)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        write_bytes(Path(path), partial.read_bytes())
    return Path(path)


def _check(vector: SteeringVector) -> None:
    if vector.site != "resid_post":
        raise InterventionError(
            f"llama.cpp cannot add {vector.name} at the site {vector.site}",
            expected="a vector of the site resid_post: llama.cpp adds to the residual stream after "
            "a block, and nowhere else",
            remedy="make the vector at resid_post, or use the safetensors file",
        )
    if 0 in vector.layers:
        raise LayerError(
            f"llama.cpp cannot add {vector.name} at layer 0: its control vectors begin after the "
            "second block",
            expected="layers from 1",
            remedy="make the vector without layer 0, or use the safetensors file",
        )


def read_gguf(path: str | Path) -> ControlVector:
    """Read a control vector, to check what was written.

    Raises:
        ModelNotFoundError: There is no such file.
        ModelFileError: The file is damaged, or holds something else.
    """
    from gguf import GGUFReader  # noqa: PLC0415 - slow

    if not Path(path).is_file():
        raise ModelNotFoundError(f"there is no file {path}")
    try:
        reader = GGUFReader(path)
        values = {name: field.contents() for name, field in reader.fields.items()}
        directions = {
            int(tensor.name.removeprefix(_DIRECTION)): torch.from_numpy(
                np.array(tensor.data, dtype=np.float32)
            )
            for tensor in reader.tensors
            if tensor.name.startswith(_DIRECTION)
        }
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is broken: truncated or not GGUF ({error})") from error
    if values.get("general.architecture") != ARCHITECTURE:
        raise ModelFileError(
            f"{path} is no control vector: it is a {values.get('general.architecture')}",
            expected=f"a GGUF file of the architecture {ARCHITECTURE}",
        )
    return ControlVector(
        str(values.get(MODEL_HINT, "")), int(values.get(LAYER_COUNT, 0)), directions
    )
