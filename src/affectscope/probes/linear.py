"""Linear probes: multinomial logistic regression on standardised activations.

The paper's probe (Tak et al. 2025) with C = 1, but standardised inside the fold and evaluated out
of fold, so that no item is predicted by a probe that saw it or its author.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

C = 1.0
"""Inverse strength of the L2 penalty, the paper's."""

ITERATIONS = 500


def fit_linear_probe(X: NDArray[np.float32], y: NDArray[np.str_]) -> Pipeline:
    """Standardise and fit a multinomial logistic regression.

    Args:
        X: Activations ``[item, d_model]``.
        y: Labels ``[item]``.
    """
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=ITERATIONS))
    return probe.fit(X, y)


def probe_out_of_fold(
    X: NDArray[np.float32], y: Sequence[str], folds: NDArray[np.int64]
) -> tuple[NDArray[np.str_], bool]:
    """Predict every item by a probe that saw neither its fold nor its scale.

    Args:
        X: Activations ``[item, d_model]``.
        y: Labels ``[item]``.
        folds: Fold of every item ``[item]``.

    Returns:
        The predicted labels ``[item]``, and whether every fit converged.
    """
    labels = np.asarray(y, dtype=str)
    predicted = np.empty_like(labels)
    # The products are small: on several threads the waiting costs ten times the work.
    with threadpool_limits(limits=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        for fold in np.unique(folds):
            test = folds == fold
            seen = np.unique(labels[~test])
            if len(seen) == 1:  # nothing to tell apart: the only label known is the answer
                predicted[test] = seen[0]
            else:
                predicted[test] = fit_linear_probe(X[~test], labels[~test]).predict(X[test])
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return predicted, converged
