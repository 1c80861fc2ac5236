"""Calibration: correcting label scores for what the prompt prefers whatever the text says.

Few-shot prompts favour some labels (often the last shot's). With label log-probabilities
``log p(y | x)``, the softmax taken over the labels, a calibrated score is ``log p(y | x) - b(y)``:

- ``none``: b = 0.
- ``content-free`` (Zhao et al. 2021, "Calibrate Before Use"): b = log of the mean probability over
  texts without content.
- ``batch`` (Zhou et al. 2024, "Batch Calibration"): b = mean log-probability over unlabelled texts.

Neither ever sees a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.errors import PromptError
from affectscope.vocabulary import CALIBRATIONS, Calibration

CONTENT_FREE_TEXTS: tuple[str, ...] = ("N/A", "[MASK]", "")
"""Zhao et al. (2021)."""


@dataclass(frozen=True)
class LabelOffsets:
    """What is subtracted from every label's log-probability."""

    kind: Calibration
    offsets: Float[Tensor, " label"]

    def scores(self, logits: Float[Tensor, "*rows label"]) -> Float[Tensor, "*rows label"]:
        """Calibrated log-scores; their largest is the prediction, their softmax its probability."""
        return logits.log_softmax(dim=-1) - self.offsets


def check_calibration(kind: str) -> None:
    """Raise :class:`PromptError` for a calibration that does not exist."""
    if kind not in CALIBRATIONS:
        raise PromptError(
            f"there is no calibration {kind!r}",
            expected=f"one of {', '.join(CALIBRATIONS)}",
            remedy="choose one of these",
        )


def fit_offsets(kind: Calibration, unlabelled: Float[Tensor, "prompt label"]) -> LabelOffsets:
    """Fit the offsets.

    Args:
        kind: Which calibration.
        unlabelled: Label logits of content-free prompts for ``content-free``, of unlabelled
            prompts for ``batch``; not used by ``none``.

    Raises:
        PromptError: For an unknown kind, or when there are no prompts to fit on.

    Examples:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
        >>> fitted = fit_offsets("batch", logits)
        >>> fitted.scores(logits).argmax(dim=-1).tolist()
        [0, 1]
    """
    check_calibration(kind)
    if kind == "none":
        return LabelOffsets(kind, torch.zeros(unlabelled.shape[-1]))
    needed = 2 if kind == "batch" else 1
    if len(unlabelled) < needed:
        raise PromptError(
            f"{kind} calibration has {len(unlabelled)} prompts to fit on",
            expected=f"at least {needed}; on a single text, batch calibration would leave nothing",
            remedy="give more texts, or use calibration 'content-free' or 'none'",
        )
    log_p = unlabelled.double().log_softmax(dim=-1)
    if kind == "batch":
        return LabelOffsets(kind, log_p.mean(dim=0).float())
    return LabelOffsets(kind, log_p.exp().mean(dim=0).log().float())
