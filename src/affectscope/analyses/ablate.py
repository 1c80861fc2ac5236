"""Which activation does the model need for its answer? Knock-outs, layer by site.

Over a window of layers the last token's activation is replaced: by zeros, or by Gaussian noise of
its own norm (Tak et al. 2025), which no text would ever cause; or by what texts do cause, the mean
over all items (mean ablation: Wang et al. 2023, "Interpretability in the wild") or the activation
of another item drawn at random (resample ablation: Chan et al. 2022, "Causal scrubbing"). Agreement
is how often the answer stays what it was; the Kullback-Leibler divergence tells how much the
distribution over the labels changes even where the answer does not. What wider windows add is told
by doing each in several sizes. The estimates are in :mod:`affectscope.analyses.ablate_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.ablate_table import ablate_estimates
from affectscope.analyses.experiment import Experiment, Result, SummaryValue, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import RIGHT, item_sets
from affectscope.analyses.replacing import SIBLING, Place, place, sweep_logits
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.windows import require_count, require_spans, window
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


Activations = Float[Tensor, "item layer site d_model"]


@dataclass(frozen=True)
class Knockout:
    """One knock-out of the last token."""

    kind: AblationKind
    site: Site
    layer: int
    """The window's centre."""
    layers: tuple[int, ...]
    """The window."""

    @property
    def place(self) -> Place:
        """What is knocked out. Noise keeps the norm of what it replaces, and so depends on it."""
        if self.kind == "noise":
            return self.site, self.layers, -1
        return place(self.site, self.layers)


class Ablate(Experiment):
    """Knock-outs by zeros, noise, the mean, and other items' activations.

    Args:
        study: The study.
        spans: How many layers are knocked out together, centred on the layer that is named.
        items: Use at most so many items (the first of the sample, which is in random order).
    """

    name = "ablate"

    def __init__(
        self, study: Study, *, spans: Sequence[int] = (1, 3, 5), items: int | None = None
    ) -> None:
        self.study = study
        self.spans = require_spans(spans, study.lm.n_layers)
        require_count("items", items)
        self.n_items = len(study.corpus) if items is None else min(len(study.corpus), items)

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"{self.n_items} items, windows of {', '.join(map(str, self.spans))} layer(s); noise, "
            f"and the other item whose activations each item gets, by seed {self.study.seed}."
        )

    def _knockouts(self, span: int) -> list[Knockout]:
        n_layers = self.study.lm.n_layers
        return [
            Knockout(kind, site, layer, tuple(window(layer, span, n_layers)))
            for kind in ABLATION_KINDS
            for site in SITES
            for layer in range(n_layers)
        ]

    def planned_cost(self) -> float:
        """One sibling for each item and different knock-out, and each item's clean pass."""
        siblings = sum(
            len({(one.kind, one.place) for one in self._knockouts(span)}) for span in self.spans
        )
        share = self.n_items / len(self.study.corpus)
        return SIBLING * self.n_items * siblings + share * self.study.n_tokens

    def units(self) -> list[Unit]:
        """One unit for every size of window and block of items, all kinds, sites and layers."""
        per_item = self.planned_cost() / self.n_items / len(self.spans)
        blocks = [
            (start, min(start + ITEMS, self.n_items)) for start in range(0, self.n_items, ITEMS)
        ]
        return [
            Unit(
                self.name,
                {"items": [start, stop], "span": span, "kinds": list(ABLATION_KINDS)},
                cost=per_item * (stop - start),
            )
            for span in self.spans
            for start, stop in blocks
        ]

    @cached_property
    def donors(self) -> NDArray[np.int64]:
        """For every item the one whose activations replace its own: of another group, if any is."""
        return draw_donors(self.study.corpus.groups, self.study.seed)

    def _edits(self, knockout: Knockout, donated: Activations) -> list[Edit]:
        site, layers = knockout.site, knockout.layers
        column = SITES.index(site)
        match knockout.kind:
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
        """Answers of a block of items under every knock-out of one span."""
        study, span = self.study, unit.key["span"]
        start, stop = unit.key["items"]
        knockouts = self._knockouts(span)
        donated = study.clean.all_activations(self.donors[start:stop])
        different = {(one.kind, one.place): one for one in knockouts}
        logits = sweep_logits(
            study.remembering_lm,
            study.prompts[start:stop],
            [
                Intervention(self._edits(one, donated), name=f"{one.kind} {one.place}")
                for one in different.values()
            ],
            study.task.label_ids,
        )
        column = {key: number for number, key in enumerate(different)}
        logits = logits[:, [column[one.kind, one.place] for one in knockouts]]
        return UnitOutput(self._observations(start, span, knockouts, logits))

    def _observations(
        self,
        start: int,
        span: int,
        knockouts: Sequence[Knockout],
        logits: Float[Tensor, "item knockout label"],
    ) -> pd.DataFrame:
        study = self.study
        n, k = logits.shape[:2]
        scores = study.clean.offsets.scores(logits)
        clean = study.clean.offsets.scores(study.clean.logits[start : start + n])
        items = np.repeat(np.arange(start, start + n), k)
        labels = np.asarray(study.task.labels)
        return pd.DataFrame(
            {
                "item": items,
                "item_id": study.corpus.items["item_id"].to_numpy()[items],
                "kind": [one.kind for one in knockouts] * n,
                "site": [one.site for one in knockouts] * n,
                "layer": [one.layer for one in knockouts] * n,
                "span": span,
                "emotion": labels[study.clean.emotions[items]],
                "clean": labels[study.clean.predicted[items]],
                "predicted": labels[scores.argmax(dim=-1).flatten().numpy()],
                "kl": kullback_leibler(clean[:, None], scores).flatten().numpy(),
            }
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Agreement, accuracy and divergence by kind, layer, site and span; where they are extreme.

        Over all items, and over those that the model gets right.
        """
        used = {name: items[items < self.n_items] for name, items in item_sets(self.study).items()}
        table, summary = ablate_estimates(self.study, observations, used, min(self.spans))
        return Result(self.name, table, observations, summary, self._answer(summary), ablate_charts)

    def _answer(self, summary: dict[str, SummaryValue]) -> str:
        found = cast(dict[str, Estimate], summary)
        sentences = []
        for kind in ABLATION_KINDS:
            lowest = found[f"ablate.{kind}.attn_out.lowest_layer"]
            agreement = found[f"ablate.{kind}.attn_out.lowest_agreement"]
            sentence = (
                f"{_DOING[kind]} changes the answer most at layer "
                f"{lowest.value:.0f} [{lowest.low:.0f}, {lowest.high:.0f}], "
                f"where it stays the same for {percent(agreement)} of items"
            )
            right = found.get(f"ablate.{kind}.attn_out.lowest_agreement_{RIGHT}")
            if right is not None:
                layer = found[f"ablate.{kind}.attn_out.lowest_layer_{RIGHT}"]
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
