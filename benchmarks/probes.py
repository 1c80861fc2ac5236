"""`make bench-probes`: probes solved together, and one by one with scikit-learn.

python -m benchmarks.probes [--items N] [--data crowd-envent --data-path FOLDER]

The job of the experiment `probe`, at every layer and site of the default model: for each fold the
penalty is chosen on the others, then the emotion of its items is predicted. Folds, penalties, fits
and tolerance are the same, and the two take turns at every layer and site.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import affectscope as afs
from affectscope.data import Corpus, grouped_folds
from affectscope.probes import PENALTIES, fit_probes, probe_out_of_fold
from affectscope.vocabulary import SITES

FOLDS, SEED = 5, 0
TOLERANCE = 1e-4
COMPARED_TOLERANCE = 1e-8
"""Where coefficients are compared: at the tolerance above both are approximate."""

ALIKE = ("same", "same_penalty")

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """What was measured at one layer and site; times in seconds."""

    name: str
    together: float
    one_by_one: float
    accuracy: float
    reference: float
    """Accuracy of scikit-learn's probes."""
    same: float
    """Share of items for which the two predict the same."""
    same_penalty: float
    """Share of folds for which the two choose the same penalty."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=700)
    parser.add_argument("--data", choices=["vignettes", "crowd-envent"], default="vignettes")
    parser.add_argument("--data-path", type=Path)
    options = parser.parse_args()
    whole = _corpus(options.data, options.data_path)
    lm = afs.load_model()
    task = afs.EmotionTask(lm, calibration="none")
    corpus = whole.sample(options.items, SEED, exclude_texts=task.shot_texts)
    states = lm.capture(task.prompts(corpus.texts))
    folds = grouped_folds(corpus.emotions, corpus.groups, FOLDS, SEED)
    places = []
    for site in SITES:
        for layer in range(lm.n_layers):
            places.append(_place(f"{site} {layer}", states.at(site, layer).numpy(), corpus, folds))
    _report(places, corpus, states.at("resid_post", lm.n_layers // 2).numpy())


def _corpus(data: str, path: Path | None) -> Corpus:
    if data == "vignettes":
        return afs.load_corpus("vignettes")
    assert path is not None, "--data-path is needed"
    return afs.load_corpus(path / "enVent_gen_Data.csv" if path.is_dir() else path)


def _place(name: str, X: NDArray[np.float32], corpus: Corpus, folds: NDArray[np.int64]) -> Place:
    emotions = np.asarray(corpus.emotions)
    together, ours = _timed(
        lambda: probe_out_of_fold(X, {"emotion": emotions}, folds, tolerance=TOLERANCE)["emotion"]
    )
    one_by_one, (theirs, chosen) = _timed(lambda: _one_by_one(X, emotions, folds))
    return Place(
        name,
        together,
        one_by_one,
        float((ours.predicted == emotions).mean()),
        float((theirs == emotions).mean()),
        float((ours.predicted == theirs).mean()),
        float(np.mean([ours.C[folds == fold][0] == C for fold, C in chosen.items()])),
    )


def _one_by_one(
    X: NDArray[np.float32], y: NDArray[np.str_], folds: NDArray[np.int64]
) -> tuple[NDArray[np.str_], dict[int, float]]:
    """The same by a loop: predictions, and the penalty of every fold."""

    def fit(train: NDArray[np.bool_], C: float) -> Pipeline:
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=C, tol=TOLERANCE, max_iter=500)
        )
        return probe.fit(X[train], y[train])

    losses = np.zeros((FOLDS, len(PENALTIES)))
    predicted = np.empty_like(y)
    with threadpool_limits(limits=1):  # its products are small: more threads make it slower
        for f, g in combinations(range(FOLDS), 2):
            for column, C in enumerate(PENALTIES):
                probe = fit((folds != f) & (folds != g), C)
                for outer, inner in ((f, g), (g, f)):
                    held_out = folds == inner
                    p = probe.predict_proba(X[held_out])
                    right = p[np.arange(len(p)), np.searchsorted(probe.classes_, y[held_out])]
                    losses[outer, column] -= np.log(right).sum()
        chosen = {fold: PENALTIES[int(losses[fold].argmin())] for fold in range(FOLDS)}
        for fold, C in chosen.items():
            predicted[folds == fold] = fit(folds != fold, C).predict(X[folds == fold])
    return predicted, chosen


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _report(places: Sequence[Place], corpus: Corpus, X: NDArray[np.float32]) -> None:
    ours, theirs = (sum(getattr(p, what) for p in places) for what in ("together", "one_by_one"))
    fits = len(places) * (FOLDS * (FOLDS - 1) // 2 * len(PENALTIES) + FOLDS)
    print(f"{len(corpus)} items of {corpus.name}, {len(places)} layers and sites, {fits:,} probes")
    print(f"together    {ours:8.1f} s   {1e3 * ours / fits:6.1f} ms a probe")
    print(f"one by one  {theirs:8.1f} s   {1e3 * theirs / fits:6.1f} ms a probe")
    print(f"ratio       {theirs / ours:8.1f}")
    apart = [abs(place.accuracy - place.reference) for place in places]
    worst = places[int(np.argmax(apart))]
    print(
        f"accuracy differs by at most {100 * max(apart):.2f} points ({worst.name}), "
        f"{100 * float(np.mean(apart)):.3f} on average"
    )
    same, penalty = (100 * float(np.mean([getattr(p, s) for p in places])) for s in ALIKE)
    print(f"the same prediction for {same:.2f} % of items")
    print(f"the same penalty in {penalty:.1f} % of folds")
    weights, scores = _coefficients(X, np.asarray(corpus.emotions))
    print(
        f"resid_post in the middle, all items, float64, tolerance {COMPARED_TOLERANCE:g}: largest "
        f"difference of a coefficient {weights:.1e} of the largest, of a probability {scores:.1e}"
    )


def _coefficients(X: NDArray[np.float32], y: NDArray[np.str_]) -> tuple[float, float]:
    """Largest differences to scikit-learn's, of standardised coefficients and of probabilities."""
    labels, codes = np.unique(y, return_inverse=True)
    probe = fit_probes(
        torch.tensor(X, dtype=torch.float64),
        torch.tensor(codes)[None],
        torch.ones(1, len(y), dtype=torch.bool),
        torch.tensor([PENALTIES[-1]], dtype=torch.float64),
        n_labels=len(labels),
        tolerance=COMPARED_TOLERANCE,
        iterations=5000,
    )
    scale = StandardScaler().fit(X.astype(float))
    Z = scale.transform(X.astype(float))
    truth = LogisticRegression(C=PENALTIES[-1], tol=COMPARED_TOLERANCE, max_iter=50_000).fit(
        Z, codes
    )
    ours = probe.weight[0].numpy() * scale.scale_[:, None]
    probabilities = probe.scores(torch.tensor(X, dtype=torch.float64))[0].softmax(-1).numpy()
    return (
        float(np.abs(ours - truth.coef_.T).max() / np.abs(truth.coef_).max()),
        float(np.abs(probabilities - truth.predict_proba(Z)).max()),
    )


if __name__ == "__main__":
    main()
