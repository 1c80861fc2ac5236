"""Where what is fetched once is kept for this user, and whether anything may be fetched."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "AFFECTSCOPE_CACHE"
OFFLINE_VARIABLE = "AFFECTSCOPE_OFFLINE"


def cache_path() -> Path:
    """Where the cache is: ``$AFFECTSCOPE_CACHE``, or this user's cache folder for affectscope."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("affectscope")


def no_network_wanted() -> bool:
    """Whether the user wants no network (``AFFECTSCOPE_OFFLINE=1``)."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() in {"1", "true", "yes", "on"}
