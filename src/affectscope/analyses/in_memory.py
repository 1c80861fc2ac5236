"""Each experiment as one call that keeps everything in memory, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from affectscope.analyses.ablate import Ablate
from affectscope.analyses.appraise import Appraise
from affectscope.analyses.attend import Attend
from affectscope.analyses.control import Control
from affectscope.analyses.experiment import Result, collect, finish_units
from affectscope.analyses.generate import Generate
from affectscope.analyses.geometry import Geometry
from affectscope.analyses.human import Human
from affectscope.analyses.infer import Infer
from affectscope.analyses.pairs import Pairs
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.promote import Promote
from affectscope.analyses.ratings import rated
from affectscope.analyses.robust import Robust
from affectscope.analyses.study import Study
from affectscope.analyses.surgery import Surgery
from affectscope.analyses.surgery_settings import parse_setting
from affectscope.data import Corpus, Readers
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask


def _run(
    task: EmotionTask,
    corpus: Corpus,
    seed: int,
    make: Callable[..., Any],
    readers: Readers | None = None,
    *,
    judge: Corpus | None = None,
) -> Result:
    """Do one experiment in memory."""
    lm = task.lm
    assert isinstance(lm, LanguageModel)
    used = corpus.without_texts(task.shot_texts)
    study = Study(lm, task, used, seed=seed, readers=readers, judge=judge)
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


def ablate(
    task: EmotionTask, corpus: Corpus, *, spans: Sequence[int] = (1, 3, 5), seed: int = 0
) -> Result:
    """Knock-outs of four kinds; see :mod:`affectscope.analyses.ablate`."""
    return _run(task, corpus, seed, lambda study: Ablate(study, spans=spans))


def patch(
    task: EmotionTask,
    corpus: Corpus,
    *,
    pairs: int = 200,
    span: int = 3,
    spans: Sequence[int] = (1, 3, 5),
    positions: Sequence[int] | None = None,
    heads: bool = True,
    seed: int = 0,
) -> Result:
    """Activation patching; see :mod:`affectscope.analyses.patch`."""
    return _run(
        task,
        corpus,
        seed,
        lambda study: Patch(
            study, pairs=pairs, span=span, spans=spans, positions=positions, heads=heads
        ),
    )


def attend(task: EmotionTask, corpus: Corpus, *, items: int = 200, seed: int = 0) -> Result:
    """Attention by kind of token, and its knock-out; see :mod:`affectscope.analyses.attend`."""
    return _run(task, corpus, seed, lambda study: Attend(study, items=items))


def control(
    task: EmotionTask, corpus: Corpus, *, items: int = 300, pairs: int = 100, seed: int = 0
) -> Result:
    """Another task, no question, shuffled labels; see :mod:`affectscope.analyses.control`."""
    return _run(task, corpus, seed, lambda study: Control(study, items=items, pairs=pairs))


def appraise(
    task: EmotionTask,
    corpus: Corpus,
    *,
    readers: Readers | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Result:
    """Ridge probes of all appraisals; see :mod:`affectscope.analyses.appraise`."""
    return _run(task, corpus, seed, lambda study: Appraise(study, folds=folds), readers)


def geometry(task: EmotionTask, corpus: Corpus, *, folds: int = 5, seed: int = 0) -> Result:
    """Emotions' and appraisals' directions; see :mod:`affectscope.analyses.geometry`."""
    return _run(task, corpus, seed, lambda study: Geometry(study, folds=folds))


def promote(
    task: EmotionTask,
    corpus: Corpus,
    *,
    items: int = 200,
    emotions: Sequence[str] | None = None,
    seed: int = 0,
) -> Result:
    """Emotions' directions added and taken away; see :mod:`affectscope.analyses.promote`.

    Args:
        task: The emotion task.
        corpus: The items.
        items: Most items that are tested.
        emotions: Which emotions; the paper's six that are there when None.
        seed: Seed of everything that is drawn.
    """
    return _run(task, corpus, seed, lambda study: Promote(study, items=items, emotions=emotions))


def surgery(
    task: EmotionTask,
    corpus: Corpus,
    *,
    items: int = 200,
    surgeries: Sequence[str] = (),
    hold: str | None = None,
    seed: int = 0,
) -> Result:
    """Appraisals moved inside the model; see :mod:`affectscope.analyses.surgery`.

    Args:
        task: The emotion task.
        corpus: The items, with ratings of appraisals.
        items: Most items operated on.
        surgeries: What to do beside each appraisal alone, such as
            ``"pleasantness=-2,other_responsblt=+2"``.
        hold: Appraisals that these hold, separated by commas; all others when None.
        seed: Seed of everything that is drawn.
    """
    own = [parse_setting(moves, hold, rated(corpus)) for moves in surgeries]
    return _run(task, corpus, seed, lambda study: Surgery(study, items=items, settings=own))


def generate(
    task: EmotionTask,
    corpus: Corpus,
    *,
    targets: Sequence[str] | None = None,
    judge: Corpus | None = None,
    openings: int = 4,
    repeats: int = 2,
    max_new_tokens: int = 32,
    random: int = 10,
    seed: int = 0,
) -> Result:
    """Steered writing, its effect and its damage; see :mod:`affectscope.analyses.generate`.

    Args:
        task: The emotion task.
        corpus: The items that directions are fitted to.
        targets: Appraisals and emotions to move; the paper's three appraisals when None.
        judge: The corpus that the judge of texts is trained on; parts of ``corpus`` when None.
        openings: Prompts of each of four kinds.
        repeats: Texts for each prompt and setting.
        max_new_tokens: Tokens written at most.
        random: Random directions at each place and length.
        seed: Seed of everything that is drawn.
    """
    return _run(
        task,
        corpus,
        seed,
        lambda study: Generate(
            study,
            targets=targets,
            openings=openings,
            repeats=repeats,
            max_new_tokens=max_new_tokens,
            random=random,
        ),
        judge=judge,
    )


def robust(
    task: EmotionTask,
    corpus: Corpus,
    *,
    templates: Sequence[str] | None = None,
    items: int = 200,
    pairs: int = 60,
    seed: int = 0,
) -> Result:
    """The same under other prompts; see :mod:`affectscope.analyses.robust`."""
    return _run(
        task,
        corpus,
        seed,
        lambda study: Robust(study, templates=templates, items=items, pairs=pairs),
    )
