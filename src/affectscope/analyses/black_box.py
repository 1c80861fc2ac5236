"""From appraisals to emotions: what ratings alone say of the emotion.

Appraisal theory holds that the emotion follows from how the event is appraised. The paper's *black
box* (Tak et al. 2025) is a logistic regression from the ratings to the emotion, fitted to people's
ratings; here also to those that probes decode from the model, and for the model's own answer beside
the author's emotion. Predictions are out of fold. Ratings decoded from the model come from probes
that saw none of the item's fold.

Coefficients are those of the standardised ratings, centred over the emotions (a constant added to
all emotions changes no prediction). Their intervals are from the delete-a-group jackknife (Kott
2001, J. Off. Stat. 17(4)): the regression is fitted again without each of some twenty parts of the
groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student

from affectscope.data import grouped_folds
from affectscope.probes import fit_probes, probe_out_of_fold
from affectscope.stats import Estimate

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths C to choose from: twenty ratings need less than hundreds of activations."""

C = 0.1
"""Of the regression whose coefficients are given; fixed, so that the jackknife varies one thing."""

PARTS = 20
"""Parts of the jackknife."""


def answers_from_ratings(
    ratings: NDArray[np.float64],
    labellings: Mapping[str, Sequence[str]],
    folds: NDArray[np.int64],
) -> dict[str, NDArray[np.str_]]:
    """The emotion that the ratings predict of every item, by a regression without its fold.

    Args:
        ratings: ``[item, appraisal]``; a missing one counts as the mean of its appraisal.
        labellings: Emotions of every item, by name.
        folds: Fold of every item, ``[item]``.
    """
    found = probe_out_of_fold(
        _complete(ratings).astype(np.float32), labellings, folds, penalties=PENALTIES
    )
    return {name: each.predicted for name, each in found.items()}


def coefficients(
    ratings: NDArray[np.float64],
    emotions: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int,
) -> tuple[tuple[str, ...], list[list[Estimate]]]:
    """How much each standardised rating counts for each emotion, in log-odds.

    Args:
        ratings: ``[item, appraisal]``; a missing one counts as the mean of its appraisal.
        emotions: Emotion of every item.
        groups: Group of every item.
        seed: Seed of the parts of the jackknife.

    Returns:
        The emotions that occur, and their coefficients, ``[emotion][appraisal]``.
    """
    labels, codes = np.unique(np.asarray(emotions, dtype=str), return_inverse=True)
    X = _complete(ratings)
    spread = X.std(axis=0)
    Z = torch.as_tensor((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
    parts = grouped_folds(emotions, groups, min(PARTS, len(set(groups))), seed)
    numbers = np.unique(parts)
    train = np.stack([np.ones(len(X), dtype=bool), *(parts != part for part in numbers)])
    fitted = fit_probes(
        Z,
        torch.as_tensor(codes).expand(len(train), -1),
        torch.as_tensor(train),
        torch.full((len(train),), C, dtype=Z.dtype),
        n_labels=len(labels),
    )
    weight = fitted.weight.transpose(1, 2).double().numpy()  # [fit, emotion, appraisal]
    weight = weight - weight.mean(axis=1, keepdims=True)
    whole, without = weight[0], weight[1:]
    m = len(numbers)
    deviations = without - without.mean(axis=0)
    error = np.sqrt((m - 1) / m * (deviations**2).sum(axis=0))
    half = student.ppf(0.975, m - 1) * error
    return tuple(labels.tolist()), [
        [
            Estimate(float(value), float(value - by), float(value + by), len(X))
            for value, by in zip(values, halves, strict=True)
        ]
        for values, halves in zip(whole, half, strict=True)
    ]


def _complete(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """With the appraisal's mean where a rating is missing."""
    means = np.nanmean(ratings, axis=0)
    return np.where(np.isfinite(ratings), ratings, means)
