"""How does the model compare with people who read the same texts?

Readers' accuracy and appraisals (:mod:`affectscope.stats.human`) need no model. The model's
calibrated distribution over the labels is compared with the readers' item by item, by the
Jensen-Shannon distance: a model that is wrong may be wrong as people are.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import Experiment, Result, SummaryValue, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.study import Study
from affectscope.data import ReadItems
from affectscope.errors import UsageError
from affectscope.figures import human_charts
from affectscope.stats import (
    Estimate,
    HumanReference,
    PermutedNull,
    human_reference,
    jensen_shannon,
    permuted_distance,
)
from affectscope.stats.divergence import PERMUTATIONS
from affectscope.stats.human import keyed

DISTANCES = ("js_model", "js_answer", "js_reader")
"""The model's distribution to the readers', its answer to all readers but one, and that reader."""


class Human(Experiment):
    """Readers beside the model, on the items that were read.

    Raises:
        UsageError: The study has no readers.
    """

    name = "human"

    def __init__(self, study: Study) -> None:
        if study.readers is None:
            raise UsageError(
                "human compares the model with readers, and no readers were given",
                expected="the readers' file of crowd-enVENT",
                remedy="give --readers enVent_val_Data.csv, or leave human out of --experiments",
            )
        self.study = study
        self._readers = study.readers

    @property
    def method(self) -> str:
        """What is done, for the report."""
        read = self.study.read_items
        if read is None:
            return ""
        return (
            f"{len(read):,} of {len(self.study.corpus):,} items were read, by "
            f"{self._readers.n_readers} readers each; {PERMUTATIONS:,} permutations, "
            f"{self.study.task.calibration} calibration."
        )

    def planned_cost(self) -> float:
        """Nothing beyond the clean passes."""
        return 0.0

    def units(self) -> list[Unit]:
        """One unit: both distributions of every item that was read."""
        key = {"calibration": self.study.task.calibration, "readers": self._readers.sha256}
        return [Unit(self.name, key, cost=0.0)]

    @cached_property
    def _reference(self) -> HumanReference:
        return human_reference(self.study.corpus, self._readers, seed=self.study.seed)

    def compute(self, unit: Unit) -> UnitOutput:
        """The readers' and the model's distribution over the labels, item by item."""
        reference = self._reference  # says at once when no item was read
        clean, read = self.study.clean, self._read
        scores = clean.offsets.scores(clean.logits)[read.items]
        of_label = dict(zip(self.study.task.labels, scores.softmax(dim=-1).numpy().T, strict=True))
        never = np.zeros(len(read))  # a label that only readers know
        model = np.column_stack([of_label.get(label, never) for label in read.labels])
        table = reference.distribution.assign(model=model.astype(float).ravel())
        return UnitOutput(table)

    @cached_property
    def _read(self) -> ReadItems:
        return self._readers.of(self.study.corpus)

    def result(self, observations: pd.DataFrame) -> Result:
        """The human reference, and the distances between distributions with their null."""
        reference, read = self._reference, self._read
        model = observations["model"].to_numpy(dtype=float).reshape(len(read), -1)
        distances = self._distances(model, read)
        null = permuted_distance(model, read.distribution, seed=self.study.seed)
        rows = [keyed([estimate], name) for name, estimate in distances.items()]
        table = pd.concat([reference.table, *rows, keyed([null.mean], "js_null")])
        summary: dict[str, SummaryValue] = {
            **reference.summary,
            **{f"human.{name}": estimate for name, estimate in distances.items()},
            "human.js_null": null.mean,
            "human.js_p": null.p,
        }
        answer = self._answer(reference, distances["js_model"], null)
        return Result(
            self.name,
            table.reset_index(drop=True),
            observations,
            summary,
            answer,
            human_charts,
        )

    def _distances(self, model: np.ndarray, read: ReadItems) -> dict[str, Estimate]:
        """Mean Jensen-Shannon distances, all over the same items and draws."""
        others = (read.votes.sum(axis=1, keepdims=True) - read.votes) / (read.said.shape[1] - 1)
        answer = np.eye(len(read.labels))[model.argmax(axis=1)][:, None].repeat(
            read.said.shape[1], axis=1
        )
        columns = [
            jensen_shannon(model, read.distribution),
            jensen_shannon(answer, others).mean(axis=1),
            jensen_shannon(read.votes, others).mean(axis=1),
        ]
        draws = self.study.bootstrap(read.items).ratio(np.column_stack(columns))
        return dict(zip(DISTANCES, draws.estimates(), strict=True))

    def _answer(self, reference: HumanReference, js: Estimate, null: PermutedNull) -> str:
        one = reference.summary["human.reader_accuracy"]
        plurality = reference.summary["human.plurality_accuracy"]
        verb = "is closer" if null.p < SURE else "is not clearly closer"
        p = f"p = {null.p:.2g}" if null.p >= LEAST_SHOWN_P else f"p < {LEAST_SHOWN_P}"
        return (
            f"One reader names the author's emotion for {percent(one)} of the {plurality.n:,} "
            f"items that were read, the plurality of {reference.n_readers} for "
            f"{percent(plurality)}. The model's distribution {verb} to the readers' of the same "
            f"text (Jensen-Shannon distance {js.value:.3f} [{js.low:.3f}, {js.high:.3f}]) than to "
            f"those of other texts ({null.mean.value:.3f}; {p})."
        )


SURE = 0.05
"""Below this p the model is said to be closer."""

LEAST_SHOWN_P = 0.001
"""A smaller p is shown as being below this."""
