"""Which activation does the model need for its answer? Knock-outs, layer by site.

The last token's activation is replaced by zeros, or by Gaussian noise of its own norm (Tak et al.
2025), over a window of layers; agreement is how often the answer stays what it was.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, curves_by_layer, item_sets, layer_table
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.windows import require_count, window
from affectscope.engine import Edit, Intervention, Noise, Zero
from affectscope.figures import ablate_charts
from affectscope.stats import Estimate
from affectscope.vocabulary import ABLATION_KINDS, SITES, AblationKind, Site


class Ablate(Experiment):
    """Zero and noise knock-outs.

    Args:
        study: The study.
        span: Layers knocked out together, centred on the layer that is named.
        items: Use at most so many items (the first of the sample, which is in random order).
    """

    name = "ablate"

    def __init__(self, study: Study, *, span: int = 1, items: int | None = None) -> None:
        self.study = study
        self.span = span
        window(0, span, study.lm.n_layers)  # refuse an even span before any work is done
        require_count("items", items)
        self.n_items = len(study.corpus) if items is None else min(len(study.corpus), items)

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"{self.n_items} items, windows of {self.span} layer(s), noise seed {self.study.seed}."
        )

    @cached_property
    def _conditions(self) -> list[tuple[AblationKind, Site, int]]:
        layers = range(self.study.lm.n_layers)
        return [
            (kind, site, layer) for kind in ABLATION_KINDS for site in SITES for layer in layers
        ]

    def planned_cost(self) -> float:
        """One token for each item and condition, and each item's clean pass."""
        share = self.n_items / len(self.study.corpus)
        return self.n_items * len(self._conditions) + share * self.study.n_tokens

    def units(self) -> list[Unit]:
        """One unit for every block of items, all conditions at once."""
        return [
            Unit(
                self.name,
                {"items": [start, min(start + ITEMS, self.n_items)], "span": self.span},
                cost=self.planned_cost()
                * (min(start + ITEMS, self.n_items) - start)
                / self.n_items,
            )
            for start in range(0, self.n_items, ITEMS)
        ]

    def _edits(self, kind: AblationKind, site: Site, layer: int) -> list[Edit]:
        layers = window(layer, self.span, self.study.lm.n_layers)
        if kind == "zero":
            return [Zero(site, at) for at in layers]
        return [Noise(site, at, seed=self.study.seed) for at in layers]

    def compute(self, unit: Unit) -> UnitOutput:
        """Answers of a block of items under every knock-out."""
        study = self.study
        start, stop = unit.key["items"]
        interventions = [
            Intervention(self._edits(*condition), name=" ".join(map(str, condition)))
            for condition in self._conditions
        ]
        sweep = study.remembering_lm.intervene(
            study.prompts[start:stop], interventions, label_ids=study.task.label_ids
        )
        answers = study.clean.offsets.scores(sweep.logits).argmax(dim=-1).numpy()
        n, k = answers.shape
        items = np.repeat(np.arange(start, stop), k)
        kinds, sites, layers = zip(*self._conditions, strict=True)
        labels = np.asarray(study.task.labels)
        return UnitOutput(
            pd.DataFrame(
                {
                    "item": items,
                    "item_id": study.corpus.items["item_id"].to_numpy()[items],
                    "kind": np.tile(kinds, n),
                    "site": np.tile(sites, n),
                    "layer": np.tile(layers, n),
                    "span": self.span,
                    "emotion": labels[study.clean.emotions[items]],
                    "clean": labels[study.clean.predicted[items]],
                    "predicted": labels[answers.ravel()],
                }
            )
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Agreement and accuracy by kind, layer and site; the layer where agreement is lowest.

        Over all items, and over those that the model gets right.
        """
        observations = observations.assign(
            agrees=(observations["predicted"] == observations["clean"]).astype(float),
            correct=(observations["predicted"] == observations["emotion"]).astype(float),
        )
        parts = []
        summary: dict[str, Estimate] = {}
        for name, items in item_sets(self.study).items():
            used = items[items < self.n_items]
            if not len(used):
                continue
            rows, found = self._of_items(observations, used)
            parts.append(rows.assign(items=name))
            suffix = "" if name == ALL else f"_{name}"
            summary |= {f"{key}{suffix}": estimate for key, estimate in found.items()}
        table = pd.concat(parts, ignore_index=True)
        order = ["metric", "items", "kind", "site", "layer", "span", "value", "low", "high", "n"]
        observations = observations.drop(columns=["agrees", "correct"])
        return Result(
            self.name, table[order], observations, summary, self._answer(summary), ablate_charts
        )

    def _of_items(
        self, observations: pd.DataFrame, items: NDArray[np.int64]
    ) -> tuple[pd.DataFrame, dict[str, Estimate]]:
        """Estimates over some items, and the summary of them."""
        draws = self.study.bootstrap(items)
        of_items = observations[observations["item"].isin(items)]
        parts = []
        summary: dict[str, Estimate] = {}
        for kind in ABLATION_KINDS:
            here = of_items[of_items["kind"] == kind]
            for metric, column in (("agreement", "agrees"), ("accuracy", "correct")):
                curves = curves_by_layer(here, column, "item", draws)
                parts.append(layer_table(curves, metric).assign(kind=kind, span=self.span))
                if metric == "accuracy":
                    continue
                for site, curve in curves.items():
                    lowest = curve.peak(range(len(curve.value)), lowest=True)
                    summary[f"ablate.{kind}.{site}.lowest_layer"] = lowest
                    agreement = curve.estimates()[int(lowest.value)]
                    summary[f"ablate.{kind}.{site}.lowest_agreement"] = agreement
        return pd.concat(parts, ignore_index=True), summary

    def _answer(self, summary: dict[str, Estimate]) -> str:
        sentences = []
        for kind in ABLATION_KINDS:
            lowest = summary[f"ablate.{kind}.attn_out.lowest_layer"]
            agreement = summary[f"ablate.{kind}.attn_out.lowest_agreement"]
            sentence = (
                f"{'Zeroing' if kind == 'zero' else 'Replacing by noise'} attn_out changes the "
                f"answer most at layer {lowest.value:.0f} [{lowest.low:.0f}, {lowest.high:.0f}], "
                f"where it stays the same for {percent(agreement)} of items"
            )
            right = summary.get(f"ablate.{kind}.attn_out.lowest_agreement_{RIGHT}")
            if right is not None:
                layer = summary[f"ablate.{kind}.attn_out.lowest_layer_{RIGHT}"]
                sentence += (
                    f" (of those that the model gets right, {percent(right)} at layer "
                    f"{layer.value:.0f})"
                )
            sentences.append(f"{sentence}.")
        return " ".join(sentences)
