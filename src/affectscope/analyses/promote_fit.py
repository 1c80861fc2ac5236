"""The directions that ``promote`` adds: of emotions, and random ones to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectscope.analyses.directions import DirectionKind, emotion_directions
from affectscope.analyses.experiment import UnitOutput
from affectscope.analyses.promote_plan import RANDOM, SITE, Plan, Vectors, added
from affectscope.analyses.promote_rows import DIRECTIONS, observed
from affectscope.analyses.random_directions import draw_directions
from affectscope.analyses.study import Study
from affectscope.data import grouped_folds
from affectscope.engine import Intervention
from affectscope.errors import NotPossibleError, UsageError
from affectscope.probes.parallel import one_thread_each

SIX = ("anger", "fear", "guilt", "joy", "pride", "sadness")
"""Promoted unless others are named. The paper promotes six that it does not list; these are those
that its appraisal surgery moves."""

KINDS: tuple[DirectionKind, ...] = ("probe", "means")

FOLDS = 3
"""Folds in which the probe's penalty is chosen."""

Items = NDArray[np.int64]


def promoted(study: Study, emotions: Sequence[str] | None) -> tuple[str, ...]:
    """The emotions to promote, in the order of the labels.

    Args:
        study: The study.
        emotions: Some that the corpus has; when None those of :data:`SIX` that it has, or, where it
            has none of them, its first six.

    Raises:
        UsageError: One is named that the corpus does not have, or none is named.
    """
    there = set(study.corpus.emotions)
    default = set(SIX) & there or set(sorted(there)[: len(SIX)])
    wanted = default if emotions is None else set(emotions)
    if not wanted or not wanted <= there:
        named = ", ".join(sorted(wanted - there)) or "none"
        raise UsageError(
            f"emotions to promote that no item of {study.corpus.name} has: {named}",
            expected=f"some of {', '.join(sorted(there))}",
            remedy="name some of these",
        )
    return tuple(label for label in study.task.labels if label in wanted)


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits directions at the last token's residual stream.

    Args:
        study: The study.
        emotions: Whose directions.
    """

    study: Study
    emotions: tuple[str, ...]

    def require(self, items: Items) -> None:
        """Raise :class:`NotPossibleError` where no item has one of the emotions."""
        there = {self.study.corpus.emotions[item] for item in items}
        missing = sorted(set(self.emotions) - there)
        if missing:
            raise NotPossibleError(
                f"none of the {len(items)} items that directions are fitted on has "
                f"{', '.join(missing)}",
                expected="items of every promoted emotion in every part of the corpus",
                remedy="use more items (a larger --limit), or promote other emotions",
            )

    def activations(self, layer: int, items: Items) -> NDArray[np.float32]:
        """The residual stream of some items at a layer, ``[item, d_model]``."""
        return self.study.clean.activations(SITE, layer)[items]

    def directions(self, kind: DirectionKind, layer: int, items: Items) -> Vectors:
        """Directions fitted on some items, ``[emotion, d_model]``, each of length 1."""
        corpus = self.study.corpus
        emotions = [corpus.emotions[item] for item in items]
        groups = [corpus.groups[item] for item in items]
        folds = np.zeros(len(items), dtype=np.int64)
        if len(set(groups)) > 1:
            n_folds = min(FOLDS, len(set(groups)))
            folds = grouped_folds(emotions, groups, n_folds, self.study.seed)
        found = emotion_directions(self.activations(layer, items), emotions, folds, kind=kind)
        return np.stack([found.of(emotion) for emotion in self.emotions]).astype(np.float32)

    def fit(self, layers: Sequence[int], items: Items) -> UnitOutput:
        """Both kinds of direction at some layers, as arrays, and the mean norms."""
        self.study.clean  # noqa: B018 - made before threads ask for it
        places = [(layer, kind) for layer in layers for kind in KINDS]
        vectors = one_thread_each(
            lambda place: self.directions(place[1], place[0], items),
            places,
            self.study.lm.reader.access.device,
        )
        norms = [np.linalg.norm(self.activations(at, items), axis=1).mean() for at in layers]
        names = [f"{kind}.{layer}" for layer, kind in places]
        table = observed(DIRECTIONS, layer=list(layers), value=np.array(norms))
        return UnitOutput(table, dict(zip(names, vectors, strict=True)))

    def random(
        self, plan: Plan, centre: int, items: Items, norms: Sequence[float]
    ) -> list[Intervention]:
        """Random directions around a centre: of each kind so many, at the middle coefficient.

        One direction keeps its draw throughout the window: the same vector; or the same mixture of
        items, which at each layer is a vector as that layer sees them.
        """
        layers, c = plan.window(centre), plan.coefficients[plan.step]
        edits: list[Intervention] = []
        for kind in RANDOM:
            drawn = {
                layer: draw_directions(
                    kind, plan.n_random, self.activations(layer, items), self.study.seed
                ).astype(np.float32)
                for layer in layers
            }
            for k in range(plan.n_random):
                vectors = {layer: drawn[layer][k] for layer in layers}
                edits.append(added(layers, lambda at: c * norms[at], vectors.__getitem__))
        return edits
