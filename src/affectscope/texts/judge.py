"""The judge: which emotion, and which appraisals, a text shows to who only reads the text.

Classifiers of words, trained on a labelled corpus that the steering never saw. They know nothing
of the model that wrote a text, ask no outside service, give the same answer every time, and say
how good they are: :attr:`Judge.quality` is measured on texts that they had not seen. A judge of
words is fooled by words (a text that names an emotion is judged by its name; see
:mod:`affectscope.texts.echo`), and it reads texts unlike those of its corpus with less skill than
its quality says: one trained on what people tell of themselves has no word for a description in
which nobody feels anything, and spreads its guess with a leaning of its own. So compare what it
says of two sets of texts from the same prompts; do not take what it says of one set as a level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.data import Corpus, grouped_folds
from affectscope.errors import NotPossibleError
from affectscope.texts import judge_fit as jf
from affectscope.texts import judge_quality as jq
from affectscope.texts.features import TextFeatures, learn_features
from affectscope.vocabulary import APPRAISAL_NAMES


@dataclass(frozen=True, eq=False)
class Judge:
    """Trained classifiers of a text's emotion and appraisals."""

    labels: tuple[str, ...]
    """The emotions that the corpus has items of, in alphabetical order."""
    appraisals: tuple[str, ...]
    """The appraisals that the corpus has ratings of; none for a corpus without."""
    corpus_name: str
    """What it was trained on."""
    n_items: int
    """How many texts it was trained on."""
    quality: pd.DataFrame
    """How good it is on texts not seen: one row a measure.

    Columns: ``metric``, ``target`` (``emotion`` or an appraisal), ``value``, ``chance`` (what is
    reached without reading, or NaN) and ``n`` (texts). Metrics of the emotion: ``accuracy``,
    ``macro_f1``, ``log_loss`` (mean, in nats), ``calibration_error``; of an appraisal: ``r2``.
    """
    prior: NDArray[np.float64] = field(repr=False)
    """Share of every label in training, ``[label]``."""
    means: NDArray[np.float64] = field(repr=False)
    """Mean rating of every appraisal in training, ``[appraisal]``."""
    _features: TextFeatures = field(repr=False)
    _emotions: Any = field(repr=False)
    _ratings: jf.Ratings = field(repr=False)

    def emotion_probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How probable every emotion is, by the text alone.

        Args:
            texts: Any texts; an empty one gets the shares of the emotions in training.

        Returns:
            ``[text, label]``; each row sums to 1.
        """
        return self._filled(
            texts, self.prior, lambda X: jf.probabilities(self._emotions, X, self.labels)
        )

    def appraisal_ratings(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How the writer would rate the event, by the text alone.

        Args:
            texts: Any texts; an empty one gets the mean ratings in training.

        Returns:
            ``[text, appraisal]`` in the units of the corpus (1 to 5), not clipped to them.
        """
        return self._filled(texts, self.means, self._ratings.read)

    def _filled(
        self,
        texts: Sequence[str],
        empty: NDArray[np.float64],
        read: Callable[[Any], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        found = np.tile(empty, (len(texts), 1))
        written = [row for row, text in enumerate(texts) if text.strip()]
        if written:
            found[written] = read(self._features.of([texts[row] for row in written]))
        return found


def train_judge(corpus: Corpus, *, seed: int = 0, folds: int = 5) -> Judge:
    """Train a judge on a labelled corpus, and measure it on folds that keep groups together.

    Everything is learnt anew for every fold, the features included; the strength of the penalty
    is chosen on the other folds (:mod:`affectscope.texts.judge_fit`). The judge that is returned
    is trained on all items, with the strength that does best over all folds.

    Args:
        corpus: Texts with emotions, and with any of the 21 appraisals, of which ratings may be
            missing (NaN). An appraisal is left out if some fold would leave fewer than two
            ratings to train on.
        seed: Decides the folds.
        folds: Number of folds, at least 2.

    Raises:
        NotPossibleError: There are fewer groups than folds, fewer than two emotions to train on,
            or no word that two texts share.
    """
    fold_of = grouped_folds(corpus.emotions, corpus.groups, folds, seed)
    data = _training_data(corpus, fold_of)
    p, Y_hat = _out_of_fold(data, fold_of)
    emotion_losses = np.stack([jq.log_losses(each, data.codes) for each in p])
    rating_losses = (Y_hat - data.Y) ** 2  # [strength, text, appraisal]
    learnt = learn_features(data.texts)
    strengths = [jf.best(rating_losses[:, :, k]) for k in range(len(data.appraisals))]
    penalties = np.array([jf.RIDGE_PENALTIES[index] for index in strengths])
    return Judge(
        labels=data.labels,
        appraisals=data.appraisals,
        corpus_name=corpus.name,
        n_items=len(corpus),
        quality=_quality(data, fold_of, (p, emotion_losses), (Y_hat, rating_losses)),
        prior=np.bincount(data.codes) / len(data.codes),
        means=_means(data.Y),
        _features=learnt.features,
        _emotions=jf.fit_emotions(learnt.X, data.emotions, jf.LOGISTIC_C[jf.best(emotion_losses)]),
        _ratings=jf.fit_ratings(learnt.X, data.Y, penalties),
    )


@dataclass(frozen=True, eq=False)
class _TrainingData:
    texts: list[str]
    emotions: NDArray[np.str_]
    labels: tuple[str, ...]
    codes: NDArray[np.int64]
    """Index of each text's label."""
    appraisals: tuple[str, ...]
    Y: NDArray[np.float64]
    """Ratings ``[text, appraisal]``."""


def _training_data(corpus: Corpus, fold_of: NDArray[np.int64]) -> _TrainingData:
    emotions = np.array(corpus.emotions, dtype=str)
    labels, codes = np.unique(emotions, return_inverse=True)
    parts = [fold_of != fold for fold in np.unique(fold_of)]
    least = min(len(set(emotions[part])) for part in parts)
    if least < 2:
        raise NotPossibleError(
            f"{corpus.name} leaves {least} emotion to train a judge on",
            expected="at least two emotions, each with items of several authors",
            remedy="use a larger corpus",
        )
    rated = [name for name in APPRAISAL_NAMES if name in corpus.items.columns]
    Y = corpus.items[rated].to_numpy(dtype=np.float64)
    least_rated = np.stack([np.isfinite(Y[part]).sum(axis=0) for part in parts]).min(axis=0)
    enough = np.flatnonzero(least_rated >= 2)
    return _TrainingData(
        texts=corpus.texts,
        emotions=emotions,
        labels=tuple(str(label) for label in labels),
        codes=codes.astype(np.int64),
        appraisals=tuple(rated[column] for column in enough),
        Y=Y[:, enough],
    )


def _out_of_fold(
    data: _TrainingData, fold_of: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions at every strength: ``[strength, text, label]``, ``[strength, text, appraisal]``.

    Of every text by models that saw no text of its fold.
    """
    texts = np.array(data.texts, dtype=object)
    p = np.empty((len(jf.LOGISTIC_C), len(texts), len(data.labels)))
    Y_hat = np.empty((len(jf.RIDGE_PENALTIES), *data.Y.shape))
    for fold in np.unique(fold_of):
        test = fold_of == fold
        learnt = learn_features(texts[~test])
        X, X_test = learnt.X, learnt.features.of(texts[test])
        for strength, C in enumerate(jf.LOGISTIC_C):
            model = jf.fit_emotions(X, data.emotions[~test], C)
            p[strength, test] = jf.probabilities(model, X_test, data.labels)
        for strength, penalty in enumerate(jf.RIDGE_PENALTIES):
            penalties = np.full(data.Y.shape[1], penalty)
            Y_hat[strength, test] = jf.fit_ratings(X, data.Y[~test], penalties).read(X_test)
    return p, Y_hat


def _quality(
    data: _TrainingData,
    fold_of: NDArray[np.int64],
    emotion: tuple[NDArray[np.float64], NDArray[np.float64]],
    rating: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> pd.DataFrame:
    """The quality of predictions at each fold's own strength, which the other folds chose."""
    rows_of = np.arange(len(fold_of))
    (p, emotion_losses), (Y_hat, rating_losses) = emotion, rating
    rows = jq.emotion_rows(
        p[jf.best_by_fold(emotion_losses, fold_of)[fold_of], rows_of], data.codes
    )
    predicted = np.empty_like(data.Y)
    for k in range(len(data.appraisals)):
        strength = jf.best_by_fold(rating_losses[:, :, k], fold_of)[fold_of]
        predicted[:, k] = Y_hat[strength, rows_of, k]
    baseline = np.stack(
        [_means(data.Y[fold_of != fold]) for fold in range(int(fold_of.max()) + 1)]
    )[fold_of]
    return jq.quality_table([*rows, *jq.rating_rows(data.appraisals, data.Y, predicted, baseline)])


def _means(Y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the ratings there are, ``[appraisal]``."""
    return np.asarray(np.nanmean(Y, axis=0))
