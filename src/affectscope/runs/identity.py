"""What makes two runs the same run: the hash of everything that decides their numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from affectscope.atomic import plain
from affectscope.runs.config import RunConfig

_NO_CONTENT = frozenset(
    {
        "data",  # the corpus' hash stands for it, so that its path may differ
        "readers",  # likewise
        "judge",  # likewise
        "device",  # its kind counts, not its number
        "device_map",  # where weights lie changes no number; the device that computes counts
        "max_memory",
        "offload_folder",
        "dtype",  # the resolved one counts
        "experiments",
        "out",
        "batch_size",
        "strict",
        "keep_activations",
    }
)

_LATER = frozenset({"label_map", "split", "readers_sha256", "judge_sha256"})
"""Keys that runs of version 0.1 do not have; not given, they change no run's identity."""


def canonical_hash(value: Any) -> str:
    """sha256 of the canonical JSON of a value: sorted keys, no spaces, NaN as null."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Identity:
    """Everything that decides the numbers of a run."""

    content: Mapping[str, Any]
    """Options, resolved, and the hashes of model and corpus."""

    @cached_property
    def hash(self) -> str:
        """sha256 of the content."""
        given = {k: v for k, v in self.content.items() if k not in _LATER or v is not None}
        return canonical_hash(given)

    @classmethod
    def of(
        cls,
        config: RunConfig,
        *,
        model_sha256: str,
        corpus_sha256: str,
        device: str,
        dtype: str,
        readers_sha256: str | None = None,
        judge_sha256: str | None = None,
    ) -> Identity:
        """The identity of a run whose model and corpus are loaded.

        Args:
            config: The options.
            model_sha256: Hash of the model's files.
            corpus_sha256: Hash of the corpus' bytes.
            device: Resolved device, such as ``cuda:1``.
            dtype: Resolved dtype of the weights.
            readers_sha256: Hash of the readers' file, if there is one.
            judge_sha256: Hash of the corpus that judges of texts are trained on, if it is another.
        """
        resolved = {
            "device": device.partition(":")[0],
            "dtype": dtype,
            "model_sha256": model_sha256,
            "corpus_sha256": corpus_sha256,
            "readers_sha256": readers_sha256,
            "judge_sha256": judge_sha256,
        }
        return cls({**deciding_options(config), **resolved})


def deciding_options(config: RunConfig) -> dict[str, Any]:
    """The options that decide content and are known before anything is loaded."""
    return {k: v for k, v in config.as_plain().items() if k not in _NO_CONTENT}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs in the keys that both have, or could have had, as ``--seed: 0 -> 1``."""
    return [
        f"{_said(key)}: {_value(key, old.get(key))} -> {_value(key, new[key])}"
        for key in new
        if (key in old or key in _LATER) and old.get(key) != new[key]
    ]


def _said(key: str) -> str:
    names = {
        "model_sha256": "the model's files",
        "corpus_sha256": "the corpus' content",
        "readers_sha256": "the readers' file",
        "judge_sha256": "the judge's corpus",
    }
    return names.get(key) or f"--{key.replace('_', '-')}"


def _value(key: str, value: Any) -> str:
    return str(value)[:12] if key.endswith("sha256") and value else str(value)
