"""The edits of appraisal surgery: what is added, where, and how much.

At each layer of a window the appraisals' probes are fitted to the activations of the fitting items.
What is added is the direction of the moved appraisal with the held probes projected out
(:mod:`affectscope.analyses.holding`), ``c`` times as long as the residual stream is there on
average. A window's layers share the length, so that edits of wide and narrow windows are of one
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from affectscope.analyses.directions import DirectionKind, Directions, appraisal_directions
from affectscope.analyses.holding import moved_and_held
from affectscope.analyses.ratings import Ratings
from affectscope.analyses.study import Study
from affectscope.analyses.surgery_settings import Setting
from affectscope.analyses.windows import window
from affectscope.data import grouped_folds
from affectscope.engine import Add, Intervention
from affectscope.vocabulary import Site

Method = Literal["held", "raw"]
"""Whether the held appraisals are projected out of what is added, or not."""

FOLDS = 5
"""Folds on which the probes' penalties are chosen."""


@dataclass(frozen=True, order=True)
class Place:
    """Where an edit is made: a site, and a window of layers."""

    site: Site
    span: int
    centre: int

    def layers(self, n_layers: int) -> list[int]:
        """The layers of the window."""
        return window(self.centre, self.span, n_layers)


@dataclass(frozen=True, eq=False)
class Surgeon:
    """Makes edits from directions that are fitted to some items.

    Args:
        study: The study.
        ratings: The appraisals of all items.
        items: The items to fit to.
        kind: What is moved along; what is held are always the probes.
    """

    study: Study
    ratings: Ratings
    items: NDArray[np.int64]
    kind: DirectionKind = "probe"
    _known: dict[tuple[Site, int, str], Directions] = field(default_factory=dict, init=False)
    _norms: dict[int, float] = field(default_factory=dict, init=False)
    _vectors: dict[tuple[Setting, Method, Site, int], NDArray[np.float64]] = field(
        default_factory=dict, init=False
    )

    def activations(self, site: Site, layer: int) -> NDArray[np.float32]:
        """Of the fitting items, at the last token, ``[item, d_model]``."""
        return self.study.clean.activations(site, layer)[self.items]

    def directions(self, site: Site, layer: int, kind: DirectionKind) -> Directions:
        """The appraisals' directions at a layer and site."""
        key = site, layer, kind
        if key not in self._known:
            corpus, items = self.study.corpus, self.items
            emotions = [corpus.emotions[item] for item in items]
            groups = [corpus.groups[item] for item in items]
            self._known[key] = appraisal_directions(
                self.activations(site, layer),
                self.ratings.values[items],
                self.ratings.names,
                grouped_folds(emotions, groups, FOLDS, self.study.seed),
                kind=kind,
            )
        return self._known[key]

    def stream_norm(self, layer: int) -> float:
        """Mean length of the residual stream after a block, over the fitting items."""
        if layer not in self._norms:
            lengths = np.linalg.norm(self.activations("resid_post", layer), axis=1)
            self._norms[layer] = float(lengths.mean())
        return self._norms[layer]

    def vector(
        self, setting: Setting, method: Method, site: Site, layer: int
    ) -> NDArray[np.float64]:
        """What is added for a coefficient of 1 and a stream of length 1, ``[d_model]``.

        Its length is the setting's largest size: that of the single moves it is summed from.

        Raises:
            NotPossibleError: The held appraisals leave nothing to move along.
        """
        key = setting, method, site, layer
        if key not in self._vectors:
            self._vectors[key] = self._made(setting, method, site, layer)
        return self._vectors[key]

    def _made(
        self, setting: Setting, method: Method, site: Site, layer: int
    ) -> NDArray[np.float64]:
        return moved_and_held(
            setting.moves,
            setting.held(self.ratings.names) if method == "held" else (),
            along=self.directions(site, layer, self.kind),
            probes=self.directions(site, layer, "probe"),
        )

    def edit(
        self, setting: Setting, place: Place, coefficient: float, method: Method = "held"
    ) -> Intervention:
        """The edit, at the last token."""
        vectors = [
            self.vector(setting, method, place.site, layer)
            for layer in place.layers(self.study.lm.n_layers)
        ]
        return self.added(vectors, place, coefficient, f"{setting.name} {method}")

    def added(
        self,
        vectors: Sequence[NDArray[np.float64]],
        place: Place,
        coefficient: float,
        name: str,
    ) -> Intervention:
        """Vectors added at a place, one for each layer of its window."""
        layers = place.layers(self.study.lm.n_layers)
        return Intervention(
            [
                Add(
                    place.site,
                    layer,
                    vector=torch.from_numpy(vector).float(),
                    coefficient=coefficient * self.stream_norm(layer) / len(layers),
                )
                for layer, vector in zip(layers, vectors, strict=True)
            ],
            name,
        )
