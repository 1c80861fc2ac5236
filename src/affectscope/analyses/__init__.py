"""The experiments, one module each, and how to run one or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affectscope.analyses.ablate import Ablate
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
from affectscope.analyses.infer import Infer
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.data import Corpus
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask
from affectscope.vocabulary import ExperimentName

__all__ = [
    "Ablate",
    "CleanExperiment",
    "Experiment",
    "Infer",
    "MemoryStore",
    "Patch",
    "Probe",
    "Result",
    "Study",
    "Unit",
    "UnitOutput",
    "UnitStore",
    "ablate",
    "build",
    "collect",
    "finish_units",
    "infer",
    "patch",
    "probe",
]


def build(
    names: Sequence[ExperimentName],
    study: Study,
    *,
    pairs: int = 200,
    span: int = 3,
    folds: int = 5,
    ablate_items: int | None = None,
) -> list[Experiment]:
    """The experiments of a run, in order, the clean passes first.

    Args:
        names: Which experiments.
        study: Model, task and corpus.
        pairs: Patching pairs.
        span: Layers in a patching window.
        folds: Folds of the probes.
        ablate_items: Most items in the knock-outs; all when None.
    """
    makers: Mapping[ExperimentName, Callable[[], Experiment]] = {
        "infer": lambda: Infer(study),
        "probe": lambda: Probe(study, folds=folds),
        "ablate": lambda: Ablate(study, items=ablate_items),
        "patch": lambda: Patch(study, pairs=pairs, span=span),
    }
    return [CleanExperiment(study), *(makers[name]() for name in makers if name in names)]


def _run(task: EmotionTask, corpus: Corpus, seed: int, make: Callable[..., Any]) -> Result:
    """Do one experiment in memory."""
    lm = task.lm
    assert isinstance(lm, LanguageModel)
    study = Study(lm, task, corpus.without_texts(task.shot_texts), seed=seed)
    experiment = make(study)
    for _ in finish_units(experiment, study.store):
        pass
    return collect(experiment, study.store)


def infer(task: EmotionTask, corpus: Corpus, *, seed: int = 0) -> Result:
    """Accuracy, confusion and free answers; see :mod:`affectscope.analyses.infer`."""
    return _run(task, corpus, seed, Infer)


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
