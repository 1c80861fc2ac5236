"""How good a judge is, measured on texts that its models had not seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score

FLOOR = 1e-6
"""The least probability that counts in a log-loss: one text can cost 13.8 nats at most."""

N_BINS = 10
"""Bins of the calibration error."""

COLUMNS = ("metric", "target", "value", "chance", "n")


def log_losses(p: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The surprise ``-log p`` at each text's own label, in nats.

    Args:
        p: Probabilities ``[text, label]``.
        codes: Index of each text's label ``[text]``.
    """
    return np.asarray(-np.log(np.maximum(p[np.arange(len(codes)), codes], FLOOR)))


def calibration_error(p: NDArray[np.float64], codes: NDArray[np.int64]) -> float:
    """How far the probability of the named label is from how often it is right.

    The expected calibration error: texts are binned by the probability of the label named, ten
    bins of equal width, and the distance of mean probability and share right is averaged, bins
    counting by their texts (Guo et al. 2017, "On Calibration of Modern Neural Networks").

    Args:
        p: Probabilities ``[text, label]``.
        codes: Index of each text's label ``[text]``.
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(codes))


def emotion_rows(p: NDArray[np.float64], codes: NDArray[np.int64]) -> list[dict[str, object]]:
    """Quality of the emotion: accuracy, macro-F1, log-loss and calibration error.

    Chance is what is reached without reading: by always naming the most frequent label, and for
    the log-loss by giving every label its share of the corpus.

    Args:
        p: Probabilities ``[text, label]``, out of fold.
        codes: Index of each text's label ``[text]``.
    """
    n_labels = p.shape[1]
    shares = np.bincount(codes, minlength=n_labels) / len(codes)
    most, named = float(shares.max()), p.argmax(axis=1)
    constant = np.full_like(codes, shares.argmax())
    entropy = float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    values = {
        "accuracy": (float((named == codes).mean()), most),
        "macro_f1": (_macro_f1(codes, named, n_labels), _macro_f1(codes, constant, n_labels)),
        "log_loss": (float(log_losses(p, codes).mean()), entropy),
        "calibration_error": (calibration_error(p, codes), float("nan")),
    }
    return [
        dict(zip(COLUMNS, (metric, "emotion", value, chance, len(codes)), strict=True))
        for metric, (value, chance) in values.items()
    ]


def rating_rows(
    names: tuple[str, ...],
    Y: NDArray[np.float64],
    predicted: NDArray[np.float64],
    baseline: NDArray[np.float64],
) -> list[dict[str, object]]:
    """Quality of every appraisal: ``r2 = 1 - sum (y - predicted)^2 / sum (y - baseline)^2``.

    Args:
        names: The appraisals.
        Y: Ratings ``[text, appraisal]``; NaN where one is missing.
        predicted: What the judge says out of fold, ``[text, appraisal]``.
        baseline: The mean rating of the same training texts, ``[text, appraisal]``; r2 is 0 for
            it.
    """
    rows = []
    for column, name in enumerate(names):
        rated = np.isfinite(Y[:, column])
        y = Y[rated, column]
        left = ((y - predicted[rated, column]) ** 2).sum()
        whole = ((y - baseline[rated, column]) ** 2).sum()
        r2 = float(1 - left / whole) if whole > 0 else float("nan")
        rows.append(dict(zip(COLUMNS, ("r2", name, r2, 0.0, int(rated.sum())), strict=True)))
    return rows


def quality_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """One row a measure: ``metric``, ``target``, ``value``, ``chance`` and ``n`` (texts)."""
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _macro_f1(codes: NDArray[np.int64], named: NDArray[np.int64], n_labels: int) -> float:
    return float(
        f1_score(codes, named, labels=list(range(n_labels)), average="macro", zero_division=0)
    )
