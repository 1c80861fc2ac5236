"""What the monitor reads with: probes of one layer, and the thresholds that belong to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.atomic import plain, write_bytes
from affectscope.engine import Readout
from affectscope.errors import InterventionError, UsageError
from affectscope.monitor.probes_file import (
    broken_file,
    file_content,
    probes_file,
    read_file,
)
from affectscope.monitor.states import SITE
from affectscope.monitor.statistic import log_odds
from affectscope.monitor.thresholds import Thresholds, TurnKind
from affectscope.vocabulary import Site


@dataclass(frozen=True, eq=False)
class MonitorProbes:
    """Linear probes of emotion and appraisals at one layer, fitted to a model and a corpus.

    Raises:
        InterventionError: Values that do not go together.
    """

    layer: int
    """Block, counted from 0."""
    labels: tuple[str, ...]
    """Emotions, in alphabetical order; the probe's softmax is over them."""
    appraisals: tuple[str, ...]
    """Appraisals that are read; none where the corpus has no ratings."""
    weights: Float[Tensor, "label+appraisal d_model"]
    """Float32, the emotions' rows first."""
    bias: Float[Tensor, " label+appraisal"]
    """Float32: added to logits, and to ratings of 1 to 5."""
    thresholds: Mapping[TurnKind, Thresholds] = field(default_factory=dict)
    """When a turn raises an alarm, by how it reaches the model."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Model, corpus, seed, and how well the probes read texts that they never saw; JSON values."""
    site: Site = SITE
    """Which activation is read."""

    def __post_init__(self) -> None:
        for name in ("weights", "bias"):
            value = getattr(self, name).detach().to("cpu", torch.float32, copy=True).contiguous()
            object.__setattr__(self, name, value)
        about = json.loads(json.dumps(plain(self.about), allow_nan=False))
        object.__setattr__(self, "about", about)
        n = len(self.labels) + len(self.appraisals)
        right = self.weights.ndim == 2 and len(self.weights) == n == self.bias.numel()
        if not right or len(self.labels) < 2 or self.layer < 0 or self.bias.ndim != 1:
            raise InterventionError(
                f"probes of {len(self.labels)} emotions and {len(self.appraisals)} appraisals at "
                f"layer {self.layer}, with weights {list(self.weights.shape)} and bias "
                f"{list(self.bias.shape)}",
                expected=f"two emotions or more, weights [{n}, d_model] and bias [{n}]",
            )
        if not bool(torch.isfinite(self.weights).all() and torch.isfinite(self.bias).all()):
            raise InterventionError("the probes' weights are not all finite numbers")
        for one in self.thresholds.values():
            self.columns(one.watched)
            if not len(one.watched) == len(one.centre) == len(one.scale):
                raise InterventionError("thresholds without a number for all that is watched")

    @property
    def d_model(self) -> int:
        """Length of an activation."""
        return self.weights.shape[1]

    @property
    def readout(self) -> Readout:
        """All probes as one readout."""
        return Readout(self.site, self.layer, self.weights, self.bias)

    def columns(self, watched: tuple[str, ...]) -> list[int]:
        """Where watched names stand among the emotions and appraisals.

        Raises:
            UsageError: None is named, or one is not read.
        """
        known = (*self.labels, *self.appraisals)
        unknown = [name for name in watched if name not in known]
        if unknown or not watched:
            raise UsageError(
                f"{', '.join(unknown)} cannot be watched" if unknown else "nothing is watched",
                expected=f"some of {', '.join(known)}",
                remedy="name some of these, or fit probes on a corpus that has the others",
            )
        return [known.index(name) for name in watched]

    def scores(self, read: NDArray[np.floating], watched: tuple[str, ...]) -> NDArray[np.float64]:
        """The watched scores of what was read at each token ``[token, label+appraisal]``.

        Returns:
            ``[token, watched]``: log-odds of emotions, ratings of appraisals.
        """
        n = len(self.labels)
        both = np.concatenate([log_odds(read[:, :n]), np.asarray(read[:, n:], float)], axis=1)
        return both[:, self.columns(watched)]

    def thresholds_for(self, kind: TurnKind) -> Thresholds:
        """The thresholds of a kind of turn; those of plain texts where there are no others.

        Raises:
            UsageError: There are none at all.
        """
        found = self.thresholds.get(kind) or self.thresholds.get("text")
        if found is None:
            raise UsageError(
                f"these probes have no thresholds for a turn of the kind {kind!r}",
                expected="probes that were calibrated on neutral texts",
                remedy="use affectscope.monitor.calibrate",
            )
        return found

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the probes into a folder, which is made where it is missing.

        Returns:
            The folder.

        Raises:
            DiskFullError: No space is left.
        """
        write_bytes(probes_file(folder, writing=True), file_content(self))
        return Path(folder)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Read probes that :meth:`save_pretrained` wrote.

        Args:
            path: The folder, or its file.

        Raises:
            ModelNotFoundError: There are none.
            ModelFileError: The file is damaged, is something else, or is too new.
        """
        file = probes_file(path)
        fields = read_file(file)
        try:
            return cls(**fields)
        except (InterventionError, UsageError) as error:
            raise broken_file(file, error.message) from error
