"""How well can people's appraisals of the event be read off the activations?

At every layer and site, at the last token, a ridge regression for each appraisal, all from one
factorisation, penalties chosen for each appraisal inside grouped folds
(:mod:`affectscope.probes.ridge`). Beside it the same probes of ratings that mean nothing: those of
a random item for each text's last word, and those of the items dealt at random
(:mod:`affectscope.analyses.ratings`); a test by dealing whole rows of ratings anew, over all
appraisals, layers and sites; and how well people who read the text name the author's rating.

Then the paper's black box (:mod:`affectscope.analyses.black_box`): how well the ratings alone,
people's or those decoded from the model, predict the emotion that the author named, and the one
that the model answers.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.appraise_table import appraise_answer, appraise_estimates
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.ratings import Ratings, ratings_by_item, ratings_by_word, ratings_of
from affectscope.analyses.study import Study
from affectscope.data import grouped_folds
from affectscope.errors import UsageError
from affectscope.figures.appraise import appraise_charts
from affectscope.probes import one_thread_each
from affectscope.probes.ridge import PENALTIES, ridge_out_of_fold
from affectscope.stats.refit import refit_r2
from affectscope.vocabulary import SITES

COST_PER_ITEM = 1.2
"""A place's time per item, in token positions through the model: .7 ms for each of 390 items."""

LAYERS = 5
"""Layers in a unit of work."""

DEALS = 500
"""How often the rows of ratings are dealt anew."""

TARGETS = {"read": "", "by_word": "word.", "by_item": "item."}
"""The ratings that probes are fitted to, with the prefix of their columns."""


class Appraise(Experiment):
    """Ridge probes of all appraisals, layer by site.

    Args:
        study: The study.
        folds: Number of folds.

    Raises:
        UsageError: Fewer than two folds.
    """

    name = "appraise"

    def __init__(self, study: Study, *, folds: int = 5) -> None:
        if folds < 2:
            raise UsageError(
                f"probes with {folds} folds", expected="at least 2", remedy="leave folds out"
            )
        self.study = study
        self.n_folds = folds

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"ridge regression, standardised and its penalty chosen for each appraisal inside each "
            f"of {self.n_folds} folds (of {len(PENALTIES)} from {min(PENALTIES):g} to "
            f"{max(PENALTIES):g} times the mean eigenvalue); r² is 1 minus the squared error over "
            "that of the training items' mean, so that 0 is what the mean alone gives; the place "
            "of each appraisal is chosen on the other folds; p is of closed-form probes fitted "
            f"anew to each of {DEALS:,} deals of whole rows of ratings, against the largest r² of "
            f"any appraisal at any layer and site (seed {self.study.seed})."
        )

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """Fold of every item."""
        corpus = self.study.corpus
        return grouped_folds(corpus.emotions, corpus.groups, self.n_folds, self.study.seed)

    @cached_property
    def ratings(self) -> Ratings:
        """The ratings that can be probed."""
        return ratings_of(self.study.corpus, self.folds)

    @cached_property
    def targets(self) -> dict[str, NDArray[np.float64]]:
        """The ratings, and the control ratings, ``[item, appraisal]`` each."""
        texts, seed = self.study.corpus.texts, self.study.seed
        return {
            "read": self.ratings.values,
            "by_word": ratings_by_word(self.ratings, texts, seed),
            "by_item": ratings_by_item(self.ratings, seed),
        }

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
                    "penalties": list(PENALTIES),
                    "appraisals": list(self.ratings.names),
                    "targets": list(TARGETS),
                    "deals": DEALS,
                },
                cost=COST_PER_ITEM
                * len(self.study.corpus)
                * (min(start + LAYERS, n_layers) - start),
            )
            for site in SITES
            for start in range(0, n_layers, LAYERS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Out-of-fold readings at some layers of a site, and r² under dealt rows."""
        site, study = unit.key["site"], self.study
        self.folds, self.targets, study.clean  # noqa: B018 - made before threads ask for them

        def rows_of(layer: int) -> pd.DataFrame:
            X = study.clean.activations(site, layer)
            return pd.concat([self._read(X), self._dealt(X)], ignore_index=True).assign(
                site=site, layer=layer
            )

        layers = range(*unit.key["layers"])
        tables = one_thread_each(rows_of, layers, study.lm.reader.access.device)
        return UnitOutput(pd.concat(tables, ignore_index=True))

    def _read(self, X: NDArray[np.float32]) -> pd.DataFrame:
        """What probes read of every item, a column for each appraisal and kind of rating."""
        names, targets = self.ratings.names, self.targets
        found = ridge_out_of_fold(
            X,
            np.concatenate(list(targets.values()), axis=1),
            self.folds,
            device=self.study.lm.reader.access.device,
        )
        columns = [f"{TARGETS[kind]}{name}" for kind in targets for name in names]
        table = pd.DataFrame(found.predicted, columns=columns)
        return table.assign(part="read", item=np.arange(len(table)))

    def _dealt(self, X: NDArray[np.float32]) -> pd.DataFrame:
        """r² of each appraisal (deal 0), and the largest of all under each deal."""
        found = refit_r2(
            X,
            self.ratings.values,
            self.study.corpus.groups,
            self.folds,
            seed=self.study.seed,
            n_permutations=DEALS,
        )
        observed = pd.DataFrame(found.observed[None].astype(np.float32), columns=self.ratings.names)
        dealt = pd.DataFrame(
            {"largest": found.largest.astype(np.float32), "item": np.arange(1, DEALS + 1)}
        )
        return pd.concat([observed.assign(item=0), dealt], ignore_index=True).assign(part="dealt")

    def result(self, observations: pd.DataFrame) -> Result:
        """r² by appraisal, layer and site, beside people and controls, and the black box."""
        table, summary = appraise_estimates(self, observations)
        answer = appraise_answer(self, summary)
        return Result(self.name, table, observations, summary, answer, appraise_charts)
