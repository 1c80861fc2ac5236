"""The page: contents to HTML, self-contained and closed to everything outside it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from affectscope.figures.wording import visible
from affectscope.report import facts
from affectscope.report.contents import Findings, RunContents
from affectscope.report.glossary import GLOSSARY, REFERENCES
from affectscope.report.replication import replication_card
from affectscope.report.samples import SamplesView, samples_view
from affectscope.report.views import (
    FigureView,
    TableView,
    estimates_view,
    figure_view,
    summary_view,
    visible_lines,
)
from affectscope.report.wording import (
    EXPERIMENT_WORDS,
    NEXT_WORDS,
    STATE_WORDS,
)


@dataclass(frozen=True)
class Section:
    """One experiment on the page."""

    experiment: str
    title: str
    method: str
    setting: str
    """How it was done in this run; empty when the run does not say."""
    answer: str
    refused: bool
    """Whether the answer says why there is none."""
    problem: str
    figures: tuple[FigureView, ...]
    table: TableView | None
    samples: SamplesView | None


def render_page(contents: RunContents) -> str:
    """The report of a run as HTML."""
    record = contents.record
    style = _package_text("page.css")
    sections = [_section(contents, found) for found in contents.findings]
    warnings = facts.problems(contents)
    undrawn = [
        figure.name for section in sections for figure in section.figures if not figure.source
    ]
    if undrawn:
        warnings.append(
            f"{len(undrawn)} figures have not been drawn: {', '.join(undrawn)}. To do: run "
            f"'affectscope report {visible(str(contents.folder))}'."
        )
    values: dict[str, Any] = {
        "style": style,
        "style_hash": _hash_source(style),
        "title": facts.title(record),
        "state": _state(contents),
        "question": facts.question(contents),
        "question_facts": facts.question_facts(record),
        "prompt": visible_lines(str(record.prompts.get("text") or "")),
        "sections": sections,
        "summary": summary_view(contents.summary),
        "replication": replication_card(contents),
        "warnings": warnings,
        "label_table": facts.label_table(record),
        "corpus_facts": facts.corpus_facts(record),
        "corpus_tables": facts.corpus_tables(record),
        "command": visible_lines(record.command),
        "configuration": visible_lines(facts.configuration(record)),
        "run_facts": facts.run_facts(record),
        "model_facts": facts.model_facts(record),
        "reproduction_tables": facts.reproduction_tables(record),
        "glossary": GLOSSARY,
        "references": REFERENCES,
        "version": visible(record.affectscope_version),
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_package_text("page.html.j2")).render(values)


def _section(contents: RunContents, found: Findings) -> Section:
    words = EXPERIMENT_WORDS[found.experiment]
    record = contents.record
    return Section(
        experiment=found.experiment,
        title=words.title,
        method=words.method,
        setting=visible(record.settings.get(found.experiment, "")),
        answer=visible(record.answers.get(found.experiment, "")),
        refused=found.refused,
        problem=visible(found.problem),
        figures=tuple(
            figure_view(contents.folder, name, figure) for name, figure in found.figures.items()
        ),
        table=None if found.table is None else estimates_view(found.experiment, found.table),
        samples=samples_view(found, record),
    )


def _state(contents: RunContents) -> str:
    """What is said of a run that is not complete, in lines; empty for one that is."""
    record = contents.record
    if record.state == "complete":
        return ""
    detail = visible_lines(record.state_detail).strip()
    said = f"{STATE_WORDS[record.state]}: {detail}" if detail else STATE_WORDS[record.state]
    return (
        said.rstrip(".")
        + ("" if said.endswith("?") else ".")
        + ("\n" if "\n" in said else " ")
        + f"The page shows what was finished. {NEXT_WORDS[record.state]}"
    )


def _package_text(name: str) -> str:
    return resources.files("affectscope.report").joinpath(name).read_text(encoding="utf-8")


def _hash_source(text: str) -> str:
    """A style as a Content-Security-Policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
