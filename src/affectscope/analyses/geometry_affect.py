"""Valence and arousal of emotions, to compare components with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectscope.analyses.geometry_fit import Array
from affectscope.analyses.similarity import LEAST_NAMES

PLEASANT, UNPLEASANT = "pleasantness", "unpleasantness"


def affect_of(
    emotions: Sequence[str], appraisals: Sequence[str], people: Array
) -> dict[str, Array]:
    """Values of every emotion, by name of the dimension; those that too few have are left out.

    Valence is how pleasant less how unpleasant people rate the events of an emotion.

    Args:
        emotions: The emotions.
        appraisals: The appraisals.
        people: People's mean standardised ratings, ``[emotion, appraisal]``.
    """
    found: dict[str, Array] = {}
    if {PLEASANT, UNPLEASANT} <= set(appraisals):
        at = list(appraisals).index
        found["valence"] = people[:, at(PLEASANT)] - people[:, at(UNPLEASANT)]
    return {
        name: values for name, values in found.items() if np.isfinite(values).sum() >= LEAST_NAMES
    }
