"""How much memory of each device a model may take: ``cpu=200MiB,0=20GiB``.

A leaf, without torch, since options are judged before any library of models is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MEMORY_LIMITS = "DEVICE=SIZE pairs such as cpu=8GiB,0=20GiB, 0 being the first GPU"
"""What may be given, in words."""

Device = int | str
"""A GPU's number, ``cpu`` or ``mps``, as accelerate has them."""

_UNITS = {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_UNITS)})")
_DEVICE = re.compile(r"(?:cuda:)?(\d+)|cpu|mps")


def parse_memory_limits(given: str | Mapping[int | str, int | str]) -> dict[Device, int]:
    """Bytes for each device.

    Args:
        given: Text (``cpu=200MiB,0=20GiB``), or a mapping from devices to sizes. A size is text
            with its unit, or a number of bytes.

    Raises:
        ValueError: A device or a size that there cannot be; the message says which.
    """
    pairs = _pairs(given) if isinstance(given, str) else list(given.items())
    limits: dict[Device, int] = {}
    for name, size in pairs:
        device = _device(name)
        if device in limits:
            raise ValueError(f"{name!r} is given twice")
        limits[device] = _n_bytes(size)
    if not limits:
        raise ValueError("no device is named")
    return limits


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, size = part.partition("=")
        if not equals:
            raise ValueError(f"{part!r} is not DEVICE=SIZE")
        pairs.append((name.strip(), size.strip()))
    return pairs


def _device(name: int | str) -> Device:
    found = None if isinstance(name, bool) else _DEVICE.fullmatch(str(name))
    if found is None:
        raise ValueError(f"{name!r} is no device")
    return found[0] if found[1] is None else int(found[1])


def _n_bytes(size: int | str) -> int:
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        # "20gb" would be gigabits to some and gigabytes to others
        raise ValueError(f"{size!r} is no size: give a number and one of {', '.join(_UNITS)}")
    return int(float(found[1]) * _UNITS[found[2]])
