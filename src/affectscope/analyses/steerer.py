"""Steering vectors from a labelled corpus: what ``surgery`` and ``promote`` add, to carry away.

An appraisal's or an emotion's direction is fitted to the residual stream at the token that answers
the emotion question (:mod:`affectscope.analyses.directions`), the held appraisals are projected out
of it (:mod:`affectscope.analyses.holding`), and what is left is added wherever the model reads or
writes. The question is asked only to find the direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from affectscope.analyses.directions import (
    DirectionKind,
    Directions,
    appraisal_directions,
    emotion_directions,
)
from affectscope.analyses.holding import moved_and_held
from affectscope.analyses.random_directions import RandomKind, draw_directions
from affectscope.analyses.ratings import rated
from affectscope.analyses.surgery_settings import Setting
from affectscope.data import Corpus, grouped_folds
from affectscope.engine import SteeringVector
from affectscope.errors import UsageError
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask

SITE = "resid_post"
"""Where vectors are added: what every later block reads."""

FOLDS = 5
"""Folds on which the probes' penalties are chosen."""


@dataclass(frozen=True, eq=False)
class Steerer:
    """Makes steering vectors from the activations of some items.

    Args:
        corpus: The items, with emotions and, for appraisals, ratings.
        activations: Of the residual stream at the answer's token, by layer, ``[item, d_model]``.
        seed: Of the folds and of random directions.
        about: What every vector says of where it comes from.
    """

    corpus: Corpus
    activations: Mapping[int, NDArray[np.float32]]
    seed: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)
    _known: dict[tuple[str, int, DirectionKind], Directions] = field(
        default_factory=dict, init=False
    )

    @property
    def appraisals(self) -> tuple[str, ...]:
        """The appraisals that can be moved: those that the items have ratings of."""
        return rated(self.corpus)

    @property
    def emotions(self) -> tuple[str, ...]:
        """The emotions that can be moved: those that occur."""
        return tuple(sorted(set(self.corpus.emotions)))

    def moved(
        self, setting: Setting, layers: Sequence[int], *, kind: DirectionKind = "means"
    ) -> SteeringVector:
        """A vector that moves appraisals and holds others, with a coefficient of 1.

        Args:
            setting: What is moved and what is held.
            layers: Where it is added, ascending.
            kind: What is moved along; what is held are always the probes.

        Raises:
            NotPossibleError: What is held leaves nothing to move along.
        """
        held = setting.held(self.appraisals)
        directions = [
            moved_and_held(
                setting.moves,
                held,
                along=self._directions("appraisals", layer, kind),
                probes=self._directions("appraisals", layer, "probe") if held else None,
            )
            for layer in layers
        ]
        said = {"moves": [list(move) for move in setting.moves], "held": list(held), "kind": kind}
        return self._vector(Setting(setting.moves).name, layers, np.stack(directions), said)

    def promoted(
        self, sizes: Mapping[str, float], layers: Sequence[int], *, kind: DirectionKind = "means"
    ) -> SteeringVector:
        """A vector that moves emotions, with a coefficient of 1.

        Args:
            sizes: How far each is moved.
            layers: Where it is added, ascending.
            kind: How directions are found.

        Raises:
            UsageError: An emotion that the corpus does not have.
        """
        unknown = sorted(set(sizes) - set(self.emotions))
        if unknown or not sizes:
            raise UsageError(
                f"emotions to move that no item of {self.corpus.name} has: {', '.join(unknown)}",
                expected=f"some of {', '.join(self.emotions)}",
                remedy="name one of these",
            )
        directions = [
            moved_and_held(
                tuple(sizes.items()), (), along=self._directions("emotions", layer, kind)
            )
            for layer in layers
        ]
        name = " ".join(f"{emotion}{size:+g}" for emotion, size in sizes.items())
        said = {"moves": [list(move) for move in sizes.items()], "held": [], "kind": kind}
        return self._vector(name, layers, np.stack(directions), said)

    def random(
        self, n: int, layers: Sequence[int], *, kind: RandomKind = "covariance"
    ) -> list[SteeringVector]:
        """Vectors that stand for nothing, of the length of the others.

        The same draw at every layer: with ``covariance`` the same mixture of items.
        """
        drawn = [draw_directions(kind, n, self.activations[at], self.seed) for at in layers]
        return [
            self._vector(
                f"random {k}", layers, np.stack([each[k] for each in drawn]), {"kind": kind}
            )
            for k in range(n)
        ]

    def _directions(self, what: str, layer: int, kind: DirectionKind) -> Directions:
        key = what, layer, kind
        if key not in self._known:
            X, corpus = self.activations[layer], self.corpus
            n_folds = min(FOLDS, len(set(corpus.groups)))
            folds = (
                grouped_folds(corpus.emotions, corpus.groups, n_folds, self.seed)
                if n_folds > 1
                else np.zeros(len(corpus), dtype=np.int64)
            )
            if what == "emotions":
                found = emotion_directions(X, corpus.emotions, folds, kind=kind)
            else:
                names = list(self.appraisals)
                ratings = corpus.items[names].to_numpy(dtype=np.float64)
                found = appraisal_directions(X, ratings, names, folds, kind=kind)
            self._known[key] = found
        return self._known[key]

    def _vector(
        self,
        name: str,
        layers: Sequence[int],
        directions: NDArray[np.float64],
        said: Mapping[str, Any],
    ) -> SteeringVector:
        norms = [np.linalg.norm(self.activations[at], axis=1).mean() for at in layers]
        return SteeringVector(
            name=name,
            site=SITE,
            layers=tuple(layers),
            directions=torch.from_numpy(directions.astype(np.float32)),
            norms=torch.tensor(np.array(norms, dtype=np.float32)),
            about={**self.about, **said},
        )


def fit_steerer(
    task: EmotionTask, corpus: Corpus, layers: Sequence[int], *, seed: int = 0
) -> Steerer:
    """Read a corpus' items at some layers, to make steering vectors of them.

    Args:
        task: The emotion task, whose model is read.
        corpus: Labelled items; the examples in the prompt are left out.
        layers: Where vectors are to be added.
        seed: Of the folds and of random directions.

    Raises:
        LayerError: For a layer that the model does not have.
    """
    lm = task.lm
    assert isinstance(lm, LanguageModel)
    used = corpus.without_texts(task.shot_texts)
    at = tuple(sorted(set(layers)))
    states = lm.capture(task.prompts(used.texts), sites=(SITE,), layers=at)
    return Steerer(
        used,
        {layer: states.at(SITE, layer, -1).numpy() for layer in at},
        seed,
        origin(lm, used, template=task.template.name, seed=seed),
    )


def origin(lm: LanguageModel, corpus: Corpus, *, template: str, seed: int) -> dict[str, Any]:
    """What a vector says of the model and the items it comes from."""
    model = lm.describe()
    return {
        "model": model["name"],
        "revision": model["revision"],
        "model_sha256": model["sha256"],
        "d_model": lm.d_model,
        "n_layers": lm.n_layers,
        "corpus": corpus.name,
        "corpus_sha256": corpus.sha256,
        "items": len(corpus),
        "template": template,
        "read": "answer",
        "seed": seed,
    }
