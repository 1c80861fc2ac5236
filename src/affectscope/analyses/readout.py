"""What a linear probe reads off the last token, as one part of another experiment.

The probe of :mod:`affectscope.analyses.probe` without its control labels: whatever is probed here
is a control itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.study import Study
from affectscope.data import grouped_folds
from affectscope.probes import PENALTIES, probe_out_of_fold
from affectscope.stats import refit_accuracy
from affectscope.vocabulary import SITES

FOLDS = 5

PERMUTATIONS = 1000

COST_PER_ITEM = 0.7
"""A probe's time per item and labelling, in token positions: measured on the default model."""

REFIT_COST_PER_ITEM = 0.2
"""The permutation test's, at one layer and site."""


class _OfItems(Experiment):
    """Reads activations of a study's first items."""

    def __init__(self, study: Study, *, items: int | None = None) -> None:
        self.study = study
        self.n_items = min(items or len(study.corpus), len(study.corpus))

    @cached_property
    def emotions(self) -> list[str]:
        """The labels of the items."""
        return self.study.corpus.emotions[: self.n_items]

    @cached_property
    def groups(self) -> list[str]:
        """The groups of the items."""
        return self.study.corpus.groups[: self.n_items]

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """The fold of each item, ``[item]``."""
        return grouped_folds(self.emotions, self.groups, FOLDS, self.study.seed)

    def activations(self, site: str, layer: int) -> NDArray[np.float32]:
        """At the last token, ``[item, d_model]``."""
        return self.study.clean.activations(site, layer)[: self.n_items]

    def result(self, observations: pd.DataFrame) -> Result:
        """Nothing: the experiment that it is a part of reads the observations."""
        return Result(self.name, pd.DataFrame(), observations, {}, "", lambda _: {})


class ReadOut(_OfItems):
    """Linear probes of several labellings, layer by site, predicting out of fold.

    Args:
        study: The study.
        labellings: By name: the labels of the items, in order.
        items: How many of the study's items, from the first; all when None.
    """

    name = "readout"

    def __init__(
        self, study: Study, labellings: Mapping[str, Sequence[str]], *, items: int | None = None
    ) -> None:
        super().__init__(study, items=items)
        self.labellings = {name: list(labels) for name, labels in labellings.items()}

    @property
    def _unit_cost(self) -> float:
        return COST_PER_ITEM * self.n_items * len(self.labellings)

    def planned_cost(self) -> float:
        """All layers and sites."""
        return self._unit_cost * len(SITES) * self.study.lm.n_layers

    def units(self) -> list[Unit]:
        """One unit for every layer and site."""
        return [
            Unit(
                self.name,
                {
                    "site": site,
                    "layer": layer,
                    "items": self.n_items,
                    "folds": FOLDS,
                    "penalties": list(PENALTIES),
                    "labellings": list(self.labellings),
                },
                cost=self._unit_cost,
            )
            for site in SITES
            for layer in range(self.study.lm.n_layers)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Whether each item is named right by probes that saw none of its fold."""
        site, layer = unit.key["site"], unit.key["layer"]
        found = probe_out_of_fold(
            self.activations(site, layer),
            self.labellings,
            self.folds,
            device=self.study.lm.reader.access.device,
        )
        ids = self.study.corpus.items["item_id"].to_numpy()[: self.n_items]
        tables = [
            pd.DataFrame(
                {
                    "item": np.arange(self.n_items),
                    "item_id": ids,
                    "labelling": name,
                    "site": site,
                    "layer": layer,
                    "label": labels,
                    "predicted": found[name].predicted,
                    "correct": (found[name].predicted == np.asarray(labels)).astype(float),
                    "converged": found[name].converged,
                }
            )
            for name, labels in self.labellings.items()
        ]
        return UnitOutput(pd.concat(tables, ignore_index=True))


class Readable(_OfItems):
    """Whether labels can be read at all: a probe fitted to them and to each deal of them.

    See :mod:`affectscope.stats.refit`.

    Args:
        study: The study.
        labels: The labels of the items, in order.
        items: How many of the study's items, from the first; all when None.
    """

    name = "readable"

    def __init__(self, study: Study, labels: Sequence[str], *, items: int | None = None) -> None:
        super().__init__(study, items=items)
        self.labels = list(labels)

    @property
    def _unit_cost(self) -> float:
        return REFIT_COST_PER_ITEM * self.n_items

    def planned_cost(self) -> float:
        """All layers and sites."""
        return self._unit_cost * len(SITES) * self.study.lm.n_layers

    def units(self) -> list[Unit]:
        """One unit for every layer and site."""
        key = {"items": self.n_items, "folds": FOLDS, "permutations": PERMUTATIONS}
        return [
            Unit(self.name, {"site": site, "layer": layer, **key}, cost=self._unit_cost)
            for site in SITES
            for layer in range(self.study.lm.n_layers)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Share of items named right, with the labels as they are (deal 0) and dealt anew."""
        site, layer = unit.key["site"], unit.key["layer"]
        found = refit_accuracy(
            self.activations(site, layer),
            np.unique(np.asarray(self.labels), return_inverse=True)[1],
            self.groups,
            self.folds,
            seed=self.study.seed,
            n_permutations=PERMUTATIONS,
        )
        shares = np.concatenate([[found.observed], found.permuted])
        return UnitOutput(
            pd.DataFrame(
                {
                    "site": site,
                    "layer": layer,
                    "deal": np.arange(len(shares)),
                    "share": shares,
                }
            )
        )
