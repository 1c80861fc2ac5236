"""Which experiments a run does, and how each is made from the study and the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from affectscope.analyses.ablate import Ablate
from affectscope.analyses.appraise import Appraise
from affectscope.analyses.attend import Attend
from affectscope.analyses.control import Control
from affectscope.analyses.experiment import Experiment
from affectscope.analyses.generate import Generate
from affectscope.analyses.generate_plan import TARGETS
from affectscope.analyses.geometry import Geometry
from affectscope.analyses.human import Human
from affectscope.analyses.infer import Infer
from affectscope.analyses.localise import Localise
from affectscope.analyses.pairs import Pairs
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.promote import Promote
from affectscope.analyses.ratings import rated
from affectscope.analyses.robust import Robust
from affectscope.analyses.settings import Settings
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.analyses.surgery import Surgery
from affectscope.analyses.surgery_settings import parse_setting
from affectscope.data import Corpus, Readers
from affectscope.vocabulary import EXPERIMENTS, ExperimentName

NEEDED: Mapping[ExperimentName, tuple[ExperimentName, ...]] = {
    "localise": ("probe", "ablate", "patch"),
}
"""What an experiment reads the results of."""

ENOUGH_ITEMS = 200
"""Fewest items from which a run that names no experiments moves emotions and appraisals."""


def applicable(corpus: Corpus, readers: Readers | None = None) -> tuple[ExperimentName, ...]:
    """The experiments that a run does when none is named: all that the data can answer.

    ``pairs`` needs the versions of a scenario, ``human`` needs readers, ``promote`` some hundred
    items, and ``appraise``, ``geometry``, ``surgery`` and ``generate`` as many with ratings of
    appraisals; the others need texts only.

    Args:
        corpus: The items.
        readers: Their readers' ratings, if there are any.
    """
    many = len(corpus) >= ENOUGH_ITEMS
    appraisals = many and bool(rated(corpus))
    has = {
        "pairs": corpus.has_pairs,
        "human": readers is not None,
        "appraise": appraisals,
        "geometry": appraisals,
        "promote": many,
        "surgery": appraisals,
        "generate": many and bool(set(TARGETS) & set(rated(corpus))),
    }
    return tuple(name for name in EXPERIMENTS if has.get(name, True))


def build(
    names: Sequence[ExperimentName] | None,
    study: Study,
    settings: Settings = Settings(),  # noqa: B008 - frozen
) -> list[Experiment]:
    """The experiments of a run, in order, the clean passes first.

    Args:
        names: Which experiments; all that apply (:func:`applicable`) when None.
        study: Model, task, corpus and readers.
        settings: How much each does.

    Raises:
        UsageError: ``human`` is asked for and the study has no readers.
    """
    chosen = with_needed(applicable(study.corpus, study.readers) if names is None else names)
    span = settings.span
    makers: Mapping[ExperimentName, Callable[[], Experiment]] = {
        "infer": lambda: Infer(study),
        "pairs": lambda: Pairs(study),
        "probe": lambda: Probe(study, folds=settings.folds, mlp=settings.probe_mlp),
        "ablate": lambda: Ablate(study, spans=settings.spans, items=settings.ablate_items),
        "patch": lambda: Patch(
            study, pairs=settings.pairs, span=span, spans=settings.spans, heads=settings.heads
        ),
        "attend": lambda: Attend(study, items=settings.attend_items),
        "control": lambda: Control(
            study, items=settings.control_items, pairs=settings.control_pairs, span=span
        ),
        "robust": lambda: Robust(
            study,
            templates=settings.templates,
            items=settings.robust_items,
            pairs=settings.robust_pairs,
            span=span,
        ),
        "localise": lambda: Localise(study, [made(name) for name in NEEDED["localise"]]),
        "appraise": lambda: Appraise(study, folds=settings.folds),
        "geometry": lambda: Geometry(study, folds=settings.folds),
        "promote": lambda: Promote(study, items=settings.promote_items),
        "surgery": lambda: Surgery(
            study,
            items=settings.surgery_items,
            settings=[
                parse_setting(moves, settings.hold, rated(study.corpus))
                for moves in (settings.set or "").split(";")
                if moves.strip()
            ],
        ),
        "generate": lambda: Generate(
            study,
            targets=settings.steer,
            openings=settings.generate_prompts,
            repeats=settings.generate_texts,
            max_new_tokens=settings.generate_tokens,
            random=settings.generate_random,
        ),
        "human": lambda: Human(study),
    }

    @cache
    def made(name: ExperimentName) -> Experiment:
        return makers[name]()

    return [CleanExperiment(study), *map(made, chosen)]


def with_needed(names: Sequence[ExperimentName]) -> tuple[ExperimentName, ...]:
    """The experiments, and those that they read the results of, in the order of the house."""
    needed = {each for name in names for each in NEEDED.get(name, ())}
    return tuple(name for name in EXPERIMENTS if name in {*names, *needed})
