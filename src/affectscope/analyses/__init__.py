"""The experiments, one module each, and how to run one or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affectscope.analyses.ablate import Ablate
from affectscope.analyses.baselines import BagOfWords, bag_of_words
from affectscope.analyses.experiment import (
    Experiment,
    MemoryStore,
    Result,
    Unit,
    UnitOutput,
    UnitStore,
    collect,
    finish_units,
)
from affectscope.analyses.human import Human
from affectscope.analyses.infer import Infer
from affectscope.analyses.pairs import Pairs
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.data import Corpus, Readers
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import EXPERIMENTS, ExperimentName

__all__ = [
    "Ablate",
    "BagOfWords",
    "CleanExperiment",
    "Experiment",
    "Human",
    "Infer",
    "MemoryStore",
    "Pairs",
    "Patch",
    "Probe",
    "Result",
    "Study",
    "Unit",
    "UnitOutput",
    "UnitStore",
    "ablate",
    "applicable",
    "bag_of_words",
    "build",
    "collect",
    "finish_units",
    "human",
    "infer",
    "pairs",
    "patch",
    "probe",
]


def applicable(corpus: Corpus, readers: Readers | None = None) -> tuple[ExperimentName, ...]:
    """The experiments that a run does when none is named: all that the data can answer.

    ``pairs`` needs the versions of a scenario, ``human`` needs readers; the others need texts only.

    Args:
        corpus: The items.
        readers: Their readers' ratings, if there are any.
    """
    has = {"pairs": corpus.has_pairs, "human": readers is not None}
    return tuple(name for name in EXPERIMENTS if has.get(name, True))


def build(
    names: Sequence[ExperimentName] | None,
    study: Study,
    *,
    pairs: int = 200,
    span: int = 3,
    folds: int = 5,
    ablate_items: int | None = None,
) -> list[Experiment]:
    """The experiments of a run, in order, the clean passes first.

    Args:
        names: Which experiments; all that apply (:func:`applicable`) when None.
        study: Model, task, corpus and readers.
        pairs: Patching pairs.
        span: Layers in a patching window.
        folds: Folds of the probes.
        ablate_items: Most items in the knock-outs; all when None.

    Raises:
        UsageError: ``human`` is asked for and the study has no readers.
    """
    chosen = applicable(study.corpus, study.readers) if names is None else names
    makers: Mapping[ExperimentName, Callable[[], Experiment]] = {
        "infer": lambda: Infer(study),
        "pairs": lambda: Pairs(study),
        "probe": lambda: Probe(study, folds=folds),
        "ablate": lambda: Ablate(study, items=ablate_items),
        "patch": lambda: Patch(study, pairs=pairs, span=span),
        "human": lambda: Human(study),
    }
    return [CleanExperiment(study), *(makers[name]() for name in EXPERIMENTS if name in chosen)]


def _run(
    task: EmotionTask,
    corpus: Corpus,
    seed: int,
    make: Callable[..., Any],
    readers: Readers | None = None,
) -> Result:
    """Do one experiment in memory."""
    lm = task.lm
    assert isinstance(lm, LanguageModel)
    used = corpus.without_texts(task.shot_texts)
    study = Study(lm, task, used, seed=seed, readers=readers)
    experiment = make(study)
    for _ in finish_units(experiment, study.store):
        pass
    return collect(experiment, study.store)


def infer(
    task: EmotionTask, corpus: Corpus, *, readers: Readers | None = None, seed: int = 0
) -> Result:
    """Accuracy, confusion and free answers; see :mod:`affectscope.analyses.infer`."""
    return _run(task, corpus, seed, Infer, readers)


def human(task: EmotionTask, corpus: Corpus, readers: Readers, *, seed: int = 0) -> Result:
    """Readers beside the model; see :mod:`affectscope.analyses.human`.

    For what readers do by themselves, without a model: :func:`affectscope.human_reference`.
    """
    return _run(task, corpus, seed, Human, readers)


def pairs(task: EmotionTask, corpus: Corpus, *, seed: int = 0) -> Result:
    """Appraisal minimal pairs; see :mod:`affectscope.analyses.pairs`."""
    return _run(task, corpus, seed, Pairs)


def probe(task: EmotionTask, corpus: Corpus, *, folds: int = 5, seed: int = 0) -> Result:
    """Linear probes by layer and site; see :mod:`affectscope.analyses.probe`."""
    return _run(task, corpus, seed, lambda study: Probe(study, folds=folds))


def ablate(task: EmotionTask, corpus: Corpus, *, span: int = 1, seed: int = 0) -> Result:
    """Zero and noise knock-outs; see :mod:`affectscope.analyses.ablate`."""
    return _run(task, corpus, seed, lambda study: Ablate(study, span=span))


def patch(
    task: EmotionTask, corpus: Corpus, *, pairs: int = 200, span: int = 3, seed: int = 0
) -> Result:
    """Activation patching; see :mod:`affectscope.analyses.patch`."""
    return _run(task, corpus, seed, lambda study: Patch(study, pairs=pairs, span=span))
