"""From options to a finished run: load corpus and model, open the folder, do the experiments."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from affectscope.analyses import Study, build
from affectscope.data import Corpus, load_corpus
from affectscope.models import LanguageModel, load_model
from affectscope.prompts import EmotionTask
from affectscope.runs.config import RunConfig
from affectscope.runs.execute import run_experiments
from affectscope.runs.folder import RunFolder
from affectscope.runs.identity import Identity
from affectscope.runs.progress import RunProgress


def start_run(config: RunConfig, *, command: str, progress: RunProgress) -> RunFolder:
    """Do a run, or go on with it.

    Args:
        config: The options.
        command: The command line, for ``run.json``.
        progress: Told what happens.

    Returns:
        The folder, with ``results/`` and ``summary.json``.

    Raises:
        RunFolderError: The folder holds something else.
        RunBusyError: Another process works in it.
        DataError: The corpus cannot be used.
        ModelError: The model cannot be used.
    """
    folder = RunFolder(config.run_path, say=progress.note)
    with folder.lock():
        folder.require_same_options(config)
        began = progress.clock()
        corpus = _load_corpus(config)
        with progress.stage(f"loading {config.model}"):
            lm = _load_model(config)
        task = EmotionTask(
            lm, template=config.template, calibration=config.calibration, labels=corpus.labels
        )
        fitting = corpus.without(
            lm.too_long(task.prompts(corpus.texts)),
            f"the prompt is longer than the model's context of {lm.context_length} tokens",
        )
        used = fitting.sample(config.limit, config.seed, exclude_texts=task.shot_texts)
        description = {
            "command": command,
            "timings": {"load": progress.clock() - began},
            **_described(config, lm, task, corpus, used),
        }
        folder.open_or_create(_identity(config, lm, corpus), config, description)
        with folder.session():
            if folder.holds(config.experiments):
                progress.note("all of it was done before")
                folder.complete()
                return folder
            study = Study(lm=lm, task=task, corpus=used, store=folder.units, seed=config.seed)
            experiments = build(
                config.experiments,
                study,
                pairs=config.pairs,
                span=config.span,
                folds=config.folds,
                ablate_items=config.ablate_items,
            )
            run_experiments(experiments, folder, progress)
    return folder


def _load_corpus(config: RunConfig) -> Corpus:
    return load_corpus(
        config.data,
        text_column=config.text_column,
        label_column=config.label_column,
        group_column=config.group_column,
        encoding=config.encoding,
    )


def _load_model(config: RunConfig) -> LanguageModel:
    return load_model(
        config.model,
        revision=config.revision,
        dtype=config.dtype,
        device=config.device,
        batch_size=config.batch_size,
        strict=config.strict,
        trust_remote_code=config.trust_remote_code,
    )


def _identity(config: RunConfig, lm: LanguageModel, corpus: Corpus) -> Identity:
    model = lm.describe()
    return Identity.of(
        config,
        model_sha256=model["sha256"],
        corpus_sha256=corpus.sha256,
        device=model["device"],
        dtype=model["dtype"],
    )


def _described(
    config: RunConfig, lm: LanguageModel, task: EmotionTask, corpus: Corpus, used: Corpus
) -> dict[str, Any]:
    """What ``run.json`` says of model, corpus and prompts."""
    slow = ["the model failed its self-check and runs on full passes, which are slower"]
    return {
        "model": {**lm.describe(), "requested_revision": config.revision},
        "corpus": {
            "name": corpus.name,
            "source": corpus.source,
            "sha256": corpus.sha256,
            "encoding": corpus.encoding,
            "n_rows": len(corpus) + sum(each.count for each in corpus.dropped),
            "n_used": len(used),
            "dropped": [{"reason": each.reason, "count": each.count} for each in used.dropped],
            "emotions": dict(sorted(Counter(used.emotions).items())),
        },
        "prompts": task.describe(),
        "self_check": [asdict(check) for check in lm.checks],
        "engine": lm.engine,
        "seeds": {"seed": config.seed},
        "warnings": [*task.warnings, *(slow if lm.engine == "full pass" else [])],
    }
