"""Does adding an emotion's direction make the model answer with it? Emotion promotion.

At every layer of a window the last token's residual stream x becomes ``x + c u``, u that layer's
direction of an emotion (Tak et al. 2025; Turner et al. 2023, "Steering language models with
activation engineering"; Li et al. 2023, "Inference-time intervention"). With p0 and p the rates of
the emotion among the answers before and after, the paper's success is

    (p - p0) / (1 - p0)   for adding,        (p0 - p) / p0   for taking away:

the share of what could change that did.

Done here that the paper did not do: the items that directions are fitted on and those that they
are tested on share no author; c is in units of the residual stream's mean norm at the layer, which
grows several-fold with depth, so that one c means the same everywhere (the paper's 1, 2 and 4 as
well); the centre at which results are summed up is chosen on other items than they are measured on;
and there, directions that stand for nothing are added at equal norm
(:mod:`affectscope.analyses.random_directions`). The estimates are in
:mod:`affectscope.analyses.promote_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affectscope.analyses.directions import DirectionKind
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.parts import Parts, draw_in_proportion, split_items
from affectscope.analyses.promote_fit import Fitter, promoted
from affectscope.analyses.promote_plan import (
    ARMS,
    MAIN,
    RANDOM,
    SITE,
    Plan,
    Vectors,
    promotion,
)
from affectscope.analyses.promote_rows import CHOOSING, PROMOTED, RANDOMLY, observed
from affectscope.analyses.promote_summary import promote_answer
from affectscope.analyses.promote_table import centre_of, promote_estimates
from affectscope.analyses.replacing import SIBLING, sweep_logits
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.windows import require_count
from affectscope.data import grouped_folds
from affectscope.engine import Intervention
from affectscope.figures.promote import promote_charts

ITEMS_TO_CHOOSE = 48
"""Most items on which the centre is chosen: a maximum of a curve needs few."""

LAYERS = 5
"""Layers in a unit of fitting."""

FIT_COST = 4.0
"""Cost of fitting both kinds of direction at a layer, in token positions an item."""


class Promote(Experiment):
    """Adding emotion directions to the residual stream, and taking them away.

    Args:
        study: The study.
        items: Test on at most so many items.
        span: Layers at which directions are added together, centred on the layer that is named.
        emotions: Which emotions; see :func:`~affectscope.analyses.promote_fit.promoted`.
        coefficients: In units of the mean norm of the residual stream at each layer, ascending.
        raw: The paper's coefficients, ascending, as many.
        random: How many random directions of each kind.

    Raises:
        UsageError: An even span, an emotion that the corpus does not have, or coefficients that
            do not ascend.
    """

    name = "promote"

    def __init__(
        self,
        study: Study,
        *,
        items: int = 200,
        span: int = 3,
        emotions: Sequence[str] | None = None,
        coefficients: Sequence[float] = (0.05, 0.1, 0.2),
        raw: Sequence[float] = (1.0, 2.0, 4.0),
        random: int = 100,
    ) -> None:
        require_count("items", items)
        require_count("random directions", random)
        self.study, self._fitter = study, Fitter(study, promoted(study, emotions))
        self.n_items = items
        self.plan = Plan(
            emotions=self._fitter.emotions,
            n_layers=study.lm.n_layers,
            span=span,
            coefficients=tuple(map(float, coefficients)),
            raw=tuple(map(float, raw)),
            n_random=random,
        )

    @property
    def method(self) -> str:
        """What is done, for the report."""
        plan, parts = self.plan, self.parts
        return (
            f"{', '.join(plan.emotions)}; directions fitted on {len(parts.not_test)} items and "
            f"added on {len(parts.test)} of other authors, in windows of {plan.span} layers at "
            f"{SITE}, at the last token; coefficients "
            f"{', '.join(f'{c:g}' for c in plan.coefficients)} of the residual stream's mean norm "
            f"at each layer, and {', '.join(f'{c:g}' for c in plan.raw)}; the centre chosen on "
            f"{len(self._inner[1])} of the fitting items; {plan.n_random} random directions of "
            f"each kind (seed {self.study.seed})."
        )

    @cached_property
    def parts(self) -> Parts:
        """Which items directions are fitted on, and which they are tested on."""
        parts = split_items(self.study, test_items=self.n_items)
        self._fitter.require(parts.not_test)
        return parts

    @cached_property
    def _inner(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the fitting items, those to fit on and those to try on when the centre is chosen."""
        items, corpus = self.parts.not_test, self.study.corpus
        emotions = [corpus.emotions[item] for item in items]
        folds = grouped_folds(emotions, [corpus.groups[i] for i in items], 2, self.study.seed)
        fit, rest = items[folds == 0], items[folds == 1]
        self._fitter.require(fit)
        of_rest = [corpus.emotions[item] for item in rest]
        return fit, rest[draw_in_proportion(of_rest, ITEMS_TO_CHOOSE, self.study.seed)]

    def planned_cost(self) -> float:
        """Fits, and one sibling for each item and intervention with the item's own pass."""
        return sum(self._costs())

    def _costs(self) -> tuple[float, float, float]:
        """Of fitting a direction at every layer, of choosing the centre, and of the test items."""
        plan, n = self.plan, len(self.study.corpus)
        test, choosing = min(self.n_items, n // 3 + 1), min(ITEMS_TO_CHOOSE, n // 3 + 1)
        reading = self.study.n_tokens / n
        fits = FIT_COST * plan.n_layers * 2 * n / 3
        siblings = len(plan.promotions()) + len(RANDOM) * plan.n_random
        return (
            fits,
            choosing * (SIBLING * len(plan.choosing()) + reading) + fits / 2,
            test * (SIBLING * siblings + reading),
        )

    def units(self) -> list[Unit]:
        """The directions by blocks of layers, the choice of the centre, and blocks of test items.

        Raises:
            NotPossibleError: The corpus is too small for its parts.
        """
        fits, choosing, testing = self._costs()
        n_layers, test = self.plan.n_layers, self.parts.test
        self._inner  # noqa: B018 - a corpus that is too small is refused before any work
        blocks = [(at, min(at + ITEMS, len(test))) for at in range(0, len(test), ITEMS)]
        return [
            *(
                self._fits_unit(at, cost=fits * min(LAYERS, n_layers - at) / n_layers)
                for at in range(0, n_layers, LAYERS)
            ),
            Unit(self.name, {"part": "choose", **self.plan.settings}, cost=choosing),
            *(
                Unit(
                    self.name,
                    {"part": "test", "block": [a, b], "of": len(test), **self.plan.settings},
                    cost=testing * (b - a) / len(test),
                )
                for a, b in blocks
            ),
        ]

    def _fits_unit(self, start: int, cost: float = 0.0) -> Unit:
        stop = min(start + LAYERS, self.plan.n_layers)
        emotions = list(self.plan.emotions)
        return Unit(self.name, {"part": "fit", "layers": [start, stop], "emotions": emotions}, cost)

    def compute(self, unit: Unit) -> UnitOutput:
        """Directions at some layers, or answers of some items with directions added."""
        if unit.key["part"] == "fit":
            return self._fitter.fit(range(*unit.key["layers"]), self.parts.not_test)
        if unit.key["part"] == "choose":
            return UnitOutput(self._tried)
        return UnitOutput(self._tested(self.parts.test[slice(*unit.key["block"])]))

    @cached_property
    def _stored(self) -> tuple[dict[str, Vectors], list[float]]:
        """The directions by kind and layer, and the norms, from their units."""
        vectors: dict[str, Vectors] = {}
        norms: list[float] = []
        for start in range(0, self.plan.n_layers, LAYERS):
            unit, store = self._fits_unit(start), self.study.store
            if not store.has(unit):
                store.write(unit, self.compute(unit))
            vectors |= {name: np.array(v) for name, v in store.read_arrays(unit).items()}
            norms += store.read(unit)["value"].tolist()
        return vectors, norms

    def _vectors(self, kind: DirectionKind, layer: int) -> Vectors:
        return self._stored[0][f"{kind}.{layer}"]

    @cached_property
    def _tried(self) -> pd.DataFrame:
        """Answers of the choosing items at every centre, with directions of the other half."""
        fit, tried = self._inner
        kind, norms = ARMS[MAIN].kind, self._stored[1]
        halves = [self._fitter.directions(kind, at, fit) for at in range(self.plan.n_layers)]
        chosen = self.plan.choosing()
        edits = [promotion(self.plan, one, lambda _, at: halves[at], norms) for one in chosen]
        predicted, change = self._answers(tried, edits)
        of = [one.emotion for one in chosen]
        return observed(
            CHOOSING,
            items=tried,
            arm=MAIN,
            step=self.plan.step,
            emotion=of,
            layer=[one.layer for one in chosen],
            predicted=predicted,
            value=np.take_along_axis(change, np.array(of)[None, :, None], axis=2)[..., 0],
        )

    def _tested(self, items: NDArray[np.int64]) -> pd.DataFrame:
        """Answers of test items under every promotion, and with random directions."""
        chosen, norms = self.plan.promotions(), self._stored[1]
        edits = [promotion(self.plan, one, self._vectors, norms) for one in chosen]
        randoms = self._fitter.random(self.plan, self._centre, self.parts.not_test, norms)
        predicted, change = self._answers(items, [*edits, *randoms])
        k, of = len(edits), np.array([one.emotion for one in chosen])
        n_emotions, n = len(self.plan.emotions), self.plan.n_random
        promoted = observed(
            PROMOTED,
            items=items,
            arm=[one.arm for one in chosen],
            emotion=of,
            step=[one.step for one in chosen],
            layer=[one.layer for one in chosen],
            predicted=predicted[:, :k],
            value=np.take_along_axis(change[:, :k], of[None, :, None], axis=2)[..., 0],
        )
        random = observed(
            RANDOMLY,
            items=items,
            arm=np.repeat(np.arange(len(RANDOM)), n * n_emotions),
            draw=np.tile(np.repeat(np.arange(n), n_emotions), len(RANDOM)),
            emotion=np.tile(np.arange(n_emotions), n * len(RANDOM)),
            step=self.plan.step,
            layer=self._centre,
            predicted=np.repeat(predicted[:, k:], n_emotions, axis=1),
            value=change[:, k:].reshape(len(items), -1),
        )
        return pd.concat([promoted, random], ignore_index=True)

    @cached_property
    def _centre(self) -> int:
        """The centre chosen on the fitting part."""
        unit = next(unit for unit in self.units() if unit.key["part"] == "choose")
        stored = self.study.store.has(unit)
        tried = self.study.store.read(unit) if stored else self._tried
        return int(centre_of(self.study, self.plan, tried).value)

    def _answers(
        self, items: NDArray[np.int64], edits: Sequence[Intervention]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Answers ``[item, intervention]``, and changes ``[item, intervention, emotion]``.

        A change is that of the log-probability of a promoted emotion among the labels.
        """
        study = self.study
        prompts = [study.prompts[item] for item in items]
        logits = sweep_logits(study.remembering_lm, prompts, edits, study.task.label_ids)
        scores = study.clean.offsets.scores(logits)
        clean = study.clean.offsets.scores(study.clean.logits[torch.from_numpy(items)])
        columns = [study.task.labels.index(emotion) for emotion in self.plan.emotions]
        change = (scores - clean[:, None])[:, :, columns]
        return scores.argmax(dim=-1).numpy(), change.numpy()

    def result(self, observations: pd.DataFrame) -> Result:
        """Success by emotion, coefficient and centre; what else moves; and against random."""
        table, summary = promote_estimates(self.study, self.plan, observations)
        answer = promote_answer(self.plan, summary)
        return Result(self.name, table, observations, summary, answer, promote_charts)
