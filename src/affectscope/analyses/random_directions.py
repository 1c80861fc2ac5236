"""Random directions: what moving an activation does, wherever it is moved to.

Two nulls. *Isotropic* directions are equally likely everywhere, and nearly all of them point where
activations hardly ever vary, so that they are easy to beat. *Covariance-matched* ones vary as the
activations do: the model listens to these, and a direction that beats them does more than point
where the data are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from affectscope.errors import NotPossibleError, UsageError

RandomKind = Literal["isotropic", "covariance"]
"""Which null a random direction is drawn from."""

Vectors = NDArray[np.float64]


def isotropic(n: int, d: int, seed: int) -> Vectors:
    """Directions uniform on the sphere, ``[n, d]``, each of length 1.

    Args:
        n: How many.
        d: Length of each, such as d_model.
        seed: Fixes the draw.

    Raises:
        UsageError: ``n`` or ``d`` is below 1.
    """
    _require(n, d)
    return _unit(np.random.default_rng(seed).standard_normal((n, d)))


def covariance_matched(n: int, X: NDArray[np.floating], seed: int) -> Vectors:
    """Directions of draws from N(0, S), S the covariance of X; ``[n, d_model]``, each of length 1.

    With X centred, ``Xᵀ g / sqrt(items)`` for a standard normal ``g`` has mean 0 and covariance
    ``Xᵀ X / items = S``: a draw needs no factorisation of S, and S need not have full rank.

    Args:
        n: How many.
        X: Activations, ``[item, d_model]``.
        seed: Fixes the draw.

    Raises:
        UsageError: ``n`` is below 1.
        NotPossibleError: The activations do not vary.
    """
    _require(n, X.shape[-1])
    centred = np.asarray(X, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    if not np.linalg.norm(centred) > 0:
        raise NotPossibleError(
            f"{len(X)} activations do not vary, and have no covariance to draw from",
            expected="at least two items with different activations",
            remedy="use more items",
        )
    g = np.random.default_rng(seed).standard_normal((n, len(centred)))
    return _unit(g @ centred / np.sqrt(len(centred)))


def draw_directions(kind: RandomKind, n: int, X: NDArray[np.floating], seed: int) -> Vectors:
    """Random directions of either kind, ``[n, d_model]``, for activations ``[item, d_model]``."""
    return (
        isotropic(n, X.shape[-1], seed) if kind == "isotropic" else covariance_matched(n, X, seed)
    )


def _require(n: int, d: int) -> None:
    if n < 1 or d < 1:
        raise UsageError(
            f"{n} random directions of length {d} were asked for",
            expected="one or more, of length one or more",
            remedy="give larger numbers",
        )


def _unit(vectors: Vectors) -> Vectors:
    """Each row over its length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
