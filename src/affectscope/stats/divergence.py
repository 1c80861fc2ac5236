"""How far apart two distributions over labels are, and whether it matters which belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from affectscope.stats.bootstrap import Array, Estimate

PERMUTATIONS = 2000


def jensen_shannon(p: Array, q: Array) -> Array:
    """The Jensen-Shannon distance, from 0 (equal) to 1 (no label in common).

    ``sqrt(H((p + q) / 2) - (H(p) + H(q)) / 2)`` with the entropy H in bits (Lin 1991, IEEE Trans.
    Inf. Theory 37(1); a metric: Endres and Schindelin 2003, IEEE Trans. Inf. Theory 49(7)).

    Args:
        p: Distributions along the last axis.
        q: Same shape.
    """
    return _distance(_entropy((p + q) / 2), _entropy(p), _entropy(q))


def _entropy(p: Array) -> Array:
    """In bits; 0 log 0 is 0."""
    return np.asarray(-(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=-1))


def _distance(mixed: Array, of_p: Array, of_q: Array) -> Array:
    # Rounding can leave equal distributions a little below zero.
    return np.sqrt(np.maximum(mixed - (of_p + of_q) / 2, 0.0))


@dataclass(frozen=True)
class PermutedNull:
    """What the mean distance is when it does not matter which distributions belong together."""

    mean: Estimate
    """Mean over the permutations, and where 95 % of them lie."""
    p: float
    """Share of the permutations, the observed order counted as one, with as small a distance."""


def permuted_distance(
    p: Array, q: Array, *, seed: int, n_permutations: int = PERMUTATIONS
) -> PermutedNull:
    """The mean Jensen-Shannon distance when the items of ``q`` are dealt out at random.

    ``p = (1 + #{permuted <= observed}) / (1 + permutations)`` (Phipson and Smyth 2010, Stat. Appl.
    Genet. Mol. Biol. 9(1)).

    Args:
        p: ``[item, label]``.
        q: ``[item, label]``; its items are permuted.
        seed: Seed of the permutations.
        n_permutations: How many.
    """
    generator = np.random.default_rng(seed)
    of_p, of_q = _entropy(p), _entropy(q)
    means = np.empty(n_permutations)
    for k in range(n_permutations):
        order = generator.permutation(len(q))
        means[k] = _distance(_entropy((p + q[order]) / 2), of_p, of_q[order]).mean()
    observed = jensen_shannon(p, q).mean()
    # Orders that only swap equal distributions must count as equal, whatever the rounding.
    as_small = int((means <= observed + 1e-12).sum())
    low, high = np.quantile(means, [0.025, 0.975])
    mean = Estimate(float(means.mean()), float(low), float(high), len(p))
    return PermutedNull(mean, (1 + as_small) / (1 + n_permutations))
