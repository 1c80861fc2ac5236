"""A study: one model, task and corpus, and the clean passes all its experiments share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.experiment import (
    Experiment,
    MemoryStore,
    Result,
    Unit,
    UnitOutput,
    UnitStore,
    finish_units,
)
from affectscope.data import Corpus, Readers, ReadItems
from affectscope.engine import free_memory
from affectscope.errors import LabelError, NotPossibleError
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask, LabelOffsets
from affectscope.stats import GroupBootstrap, estimate_rows
from affectscope.vocabulary import SITES, Site

__all__ = ["ITEMS", "CleanExperiment", "CleanPasses", "Study", "estimate_rows"]

POSITIONS = (-1, -2, -3, -4, -5)
"""The last tokens, whose activations the paper looks at."""

ITEMS = 32
"""Items in a unit of work: some seconds. The same for all, so that they share clean passes."""

MEMORY_SHARE = 1 / 8
MOST_MEMORY = 2**30
"""Clean passes are kept in so much of the free memory, and in at most so many bytes."""


@dataclass(frozen=True)
class Study:
    """What every experiment of a run has in common.

    Args:
        lm: The model.
        task: The emotion task on that model.
        corpus: The items, already sampled.
        store: Where finished units are kept.
        seed: Seed of everything that is drawn.
        readers: What people who read the items made of them, where they were read.
        positions: The tokens, counted from the end, whose activations the clean passes keep.
        judge: A corpus that judges of text are trained on; the parts of ``corpus`` that nothing
            else is fitted to when None.
    """

    lm: LanguageModel
    task: EmotionTask
    corpus: Corpus
    store: UnitStore = field(default_factory=MemoryStore)
    seed: int = 0
    readers: Readers | None = None
    positions: tuple[int, ...] = POSITIONS
    judge: Corpus | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.corpus.emotions) - set(self.task.labels))
        if unknown:
            raise LabelError(
                f"the corpus {self.corpus.name} has labels that the task does not: "
                f"{', '.join(unknown)}",
                expected=f"labels among {', '.join(self.task.labels)}",
                remedy="make the task with labels=corpus.labels",
            )
        self.read_items  # noqa: B018 - readers of another corpus are refused before any work

    @cached_property
    def kept_positions(self) -> tuple[int, ...]:
        """Of :attr:`positions` those that every prompt has, the last token first."""
        shortest = min(map(len, self.lm.encode(self.prompts)))
        return tuple(p for p in sorted({-1, *self.positions}, reverse=True) if -p <= shortest)

    @property
    def prompts(self) -> list[str]:
        """The prompt of every item."""
        return self.task.prompts(self.corpus.texts)

    @cached_property
    def read_items(self) -> ReadItems | None:
        """What readers made of the items; None without readers, or when no item was read.

        Raises:
            DataError: These are the readers of another corpus.
        """
        try:
            return None if self.readers is None else self.readers.of(self.corpus)
        except NotPossibleError:
            return None

    @cached_property
    def remembering_lm(self) -> LanguageModel:
        """The model, for experiments that go over the same items in the same units.

        It keeps keys and values of what it reads while there is room, so that an experiment need
        not read again what another has read; results are the same to the bit.
        """
        free = free_memory(self.lm.reader.access.device)
        return self.lm.remembering(min(MOST_MEMORY, int(MEMORY_SHARE * free)))

    @cached_property
    def n_tokens(self) -> int:
        """Tokens of all prompts together, for time estimates."""
        return sum(map(len, self.lm.encode(self.prompts)))

    @cached_property
    def clean(self) -> CleanPasses:
        """The clean passes, computed now where they are not stored."""
        experiment = CleanExperiment(self)
        for _ in finish_units(experiment, self.store):
            pass
        return CleanPasses(self, experiment.units())

    def bootstrap(
        self, items: NDArray[np.int64], second: NDArray[np.int64] | None = None
    ) -> GroupBootstrap:
        """Bootstrap of observations that belong to items, drawn by the items' groups.

        Args:
            items: Item of every observation.
            second: The other item, of observations that are pairs.
        """
        groups = np.asarray(self.corpus.groups, dtype=str)
        other = () if second is None else tuple(groups[second].tolist())
        return GroupBootstrap(tuple(groups[items].tolist()), seed=self.seed, second=other)


class CleanExperiment(Experiment):
    """The clean pass of every item: label logits, the free answer, and all activations.

    It has no result of its own; the experiments read it.
    """

    name = "clean"

    def __init__(self, study: Study) -> None:
        self.study = study

    def planned_cost(self) -> float:
        """Tokens of all prompts."""
        return float(self.study.n_tokens)

    def units(self) -> list[Unit]:
        """One unit for every block of items."""
        n = len(self.study.corpus)
        return [
            Unit(
                self.name,
                {
                    "items": [start, min(start + ITEMS, n)],
                    "positions": list(self.study.kept_positions),
                },
                cost=self.study.n_tokens * (min(start + ITEMS, n) - start) / n,
            )
            for start in range(0, n, ITEMS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Run a block of items through the model."""
        study = self.study
        start, stop = unit.key["items"]
        states = study.remembering_lm.capture(
            study.prompts[start:stop], positions=study.kept_positions
        )
        answers = study.lm.unembed(states.final).argmax(dim=-1).tolist()
        items = study.corpus.items.iloc[start:stop]
        table = pd.DataFrame(
            {
                "item": np.arange(start, stop),
                "item_id": items["item_id"].to_numpy(),
                "emotion": items["emotion"].to_numpy(),
                "open_id": answers,
                "open_token": [study.lm.tokenizer.decode([token]) for token in answers],
            }
        )
        label_logits = study.lm.unembed(states.final, study.task.label_ids)
        for column, label in enumerate(study.task.labels):
            table[f"logit.{label}"] = label_logits[:, column].numpy()
        arrays = {
            _array(site, layer, at): np.ascontiguousarray(states.at(site, layer, at).numpy())
            for layer in states.layers
            for site in states.sites
            for at in states.positions
        }
        return UnitOutput(table, arrays)

    def result(self, observations: pd.DataFrame) -> Result:
        """Nothing: the clean passes answer no question by themselves."""
        return Result(self.name, pd.DataFrame(), observations, {}, "", lambda _: {})


def _array(site: Site, layer: int, position: int) -> str:
    """Name of the activations of a block of items."""
    return f"{site}.{layer}.{position}"


class CleanPasses:
    """What the model does when nothing is edited.

    Args:
        study: The study.
        units: Its finished units of clean passes.
    """

    def __init__(self, study: Study, units: list[Unit]) -> None:
        self._study = study
        self._units = units
        self.table = pd.concat([study.store.read(unit) for unit in units], ignore_index=True)

    @cached_property
    def logits(self) -> Float[Tensor, "item label"]:
        """Label logits."""
        columns = [f"logit.{label}" for label in self._study.task.labels]
        return torch.tensor(self.table[columns].to_numpy(dtype=np.float32))

    @cached_property
    def offsets(self) -> LabelOffsets:
        """The calibration, fitted on these prompts without their labels."""
        return self._study.task.fit(self.logits)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the predicted label after calibration, ``[item]``."""
        return self.offsets.scores(self.logits).argmax(dim=-1).numpy()

    @cached_property
    def emotions(self) -> NDArray[np.int64]:
        """Index of the author's label, ``[item]``."""
        index = {label: i for i, label in enumerate(self._study.task.labels)}
        return np.array([index[emotion] for emotion in self._study.corpus.emotions])

    @cached_property
    def right(self) -> NDArray[np.int64]:
        """The items whose emotion the model names after calibration, ``[item]``."""
        return np.flatnonzero(self.predicted == self.emotions)

    def activations(self, site: Site, layer: int, position: int = -1) -> NDArray[np.float32]:
        """Activations at a token, counted from the end, ``[item, d_model]``."""
        name = _array(site, layer, position)
        return np.concatenate([self._study.store.read_arrays(unit)[name] for unit in self._units])

    @cached_property
    def mean_activations(self) -> Float[Tensor, "layer site d_model"]:
        """The mean over all items at every layer and site, at the last token."""
        lm = self._study.lm
        total = torch.zeros(lm.n_layers, len(SITES), lm.d_model, dtype=torch.float64)
        for unit in self._units:
            arrays = self._study.store.read_arrays(unit)
            for layer in range(lm.n_layers):
                for j, site in enumerate(SITES):
                    total[layer, j] += torch.from_numpy(
                        arrays[_array(site, layer, -1)].sum(axis=0, dtype=np.float64)
                    )
        return (total / len(self.table)).float()

    def all_activations(
        self, items: NDArray[np.int64], position: int = -1
    ) -> Float[Tensor, "item layer site d_model"]:
        """Activations of some items at every layer and site, read from their units only."""
        lm = self._study.lm
        chosen = torch.empty((len(items), lm.n_layers, len(SITES), lm.d_model))
        for unit in self._units:
            start, stop = unit.key["items"]
            rows = np.flatnonzero((items >= start) & (items < stop))
            if not len(rows):
                continue
            arrays = self._study.store.read_arrays(unit)
            for layer in range(lm.n_layers):
                for j, site in enumerate(SITES):
                    values = arrays[_array(site, layer, position)][items[rows] - start]
                    chosen[torch.from_numpy(rows), layer, j] = torch.tensor(values)
        return chosen
