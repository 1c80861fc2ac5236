"""Which device a model is put on, and in which dtype its weights are held."""

from __future__ import annotations

import warnings

import torch

from affectscope.errors import UsageError

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


def available_devices() -> list[str]:
    """The devices a model can be put on, best first."""
    devices = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def choose_device(name: str) -> torch.device:
    """The device of that name, ``auto`` being the best there is.

    Raises:
        UsageError: There is no such device.
    """
    available = available_devices()
    exact = {"auto": available[0], "cuda": "cuda:0", "mps:0": "mps", "cpu:0": "cpu"}.get(name, name)
    if exact not in available:
        raise UsageError(
            f"there is no device {name!r} here",
            expected=f"auto, {', '.join(available)}",
            remedy="give --device auto, or leave it out",
        )
    return torch.device(exact)


def why_device(asked: str, device: torch.device) -> str:
    """How the device was chosen, to be told to the user; empty when it was asked for."""
    if asked != "auto":
        return ""
    return " (chosen: no GPU found)" if device.type == "cpu" else " (chosen: the first GPU)"


def parse_dtype(name: str) -> torch.dtype | None:
    """The dtype of that name; None for ``auto``.

    Raises:
        UsageError: There is no such dtype.
    """
    if name == "auto":
        return None
    if name not in DTYPES:
        raise UsageError(f"dtype {name!r} is not known", expected=f"auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def settle_dtype(
    wanted: torch.dtype | None, device: torch.device, checkpoint: torch.dtype | None
) -> torch.dtype:
    """The dtype that was asked for, else what suits the device and the checkpoint."""
    chosen = wanted or _auto_dtype(device, checkpoint)
    if chosen == torch.float16 and device.type == "cpu":
        warnings.warn(
            "float16 on a CPU is slow and inexact: prefer float32 or bfloat16", stacklevel=3
        )
    return chosen


def _auto_dtype(device: torch.device, checkpoint: torch.dtype | None) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if checkpoint == torch.float16 else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """Its name without the package: ``float32``."""
    return str(dtype).removeprefix("torch.")
