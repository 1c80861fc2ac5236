"""At which layer and site can the author's emotion be read off linearly?

A multinomial logistic regression on the last token's activation, for every layer and site, with a
penalty chosen inside the fold and evaluated out of fold; no author or duplicate text is on both
sides of a fold. The same probes are fitted to labels without meaning
(:mod:`affectscope.analyses.control_labels`): accuracy beyond theirs is *selectivity*.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.baselines import bag_of_words
from affectscope.analyses.control_labels import labels_by_item, labels_by_word
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, curves_by_layer, item_sets, layer_table
from affectscope.analyses.study import Study, estimate_rows
from affectscope.data import grouped_folds
from affectscope.errors import NotPossibleError
from affectscope.figures import probe_charts
from affectscope.probes import PENALTIES, probe_out_of_fold
from affectscope.stats import Estimate
from affectscope.vocabulary import SITES

COST_PER_ITEM = 2.1
"""A probe's time per item, in token positions: measured on the default model."""

EMOTION, BY_WORD, BY_ITEM = "emotion", "control_word", "control_item"
"""What is probed: the real labels, those drawn for each last word, those dealt at random."""


class Probe(Experiment):
    """Linear probes, layer by site.

    Args:
        study: The study.
        folds: Number of folds.
    """

    name = "probe"

    def __init__(self, study: Study, *, folds: int = 5) -> None:
        self.study = study
        self.n_folds = folds

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            "multinomial logistic regression, standardised and its penalty chosen (C of "
            f"{', '.join(f'{C:g}' for C in PENALTIES)}) inside each of {self.n_folds} folds; the "
            "baseline always gives the most frequent label; the control labels are drawn at "
            f"random for each text's last word, and dealt at random (seed {self.study.seed})."
        )

    @cached_property
    def _folds(self) -> NDArray[np.int64]:
        corpus = self.study.corpus
        return grouped_folds(corpus.emotions, corpus.groups, self.n_folds, self.study.seed)

    @cached_property
    def _labellings(self) -> dict[str, list[str]]:
        corpus, seed = self.study.corpus, self.study.seed
        return {
            EMOTION: list(corpus.emotions),
            BY_WORD: labels_by_word(corpus.texts, corpus.emotions, seed),
            BY_ITEM: labels_by_item(corpus.emotions, seed),
        }

    @property
    def _unit_cost(self) -> float:
        return COST_PER_ITEM * len(self.study.corpus)

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
                    "folds": self.n_folds,
                    "penalties": list(PENALTIES),
                    "labellings": list(self._labellings),
                },
                cost=self._unit_cost,
            )
            for site in SITES
            for layer in range(self.study.lm.n_layers)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Out-of-fold predictions at one layer and site."""
        site, layer = unit.key["site"], unit.key["layer"]
        study = self.study
        found = probe_out_of_fold(
            study.clean.activations(site, layer),
            self._labellings,
            self._folds,
            device=study.lm.reader.access.device,
        )
        columns: dict[str, Any] = {
            "item": np.arange(len(study.corpus)),
            "item_id": study.corpus.items["item_id"].to_numpy(),
            "site": site,
            "layer": layer,
            "fold": self._folds,
            "emotion": study.corpus.emotions,
            "predicted": found[EMOTION].predicted,
            "C": found[EMOTION].C,
            "converged": found[EMOTION].converged,
        }
        for name in (BY_WORD, BY_ITEM):
            columns[name] = self._labellings[name]
            columns[f"predicted_{name}"] = found[name].predicted
        return UnitOutput(pd.DataFrame(columns))

    def result(self, observations: pd.DataFrame) -> Result:
        """Accuracy by layer and site, the best layer of each site, and the majority baseline.

        Over all items, and over those that the model itself gets right.
        """
        given = observations
        observations = _with_hits(observations)
        parts = []
        summary: dict[str, Estimate] = {}
        for name, items in item_sets(self.study).items():
            rows, found = self._of_items(observations, items)
            parts.append(rows.assign(items=name))
            suffix = "" if name == ALL else f"_{name}"
            summary |= {f"{key}{suffix}": estimate for key, estimate in found.items()}
        table = pd.concat(parts, ignore_index=True)
        return Result(
            self.name,
            table,
            given,
            summary,
            self._answer(summary, observations),
            probe_charts,
        )

    @cached_property
    def _words_right(self) -> NDArray[np.float64] | None:
        """Whether word counts alone name each item's emotion; None where items are too few."""
        try:
            words = bag_of_words(self.study.corpus, seed=self.study.seed)
        except NotPossibleError:
            return None
        return (words.predicted == np.asarray(self.study.corpus.emotions)).astype(float)

    def _of_items(
        self, observations: pd.DataFrame, items: NDArray[np.int64]
    ) -> tuple[pd.DataFrame, dict[str, Estimate]]:
        """Estimates over some items, and the summary of them."""
        draws = self.study.bootstrap(items)
        here = observations[observations["item"].isin(items)]
        curves = curves_by_layer(here, "correct", "item", draws)
        controls = {
            name: curves_by_layer(here, f"correct_{name}", "item", draws)
            for name in (BY_WORD, BY_ITEM)
        }
        selectivity = {site: curve.minus(controls[BY_WORD][site]) for site, curve in curves.items()}
        words = self._words_right
        by_words = None if words is None else draws.ratio(words[items][:, None])
        summary = {}
        for site, curve in curves.items():
            best = curve.peak(range(len(curve.value)))
            at = [int(best.value)]
            summary[f"probe.{site}.best_layer"] = best
            summary[f"probe.{site}.accuracy"] = curve.estimates()[at[0]]
            summary[f"probe.{site}.selectivity"] = selectivity[site].estimates()[at[0]]
            for name, control in controls.items():
                summary[f"probe.{site}.{name}"] = control[site].estimates()[at[0]]
            if by_words is not None:
                gain = curve.columns(at).minus(by_words).estimates()[0]
                summary[f"probe.{site}.gain_over_words"] = gain
        emotions = np.asarray(self.study.corpus.emotions)[items]
        values, counts = np.unique(emotions, return_counts=True)
        majority = (emotions == values[counts.argmax()]).astype(float)[:, None]
        baseline = draws.ratio(majority).estimates()
        summary["probe.baseline"] = baseline[0]
        rows = [
            layer_table(curves, "accuracy"),
            layer_table(selectivity, "selectivity"),
            *(layer_table(control, name) for name, control in controls.items()),
            estimate_rows({"site": [""], "layer": [-1]}, baseline, "baseline"),
        ]
        return pd.concat(rows, ignore_index=True), summary

    def _answer(self, summary: dict[str, Estimate], observations: pd.DataFrame) -> str:
        sites = [site for site in SITES if f"probe.{site}.accuracy" in summary]
        site = max(sites, key=lambda name: summary[f"probe.{name}.accuracy"].value)
        best, accuracy = summary[f"probe.{site}.best_layer"], summary[f"probe.{site}.accuracy"]
        answer = (
            f"The author's emotion is read off best at {site}, layer {best.value:.0f} "
            f"[{best.low:.0f}, {best.high:.0f}]: {percent(accuracy)} of items out of fold, "
            f"against {percent(summary['probe.baseline'])} for always giving the most frequent "
            f"label and {percent(summary[f'probe.{site}.{BY_WORD}'])} for labels drawn at random "
            "for each last word"
        )
        right = summary.get(f"probe.{site}.accuracy_{RIGHT}")
        if right is not None:
            layer = summary[f"probe.{site}.best_layer_{RIGHT}"]
            answer += (
                f"; of the {right.n} items that the model gets right, {percent(right)} at layer "
                f"{layer.value:.0f}"
            )
        answer += "."
        if not observations["converged"].all():
            share = 1 - float(observations["converged"].mean())
            answer += f" {share:.0%} of the probes had not converged when they were stopped."
        return answer


def _with_hits(observations: pd.DataFrame) -> pd.DataFrame:
    """With a column of ones and zeros for every labelling: whether the probe named it right."""
    right = {"correct": observations["predicted"] == observations["emotion"]}
    for name in (BY_WORD, BY_ITEM):
        right[f"correct_{name}"] = observations[f"predicted_{name}"] == observations[name]
    return observations.assign(**{name: hits.astype(float) for name, hits in right.items()})
