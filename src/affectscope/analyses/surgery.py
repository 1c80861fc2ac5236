"""Appraisal surgery: move one appraisal inside the model, hold the others, see what is answered.

The items are in three parts that share no author or scenario (:mod:`affectscope.analyses.parts`):
directions are fitted, and the place of the edit is chosen, on the first; the edits are made on the
second; what they leave of each appraisal is read with probes fitted to the third.

- *centres*: every setting at every centre, at each coefficient: the answers.
- *place*: at the chosen place, every setting with the others held and without (raw), and random
  directions of equal length, isotropic and distributed as the activations are: the scores.
- *leakage*: at the chosen place, each appraisal moved up (held, raw) or erased (LEACE; Belrose et
  al. 2023, "Perfect linear concept erasure in closed form"): how far every appraisal's reading
  changes, at the edited layer and at all later ones
  (:mod:`affectscope.analyses.surgery_readings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.parts import Parts, draw_in_proportion, split_items
from affectscope.analyses.random_directions import draw_directions
from affectscope.analyses.ratings import Ratings, ratings_of
from affectscope.analyses.replacing import SIBLING, sweep_logits
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.surgery_edits import FOLDS, Place, Surgeon
from affectscope.analyses.surgery_effects import RANDOM_KINDS
from affectscope.analyses.surgery_place import RANDOM, Chosen, choose_place, specific_effects
from affectscope.analyses.surgery_readings import Readings
from affectscope.analyses.surgery_settings import Setting, compounds, singles
from affectscope.analyses.surgery_table import surgery_answer, surgery_estimates
from affectscope.analyses.windows import require_count, require_spans
from affectscope.data import grouped_folds
from affectscope.engine import Intervention
from affectscope.errors import UsageError
from affectscope.figures.surgery import surgery_charts
from affectscope.vocabulary import SITES

COEFFICIENTS = (0.1, 0.2, 0.4)
"""Lengths of an edit, in mean lengths of the residual stream; claims are about the middle one."""


class Surgery(Experiment):
    """Appraisal surgery on one model and corpus.

    Args:
        study: The study.
        items: Most items operated on.
        settings: What to move and hold beside each appraisal alone and the paper's compounds.
        coefficients: Lengths of the edits, in mean lengths of the residual stream.
        random: Random directions of each kind.
        choose_items: Items that the place is chosen on.
        spans: Widths of window to choose from.

    Raises:
        UsageError: A number below 1, or fewer than one coefficient.
        NotPossibleError: The corpus has no ratings, or too few items.
    """

    name = "surgery"

    def __init__(
        self,
        study: Study,
        *,
        items: int = 200,
        settings: Sequence[Setting] = (),
        coefficients: Sequence[float] = COEFFICIENTS,
        random: int = 100,
        choose_items: int = 24,
        spans: Sequence[int] = (1, 3),
    ) -> None:
        require_count("random directions", random)
        require_count("items to choose the place on", choose_items)
        if not coefficients or not all(0 < c < np.inf for c in coefficients):
            raise UsageError(
                f"coefficients {list(coefficients)}",
                expected="one or more numbers above 0, in lengths of the residual stream",
                remedy="leave them out, or give some such as 0.1",
            )
        self.study = study
        self.n_items = items
        self.coefficients = tuple(sorted(coefficients))
        self.n_random = random
        self.n_choose = choose_items
        self.spans = require_spans(spans, study.lm.n_layers)
        self.settings = [
            *singles(self.ratings.names),
            *compounds(self.ratings.names),
            *settings,
        ]

    @property
    def main(self) -> float:
        """The coefficient that claims are about: the middle one."""
        return self.coefficients[len(self.coefficients) // 2]

    @cached_property
    def ratings(self) -> Ratings:
        """The appraisals that are moved and held."""
        corpus = self.study.corpus
        folds = grouped_folds(corpus.emotions, corpus.groups, FOLDS, self.study.seed)
        return ratings_of(corpus, folds)

    @cached_property
    def parts(self) -> Parts:
        """Items to fit on, to operate on, and to read with."""
        return split_items(self.study, test_items=self.n_items)

    @cached_property
    def surgeon(self) -> Surgeon:
        """Fitted to the whole fitting part."""
        return Surgeon(self.study, self.ratings, self.parts.fit)

    @cached_property
    def halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the fitting part: the half that makes directions, and what is operated on."""
        corpus, fit = self.study.corpus, self.parts.fit
        emotions = [corpus.emotions[item] for item in fit]
        half = grouped_folds(emotions, [corpus.groups[i] for i in fit], 2, self.study.seed)
        other = fit[half == 1]
        drawn = draw_in_proportion(
            [corpus.emotions[item] for item in other], self.n_choose, self.study.seed
        )
        return fit[half == 0], other[drawn]

    @property
    def method(self) -> str:
        """What is done, for the report."""
        parts, lengths = self.parts, ", ".join(f"{c:g}" for c in self.coefficients)
        return (
            f"probes and directions fitted to {len(parts.fit)} items, edits at the last token of "
            f"{len(parts.test)} others, read with probes fitted to {len(parts.read)} more (no "
            f"author or scenario in two parts; seed {self.study.seed}); what is added is the "
            "probe's weight with the weights of all appraisals that are not moved projected out, "
            f"{lengths} times as long as the residual stream (claims are about {self.main:g}); "
            f"against {self.n_random} isotropic random directions and {self.n_random} distributed "
            f"as the activations are; the place is chosen on {len(self.halves[1])} of the fitting "
            "items by how far appraisals move answers beyond random directions."
        )

    @property
    def _cost_of_an_item(self) -> dict[str, float]:
        n_layers, n_names = self.study.lm.n_layers, len(self.ratings.names)
        settings = len(self.settings) * len(self.coefficients)
        clean = self.study.n_tokens / len(self.study.corpus)
        return {
            "choose": clean + SIBLING * n_layers * (2 * n_names + 2 * RANDOM),
            "centres": clean + SIBLING * n_layers * settings,
            "place": clean + SIBLING * (2 * settings + 4 * self.n_random),
            "leakage": clean + 2 * SIBLING * 3 * n_names,
        }

    def planned_cost(self) -> float:
        """All parts, known from the sizes alone."""
        cost, n_test = self._cost_of_an_item, min(self.n_items, len(self.study.corpus) // 3)
        choosing = self.n_choose * cost["choose"] * len(SITES) * len(self.spans)
        return choosing + n_test * sum(cost[name] for name in ("centres", "place", "leakage"))

    @property
    def _settings_key(self) -> list[list[object]]:
        return [
            [[list(move) for move in one.moves], None if one.hold is None else list(one.hold)]
            for one in self.settings
        ]

    def _choosing_units(self) -> list[Unit]:
        return [
            Unit(
                self.name,
                {
                    "part": "choose",
                    "site": site,
                    "span": span,
                    "items": self.n_choose,
                    "test": self.n_items,
                    "coefficient": self.main,
                    "random": RANDOM,
                    "calibration": self.study.task.calibration,
                },
                cost=self._cost_of_an_item["choose"] * self.n_choose,
            )
            for site in SITES
            for span in self.spans
        ]

    def units(self) -> list[Unit]:
        """The choice of the place, then blocks of the items operated on, three parts each."""
        n = len(self.parts.test)
        shared = {
            "test": self.n_items,
            "coefficients": list(self.coefficients),
            "settings": self._settings_key,
            "random": self.n_random,
            "choose": [self.n_choose, RANDOM, list(self.spans)],
            "calibration": self.study.task.calibration,
        }
        return self._choosing_units() + [
            Unit(
                self.name,
                {"part": part, "rows": [start, min(start + ITEMS, n)], **shared},
                cost=self._cost_of_an_item[part] * (min(start + ITEMS, n) - start),
            )
            for part in ("centres", "place", "leakage")
            for start in range(0, n, ITEMS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """One part, on a block of items."""
        match unit.key["part"]:
            case "choose":
                made, operated = self.halves
                places = [
                    Place(unit.key["site"], unit.key["span"], centre)
                    for centre in range(self.study.lm.n_layers)
                ]
                surgeon = Surgeon(self.study, self.ratings, made)
                table = specific_effects(surgeon, operated, places, self.main)
            case part:
                start, stop = unit.key["rows"]
                items = self.parts.test[start:stop]
                compute = {
                    "centres": self._centres,
                    "place": self._at_place,
                    "leakage": self._leakage,
                }
                table = compute[part](items)
        return UnitOutput(table.assign(part=unit.key["part"]))

    @cached_property
    def chosen(self) -> Chosen:
        """Where the edits are made; its units are done first."""
        store = self.study.store
        for unit in self._choosing_units():
            if not store.has(unit):
                store.write(unit, self.compute(unit))
        tables = [store.read(unit) for unit in self._choosing_units()]
        return choose_place(
            pd.concat(tables, ignore_index=True), self.study.bootstrap(np.sort(self.halves[1]))
        )

    def _scores(
        self, items: NDArray[np.int64], edits: Sequence[Intervention]
    ) -> NDArray[np.float32]:
        """Calibrated label scores, as log probabilities, ``[item, edit, label]``."""
        study = self.study
        prompts = [study.prompts[item] for item in items]
        logits = sweep_logits(study.remembering_lm, prompts, edits, study.task.label_ids)
        return np.asarray(study.clean.offsets.scores(logits).log_softmax(dim=-1).numpy())

    def _centres(self, items: NDArray[np.int64]) -> pd.DataFrame:
        """The answers under every setting at every centre, as numbers of labels."""
        place, n_layers = self.chosen.place, self.study.lm.n_layers
        rows = [(c, layer) for c in self.coefficients for layer in range(n_layers)]
        tables = []
        for c, layer in rows:
            here = Place(place.site, place.span, layer)
            edits = [self.surgeon.edit(setting, here, c) for setting in self.settings]
            answers = self._scores(items, edits).argmax(axis=-1).astype(np.float32)
            columns = {f"answer.{one.name}": answers[:, k] for k, one in enumerate(self.settings)}
            tables.append(
                pd.DataFrame({"item": items, "coefficient": c, "layer": layer, **columns})
            )
        return pd.concat(tables, ignore_index=True)

    def _random_edits(self) -> Iterator[tuple[str, str, float, Intervention]]:
        place, seed = self.chosen.place, self.study.seed
        layers = place.layers(self.study.lm.n_layers)
        for kind in RANDOM_KINDS:
            drawn = [
                draw_directions(
                    kind,
                    self.n_random,
                    self.surgeon.activations(place.site, layer),
                    seed,
                )
                for layer in layers
            ]
            for k in range(self.n_random):
                for sign in (1, -1):
                    name = f"{k}{'+' if sign > 0 else '-'}"
                    vectors = [sign * each[k] for each in drawn]
                    edit = self.surgeon.added(vectors, place, self.main, f"{kind} {name}")
                    yield name, kind, self.main, edit

    def _at_place(self, items: NDArray[np.int64]) -> pd.DataFrame:
        """Scores of every label, clean and under every edit at the chosen place."""
        edits = [
            (one.name, method, c, self.surgeon.edit(one, self.chosen.place, c, method))
            for method in ("held", "raw")
            for c in self.coefficients
            for one in self.settings
        ]
        edits += self._random_edits()
        scores = self._scores(items, [edit for *_, edit in edits])
        clean = self.study.clean.offsets.scores(self.study.clean.logits[items])
        before = clean.log_softmax(dim=-1).numpy()[:, None]
        scores = np.concatenate([before, scores], axis=1).astype(np.float32)
        names = [("", "clean", 0.0), *((name, method, c) for name, method, c, _ in edits)]
        n, k = scores.shape[:2]
        columns = {
            f"score.{label}": scores[:, :, column].ravel()
            for column, label in enumerate(self.study.task.labels)
        }
        return pd.DataFrame(
            {
                "item": np.repeat(items, k),
                "edit": [name for name, _, _ in names] * n,
                "method": [method for _, method, _ in names] * n,
                "coefficient": [c for _, _, c in names] * n,
                **columns,
            }
        )

    def _leakage(self, items: NDArray[np.int64]) -> pd.DataFrame:
        """How far each appraisal's reading changes."""
        return self.readings.changes(items)

    @cached_property
    def readings(self) -> Readings:
        """Reads what edits at the chosen place leave."""
        return Readings(self.surgeon, self.parts, self.chosen.place, self.main)

    def result(self, observations: pd.DataFrame) -> Result:
        """What moves, against random directions, theory and people; what leaks; the pairs."""
        table, summary = surgery_estimates(self, observations)
        answer = surgery_answer(self, summary)
        return Result(self.name, table, observations, summary, answer, surgery_charts)
