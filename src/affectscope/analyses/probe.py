"""At which layer and site can the author's emotion be read off, and from which token?

Two probes at every layer, site and each of the last tokens, evaluated out of fold (no author or
duplicate text is on both sides of a fold): a multinomial logistic regression with a penalty chosen
inside the fold, and a small network (:mod:`affectscope.probes.mlp`) for what is not linear.

What guards the linear probe at the last token: the same probe fitted to labels without meaning
(:mod:`affectscope.analyses.control_labels`), beyond which its accuracy is *selectivity*; and a
permutation test over all layers and sites, for which a closed-form probe is fitted again to every
deal of the labels (:mod:`affectscope.stats.refit`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.baselines import bag_of_words
from affectscope.analyses.control_labels import labels_by_item, labels_by_word
from affectscope.analyses.experiment import Experiment, Result, SummaryValue, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import RIGHT
from affectscope.analyses.probe_table import BY_ITEM, BY_WORD, DEALT, LINEAR, MLP, probe_estimates
from affectscope.analyses.study import Study
from affectscope.data import grouped_folds
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures import probe_charts
from affectscope.probes import (
    DECAY,
    HIDDEN,
    ITERATIONS,
    PENALTIES,
    mlp_out_of_fold,
    one_thread_each,
    probe_out_of_fold,
)
from affectscope.stats import Estimate, refit_accuracy
from affectscope.vocabulary import SITES, Site

COST_PER_ITEM = {"guarded": 1.1, LINEAR: 0.35, MLP: 0.65}
"""A probe's time per item, in token positions through the model: measured on the default model. The
first is the linear probe at the last token with its control labels and its permutations."""

LAYERS = 5
"""Layers in a unit of work: some 15 seconds with 700 items."""

DEALS = 1000
"""How often the labels are dealt anew."""

EMOTION = "emotion"
"""The real labels, beside those drawn for each last word and those dealt at random."""


class Probe(Experiment):
    """Probes, layer by site by token.

    Args:
        study: The study.
        folds: Number of folds.
        mlp: Whether to fit the non-linear probes as well.

    Raises:
        UsageError: Fewer than two folds.
    """

    name = "probe"

    def __init__(self, study: Study, *, folds: int = 5, mlp: bool = True) -> None:
        if folds < 2:
            raise UsageError(
                f"probes with {folds} folds", expected="at least 2", remedy="leave folds out"
            )
        self.study = study
        self.n_folds = folds
        self.mlp = mlp

    @property
    def method(self) -> str:
        """What is done, for the report."""
        tokens = ", ".join(map(str, self.study.kept_positions))
        network = (
            f"; the non-linear probe has {HIDDEN} hidden units, weight decay {DECAY:g} and "
            f"{ITERATIONS} iterations"
        )
        return (
            "multinomial logistic regression, standardised and its penalty chosen (C of "
            f"{', '.join(f'{C:g}' for C in PENALTIES)}) inside each of {self.n_folds} folds, at "
            f"the last tokens ({tokens}){network if self.mlp else ''}; the baseline always gives "
            "the most frequent label; the control labels are drawn at random for each text's last "
            f"word, and dealt at random (seed {self.study.seed}); p is of a ridge probe fitted "
            f"anew to each of {DEALS:,} deals of the labels, against the largest accuracy at any "
            "layer and site."
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
    def _cost_of_a_layer(self) -> float:
        n_positions = len(self.study.kept_positions)
        linear = COST_PER_ITEM["guarded"] + COST_PER_ITEM[LINEAR] * (n_positions - 1)
        mlp = COST_PER_ITEM[MLP] * n_positions if self.mlp else 0.0
        return (linear + mlp) * len(self.study.corpus)

    def planned_cost(self) -> float:
        """All layers and sites."""
        return self._cost_of_a_layer * len(SITES) * self.study.lm.n_layers

    def units(self) -> list[Unit]:
        """One unit for some layers of a site."""
        n_layers = self.study.lm.n_layers
        blocks = [(start, min(start + LAYERS, n_layers)) for start in range(0, n_layers, LAYERS)]
        mlp = {"hidden": HIDDEN, "iterations": ITERATIONS, "decay": DECAY} if self.mlp else None
        return [
            Unit(
                self.name,
                {
                    "site": site,
                    "layers": list(block),
                    "positions": list(self.study.kept_positions),
                    "folds": self.n_folds,
                    "penalties": list(PENALTIES),
                    "labellings": list(self._labellings),
                    "deals": DEALS,
                    "mlp": mlp,
                },
                cost=self._cost_of_a_layer * (block[1] - block[0]),
            )
            for site in SITES
            for block in blocks
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Out-of-fold predictions at some layers of a site."""
        site, layers = unit.key["site"], range(*unit.key["layers"])
        study = self.study
        kinds: dict[str, Callable[[NDArray[np.float32], int], dict[str, Any]]]
        kinds = {LINEAR: self._linear} | ({MLP: self._mlp} if self.mlp else {})
        self._folds, self._labellings, study.clean  # noqa: B018 - made before threads ask for them

        def rows_of(place: tuple[int, int, str]) -> pd.DataFrame:
            layer, position, kind = place
            X = study.clean.activations(site, layer, position)
            where = {"site": site, "layer": layer, "position": position}
            if kind == DEALT:
                return pd.DataFrame({**where, "probe": kind, **self._dealt(X)})
            found = kinds[kind](X, position)
            return pd.DataFrame({**self._items, **where, "probe": kind, **found})

        places = [
            (layer, position, kind)
            for layer in layers
            for position in study.kept_positions
            for kind in (*kinds, *([DEALT] if position == -1 else []))
        ]
        tables = one_thread_each(rows_of, places, study.lm.reader.access.device)
        return UnitOutput(pd.concat([_with_all_columns(t) for t in tables], ignore_index=True))

    @property
    def _items(self) -> dict[str, Any]:
        """The columns that name an item."""
        corpus = self.study.corpus
        return {
            "item": np.arange(len(corpus)),
            "item_id": corpus.items["item_id"].to_numpy(),
            "fold": self._folds,
            "emotion": corpus.emotions,
        }

    def _linear(self, X: NDArray[np.float32], position: int) -> dict[str, Any]:
        """What the linear probe says; at the last token also of the control labels."""
        labellings = self._labellings
        if position != -1:
            labellings = {EMOTION: labellings[EMOTION]}
        device = self.study.lm.reader.access.device
        found = probe_out_of_fold(X, labellings, self._folds, device=device)
        columns: dict[str, Any] = {
            "predicted": found[EMOTION].predicted,
            "C": found[EMOTION].C,
            "converged": found[EMOTION].converged,
        }
        for name in labellings.keys() - {EMOTION}:
            columns[name] = labellings[name]
            columns[f"predicted_{name}"] = found[name].predicted
        return columns

    def _mlp(self, X: NDArray[np.float32], position: int) -> dict[str, Any]:
        return {
            "predicted": mlp_out_of_fold(
                X,
                self._labellings[EMOTION],
                self._folds,
                seed=self.study.seed,
                device=self.study.lm.reader.access.device,
            )
        }

    def _dealt(self, X: NDArray[np.float32]) -> dict[str, Any]:
        """Accuracy of the closed-form probe: on the labels (deal 0), and on each deal of them."""
        corpus = self.study.corpus
        labels = np.unique(np.asarray(corpus.emotions), return_inverse=True)[1]
        found = refit_accuracy(
            X, labels, corpus.groups, self._folds, seed=self.study.seed, n_permutations=DEALS
        )
        shares = np.concatenate([[found.observed], found.permuted])
        return {"deal": np.arange(len(shares)), "share": shares}

    def result(self, observations: pd.DataFrame) -> Result:
        """Accuracy by probe, token, layer and site, and what it is worth; see the table's module.

        Over all items, and over those that the model itself gets right.
        """
        table, summary = probe_estimates(self.study, observations, self._words_right)
        answer = self._answer(summary, observations)
        return Result(self.name, table, observations, summary, answer, probe_charts)

    @cached_property
    def _words_right(self) -> NDArray[np.float64] | None:
        """Whether word counts alone name each item's emotion; None where items are too few."""
        try:
            words = bag_of_words(self.study.corpus, seed=self.study.seed)
        except NotPossibleError:
            return None
        return (words.predicted == np.asarray(self.study.corpus.emotions)).astype(float)

    def _answer(self, summary: dict[str, SummaryValue], observations: pd.DataFrame) -> str:
        def of(name: str) -> Estimate:
            found = summary[f"probe.{name}"]
            assert isinstance(found, Estimate)
            return found

        sites: list[Site] = [site for site in SITES if f"probe.{site}.accuracy" in summary]
        site = max(sites, key=lambda name: of(f"{name}.accuracy").value)
        best = of(f"{site}.best_layer")
        answer = (
            f"The author's emotion is read off best at {site}, layer {best.value:.0f} "
            f"[{best.low:.0f}, {best.high:.0f}]: {percent(of(f'{site}.accuracy'))} of items out "
            f"of fold, against {percent(of('baseline'))} for always giving the most frequent "
            f"label and {percent(of(f'{site}.{BY_WORD}'))} for labels drawn at random for each "
            "last word"
        )
        if f"probe.{site}.accuracy_{RIGHT}" in summary:
            right = of(f"{site}.accuracy_{RIGHT}")
            layer = of(f"{site}.best_layer_{RIGHT}").value
            answer += (
                f"; of the {right.n} items that the model gets right, {percent(right)} at layer "
                f"{layer:.0f}"
            )
        answer += (
            f". It can be read above chance at {summary[f'probe.{site}.significant_layers']} of "
            f"{self.study.lm.n_layers} layers there (p ≤ 0.05 over all layers and sites)."
        )
        if self.mlp:
            answer += (
                f" A non-linear probe reads {percent(of(f'mlp.{site}.accuracy'))} at layer "
                f"{of(f'mlp.{site}.best_layer').value:.0f}."
            )
        converged = observations.loc[observations["probe"] == LINEAR, "converged"].astype(bool)
        if not converged.all():
            share = 1 - float(converged.mean())
            answer += f" {share:.0%} of the probes had not converged when they were stopped."
        return answer


_CONTROLS = (BY_WORD, f"predicted_{BY_WORD}", BY_ITEM, f"predicted_{BY_ITEM}")
_TEXT = ("item_id", "emotion", "predicted", *_CONTROLS)
_WHOLE = ("item", "fold", "deal")
_COLUMNS = (
    *("item", "item_id", "site", "layer", "position", "probe", "fold", "emotion", "predicted"),
    *("C", "converged", *_CONTROLS, "deal", "share"),
)


def _with_all_columns(rows: pd.DataFrame) -> pd.DataFrame:
    """The same columns whatever the probe: no text, -1 and NaN where there is nothing to say."""
    missing: dict[str, Any] = {
        column: "" if column in _TEXT else -1 if column in _WHOLE else np.nan
        for column in _COLUMNS
        if column not in rows.columns
    }
    rows = rows.assign(**missing)[list(_COLUMNS)]
    return rows.assign(converged=rows["converged"].astype(float))
