"""Principal components of the emotions' directions, and what they follow.

Classical scaling (Torgerson 1952, Psychometrika 17): with G the products of the directions and H
what centres, the eigenvectors of ``H G H``, times the roots of its eigenvalues, are the scores of
the emotions on the principal components, and the eigenvalues over their sum the shares of variance.
If the space of emotions is that of core affect (Russell 1980, J. Pers. Soc. Psychol. 39(6)), one of
its first components follows valence and another arousal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.similarity import LEAST_NAMES, unit_deviations

Array = NDArray[np.float64]

N_COMPONENTS = 2


@dataclass(frozen=True, eq=False)
class Components:
    """The first principal components of some vectors."""

    scores: Array
    """``[..., name, component]``; each component's sign is arbitrary."""
    share: Array
    """Of the variance, ``[..., component]``."""


def components(products: Array) -> Components:
    """Principal components of vectors whose products are given, ``[..., name, name]``.

    NaN where any product is.
    """
    n = products.shape[-1]
    centre = np.eye(n) - 1.0 / n
    defined = np.asarray(np.isfinite(products).all(axis=(-1, -2)))
    centred = centre @ np.where(defined[..., None, None], products, 0.0) @ centre
    eigenvalues, vectors = np.linalg.eigh((centred + centred.swapaxes(-1, -2)) / 2)
    eigenvalues = eigenvalues.clip(min=0.0)
    first = slice(None, -N_COMPONENTS - 1, -1)
    largest = eigenvalues[..., first]
    scores = vectors[..., first] * np.sqrt(largest)[..., None, :]
    total = eigenvalues.sum(axis=-1, keepdims=True)
    there = defined[..., None] & (total > 0)
    share = np.divide(largest, total, out=np.full_like(largest, np.nan), where=there)
    return Components(np.where(there[..., None], scores, np.nan), share)


def turned_onto(scores: Array, target: Array) -> Array:
    """Scores turned (and reflected) to lie as near as they can to others, ``[name, component]``.

    Signs of components are arbitrary, and two of nearly the same variance change places; what is
    left after turning is how the emotions lie to each other (orthogonal Procrustes: Schönemann
    1966, Psychometrika 31(1); for resampled scores: Milan and Whittaker 1995, J. R. Stat. Soc. C
    44(1)).
    """
    product = np.swapaxes(scores, -1, -2) @ target
    if not np.isfinite(product).all():
        return np.full_like(scores, np.nan)
    left, _, right = np.linalg.svd(product)
    return np.asarray(scores @ (left @ right))


def affect_correlation(scores: Array, values: Array) -> Array:
    """The larger |r| of the first components with a value of the emotions, ``[...]``.

    Args:
        scores: ``[..., name, component]``.
        values: ``[name]``, or ``[permutation, name]`` for one place at each of which every
            permutation is tried; NaN for a name that has none.

    Returns:
        ``[...]``, or ``[permutation, ...]``.
    """
    there = np.isfinite(values if values.ndim == 1 else values[0])
    if there.sum() < LEAST_NAMES:
        return np.full((*values.shape[:-1], *scores.shape[:-2]), np.nan)
    of_components = unit_deviations(np.swapaxes(scores, -1, -2)[..., there])
    wanted = unit_deviations(values[..., there])
    r = np.tensordot(wanted, of_components, axes=(-1, -1))
    return np.asarray(np.abs(r).max(axis=-1))


def permuted_affect(scores: Array, values: Array, *, seed: int, n_permutations: int) -> Array:
    """:func:`affect_correlation` with the values dealt anew among the names that have one.

    Args:
        scores: ``[place, name, component]``.
        values: ``[name]``.
        seed: Seed of the deals.
        n_permutations: How many.

    Returns:
        ``[permutation, place]``.
    """
    there = np.isfinite(values)
    dealt = np.full((n_permutations, len(values)), np.nan)
    in_order = np.tile(values[there], (n_permutations, 1))
    dealt[:, there] = np.random.default_rng(seed).permuted(in_order, axis=1)
    return affect_correlation(scores, dealt)
