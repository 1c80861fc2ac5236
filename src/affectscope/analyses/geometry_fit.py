"""Cosines between directions that were fitted on different items.

An emotion's direction and an appraisal's, fitted on the same items, are alike even where the
activations mean nothing: both are sums over the same activations, weighted by the label and by the
rating, and with activations of pure noise their cosine is close to the correlation of label and
rating (for means, exactly that in expectation, but for terms that vanish with d_model). Compared
with people's ratings such a model would look human. So the items are split into two halves that
share no group, and every cosine is between a direction from one half and one from the other:

    cos(a, b) = (a1 · b2 + a2 · b1) / 2,

with 1 and 2 the halves. Noise adds nothing to it on average; but directions that are known less
well give smaller cosines, and that of a direction with itself, its *reliability*, says how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.directions import DirectionKind, appraisal_directions
from affectscope.probes.ridge import fit_ridge

Array = NDArray[np.float64]

KINDS: tuple[DirectionKind, ...] = get_args(DirectionKind)

WHOLE = -1
"""In place of the part that is left out, where none is."""


@dataclass(frozen=True, eq=False)
class Halves:
    """Items in parts, the parts in two halves."""

    parts: NDArray[np.int64]
    """Part of every item, from 0, ``[item]``."""

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return int(self.parts.max()) + 1

    @property
    def of_part(self) -> NDArray[np.int64]:
        """Half of every part, 0 or 1, ``[part]``: even and odd parts."""
        return np.arange(self.n_parts) % 2

    @property
    def refits(self) -> list[int]:
        """What is left out in turn: nothing, then each part."""
        return [WHOLE, *range(self.n_parts)]

    def items(self, half: int, left_out: int = WHOLE) -> NDArray[np.bool_]:
        """The items of a half but those of a part, ``[item]``."""
        return (self.parts % 2 == half) & (self.parts != left_out)

    def halves(self, left_out: int) -> Iterator[NDArray[np.bool_]]:
        """The items of both halves but those of a part."""
        return (self.items(half, left_out) for half in (0, 1))


@dataclass(frozen=True, eq=False)
class PlaceCosines:
    """All cosines at one layer and site."""

    across: Array
    """Between halves, ``[kind, refit, name, name]``; on the diagonal the reliability."""
    within: Array
    """Within a half, the mean of both, ``[kind, refit, name, name]``."""
    agreement: Array
    """Of the two kinds of direction from the same half, the mean of both, ``[refit, name]``."""
    penalty: float
    """The penalty of all probes."""


def place_cosines(
    X: NDArray[np.float32],
    targets: Array,
    names: Sequence[str],
    halves: Halves,
    folds: NDArray[np.int64],
) -> PlaceCosines:
    """Fit directions on halves of the items, and on halves without a part, and relate them.

    A probe is a ridge readout, for an emotion of the indicator of its items (a discriminant): then
    one factorisation serves emotions and appraisals, where a logistic regression for every refit
    would take minutes a layer. The penalty is chosen once, on all items, and is the same for all:
    the median of those that are best for each. A single number, it cannot carry a relation between
    emotions and appraisals into the fits.

    Args:
        X: Activations, ``[item, d_model]``.
        targets: Indicators of emotions and ratings of appraisals, ``[item, name]``; NaN where a
            rating is missing.
        names: Of the targets.
        halves: The split.
        folds: Fold of every item, on which the penalty is chosen.
    """
    chosen = fit_ridge(X, targets, folds).penalty
    penalty = float(np.quantile(chosen, 0.5, method="higher"))

    def fitted(items: NDArray[np.bool_]) -> Array:
        """Directions of both kinds, ``[kind, name, d_model]``."""
        where = X[items], targets[items], np.zeros(int(items.sum()), dtype=np.int64)
        found = {
            "probe": _unit(fit_ridge(*where, penalties=[penalty]).weights),
            "means": appraisal_directions(*where[:2], names, where[2], kind="means").vectors,
        }
        return np.stack([found[kind] for kind in KINDS])

    whole = [fitted(items) for items in halves.halves(WHOLE)]
    related = []
    for left_out in halves.refits:
        pair = list(whole)
        if left_out != WHOLE:
            half = left_out % 2
            pair[half] = fitted(halves.items(half, left_out))
        related.append(_relate(*pair))
    across, within, agreement = (np.stack(parts) for parts in zip(*related, strict=True))
    return PlaceCosines(across.swapaxes(0, 1), within.swapaxes(0, 1), agreement, penalty)


def _relate(one: Array, other: Array) -> tuple[Array, Array, Array]:
    """Cosines across and within halves ``[kind, name, name]``, and of the kinds ``[name]``."""
    one, other = (np.where(_is_zero(vectors), np.nan, vectors) for vectors in (one, other))
    across = one @ other.swapaxes(-1, -2)
    within = [half @ half.swapaxes(-1, -2) for half in (one, other)]
    agreement = [np.prod(half, axis=0).sum(axis=-1) for half in (one, other)]
    return (
        (across + across.swapaxes(-1, -2)) / 2,
        (within[0] + within[1]) / 2,
        (agreement[0] + agreement[1]) / 2,
    )


def _is_zero(vectors: Array) -> NDArray[np.bool_]:
    return np.logical_not(vectors.any(axis=-1, keepdims=True))


def _unit(vectors: Array) -> Array:
    """Each row over its length; 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def people_profiles(ratings: Array, emotions: Array, halves: Halves) -> Array:
    """What people say of each emotion: the mean standardised rating of its items.

    Standardised and averaged in each half by itself, then over the halves, so that leaving out a
    part changes it as it changes the model's profile.

    Args:
        ratings: ``[item, appraisal]``; NaN where one is missing.
        emotions: Whether the item has the emotion, 1 or 0, ``[item, emotion]``.
        halves: The split.

    Returns:
        ``[refit, emotion, appraisal]``.
    """
    profiles = []
    for left_out in halves.refits:
        of_half = []
        for items in halves.halves(left_out):
            rated, has = ratings[items], emotions[items] == 1
            z = (rated - np.nanmean(rated, axis=0)) / np.nanstd(rated, axis=0)
            of_half.append([np.nanmean(z[here], axis=0) for here in has.T])
        profiles.append(np.mean(of_half, axis=0))
    return np.asarray(profiles)
