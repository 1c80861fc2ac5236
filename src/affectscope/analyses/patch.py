"""What is sufficient to change the answer? Activation patching, layer by site.

The last token's activations of a *source* item replace those of a *target* item that has another
emotion, over a window of layers (Tak et al. 2025; Heimersheim and Nanda 2024, "How to use and
interpret activation patching"). The same seeded pairs are used at every layer and site. Outcomes:
the answer becomes the source's, stays the target's, or is neither. The share of the logit
difference recovered, with ``LD = score(source's emotion) - score(target's emotion)``, is

    sum over pairs (LD_patched - LD_target) / sum over pairs (LD_source - LD_target),

0 when nothing is carried over and 1 when everything is.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import curves_by_layer, layer_table
from affectscope.analyses.study import Study
from affectscope.analyses.windows import require_count, window
from affectscope.engine import Intervention, Replace
from affectscope.errors import NotPossibleError
from affectscope.figures import patch_charts
from affectscope.stats import Estimate
from affectscope.vocabulary import SITES, Site

PAIRS = 16
"""Pairs in a unit: some seconds of work."""


class Patch(Experiment):
    """Activation patching between items the model gets right.

    Args:
        study: The study.
        pairs: How many (source, target) pairs; fewer when there are not so many.
        span: Layers patched together, centred on the layer that is named.
    """

    name = "patch"

    def __init__(self, study: Study, *, pairs: int = 200, span: int = 3) -> None:
        window(0, span, study.lm.n_layers)  # refuse an even span before any work is done
        require_count("pairs", pairs)
        self.study = study
        self.max_pairs = pairs
        self.span = span

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"the same {len(self.pairs)} pairs at every layer and site (seed {self.study.seed}), "
            f"drawn from the items the model gets right; windows of {self.span} layers."
        )

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Items ``[pair, (source, target)]``, the same at every layer and site.

        Raises:
            NotPossibleError: When the model is right on items of fewer than two emotions.
        """
        clean = self.study.clean
        return draw_pairs(clean.emotions, clean.predicted, self.max_pairs, self.study.seed)

    @cached_property
    def _conditions(self) -> list[tuple[Site, int]]:
        return [(site, layer) for site in SITES for layer in range(self.study.lm.n_layers)]

    def planned_cost(self) -> float:
        """One token for each pair and condition, and each pair's clean pass."""
        per_item = self.study.n_tokens / len(self.study.corpus)
        return self.max_pairs * (len(self._conditions) + per_item)

    def units(self) -> list[Unit]:
        """One unit for every block of pairs, all conditions at once."""
        n = len(self.pairs)
        per_pair = self.planned_cost() / self.max_pairs
        return [
            Unit(
                self.name,
                {"pairs": [start, min(start + PAIRS, n)], "of": n, "span": self.span},
                cost=per_pair * (min(start + PAIRS, n) - start),
            )
            for start in range(0, n, PAIRS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Answers of a block of targets under every patch."""
        study, (start, stop) = self.study, unit.key["pairs"]
        sources, targets = self.pairs[start:stop].T
        values = study.clean.all_activations(sources)
        interventions = [
            Intervention(self._edits(values, site, layer), name=f"{site} {layer}")
            for site, layer in self._conditions
        ]
        prompts = study.prompts
        sweep = study.lm.intervene(
            [prompts[target] for target in targets],
            interventions,
            label_ids=study.task.label_ids,
        )
        offsets, clean = study.clean.offsets, study.clean
        scores = offsets.scores(sweep.logits)
        source_label = torch.from_numpy(clean.predicted[sources])
        target_label = torch.from_numpy(clean.predicted[targets])
        answer = scores.argmax(dim=-1)
        outcome = np.where(
            answer == source_label[:, None],
            "source",
            np.where(answer == target_label[:, None], "target", "neither"),
        )

        def difference(logits: Tensor) -> Float[Tensor, "pair condition"]:
            """Score of the source's emotion minus score of the target's."""
            of = offsets.scores(logits).reshape(len(sources), -1, logits.shape[-1])
            rows = torch.arange(len(sources))
            return of[rows, :, source_label] - of[rows, :, target_label]

        k = len(self._conditions)
        patched = difference(sweep.logits)
        at_target = difference(clean.logits[targets])
        at_source = difference(clean.logits[sources])
        sites, layers = zip(*self._conditions, strict=True)
        labels, ids = np.asarray(study.task.labels), clean.table["item_id"].to_numpy()
        return UnitOutput(
            pd.DataFrame(
                {
                    "pair": np.repeat(np.arange(start, stop), k),
                    "source_id": np.repeat(ids[sources], k),
                    "target_id": np.repeat(ids[targets], k),
                    "source_emotion": np.repeat(labels[source_label], k),
                    "target_emotion": np.repeat(labels[target_label], k),
                    "site": np.tile(sites, stop - start),
                    "layer": np.tile(layers, stop - start),
                    "span": self.span,
                    "outcome": outcome.ravel(),
                    "carried": (patched - at_target).flatten().numpy(),
                    "whole": (at_source - at_target).expand(-1, k).flatten().numpy(),
                }
            )
        )

    def _edits(
        self, values: Float[Tensor, "pair layer site d_model"], site: Site, layer: int
    ) -> list[Replace]:
        layers = window(layer, self.span, self.study.lm.n_layers)
        return [Replace(site, at, value=values[:, at, SITES.index(site)]) for at in layers]

    def result(self, observations: pd.DataFrame) -> Result:
        """Outcomes and the recovered logit difference by layer and site; where transfer peaks."""
        draws = self.study.bootstrap(self.pairs[:, 1], second=self.pairs[:, 0])
        parts = []
        summary: dict[str, Estimate] = {}
        for metric in ("source", "target", "neither"):
            is_it = observations.assign(hit=(observations["outcome"] == metric).astype(float))
            curves = curves_by_layer(is_it, "hit", "pair", draws)
            parts.append(layer_table(curves, metric))
            if metric == "source":
                for site, curve in curves.items():
                    peak = curve.peak(range(len(curve.value)))
                    summary[f"patch.{site}.peak_layer"] = peak
                    summary[f"patch.{site}.peak_transfer"] = curve.estimates()[int(peak.value)]
        recovered = curves_by_layer(observations, "carried", "pair", draws, denominator="whole")
        parts.append(layer_table(recovered, "recovered"))
        table = pd.concat(parts, ignore_index=True).assign(span=self.span)
        order = ["metric", "site", "layer", "span", "value", "low", "high", "n"]
        return Result(
            self.name, table[order], observations, summary, self._answer(summary), patch_charts
        )

    def _answer(self, summary: dict[str, Estimate]) -> str:
        peak, transfer = (
            summary["patch.attn_out.peak_layer"],
            summary["patch.attn_out.peak_transfer"],
        )
        mlp = summary["patch.mlp_out.peak_transfer"]
        return (
            f"Patching attn_out carries the source's emotion over most at layer {peak.value:.0f} "
            f"[{peak.low:.0f}, {peak.high:.0f}], for {percent(transfer)} of {transfer.n} pairs "
            f"(windows of {self.span}); mlp_out at most for {percent(mlp)}."
        )


def draw_pairs(
    emotions: NDArray[np.int64], predicted: NDArray[np.int64], n_pairs: int, seed: int
) -> NDArray[np.int64]:
    """Ordered pairs of items with different emotions that the model both gets right.

    Args:
        emotions: Index of the author's label, ``[item]``.
        predicted: Index of the predicted label, ``[item]``.
        n_pairs: How many; all there are when there are fewer.
        seed: Fixes the draw, which is uniform and without replacement.

    Returns:
        Items ``[pair, (source, target)]``.

    Raises:
        NotPossibleError: When there is no such pair.
    """
    right = np.flatnonzero(emotions == predicted)
    kinds, counts = np.unique(emotions[right], return_counts=True)
    if len(kinds) < 2:
        raise NotPossibleError(
            f"patching needs two items of different emotions that the model gets right; it gets "
            f"{len(right)} items right, of {len(kinds)} emotion(s)",
            expected="right answers for at least two emotions",
            remedy="use more items (--limit), another calibration or template, or a better model",
        )
    available = len(right) ** 2 - int((counts**2).sum())
    generator = np.random.default_rng([seed, available])
    wanted = min(n_pairs, available)
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < wanted:
        draws = generator.choice(right, size=(4 * wanted, 2))
        for source, target in draws[emotions[draws[:, 0]] != emotions[draws[:, 1]]]:
            chosen.setdefault((int(source), int(target)))
    return np.array(list(chosen)[:wanted], dtype=np.int64)
