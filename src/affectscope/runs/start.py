"""From options to a finished run: load corpus and model, do the experiments, write the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from affectscope.data import Readers, load_corpus, load_readers
from affectscope.runs.config import RunConfig
from affectscope.runs.folder import RunFolder
from affectscope.runs.progress import RunProgress
from affectscope.runs.record import RunRecord

ReportWriter = Callable[[Path, RunRecord], object]
"""Draws the figures of the run in a folder and writes its page, which shows the record given."""


def start_run(
    config: RunConfig, *, command: str, progress: RunProgress, write_report: ReportWriter
) -> RunFolder:
    """Do a run, or go on with it.

    It is recorded as complete when the report is there too; until its end the folder is locked.

    Args:
        config: The options.
        command: The command line, for ``run.json``.
        progress: Told what happens.
        write_report: Writes figures and page.

    Returns:
        The folder, with ``results/``, ``summary.json``, ``figures/`` and ``report.html``.

    Raises:
        UsageError: There is no such template.
        RunFolderError: The folder holds something else.
        RunBusyError: Another process works in it.
        DataError: The corpus cannot be used.
        ModelError: The model cannot be used.
    """
    folder = RunFolder(config.run_path, say=progress.note)
    with folder.lock():
        folder.require_same_options(config)
        began = progress.clock()
        corpus = load_corpus(config.data, **config.corpus_options)
        readers = _load_readers(config)
        judge = None if config.judge is None else load_corpus(config.judge)
        with progress.stage(f"loading {config.model}"):
            # Imported step by step, since torch and the models' libraries take seconds to load:
            # what is wrong with folder, corpus or template is said before.
            from affectscope.runs.template import with_resolved_templates  # noqa: PLC0415

            config = with_resolved_templates(config)

            from affectscope.runs.execute import run_experiments  # noqa: PLC0415
            from affectscope.runs.prepare import prepare  # noqa: PLC0415

            prepared = prepare(config, corpus, progress.note, readers=readers, judge=judge)
        timings = {"load": progress.clock() - began}
        description = {"command": command, "timings": timings, **prepared.describe()}
        opening = folder.open_or_create(prepared.identity, prepared.config, description)
        with folder.session():
            for line in filter(None, [prepared.left_out(), *folder.record.warnings]):
                progress.note(line)
            held = folder.holds(prepared.config.experiments or ())
            if held:
                progress.note("all of it was done before")
            else:
                run_experiments(prepared.experiments(folder.units), folder, progress)
            # A page that is there may be older than the results, unless that start ended well.
            if held and opening.previous_state == "complete" and folder.page.exists():
                progress.note("the report was written before; 'affectscope report' draws it anew")
            else:
                with progress.stage("report"):
                    write_report(folder.path, folder.record.as_complete())
            folder.complete()
    return folder


def _load_readers(config: RunConfig) -> Readers | None:
    if config.readers is None:
        return None
    return load_readers(config.readers, label_map=config.label_map)
