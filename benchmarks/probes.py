"""`make bench-probes`: probes solved together, and one by one with scikit-learn.

python -m benchmarks.probes [--items N] [--data crowd-envent --data-path FOLDER]

The job of the experiment `probe`, at every layer and site of the default model: for each fold the
penalty is chosen on the others, then the emotion of its items is predicted. Folds, penalties, fits
and tolerance are the same, and the ways take turns, some layers at a time: affectscope's on all
threads (a layer on each, as the experiment does), the same on one thread, and a loop of fits with
scikit-learn, whose products are too small to gain from more than one.

For information also the non-linear probe of some layers, beside scikit-learn's `MLPClassifier`.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import affectscope as afs
from affectscope.data import Corpus, grouped_folds
from affectscope.probes import (
    HIDDEN,
    PENALTIES,
    OutOfFold,
    fit_probes,
    mlp_out_of_fold,
    one_thread_each,
    probe_out_of_fold,
)
from affectscope.vocabulary import SITES

FOLDS, SEED = 5, 0
TOLERANCE = 1e-4
COMPARED_TOLERANCE = 1e-8
"""Where coefficients are compared: at the tolerance above both are approximate."""

LAYERS = 5
"""Layers that are done by one way before the next has its turn."""

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """What was found at one layer and site."""

    site: str
    layer: int
    accuracy: float
    reference: float
    """Accuracy of scikit-learn's probes."""
    same: float
    """Share of items for which the two predict the same."""
    same_penalty: float
    """Share of folds for which the two choose the same penalty."""
    cosine: float
    """Of the two's standardised coefficients, one fit to all items at the common tolerance."""
    exact: float
    """Accuracy of scikit-learn's probes in float64 to a tight tolerance, where the two differ by
    more than half a point; NaN elsewhere. Near a tie of two penalties, rounding decides which is
    chosen."""


@dataclass
class Seconds:
    """What each way took, over all places."""

    together: float = 0.0
    one_thread: float = 0.0
    one_by_one: float = 0.0


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
    places, seconds = [], Seconds()
    for site in SITES:
        for start in range(0, lm.n_layers, LAYERS):
            layers = range(start, min(start + LAYERS, lm.n_layers))
            block = [states.at(site, layer).numpy() for layer in layers]
            found = _block(block, np.asarray(corpus.emotions), folds, seconds)
            places += [
                Place(site, layer, *numbers) for layer, numbers in zip(layers, found, strict=True)
            ]
    _report(places, seconds, corpus, states.at("resid_post", lm.n_layers // 2).numpy())
    some = (0, lm.n_layers // 2, lm.n_layers - 1)
    few = [states.at("resid_post", layer).numpy() for layer in some]
    _networks(few, np.asarray(corpus.emotions), folds)


def _corpus(data: str, path: Path | None) -> Corpus:
    if data == "vignettes":
        return afs.load_corpus("vignettes")
    assert path is not None, "--data-path is needed"
    return afs.load_corpus(path / "enVent_gen_Data.csv" if path.is_dir() else path)


def _block(
    block: Sequence[NDArray[np.float32]],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    seconds: Seconds,
) -> Iterator[tuple[float, ...]]:
    """What is found at some places by each way; adds up the times."""

    def ours(X: NDArray[np.float32]) -> OutOfFold:
        return probe_out_of_fold(X, {"emotion": y}, folds, tolerance=TOLERANCE)["emotion"]

    took, found = _timed(lambda: one_thread_each(ours, block, "cpu"))
    seconds.together += took
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds.one_thread += _timed(lambda: [ours(X) for X in block])[0]
    torch.set_num_threads(threads)
    took, reference = _timed(lambda: [_one_by_one(X, y, folds) for X in block])
    seconds.one_by_one += took
    for X, one, (theirs, chosen) in zip(block, found, reference, strict=True):
        accuracy, other = (float((predicted == y).mean()) for predicted in (one.predicted, theirs))
        exact = np.nan
        if abs(accuracy - other) > 0.005:
            precise = _one_by_one(X.astype(float), y, folds, COMPARED_TOLERANCE)[0]
            exact = float((precise == y).mean())
        yield (
            accuracy,
            other,
            float((one.predicted == theirs).mean()),
            float(np.mean([one.C[folds == fold][0] == C for fold, C in chosen.items()])),
            _cosine(*_coefficients(X, y, C=PENALTIES[-2], tolerance=TOLERANCE)[:2]),
            exact,
        )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _one_by_one(
    X: NDArray[np.float32],
    y: NDArray[np.str_],
    folds: NDArray[np.int64],
    tolerance: float = TOLERANCE,
) -> tuple[NDArray[np.str_], dict[int, float]]:
    """The same by a loop: predictions, and the penalty of every fold."""

    def fit(train: NDArray[np.bool_], C: float) -> Pipeline:
        regression = LogisticRegression(C=C, tol=tolerance, max_iter=5000)
        return make_pipeline(StandardScaler(), regression).fit(X[train], y[train])

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


def _report(
    places: Sequence[Place], seconds: Seconds, corpus: Corpus, X: NDArray[np.float32]
) -> None:
    fits = len(places) * (FOLDS * (FOLDS - 1) // 2 * len(PENALTIES) + FOLDS)
    print(
        f"{len(corpus)} items of {corpus.name}, {len(places)} layers and sites, {fits:,} probes\n"
    )
    print("\nsite        layer  accuracy  scikit-learn  points  same items  same C   cosine")
    for p in places:
        print(
            f"{p.site:<11} {p.layer:>5}  {p.accuracy:>8.2%}  {p.reference:>12.2%}  "
            f"{100 * (p.accuracy - p.reference):>+6.2f}  {p.same:>10.2%}  {p.same_penalty:>6.0%}  "
            f"{p.cosine:.5f}"
            + (f"  scikit-learn exactly {p.exact:.2%}" if np.isfinite(p.exact) else "")
        )
    ways = {
        f"together, {torch.get_num_threads()} threads": seconds.together,
        "together, 1 thread": seconds.one_thread,
        "scikit-learn, a loop": seconds.one_by_one,
    }
    print()
    for name, took in ways.items():
        ratio = seconds.one_by_one / took
        print(f"{name:<22} {took:8.1f} s  {1e3 * took / fits:6.2f} ms a probe  ratio {ratio:5.1f}")
    apart = [abs(place.accuracy - place.reference) for place in places]
    worst = places[int(np.argmax(apart))]
    print(
        f"accuracy differs by at most {100 * max(apart):.2f} points ({worst.site} {worst.layer}), "
        f"{100 * float(np.mean(apart)):.3f} on average"
    )
    ours, theirs, probability = _coefficients(
        X, np.asarray(corpus.emotions), C=PENALTIES[-1], tolerance=COMPARED_TOLERANCE
    )
    print(
        f"resid_post in the middle, all items, float64, tolerance {COMPARED_TOLERANCE:g}: largest "
        f"difference of a coefficient {np.abs(ours - theirs).max() / np.abs(theirs).max():.1e} of "
        f"the largest, of a probability {probability:.1e}"
    )


def _coefficients(
    X: NDArray[np.float32], y: NDArray[np.str_], *, C: float, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Standardised coefficients, ours and scikit-learn's; largest difference of a probability."""
    labels, codes = np.unique(y, return_inverse=True)
    probe = fit_probes(
        torch.tensor(X, dtype=torch.float64),
        torch.tensor(codes)[None],
        torch.ones(1, len(y), dtype=torch.bool),
        torch.tensor([C], dtype=torch.float64),
        n_labels=len(labels),
        tolerance=tolerance,
        iterations=5000,
    )
    scale = StandardScaler().fit(X.astype(float))
    Z = scale.transform(X.astype(float))
    with threadpool_limits(limits=1):
        truth = LogisticRegression(C=C, tol=tolerance, max_iter=50_000).fit(Z, codes)
    ours = probe.weight[0].numpy() * scale.scale_[:, None]
    probabilities = probe.scores(torch.tensor(X, dtype=torch.float64))[0].softmax(-1).numpy()
    apart = float(np.abs(probabilities - truth.predict_proba(Z)).max())
    return ours, truth.coef_.T, apart


def _networks(
    block: Sequence[NDArray[np.float32]], y: NDArray[np.str_], folds: NDArray[np.int64]
) -> None:
    """The non-linear probe beside scikit-learn's."""

    def theirs(X: NDArray[np.float32]) -> NDArray[np.str_]:
        predicted = np.empty_like(y)
        for fold in range(FOLDS):
            train = folds != fold
            network = MLPClassifier((HIDDEN,), max_iter=200, random_state=SEED)
            probe = make_pipeline(StandardScaler(), network)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                probe.fit(X[train], y[train])
            predicted[~train] = probe.predict(X[~train])
        return predicted

    took, ours = _timed(
        lambda: one_thread_each(lambda X: mlp_out_of_fold(X, y, folds, seed=SEED), block, "cpu")
    )
    with threadpool_limits(limits=1):
        took_theirs, reference = _timed(lambda: [theirs(X) for X in block])
    for name, seconds, found in (("ours", took, ours), ("scikit-learn's", took_theirs, reference)):
        accuracies = ", ".join(f"{(predicted == y).mean():.1%}" for predicted in found)
        print(f"non-linear, {name:<15} {seconds:6.1f} s; accuracy {accuracies}")


if __name__ == "__main__":
    main()
