"""At which layer and site can the author's emotion be read off linearly?

A multinomial logistic regression on the last token's activation, for every layer and site,
evaluated out of fold; no author or duplicate text is on both sides of a fold.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, curves_by_layer, item_sets, layer_table
from affectscope.analyses.study import Study, estimate_rows
from affectscope.data import grouped_folds
from affectscope.figures import probe_charts
from affectscope.probes import probe_out_of_fold
from affectscope.stats import Estimate
from affectscope.vocabulary import SITES

COST_PER_ITEM = 1.4
"""A probe's time per item, in token positions: measured on the default model."""


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
            f"multinomial logistic regression (C = 1), standardised inside each of "
            f"{self.n_folds} folds; the baseline always gives the most frequent label."
        )

    @cached_property
    def _folds(self) -> NDArray[np.int64]:
        corpus = self.study.corpus
        return grouped_folds(corpus.emotions, corpus.groups, self.n_folds, self.study.seed)

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
                {"site": site, "layer": layer, "folds": self.n_folds},
                cost=self._unit_cost,
            )
            for site in SITES
            for layer in range(self.study.lm.n_layers)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Out-of-fold predictions at one layer and site."""
        site, layer = unit.key["site"], unit.key["layer"]
        emotions = self.study.corpus.emotions
        X = self.study.clean.activations(site, layer)
        predicted, converged = probe_out_of_fold(X, emotions, self._folds)
        return UnitOutput(
            pd.DataFrame(
                {
                    "item": np.arange(len(emotions)),
                    "item_id": self.study.corpus.items["item_id"].to_numpy(),
                    "site": site,
                    "layer": layer,
                    "fold": self._folds,
                    "emotion": emotions,
                    "predicted": predicted,
                    "converged": converged,
                }
            )
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Accuracy by layer and site, the best layer of each site, and the majority baseline.

        Over all items, and over those that the model itself gets right.
        """
        observations = observations.assign(
            correct=(observations["predicted"] == observations["emotion"]).astype(float)
        )
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
            observations,
            summary,
            self._answer(summary, observations),
            probe_charts,
        )

    def _of_items(
        self, observations: pd.DataFrame, items: NDArray[np.int64]
    ) -> tuple[pd.DataFrame, dict[str, Estimate]]:
        """Estimates over some items, and the summary of them."""
        draws = self.study.bootstrap(items)
        here = observations[observations["item"].isin(items)]
        curves = curves_by_layer(here, "correct", "item", draws)
        summary = {}
        for site, curve in curves.items():
            best = curve.peak(range(len(curve.value)))
            summary[f"probe.{site}.best_layer"] = best
            summary[f"probe.{site}.accuracy"] = curve.estimates()[int(best.value)]
        emotions = np.asarray(self.study.corpus.emotions)[items]
        values, counts = np.unique(emotions, return_counts=True)
        majority = (emotions == values[counts.argmax()]).astype(float)[:, None]
        baseline = draws.ratio(majority).estimates()
        summary["probe.baseline"] = baseline[0]
        rows = [
            layer_table(curves, "accuracy"),
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
            "label"
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
