"""Moving one thing while others are held: the projection of appraisal surgery.

With the held probes' weights as the rows of V, what is added is (Tak et al. 2025, section 6)

    z = (I - V' (V V')^-1 V) v,

the part of v that no held probe sees: V z = 0, so that a held readout ``V x`` is the same before
and after. The authors' released code computes z and then adds v; here z is what is returned, and
there is nothing else to add.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.directions import Directions
from affectscope.errors import NotPossibleError

_RANK = 1e-10
"""Directions of V whose singular value is so small a part of the largest are rounding."""

_LEFT = 1e-6
"""Least length of what must be left of a unit vector."""


def held_fixed(
    vector: NDArray[np.float64], held: NDArray[np.float64], *, name: str = "the direction"
) -> NDArray[np.float64]:
    """The part of a direction that changes none of the held readouts, of length 1.

    Args:
        vector: What is to be moved along, ``[d_model]``.
        held: Weights of the readouts to hold, ``[held, d_model]``; they may depend on each other.
        name: What the vector stands for, in the message of an error.

    Raises:
        NotPossibleError: Nothing is left: the held readouts fix the direction itself.
    """
    length = np.linalg.norm(vector)
    basis = _basis(held)
    z = vector - basis.T @ (basis @ vector)
    z -= basis.T @ (basis @ z)  # once more, for what rounding left
    left = np.linalg.norm(z)
    if left <= _LEFT * length or length == 0:
        raise NotPossibleError(
            f"nothing of {name} is left when {len(held)} readouts are held",
            expected="a direction that the held ones do not span",
            remedy="hold fewer appraisals (--hold), or move another",
        )
    return np.asarray(z / left)


def moved_and_held(
    moves: Sequence[tuple[str, float]],
    held: Sequence[str],
    *,
    along: Directions,
    probes: Directions | None = None,
) -> NDArray[np.float64]:
    """What is added to move some things together while others are held, ``[d_model]``.

    The signed sum of each one's direction with the held projected out (Tak et al. 2025); its length
    is that of the largest single move.

    Args:
        moves: What is moved, and how far each.
        held: What is held.
        along: The directions that are moved along.
        probes: Of what is held; they may be left out where nothing is.

    Raises:
        NotPossibleError: The held leave nothing to move along.
    """
    fixed = np.zeros((0, along.vectors.shape[1]))
    if held:
        assert probes is not None, "what is held is read by probes"
        fixed = probes.vectors[[probes.names.index(name) for name in held]]
    total = np.sum(
        [size * held_fixed(along.of(name), fixed, name=name) for name, size in moves], axis=0
    )
    largest = max(abs(size) for _, size in moves)
    return np.asarray(largest * total / np.linalg.norm(total))


def _basis(held: NDArray[np.float64]) -> NDArray[np.float64]:
    """Orthonormal rows that span the held weights."""
    if not len(held):
        return np.zeros((0, held.shape[1]))
    lengths = np.linalg.norm(held, axis=1, keepdims=True)
    rows = (held / np.where(lengths > 0, lengths, 1.0))[lengths[:, 0] > 0]
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(directions[sizes > _RANK * sizes.max(initial=0)])
