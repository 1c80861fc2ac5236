"""A model spread over several devices, for one that is larger than any.

accelerate fills the GPUs, then main memory, and leaves the rest on the disk. Weights that do not
lie where they are needed are brought there when a pass comes to them and dropped behind it, so the
numbers are those of the model in one place; only the time differs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from affectscope.errors import UsageError
from affectscope.memory_limits import MEMORY_LIMITS, Device, parse_memory_limits
from affectscope.models.devices import available_devices
from affectscope.models.offload import check_offload_folder

DeviceMap = Literal["auto"]
"""How a model is spread; accelerate decides what lies where."""

MemoryLimits = str | Mapping[int | str, int | str]
"""Most memory on each device, see :func:`affectscope.memory_limits.parse_memory_limits`."""


@dataclass(frozen=True)
class Spread:
    """How a model is to be spread."""

    limits: Mapping[Device, int] | None
    """Bytes on each device, and none on a device that is not named; what is free when None."""
    offload_folder: Path | None
    """Where converted weights are written; the cache when None."""

    @property
    def computes_on(self) -> torch.device:
        """The device of the first pass: the best one that holds anything."""
        if self.limits is None:
            return torch.device(available_devices()[0])
        names = {name(device) for device, n_bytes in self.limits.items() if n_bytes}
        return torch.device(next((d for d in available_devices() if d in names), "cpu"))


def choose_spread(
    device: str,
    device_map: str | None,
    max_memory: MemoryLimits | None,
    offload_folder: str | Path | None,
) -> Spread | None:
    """How a model is to be spread; None when it goes onto one device.

    Raises:
        UsageError: Options that do not go together, or a value that there cannot be.
    """
    if device_map is None:
        for option, value in (("max_memory", max_memory), ("offload_folder", offload_folder)):
            if value is not None:
                raise UsageError(
                    f"{option} was given, and the model goes onto one device",
                    remedy='give the device map "auto" too',
                )
        return None
    if device_map != "auto":
        raise UsageError(f"the device map {device_map!r} is not known", expected="auto")
    if device != "auto":
        raise UsageError(
            f"the device {device!r} was given, and a device map, which uses several",
            expected="one of the two",
            remedy="leave the device out; max_memory says how much of which device is used",
        )
    return Spread(
        None if max_memory is None else _limits(max_memory),
        None if offload_folder is None else check_offload_folder(Path(offload_folder)),
    )


def _limits(given: MemoryLimits) -> dict[Device, int]:
    try:
        limits = parse_memory_limits(given)
    except ValueError as error:
        raise UsageError(f"max_memory: {error}", expected=MEMORY_LIMITS) from error
    available = available_devices()
    for device in limits:
        if name(device) not in available:
            raise UsageError(
                f"max_memory names {device!r}, and there is no device {name(device)} here",
                expected=f"only devices that there are: {', '.join(available)}",
                remedy="leave it out of max_memory",
            )
    return limits


def name(device: Device | torch.device) -> str:
    """A device by torch's name, or ``disk``."""
    return f"cuda:{device}" if isinstance(device, int) else str(device).replace("mps:0", "mps")


def places(model: PreTrainedModel) -> dict[str, int]:
    """Bytes of weights on each device, the one that computes first, ``disk`` last."""
    device_map: Mapping[str, Device] | None = getattr(model, "hf_device_map", None)
    sizes: dict[str, int] = {}
    if device_map is not None and set(map(name, device_map.values())) <= {"cpu", "disk"}:
        sizes["cpu"] = 0  # it computes, even when all weights lie on the disk
    for path, weight in model.named_parameters():
        place = name(weight.device if device_map is None else _place(path, device_map))
        sizes[place] = sizes.get(place, 0) + weight.numel() * weight.element_size()
    order = [*available_devices(), "disk"]
    return dict(sorted(sizes.items(), key=lambda item: order.index(item[0])))


def _place(path: str, device_map: Mapping[str, Device]) -> Device:
    while path not in device_map:
        path = path.rpartition(".")[0]
    return device_map[path]


def misfits_on_disk(model: PreTrainedModel) -> list[str]:
    """Weights on the disk whose shape is not the model's.

    transformers compares shapes of what it reads into memory only.
    """
    wrong = []
    shapes = {path: list(weight.shape) for path, weight in model.named_parameters()}
    for path, stored in _disk_index(model).items():
        with safe_open(stored["safetensors_file"], framework="pt") as file:
            shape = file.get_slice(stored["weight_name"]).get_shape()
        if shapes.get(path, shape) != shape:
            wrong.append(path)
    return wrong


def _disk_index(model: PreTrainedModel) -> Mapping[str, Mapping[str, str]]:
    """File and name of every weight on the disk, which all of accelerate's hooks share."""
    for module in model.modules():
        weights = getattr(getattr(module, "_hf_hook", None), "weights_map", None)
        if weights is not None:
            index: Mapping[str, Mapping[str, str]] = weights.dataset.index
            return index
    return {}


@contextmanager
def quiet_accelerate() -> Iterator[None]:
    """No warning that weights lie elsewhere, which was asked for."""
    logger = logging.getLogger("accelerate.big_modeling")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
