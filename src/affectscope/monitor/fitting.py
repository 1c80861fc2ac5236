"""Probes for the monitor, fitted to a labelled corpus.

The texts are read as they are, without a question: what the monitor meets has none. Each text gives
its states at :data:`SHARES` of its length, all in the second half, where most of the event has been
told. A text is told by the mean of the readings, in and out of fold, as the monitor averages too.
Folds are whole authors (or scenarios).

Which layer: of every third layer, the one whose probes name most emotions right out of fold; there
by ridge regression to the labels' indicators, in closed form, on a sample of the texts. The probe
that is kept is logistic regression for the emotions, and ridge for the appraisals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectscope.data import Corpus, grouped_folds
from affectscope.errors import NotPossibleError
from affectscope.models import LanguageModel
from affectscope.monitor.calibrating import calibrate
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.states import SITE, follow_states
from affectscope.monitor.statistic import probabilities
from affectscope.monitor.thresholds import TurnKind
from affectscope.probes.linear import fit_linear
from affectscope.probes.ridge import fit_ridge, ridge_out_of_fold
from affectscope.vocabulary import APPRAISAL_NAMES

SHARES = (3 / 6, 4 / 6, 5 / 6, 6 / 6)
"""Which tokens of a text are read, as shares of its length. Of some sets that were tried on
crowd-enVENT with the default model, this one read held-out texts best at most layers."""

FOLDS = 5

EVERY = 3
"""Every such layer is tried, the last included."""

LAYER_SAMPLE = 1000
"""Most texts that the layer is chosen on."""

LEAST_RATED = 20
"""Fewest items with a rating, from which an appraisal is probed."""

_RIDGE = (0.01, 0.1, 1.0)
"""Penalties of the probes that choose the layer."""


@dataclass(frozen=True, eq=False)
class _Told:
    """What the authors said of their texts."""

    emotions: NDArray[np.str_]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    """The appraisals with ratings."""
    ratings: NDArray[np.float64]
    """``[text, appraisal]``, NaN where one is missing."""
    folds: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Read:
    """A corpus' states at one layer."""

    X: NDArray[np.float32]
    """``[text * len(SHARES), d_model]``."""
    n: int

    @property
    def text(self) -> NDArray[np.int64]:
        """The text of every row."""
        return np.repeat(np.arange(self.n), len(SHARES))

    def by_text(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Means over each text's rows."""
        return np.asarray(values, dtype=np.float64).reshape(self.n, len(SHARES), -1).mean(axis=1)


def fit_monitor(
    lm: LanguageModel,
    corpus: Corpus,
    *,
    layer: int | None = None,
    neutral: Sequence[str] | None = None,
    watched: Sequence[str] | None = None,
    false_alarm_rate: float = 0.05,
    kinds: Sequence[TurnKind] | None = None,
    seed: int = 0,
) -> MonitorProbes:
    """Fit probes to a corpus and thresholds to neutral texts.

    Args:
        lm: The model.
        corpus: Labelled texts; those with ratings also give probes of appraisals.
        layer: Where to read; chosen out of fold among every third layer when None.
        neutral: Neutral texts for the thresholds, none of them in the corpus; those that come with
            the package when None.
        watched: What can raise an alarm, see :func:`affectscope.monitor.calibrate`.
        false_alarm_rate: Share of neutral turns that may raise one.
        kinds: Kinds of turn that get thresholds; all that the model knows when None.
        seed: Of folds, samples and the split of the neutral texts.

    Raises:
        LayerError: For a layer that the model does not have.
        NotPossibleError: A corpus with a single emotion or group.
        UsageError: See :func:`affectscope.monitor.calibrate`.
    """
    labels = tuple(sorted(set(corpus.emotions)))
    if len(labels) < 2:
        raise NotPossibleError(
            f"all items of {corpus.name} have the emotion {labels[0]}",
            expected="at least two emotions to tell apart",
            remedy="use another corpus, or more of its items",
        )
    tried: dict[int, float] = {}
    if layer is None:
        tried = _tried_layers(lm, corpus.sample(min(LAYER_SAMPLE, len(corpus)), seed), seed)
        layer = max(tried, key=lambda one: tried[one])
    names = _rated(corpus)
    ratings = corpus.items[list(names)].to_numpy(dtype=np.float64)
    told = _Told(np.asarray(corpus.emotions), labels, names, ratings, _folds(corpus, seed))
    read = _read(lm, corpus.texts, (layer,))[layer]
    weights, bias = _fitted(read, told)
    about = {
        **_origin(lm, corpus, seed),
        "layers_tried": {str(one): share for one, share in tried.items()},
        "quality": _quality(read, told),
    }
    probes = MonitorProbes(layer, labels, names, weights, bias, about=about)
    return calibrate(
        lm,
        probes,
        neutral,
        watched=watched,
        false_alarm_rate=false_alarm_rate,
        kinds=kinds,
        seed=seed,
    )


def layers_to_try(n_layers: int) -> list[int]:
    """Every third layer, the last included.

    Examples:
        >>> layers_to_try(8)
        [1, 4, 7]
    """
    return list(range((n_layers - 1) % EVERY, n_layers, EVERY))


def _folds(corpus: Corpus, seed: int) -> NDArray[np.int64]:
    n_folds = max(2, min(FOLDS, len(set(corpus.groups))))
    return grouped_folds(corpus.emotions, corpus.groups, n_folds, seed)


def _read(lm: LanguageModel, texts: Sequence[str], layers: Sequence[int]) -> dict[int, _Read]:
    """The states of texts at the tokens that are read."""
    encoded = lm.encode(texts)
    shape = (len(texts), len(SHARES), lm.d_model)
    kept = {layer: np.empty(shape, dtype=np.float32) for layer in layers}

    def take(index: int, layer: int, states: Tensor) -> None:
        at = [max(0, int(np.ceil(share * len(states))) - 1) for share in SHARES]
        kept[layer][index] = states[at].float().cpu().numpy()

    follow_states(lm.reader, encoded, layers, take)
    return {layer: _Read(X.reshape(-1, lm.d_model), len(texts)) for layer, X in kept.items()}


def _tried_layers(lm: LanguageModel, corpus: Corpus, seed: int) -> dict[int, float]:
    """Share of emotions named right out of fold, by layer."""
    folds = _folds(corpus, seed)
    names, codes = np.unique(corpus.emotions, return_inverse=True)
    found = {}
    for layer, read in _read(lm, corpus.texts, layers_to_try(lm.n_layers)).items():
        indicators = np.eye(len(names))[codes][read.text]
        predicted = ridge_out_of_fold(
            read.X, indicators, folds[read.text], penalties=_RIDGE
        ).predicted
        found[layer] = float((read.by_text(predicted).argmax(axis=1) == codes).mean())
    return found


def _fitted(read: _Read, told: _Told) -> tuple[Tensor, Tensor]:
    """Weights and bias of both kinds of probe, the emotions first."""
    rows = read.text
    linear = fit_linear(read.X, list(told.emotions[rows]), told.folds[rows])
    weights, bias = linear.weights, linear.bias
    if told.names:
        ridge = fit_ridge(read.X, told.ratings[rows], told.folds[rows])
        weights = np.concatenate([weights, ridge.weights])
        bias = np.concatenate([bias, ridge.bias])
    return torch.from_numpy(weights).float(), torch.from_numpy(bias).float()


def _quality(read: _Read, told: _Told) -> dict[str, Any]:
    """How well probes read texts that they never saw."""
    rows = read.text
    right = np.zeros(read.n, dtype=bool)
    for fold in np.unique(told.folds):
        train, test = told.folds[rows] != fold, told.folds == fold
        probe = fit_linear(read.X[train], list(told.emotions[rows][train]), told.folds[rows][train])
        mean = read.by_text(probabilities(probe.scores(read.X)))
        right[test] = (np.asarray(probe.labels)[mean.argmax(axis=1)] == told.emotions)[test]
    counts = np.unique(told.emotions, return_counts=True)[1]
    return {
        "items": read.n,
        "accuracy": float(right.mean()),
        "chance": float(counts.max() / read.n),
        "r2": _r2(read, told),
    }


def _r2(read: _Read, told: _Told) -> dict[str, float]:
    """Share of each appraisal's variance that is told out of fold."""
    if not told.names:
        return {}
    rows, ratings = read.text, told.ratings
    out = ridge_out_of_fold(read.X, ratings[rows], told.folds[rows])
    predicted, baseline = read.by_text(out.predicted), read.by_text(out.baseline)
    errors, spread = (np.nansum((ratings - one) ** 2, axis=0) for one in (predicted, baseline))
    return dict(zip(told.names, (1 - errors / spread).tolist(), strict=True))


def _rated(corpus: Corpus) -> tuple[str, ...]:
    """The appraisals that enough items have ratings of."""
    return tuple(
        name
        for name in APPRAISAL_NAMES
        if name in corpus.items.columns
        and corpus.items[name].notna().sum() >= LEAST_RATED
        and corpus.items[name].nunique() > 1
    )


def _origin(lm: LanguageModel, corpus: Corpus, seed: int) -> dict[str, Any]:
    model = lm.describe()
    return {
        "model": model["name"],
        "revision": model["revision"],
        "model_sha256": model["sha256"],
        "n_layers": lm.n_layers,
        "d_model": lm.d_model,
        "site": SITE,
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        "items": len(corpus),
        "seed": seed,
    }
