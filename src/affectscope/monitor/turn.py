"""What was read of one turn, and whether it raises an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from affectscope.models.writing import TextPieces
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.statistic import WINDOW, peaks, probabilities
from affectscope.monitor.thresholds import TurnKind


@dataclass(frozen=True, eq=False)
class TurnReading:
    """Emotion and appraisals token by token, and the turn's alarms.

    A token's reading is of the state that it is written from, so that of the tokens before it. A
    last entry, with the text ``""``, is of the state after all tokens, where that was computed.
    """

    kind: TurnKind
    """How the turn reached the model."""
    tokens: tuple[str, ...]
    """What each token adds to the text."""
    labels: tuple[str, ...]
    """Names of the emotions."""
    emotions: NDArray[np.float64]
    """Probabilities under the probe, ``[token, label]``."""
    appraisal_names: tuple[str, ...]
    """Names of the appraisals."""
    appraisals: NDArray[np.float64]
    """Ratings, 1 to 5 but for the probe's errors, ``[token, appraisal]``."""
    statistic: Mapping[str, float]
    """Of all that is watched: the largest running mean, in deviations above neutral texts."""
    peaks: Mapping[str, int]
    """Last token of the stretch where each is largest, an index into ``tokens``."""
    limit: float
    """What a statistic must exceed to raise an alarm."""
    alarms: tuple[str, ...]
    """What is above the limit, the strongest first."""
    comparable: bool
    """Whether the turn is no longer than the longest neutral text of the calibration, so that the
    claimed rate holds."""

    @property
    def emotion(self) -> str:
        """The emotion with the largest mean probability."""
        return self.labels[int(self.emotions.mean(axis=0).argmax())]

    def stretch(self, name: str) -> str:
        """The text that was being written where a watched score is largest."""
        last = self.peaks[name]
        return "".join(self.tokens[max(0, last - WINDOW + 1) : last + 1])

    def as_dict(self, *, per_token: bool = False) -> dict[str, Any]:
        """The reading as JSON values.

        Args:
            per_token: Every token's readings too, beside their means.
        """
        found: dict[str, Any] = {
            "kind": self.kind,
            "n_tokens": len(self.tokens),
            "emotion": self.emotion,
            "emotions": _named(self.labels, self.emotions.mean(axis=0)),
            "appraisals": _named(self.appraisal_names, self.appraisals.mean(axis=0)),
            "statistic": {name: float(value) for name, value in self.statistic.items()},
            "limit": self.limit,
            "alarms": list(self.alarms),
            "peaks": {
                name: {"token": self.peaks[name], "text": self.stretch(name)}
                for name in self.alarms
            },
            "comparable": self.comparable,
        }
        if per_token:
            found["tokens"] = [
                {
                    "text": text,
                    "emotions": _named(self.labels, self.emotions[k]),
                    "appraisals": _named(self.appraisal_names, self.appraisals[k]),
                }
                for k, text in enumerate(self.tokens)
            ]
        return found


def turn_reading(
    probes: MonitorProbes,
    read: NDArray[np.floating],
    tokens: Sequence[str],
    kind: TurnKind,
) -> TurnReading:
    """Make sense of what the probes read of one turn.

    Args:
        probes: What read it.
        read: Logits and ratings, ``[token, label+appraisal]``.
        tokens: Text of every token.
        kind: How the turn reached the model.

    Raises:
        UsageError: The probes were never calibrated.
    """
    thresholds = probes.thresholds_for(kind)
    n = len(probes.labels)
    largest = peaks(probes.scores(read, thresholds.watched))
    excess = dict(
        zip(thresholds.watched, thresholds.standardised(largest.values).tolist(), strict=True)
    )
    above = [name for name in excess if excess[name] > thresholds.limit]
    return TurnReading(
        kind=kind,
        tokens=tuple(tokens),
        labels=probes.labels,
        emotions=probabilities(read[:, :n]),
        appraisal_names=probes.appraisals,
        appraisals=np.asarray(read[:, n:], dtype=np.float64),
        statistic=excess,
        peaks=dict(zip(thresholds.watched, largest.tokens.tolist(), strict=True)),
        limit=thresholds.limit,
        alarms=tuple(sorted(above, key=lambda name: -excess[name])),
        comparable=len(tokens) <= thresholds.n_tokens[1],
    )


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """What each token adds to the text; nothing while a character's bytes are incomplete."""
    said: list[str] = []
    pieces = TextPieces(tokenizer, lambda _row, piece: said.append(piece))
    texts = []
    for token in ids:
        said.clear()
        pieces(0, token)
        texts.append("".join(said))
    return texts


def _named(names: Sequence[str], values: NDArray[np.floating]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
