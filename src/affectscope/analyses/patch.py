"""What is sufficient to change the answer, and what is necessary to keep it? Activation patching.

The last token's activations of a *source* item replace those of a *target* item that has another
emotion, over a window of layers (Tak et al. 2025; Heimersheim and Nanda 2024, "How to use and
interpret activation patching"). The same seeded pairs are used everywhere: at every layer and site,
in windows of several sizes, at each of the last tokens alone, and for every head alone. Outcomes:
the answer is the source's emotion, the target's, or neither. The share of the logit difference
recovered, with ``LD = score(source's emotion) - score(target's emotion)``, is

    sum over pairs (LD_patched - LD_target) / sum over pairs (LD_source - LD_target),

0 when nothing is carried over and 1 when everything is.

That tells what is *sufficient*. In the other direction, ``necessary``, the target's activations go
into the source's pass: the answer is *broken* where it is no longer the source's, and the logit
difference lost is

    sum over pairs (LD_source - LD_patched) / sum over pairs (LD_source - LD_target).

(A pass patched in that direction is one of the pair with source and target exchanged; what differs
is the question. Replacing everything breaks every answer and carries every answer over; a site may
break many and carry few, where others hold the answer as well.) Outcomes keep their names in both
directions: ``source`` is the source's emotion. The estimates are in
:mod:`affectscope.analyses.patch_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.patch_conditions import Condition, Plan, intervention
from affectscope.analyses.patch_table import patch_answer, patch_estimates
from affectscope.analyses.replacing import SIBLING, sweep_logits
from affectscope.analyses.study import Study
from affectscope.analyses.windows import require_count, require_spans
from affectscope.engine import States
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures import patch_charts
from affectscope.models import LanguageModel
from affectscope.vocabulary import head_site

PAIRS = 16
"""Pairs in a unit: some seconds of work."""

READINGS = 4
"""How often a unit reads an item of a pair: both for their activations, the source for its heads,
and the target with what its chains need. The source's own pass is kept from the first."""

UNIT_MEMORY = 2**29
"""Most bytes of clean passes that a unit keeps from one call to the next."""


class Patch(Experiment):
    """Activation patching between items the model gets right.

    Args:
        study: The study.
        pairs: How many (source, target) pairs; fewer when there are not so many.
        span: Layers patched together, centred on the layer that is named: the main window, that of
            every result but the comparison of spans.
        spans: Sizes of window to compare at the last token; the main one is always among them.
        positions: Tokens, counted from the end, that are patched alone; those that the study keeps
            when None. The last is always among them.
        heads: Whether to patch every head alone, where heads can be told apart.

    Raises:
        UsageError: An even span, no pairs, or a position that not every prompt has.
    """

    name = "patch"

    def __init__(
        self,
        study: Study,
        *,
        pairs: int = 200,
        span: int = 3,
        spans: Sequence[int] = (1, 3, 5),
        positions: Sequence[int] | None = None,
        heads: bool = True,
    ) -> None:
        require_count("pairs", pairs)
        self.study = study
        self.max_pairs = pairs
        self.wants_heads = heads
        if positions is not None:
            _require_positions(positions, study)
        self.plan = Plan(
            n_layers=study.lm.n_layers,
            n_heads=study.lm.n_heads if heads else 0,
            span=span,
            spans=require_spans((span, *spans), study.lm.n_layers),
            positions=study.kept_positions
            if positions is None
            else tuple(sorted({-1, *positions}, reverse=True)),
        )

    @property
    def span(self) -> int:
        """Layers in the main window."""
        return self.plan.span

    @property
    def method(self) -> str:
        """What is done, for the report."""
        plan = self.plan
        if plan.n_heads:
            heads = f" Each of {plan.n_heads} heads of every layer alone."
        elif self.wants_heads:
            heads = (
                " Single heads were left out: they cannot be told apart in this model's weights."
            )
        else:
            heads = ""
        return (
            f"the same {len(self.pairs)} pairs at every layer and site (seed {self.study.seed}), "
            f"drawn from the items the model gets right; windows of {plan.span} layers, at the "
            f"last token also of {', '.join(map(str, plan.spans))}; tokens "
            f"{', '.join(map(str, plan.positions))}, each alone.{heads}"
        )

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Items ``[pair, (source, target)]``, the same at every layer and site.

        Raises:
            NotPossibleError: When the model is right on items of fewer than two emotions.
        """
        clean = self.study.clean
        return draw_pairs(clean.emotions, clean.predicted, self.max_pairs, self.study.seed)

    def planned_cost(self) -> float:
        """The chains of each pair, and the passes of its items."""
        per_item = self.study.n_tokens / len(self.study.corpus)
        return self.max_pairs * (SIBLING * self.plan.n_tokens() + READINGS * per_item)

    def units(self) -> list[Unit]:
        """One unit for every block of pairs, all conditions at once."""
        n, plan = len(self.pairs), self.plan
        per_pair = self.planned_cost() / self.max_pairs
        return [
            Unit(
                self.name,
                {
                    "pairs": [start, min(start + PAIRS, n)],
                    "of": n,
                    "span": plan.span,
                    "spans": list(plan.spans),
                    "positions": list(plan.positions),
                    "heads": plan.n_heads,
                },
                cost=per_pair * (min(start + PAIRS, n) - start),
            )
            for start in range(0, n, PAIRS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Answers of a block of pairs under every patch.

        Passes are kept within the unit only: what is read together, and so every rounding, depends
        on the unit alone.
        """
        study, plan = self.study, self.plan
        start, stop = unit.key["pairs"]
        sources, targets = self.pairs[start:stop].T
        lm = study.lm.remembering(UNIT_MEMORY)
        of_sources = [study.prompts[item] for item in sources]
        of_targets = [study.prompts[item] for item in targets]
        values = {
            "sufficient": lm.capture(of_sources, positions=plan.positions),
            "necessary": lm.capture(of_targets),
        }
        heads = self._head_states(lm, of_sources)
        tables = []
        for conditions in plan.groups():
            direction = conditions[0].direction
            prompts = of_targets if direction == "sufficient" else of_sources
            places = plan.different(conditions)
            column = {at: number for number, at in enumerate(places)}
            logits = sweep_logits(
                lm,
                prompts,
                [intervention(at, values[direction], heads) for at in places],
                study.task.label_ids,
            )[:, [column[one.place(plan.n_layers)] for one in conditions]]
            tables.append(self._observations(start, conditions, logits))
        table = pd.concat(tables, ignore_index=True)
        return UnitOutput(table.sort_values("pair", kind="stable", ignore_index=True))

    def _head_states(self, lm: LanguageModel, prompts: Sequence[str]) -> States | None:
        """What every head of every layer adds at the last token."""
        sites = [head_site(head) for head in range(self.plan.n_heads)]
        return lm.capture(prompts, sites=sites) if sites else None

    def _observations(
        self,
        start: int,
        conditions: Sequence[Condition],
        logits: Float[Tensor, "pair condition label"],
    ) -> pd.DataFrame:
        """Outcomes and differences under conditions of one direction, pair by pair."""
        clean, n, k = self.study.clean, len(logits), len(conditions)
        sources, targets = self.pairs[start : start + n].T
        source_label = torch.from_numpy(clean.predicted[sources])
        target_label = torch.from_numpy(clean.predicted[targets])
        scores = clean.offsets.scores(logits)
        answer = scores.argmax(dim=-1)
        outcome = np.where(
            answer == source_label[:, None],
            "source",
            np.where(answer == target_label[:, None], "target", "neither"),
        )

        def difference(
            of: Float[Tensor, "pair condition label"],
        ) -> Float[Tensor, "pair condition"]:
            """Score of the source's emotion minus score of the target's."""
            rows = torch.arange(n)
            return of[rows, :, source_label] - of[rows, :, target_label]

        patched = difference(scores)
        at_source = difference(clean.offsets.scores(clean.logits[sources])[:, None])
        at_target = difference(clean.offsets.scores(clean.logits[targets])[:, None])
        sufficient = conditions[0].direction == "sufficient"
        carried = patched - at_target if sufficient else at_source - patched
        labels, ids = np.asarray(self.study.task.labels), clean.table["item_id"].to_numpy()
        return pd.DataFrame(
            {
                "pair": np.repeat(np.arange(start, start + n), k),
                "source_id": np.repeat(ids[sources], k),
                "target_id": np.repeat(ids[targets], k),
                "source_emotion": np.repeat(labels[source_label], k),
                "target_emotion": np.repeat(labels[target_label], k),
                "site": [one.site for one in conditions] * n,
                "layer": [one.layer for one in conditions] * n,
                "span": [one.span for one in conditions] * n,
                "position": [one.position for one in conditions] * n,
                "direction": [one.direction for one in conditions] * n,
                "predicted": labels[answer.flatten()],
                "outcome": outcome.ravel(),
                "carried": carried.flatten().numpy(),
                "whole": (at_source - at_target).expand(-1, k).flatten().numpy(),
            }
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Outcomes and the logit difference that moves, under every patch; where they peak."""
        table, summary = patch_estimates(self.study, self.plan, self.pairs, observations)
        answer = patch_answer(summary, self.plan)
        return Result(self.name, table, observations, summary, answer, patch_charts)


def _require_positions(positions: Sequence[int], study: Study) -> None:
    outside = sorted(set(positions) - set(study.kept_positions))
    if outside:
        raise UsageError(
            f"tokens {', '.join(map(str, outside))} cannot be patched",
            expected=f"positions among {', '.join(map(str, study.kept_positions))}, counted from "
            "the end, which every prompt has",
            remedy="leave positions out, or name some of these",
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
