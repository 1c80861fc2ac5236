"""What a tool gives back for a job, and what every tool can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from benchmarks.job import Job
from benchmarks.model import ModelSource


@dataclass(frozen=True)
class Answer:
    """Logits and seconds."""

    logits: Tensor
    """``[target, patch, label]``, float32, on the CPU."""
    clean_seconds: float
    """One clean pass of every prompt; 0 where a tool makes them anew for each intervention."""
    patch_seconds: float
    """Everything else."""


class Tool(Protocol):
    """A way to do the job. Made from a model source; the model is loaded there and then."""

    def __init__(self, source: ModelSource) -> None: ...

    def warm_up(self, job: Job) -> dict[str, Any]:
        """Run something small and choose what is fastest; returns the settings, for the table."""

    def run(self, job: Job) -> Answer:
        """Do the job."""
