"""What does a model write when an appraisal or emotion is moved inside it, and at what damage?

The same prompts are gone on with, with the same draws, unsteered, asked in words, and with vectors
of several lengths added around several layers while the model writes. What was written is read by
a judge of words and by the unsteered model's own probes
(:mod:`affectscope.analyses.generate_readers`), and measured for fluency, echo and kept content
(:mod:`affectscope.texts`); what the vectors cost elsewhere is in
:mod:`affectscope.analyses.generate_cost`. Directions are fitted on one part of the
corpus and everything is measured on others; a recommended setting is chosen on one half of the
prompts and its effect given on the other (:mod:`affectscope.analyses.generate_recommended`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property

import numpy as np
import pandas as pd

from affectscope.analyses.directions import DirectionKind
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.generate_cost import Costs, Steering
from affectscope.analyses.generate_plan import (
    DIRECTED,
    TARGETS,
    Condition,
    Method,
    Plan,
    require_plan,
)
from affectscope.analyses.generate_readers import TextReaders, part_of
from affectscope.analyses.generate_summary import generate_answer
from affectscope.analyses.generate_table import generate_estimates
from affectscope.analyses.generate_writing import Writer
from affectscope.analyses.parts import Parts, split_items
from affectscope.analyses.ratings import rated
from affectscope.analyses.steer import default_layer
from affectscope.analyses.steerer import SITE, Steerer, origin
from affectscope.analyses.study import Study
from affectscope.analyses.surgery_settings import Setting
from affectscope.analyses.windows import require_count
from affectscope.engine import SteeringVector
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.generate import generate_charts

COEFFICIENTS = (0.1, 0.2, 0.35, 0.6)
"""Lengths of what is added, in mean lengths of the residual stream."""


class Generate(Experiment):
    """Steered writing.

    Args:
        study: The study.
        targets: Appraisals and emotions to move; the paper's that the corpus has when None.
        centres: Centres of the layers that share a vector; at a half and three quarters of depth
            when None.
        span: How many layers share one.
        coefficients: Lengths, in mean lengths of the residual stream.
        methods: Ways to steer by a direction.
        random: Random directions at each place and length.
        openings: Prompts of each of four kinds.
        repeats: Texts for each prompt.
        max_new_tokens: Tokens written at most.
        temperature: Of the draws.
        items: Items whose emotion is asked for while steering is on.
        passages: Neutral passages; three for each prompt of a kind when None.
        asked: Questions.

    Raises:
        UsageError: A number out of range, or a target that is neither appraisal nor emotion.
        NotPossibleError: The corpus has none of the targets.
    """

    name = "generate"

    def __init__(
        self,
        study: Study,
        *,
        targets: Sequence[str] | None = None,
        centres: Sequence[int] | None = None,
        span: int = 3,
        coefficients: Sequence[float] = COEFFICIENTS,
        methods: Sequence[Method] = DIRECTED,
        random: int = 10,
        openings: int = 4,
        repeats: int = 2,
        max_new_tokens: int = 32,
        temperature: float = 0.8,
        items: int = 60,
        passages: int | None = None,
        asked: int = 60,
    ) -> None:
        passages = 3 * openings if passages is None else passages
        for what, count in (("items", items), ("passages", passages), ("questions", asked)):
            require_count(what, count)
        self.study = study
        n_layers = study.lm.n_layers
        main = default_layer(n_layers)
        self.plan = require_plan(
            Plan(
                targets=self._known(targets),
                centres=tuple(sorted({n_layers // 2, main} if centres is None else set(centres))),
                span=span,
                n_layers=n_layers,
                coefficients=tuple(coefficients),
                methods=tuple(methods),
                n_random=random,
                n_openings=openings,
                repeats=repeats,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
            )
        )
        self.own_layer = main
        self._sizes = items, passages, asked

    def _known(self, targets: Sequence[str] | None) -> tuple[str, ...]:
        corpus = self.study.corpus
        there = (*rated(corpus), *sorted(set(corpus.emotions)))
        if targets is None:
            found = tuple(name for name in TARGETS if name in there)
            if not found:
                raise NotPossibleError(
                    f"{corpus.name} has no ratings of {', '.join(TARGETS)}",
                    expected="ratings of an appraisal, or emotions named with --steer",
                    remedy="name emotions to steer (--steer joy,fear), or use another corpus",
                )
            return found
        unknown = [name for name in targets if name not in there]
        if unknown:
            raise UsageError(
                f"nothing in {corpus.name} tells of {', '.join(unknown)}",
                expected=f"some of {', '.join(there)}",
                remedy="name some of these with --steer",
            )
        return tuple(dict.fromkeys(targets))

    @property
    def method(self) -> str:
        """What is done, for the report."""
        plan, parts = self.plan, self.parts
        judge = self.study.judge
        trained = (
            "the rest of the corpus" if judge is None else f"{judge.name} ({len(judge)} items)"
        )
        return (
            f"{len(plan.openings)} prompts of four kinds, {plan.repeats} texts of up to "
            f"{plan.max_new_tokens} tokens each (temperature {plan.temperature:g}, the same draws "
            f"with and without steering); vectors fitted on {len(parts.fit)} items, added in "
            f"windows of {plan.span} layers around {', '.join(map(str, plan.centres))} at the "
            "prompt's last token and all that is written, "
            f"{', '.join(f'{c:g}' for c in plan.coefficients)} mean lengths of the residual stream "
            f"long; a judge of words trained on {trained}; the model's own probes fitted on "
            f"{len(parts.read)} items and read at layer {self.own_layer}; {plan.n_random} random "
            f"directions at each place and length (seed {self.study.seed})."
        )

    @cached_property
    def parts(self) -> Parts:
        """Items to fit on, to ask the emotion of, and to fit the model's own probes on."""
        return split_items(self.study, test_items=self._sizes[0])

    @cached_property
    def steerer(self) -> Steerer:
        """Makes the vectors."""
        study, fit, plan = self.study, self.parts.fit, self.plan
        layers = sorted({at for centre in plan.centres for at in plan.layers(centre)})
        corpus = part_of(study.corpus, fit)
        return Steerer(
            corpus,
            {at: study.clean.activations(SITE, at)[fit] for at in layers},
            study.seed,
            origin(study.lm, corpus, template=study.task.template.name, seed=study.seed),
        )

    @cached_property
    def readers(self) -> TextReaders:
        """Who reads what was written."""
        return TextReaders(self.study, self.parts, self.plan.targets, self.own_layer)

    def vector(self, condition: Condition) -> SteeringVector:
        """The vector that a condition adds."""
        layers, c = self.plan.layers(condition.layer), condition.coefficient
        if condition.method == "random":
            drawn = self.steerer.random(self.plan.n_random, layers)
            return drawn[condition.draw].with_coefficient(c)
        kind: DirectionKind = "means" if condition.method == "means" else "probe"
        if condition.target in self.steerer.appraisals:
            hold = None if condition.method == "held" else ()
            setting = Setting(((condition.target, float(condition.sign)),), hold)
            return self.steerer.moved(setting, layers, kind=kind).with_coefficient(c)
        sizes = {condition.target: float(condition.sign)}
        return self.steerer.promoted(sizes, layers, kind=kind).with_coefficient(c)

    def _blocks(self) -> list[list[Condition]]:
        """Those of the plan; emotions are not held, since nothing is held beside them."""
        appraisals = rated(self.study.corpus)
        kept = [
            [c for c in block if c.method != "held" or c.target in appraisals]
            for block in self.plan.blocks
        ]
        return [block for block in kept if block]

    def _cost(self, block: Sequence[Condition]) -> float:
        texts = len(block) * len(self.plan.openings) * self.plan.repeats
        return texts * (3.0 * self.plan.max_new_tokens + 120.0)

    def planned_cost(self) -> float:
        """Texts written, read and judged."""
        return sum(self._cost(block) for block in self._blocks())

    def units(self) -> list[Unit]:
        """One for each block of conditions."""
        plan = self.plan
        shared = {
            "openings": plan.n_openings,
            "repeats": plan.repeats,
            "tokens": plan.max_new_tokens,
            "temperature": plan.temperature,
            "coefficients": list(plan.coefficients),
            "targets": list(plan.targets),
            "span": plan.span,
            "random": plan.n_random,
            "sizes": list(self._sizes),
            "calibration": self.study.task.calibration,
            "judge": None if self.study.judge is None else self.study.judge.sha256,
        }
        return [
            Unit(
                self.name,
                {
                    "method": block[0].method,
                    "target": block[0].target if block[0].layer >= 0 else "",
                    "layer": block[0].layer,
                    "coefficient": block[0].coefficient if block[0].method == "random" else None,
                    **shared,
                },
                cost=self._cost(block),
            )
            for block in self._blocks()
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Write, read and measure the texts of a block, and what its vectors cost."""
        block = next(
            block
            for block, each in zip(self._blocks(), self.units(), strict=True)
            if each.key == unit.key
        )
        steering: Steering = [(self.vector(c),) if c.layer >= 0 else () for c in block]
        texts = Writer(self.study, self.plan, self.readers).texts(block, steering)
        items, (_, passages, asked) = self.parts.test, self._sizes
        costs = Costs(self.study, items, passages, asked).of(block, steering)
        table = pd.concat([texts, costs], ignore_index=True)
        of = pd.DataFrame([asdict(condition) for condition in block])
        rows = of.iloc[table["condition"].to_numpy(dtype=np.int64)].reset_index(drop=True)
        return UnitOutput(pd.concat([rows, table.drop(columns="condition")], axis=1))

    def result(self, observations: pd.DataFrame) -> Result:
        """Effect against damage, matched comparisons, and a recommended setting."""
        table, summary = generate_estimates(
            self.plan, observations, self.readers.judge, seed=self.study.seed
        )
        answer = generate_answer(self.plan, summary, table)
        return Result(self.name, table, observations, summary, answer, generate_charts)
