"""Who reads what was written: a judge of words, and the unsteered model's own probes.

Neither has seen what the steering was made of: directions are fitted to one part of a corpus, the
model's probes to another, and the judge is trained on another corpus, or on the other parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.parts import Parts
from affectscope.analyses.steerer import FOLDS, SITE
from affectscope.analyses.study import Study
from affectscope.data import Corpus, grouped_folds
from affectscope.errors import NotPossibleError
from affectscope.probes.linear import fit_linear
from affectscope.probes.ridge import fit_ridge
from affectscope.texts import Judge, train_judge
from affectscope.vocabulary import APPRAISAL_NAMES

Readings = NDArray[np.float64]
"""``[text, target]``: ratings of appraisals, log-odds of emotions."""


def part_of(corpus: Corpus, items: NDArray[np.int64]) -> Corpus:
    """Some items of a corpus, as a corpus."""
    return replace(corpus, items=corpus.items.iloc[items].reset_index(drop=True))


@dataclass(frozen=True, eq=False)
class TextReaders:
    """Reads targets from texts.

    Args:
        study: The study.
        parts: Of its corpus: what steering is fitted to, and the rest.
        targets: Appraisals and emotions.
        layer: Where the model's own probes read.
    """

    study: Study
    parts: Parts
    targets: tuple[str, ...]
    layer: int

    @cached_property
    def judge(self) -> Judge:
        """The judge of words.

        Raises:
            NotPossibleError: Its corpus cannot tell one of the targets.
        """
        rest = np.sort(np.concatenate([self.parts.read, self.parts.test]))
        corpus = self.study.judge or part_of(self.study.corpus, rest)
        judge = train_judge(corpus, seed=self.study.seed)
        unknown = [t for t in self.targets if t not in (*judge.appraisals, *judge.labels)]
        if unknown:
            raise NotPossibleError(
                f"the judge, trained on {corpus.name}, cannot tell {', '.join(unknown)}",
                expected=f"targets among {', '.join((*judge.appraisals, *judge.labels))}",
                remedy="name other targets (--steer), or another corpus for the judge (--judge)",
            )
        return judge

    def judged(self, texts: Sequence[str]) -> Readings:
        """What the judge of words reads."""
        judge = self.judge
        ratings = judge.appraisal_ratings(texts)
        p = np.clip(judge.emotion_probabilities(texts), 1e-6, 1 - 1e-6)
        columns = [
            ratings[:, judge.appraisals.index(target)]
            if target in judge.appraisals
            else np.log(p / (1 - p))[:, judge.labels.index(target)]
            for target in self.targets
        ]
        return np.stack(columns, axis=1)

    def named(self, texts: Sequence[str]) -> list[str]:
        """The emotion that the judge finds most probable."""
        labels = self.judge.labels
        return [labels[k] for k in self.judge.emotion_probabilities(texts).argmax(axis=1)]

    @cached_property
    def _own_probes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights ``[target, d_model]`` and bias of the model's own probes."""
        corpus = part_of(self.study.corpus, self.parts.read)
        X = self.study.clean.activations(SITE, self.layer)[self.parts.read]
        n_folds = min(FOLDS, len(set(corpus.groups)))
        folds = grouped_folds(corpus.emotions, corpus.groups, n_folds, self.study.seed)
        appraisals = [t for t in self.targets if t in APPRAISAL_NAMES]
        weights = np.zeros((len(self.targets), X.shape[1]))
        bias = np.zeros(len(self.targets))
        if appraisals:
            ridge = fit_ridge(X, corpus.items[appraisals].to_numpy(dtype=np.float64), folds)
            rows = [self.targets.index(name) for name in appraisals]
            weights[rows], bias[rows] = ridge.weights, ridge.bias
        emotions = [t for t in self.targets if t not in APPRAISAL_NAMES]
        if emotions:
            linear = fit_linear(X, corpus.emotions, folds)
            for name in emotions:
                row, at = self.targets.index(name), linear.labels.index(name)
                weights[row], bias[row] = linear.weights[at], linear.bias[at]
        return weights, bias

    def own(self, texts: Sequence[str]) -> Readings:
        """What probes read of the unsteered model, asked for the emotion of each text.

        A text without words is read as the mean text of the probes' items.
        """
        weights, bias = self._own_probes
        found = np.full((len(texts), len(self.targets)), np.nan)
        said = [k for k, text in enumerate(texts) if text.strip()]
        if said:
            prompts = self.study.task.prompts([texts[k].strip() for k in said])
            states = self.study.lm.capture(prompts, sites=(SITE,), layers=(self.layer,))
            found[said] = states.at(SITE, self.layer, -1).double().numpy() @ weights.T + bias
        mean = self.study.clean.activations(SITE, self.layer)[self.parts.read].mean(axis=0)
        found[~np.isfinite(found).all(axis=1)] = mean @ weights.T + bias
        return found
