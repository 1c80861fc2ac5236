"""Which activation does the model need for its answer? Knock-outs, layer by site.

Over a window of layers the last token's activation is replaced: by zeros, or by Gaussian noise of
its own norm (Tak et al. 2025), which no text would ever cause; or by what texts do cause, the mean
over all items (mean ablation: Wang et al. 2023, "Interpretability in the wild") or the activation
of another item drawn at random (resample ablation: Chan et al. 2022, "Causal scrubbing"). Agreement
is how often the answer stays what it was; the Kullback-Leibler divergence tells how much the
distribution over the labels changes even where the answer does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, curves_by_layer, item_sets, layer_table
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.windows import require_count, window
from affectscope.engine import Edit, Intervention, Mean, Noise, Replace, Zero
from affectscope.figures import ablate_charts
from affectscope.stats import Estimate
from affectscope.vocabulary import ABLATION_KINDS, SITES, AblationKind, Site

_DOING: dict[AblationKind, str] = {
    "zero": "Zeroing attn_out",
    "noise": "Replacing attn_out by noise",
    "mean": "Replacing attn_out by its mean over items",
    "resample": "Replacing attn_out by another item's",
}
"""What is done, for the answer."""


METRICS = {"agreement": "agrees", "accuracy": "correct", "kl": "kl"}
"""What is averaged over items: metric, and column of the observations."""

Activations = Float[Tensor, "item layer site d_model"]


class Ablate(Experiment):
    """Knock-outs by zeros, noise, the mean, and other items' activations.

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
            f"{self.n_items} items, windows of {self.span} layer(s); noise, and the other item "
            f"whose activations each item gets, by seed {self.study.seed}."
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
                {
                    "items": [start, min(start + ITEMS, self.n_items)],
                    "span": self.span,
                    "kinds": list(ABLATION_KINDS),
                },
                cost=self.planned_cost()
                * (min(start + ITEMS, self.n_items) - start)
                / self.n_items,
            )
            for start in range(0, self.n_items, ITEMS)
        ]

    @cached_property
    def donors(self) -> NDArray[np.int64]:
        """For every item the one whose activations replace its own: of another group, if any is."""
        return draw_donors(self.study.corpus.groups, self.study.seed)

    def _edits(
        self, kind: AblationKind, site: Site, layer: int, donated: Activations
    ) -> list[Edit]:
        layers = window(layer, self.span, self.study.lm.n_layers)
        column = SITES.index(site)
        match kind:
            case "zero":
                return [Zero(site, at) for at in layers]
            case "noise":
                return [Noise(site, at, seed=self.study.seed) for at in layers]
            case "mean":
                mean = self.study.clean.mean_activations
                return [Mean(site, at, value=mean[at, column]) for at in layers]
            case "resample":
                return [Replace(site, at, value=donated[:, at, column]) for at in layers]

    def compute(self, unit: Unit) -> UnitOutput:
        """Answers of a block of items under every knock-out."""
        study = self.study
        start, stop = unit.key["items"]
        donated = study.clean.all_activations(self.donors[start:stop])
        interventions = [
            Intervention(self._edits(*condition, donated), name=" ".join(map(str, condition)))
            for condition in self._conditions
        ]
        sweep = study.remembering_lm.intervene(
            study.prompts[start:stop], interventions, label_ids=study.task.label_ids
        )
        scores = study.clean.offsets.scores(sweep.logits)
        clean = study.clean.offsets.scores(study.clean.logits[start:stop])
        answers = scores.argmax(dim=-1).numpy()
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
                    "kl": kullback_leibler(clean[:, None], scores).flatten().numpy(),
                }
            )
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Agreement, accuracy and divergence by kind, layer and site, and where they are extreme.

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
            for metric, column in METRICS.items():
                curves = curves_by_layer(here, column, "item", draws)
                parts.append(layer_table(curves, metric).assign(kind=kind, span=self.span))
                for site, curve in curves.items():
                    layers = range(len(curve.value))
                    name = f"ablate.{kind}.{site}"
                    if metric == "agreement":
                        lowest = curve.peak(layers, lowest=True)
                        summary[f"{name}.lowest_layer"] = lowest
                        agreement = curve.estimates()[int(lowest.value)]
                        summary[f"{name}.lowest_agreement"] = agreement
                    elif metric == "kl":
                        highest = curve.peak(layers)
                        summary[f"{name}.highest_kl_layer"] = highest
                        summary[f"{name}.highest_kl"] = curve.estimates()[int(highest.value)]
        return pd.concat(parts, ignore_index=True), summary

    def _answer(self, summary: dict[str, Estimate]) -> str:
        sentences = []
        for kind in ABLATION_KINDS:
            lowest = summary[f"ablate.{kind}.attn_out.lowest_layer"]
            agreement = summary[f"ablate.{kind}.attn_out.lowest_agreement"]
            sentence = (
                f"{_DOING[kind]} changes the answer most at layer "
                f"{lowest.value:.0f} [{lowest.low:.0f}, {lowest.high:.0f}], "
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


def kullback_leibler(
    clean: Float[Tensor, "*rows label"], changed: Float[Tensor, "*rows label"]
) -> Float[Tensor, "*rows"]:
    """``sum of p log(p / q)`` in nats: what is lost when q stands in for p (Kullback 1951).

    Args:
        clean: Scores whose softmax is p.
        changed: Scores whose softmax is q.
    """
    log_p, log_q = clean.log_softmax(dim=-1), changed.log_softmax(dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp_min(0)


def draw_donors(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    """For every item another one, drawn evenly from all those of other groups.

    Where all items are of one group, from all but the item itself; a single item gets its own.

    Args:
        groups: Group of every item.
        seed: Seed of the draw.
    """
    codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    if len(set(codes.tolist())) == 1:
        codes = np.arange(len(codes))
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], codes, side="left")
    size = np.searchsorted(codes[order], codes, side="right") - first
    others = np.maximum(len(codes) - size, 1)
    place = (np.random.default_rng(seed).random(len(codes)) * others).astype(np.int64)
    return order[np.where(place >= first, place + size, place) % len(codes)]
