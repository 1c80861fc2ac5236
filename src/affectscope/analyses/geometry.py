"""How do emotions and appraisals lie to each other in the activations, and do they as in people?

At every layer and site, at the last token: the direction of every emotion and every appraisal
(:mod:`affectscope.analyses.directions`, of both kinds), and the cosines between them. Those of one
emotion with all appraisals are the model's *profile* of that emotion; people's profile is the
mean of their ratings. Whether the two are alike is :mod:`affectscope.analyses.similarity`'s
question; that it is not answered by the items alone is the reason for
:mod:`affectscope.analyses.geometry_fit`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import Experiment, Result, SummaryValue, Unit, UnitOutput
from affectscope.analyses.geometry_cosines import Geometries, Names
from affectscope.analyses.geometry_fit import (
    KINDS,
    Halves,
    PlaceCosines,
    people_profiles,
    place_cosines,
)
from affectscope.analyses.geometry_table import PERMUTATIONS, geometry_estimates
from affectscope.analyses.ratings import Ratings, ratings_of
from affectscope.analyses.similarity import LEAST_FEATURES, LEAST_NAMES
from affectscope.analyses.study import Study
from affectscope.data import grouped_folds
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.geometry import geometry_charts
from affectscope.probes import one_thread_each
from affectscope.probes.ridge import PENALTIES
from affectscope.stats import Estimate
from affectscope.vocabulary import SITES

LAYERS = 5
"""Layers in a unit of work."""

COST_PER_ITEM = 0.5
"""Time of one layer and site, in token positions through the model; measured on the default one."""

LEAST_PARTS = 4
"""Two a half, so that either still has items when a part is left out."""

EMOTION, APPRAISAL = "emotion", "appraisal"


class Geometry(Experiment):
    """Cosines of emotions and appraisals, layer by site, and how human they are.

    Args:
        study: The study.
        folds: Folds on which the probes' penalty is chosen: parts joined.
        parts: Parts of the items, left out in turn for the intervals; every second one is in the
            other half of the items.

    Raises:
        UsageError: Fewer than two folds, four parts, or fewer parts than folds.
    """

    name = "geometry"

    def __init__(self, study: Study, *, folds: int = 5, parts: int = 10) -> None:
        if folds < 2 or parts < max(LEAST_PARTS, folds):
            raise UsageError(
                f"{folds} folds and {parts} parts",
                expected=f"two folds or more, at least {LEAST_PARTS} parts, and no fewer parts "
                "than folds",
                remedy="leave folds and parts out",
            )
        self.study = study
        self.n_folds = folds
        self.n_parts = parts

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            "directions of emotions and appraisals at the last token, by ridge probes (one penalty "
            f"a layer, chosen in {self.n_folds} folds) and by means; every cosine is between a "
            "direction fitted on one half of the items and one fitted on the other, which share no "
            f"author; intervals by leaving out each of {self.n_parts} parts; p by dealing the "
            f"emotions' names {PERMUTATIONS:,} times, against the largest similarity at any layer "
            "and site; the layer of the summary is chosen for every part without it."
        )

    @cached_property
    def _halves(self) -> Halves:
        corpus = self.study.corpus
        return Halves(grouped_folds(corpus.emotions, corpus.groups, self.n_parts, self.study.seed))

    @cached_property
    def _folds(self) -> np.ndarray:
        return self._halves.parts % self.n_folds

    @cached_property
    def _ratings(self) -> Ratings:
        return ratings_of(self.study.corpus, self._folds)

    @cached_property
    def names(self) -> Names:
        """The emotions and appraisals that can be fitted whichever part is left out.

        Raises:
            NotPossibleError: There are too few for a comparison.
        """
        labels, codes = np.unique(np.asarray(self.study.corpus.emotions), return_inverse=True)
        has = codes[:, None] == np.arange(len(labels))
        emotions = self._in_every_half(has)
        rated = (self._ratings.present[:, None, :] & has[:, emotions, None]).reshape(len(has), -1)
        used = self._in_every_half(rated).reshape(int(emotions.sum()), -1)
        usable = used.all(axis=0) & self._vary()
        names = Names(
            tuple(labels[emotions].tolist()),
            tuple(name for name, use in zip(self._ratings.names, usable, strict=True) if use),
        )
        if len(names.emotions) < LEAST_NAMES or len(names.appraisals) < LEAST_FEATURES:
            raise NotPossibleError(
                f"{len(names.emotions)} emotions and {len(names.appraisals)} appraisals of "
                f"{self.study.corpus.name} have items in enough of {self.n_parts} parts",
                expected=f"at least {LEAST_NAMES} emotions and {LEAST_FEATURES} appraisals, each "
                "rated in two parts of either half",
                remedy="use more items (--limit), or leave geometry out of --experiments",
            )
        return names

    def _vary(self) -> np.ndarray:
        """Whether an appraisal's ratings differ in every half, whichever part is left out."""
        halves, ratings = self._halves, pd.DataFrame(self._ratings.values)
        fits = [halves.items(half, part) for part in halves.refits for half in (0, 1)]
        return np.all([ratings[items].nunique() > 1 for items in fits], axis=0)

    def _in_every_half(self, present: np.ndarray) -> np.ndarray:
        """Whether items of two parts of either half have it, ``[what]``, of ``[item, what]``."""
        halves = self._halves
        parts = np.stack([present[halves.parts == k].any(axis=0) for k in range(halves.n_parts)])
        counts = [parts[halves.of_part == half].sum(axis=0) for half in (0, 1)]
        return np.asarray(np.min(counts, axis=0) >= 2)

    @cached_property
    def _targets(self) -> np.ndarray:
        """Indicators of emotions, then ratings, ``[item, name]``."""
        names, ratings = self.names, self._ratings
        has = np.asarray(self.study.corpus.emotions)[:, None] == np.array(names.emotions)
        columns = [ratings.names.index(name) for name in names.appraisals]
        return np.hstack([has.astype(np.float64), ratings.values[:, columns]])

    def planned_cost(self) -> float:
        """All layers and sites."""
        return COST_PER_ITEM * len(self.study.corpus) * len(SITES) * self.study.lm.n_layers

    def units(self) -> list[Unit]:
        """One unit for some layers of a site."""
        n_layers = self.study.lm.n_layers
        return [
            Unit(
                self.name,
                {
                    "site": site,
                    "layers": [start, min(start + LAYERS, n_layers)],
                    "folds": self.n_folds,
                    "parts": self.n_parts,
                    "penalties": list(PENALTIES),
                    "emotions": list(self.names.emotions),
                    "appraisals": list(self.names.appraisals),
                },
                cost=COST_PER_ITEM
                * len(self.study.corpus)
                * (min(start + LAYERS, n_layers) - start),
            )
            for site in SITES
            for start in range(0, n_layers, LAYERS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """The cosines at some layers of a site."""
        site, clean = unit.key["site"], self.study.clean
        targets, halves, folds = self._targets, self._halves, self._folds
        clean.activations(site, 0)  # read once before threads ask for them

        def rows_of(layer: int) -> pd.DataFrame:
            X = clean.activations(site, layer)
            found = place_cosines(X, targets, self.names.all, halves, folds)
            return self._rows(found, halves).assign(site=site, layer=layer)

        layers = range(*unit.key["layers"])
        device = self.study.lm.reader.access.device
        return UnitOutput(pd.concat(one_thread_each(rows_of, layers, device), ignore_index=True))

    def _rows(self, found: PlaceCosines, halves: Halves) -> pd.DataFrame:
        """One row for each kind of direction, part left out and name."""
        names = self.names
        index = pd.MultiIndex.from_product(
            [KINDS, halves.refits, range(len(names.all))], names=["kind", "left_out", "name"]
        )
        n = len(names.all)
        across = found.across.reshape(-1, n).astype(np.float32)
        within = found.within.reshape(-1, n)[:, : len(names.emotions)].astype(np.float32)
        of = names.columns
        rows = index.to_frame(index=False)
        is_emotion = rows["name"] < len(names.emotions)
        agreement = np.broadcast_to(found.agreement, (len(KINDS), *found.agreement.shape))
        return pd.concat(
            [
                rows.assign(
                    what=np.where(is_emotion, EMOTION, APPRAISAL),
                    name=np.array(names.all)[rows["name"]],
                    penalty=found.penalty,
                    agreement=agreement.reshape(-1).astype(np.float32),
                ),
                pd.DataFrame(across, columns=[f"cosine.{name}" for name in of]),
                pd.DataFrame(within, columns=[f"same.{c}" for c in of[: len(names.emotions)]]),
            ],
            axis=1,
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Cosines, similarity to people, and components; see the table's module."""
        names, halves = self.names, self._halves
        n = len(names.emotions)
        people = people_profiles(self._targets[:, n:], self._targets[:, :n], halves)
        geometries = Geometries.read(observations, names, halves, len(self.study.corpus))
        table, summary = geometry_estimates(geometries, people, seed=self.study.seed)
        answer = _answer(summary, names)
        return Result(self.name, table, observations, summary, answer, geometry_charts)


def _answer(summary: dict[str, SummaryValue], names: Names) -> str:
    similarity = summary.get("geometry.human_similarity")
    if not isinstance(similarity, Estimate):
        return "The directions are not defined at any layer: the activations do not vary."
    layer, p = summary["geometry.human_similarity_layer"], summary["geometry.human_similarity_p"]
    assert isinstance(layer, Estimate)
    assert isinstance(p, float)
    related = "" if p <= 0.05 else " not"
    answer = (
        f"The model's emotions are{related} related by appraisals as people's are: at resid_post, "
        f"layer {layer.value:.0f} [{layer.low:.0f}, {layer.high:.0f}], the dissimilarities of "
        f"{len(names.emotions)} emotions' profiles over {len(names.appraisals)} appraisals "
        f"correlate at {similarity} with those of people's ratings (p = {p:.2g} over all layers "
        "and sites)."
    )
    followed = [
        f"{what} at |r| = {summary[f'geometry.{what}_r']} (p = {found:.2g})"
        for what in ("valence", "arousal")
        if isinstance(found := summary.get(f"geometry.{what}_p"), float)
    ]
    if followed:
        answer += (
            " Of the first two components of the emotions' directions there, one follows "
            f"{' and one '.join(followed)}."
        )
    return answer
