"""What ``run.json`` says of the model, the corpus, the prompts and the circumstances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from affectscope.figures.wording import visible
from affectscope.report.contents import RunContents
from affectscope.report.views import TableView, plain_table
from affectscope.report.wording import EXPERIMENT_WORDS
from affectscope.runs.record import RunRecord

Facts = list[tuple[str, str]]
"""Terms and what they are, in order."""

UNKNOWN = "not recorded"

MOST_NAMED = 8
"""How many labels a warning names."""


def title(record: RunRecord) -> str:
    """The model on the corpus."""
    model, corpus = _known(record.model, "name"), _known(record.corpus, "name")
    if UNKNOWN in (model, corpus):
        model = model if model != UNKNOWN else str(record.config.get("model", "a model"))
        corpus = corpus if corpus != UNKNOWN else str(record.config.get("data", "a corpus"))
    return f"{visible(model)} on {visible(corpus)}"


def question(contents: RunContents) -> str:
    """What was asked, in plain words."""
    record = contents.record
    labels = _labels(record)
    asked = [EXPERIMENT_WORDS[found.experiment].asks for found in contents.findings]
    parts = "; ".join(asked[:-1]) + ("; and " if asked[:-1] else "") + "".join(asked[-1:])
    among = f"which of {len(labels)} emotions its author felt" if labels else "what its author felt"
    return (
        f"A language model reads a short text and is asked {among}. "
        f"This run asks of {visible(_known(record.model, 'name'))} {parts or 'nothing yet'}."
    )


def question_facts(record: RunRecord) -> Facts:
    """The model, the data and the prompt, at a glance."""
    model, prompts = record.model, record.prompts
    size = [
        _known(model, "architecture"),
        f"{_count(model.get('n_layers'))} layers of width {_count(model.get('d_model'))}",
        f"{_count(model.get('n_parameters'))} parameters",
        f"{_known(model, 'dtype')} on {_known(model, 'device')}",
    ]
    labels = _labels(record)
    return [
        ("Model", f"{_known(model, 'name')} ({', '.join(size)})" if model else UNKNOWN),
        ("Data", _data(record.corpus)),
        ("Labels", f"{len(labels)}: {', '.join(map(visible, labels))}" if labels else UNKNOWN),
        ("Prompt", f"template {_known(prompts, 'template')}" if prompts else UNKNOWN),
        ("Calibration", _known(prompts, "calibration")),
    ]


def _data(corpus: Mapping[str, Any]) -> str:
    if not corpus:
        return UNKNOWN
    used, rows = _count(corpus.get("n_used")), _count(corpus.get("n_rows"))
    return f"{_known(corpus, 'name')}, {used} of {rows} items used"


def problems(contents: RunContents) -> list[str]:
    """What a reader must know before relying on the page."""
    record = contents.record
    found = [visible(warning) for warning in record.warnings]
    found += [
        f"The self-check “{_known(check, 'name')}” failed: {_known(check, 'detail')} "
        f"(difference {_short(check.get('value'))}, tolerance {_short(check.get('tolerance'))})."
        for check in record.self_check
        if not check.get("passed")
    ]
    found += _label_problems(record.prompts.get("label_tokens") or [])
    return list(dict.fromkeys([*found, *map(visible, contents.problems)]))


def _label_problems(tokens: Sequence[Mapping[str, Any]]) -> list[str]:
    several = [
        f"{visible(str(token.get('label')))} ({token.get('n_tokens')})"
        for token in tokens
        if (token.get("n_tokens") or 1) > 1
    ]
    shared = {
        tuple(sorted([str(token.get("label")), *map(str, token["shares_first_token_with"])]))
        for token in tokens
        if token.get("shares_first_token_with")
    }
    found = []
    if several:
        found.append(
            "Labels of several tokens, of which only the first is scored (with the number of "
            f"tokens): {_first_of(several, ', ')}."
        )
    if shared:
        together = [visible(" and ".join(labels)) for labels in sorted(shared)]
        found.append(
            "Labels that share their first token and so cannot be told apart: "
            f"{_first_of(together, '; ')}."
        )
    return found


def _first_of(names: Sequence[str], separator: str) -> str:
    """The first few of a list; the table of label tokens has them all."""
    more = len(names) - MOST_NAMED
    rest = f"{separator}and {more} more, see the label tokens" if more > 0 else ""
    return separator.join(names[:MOST_NAMED]) + rest


def label_table(record: RunRecord) -> TableView | None:
    """The audit of the label tokens."""
    tokens = record.prompts.get("label_tokens") or []
    if not tokens:
        return None
    rows = [
        (
            token.get("label"),
            " ".join(f'"{visible(str(text))}"' for text in token.get("tokens") or []),
            ", ".join(map(str, token.get("token_ids") or [])),
            token.get("n_tokens"),
            ", ".join(map(str, token.get("shares_first_token_with") or [])) or "none",
        )
        for token in tokens
    ]
    columns = ("label", "tokens", "token ids", "number", "same first token as")
    return plain_table("How each label continues the prompt", columns, rows, numeric=[3])


def corpus_facts(record: RunRecord) -> Facts:
    """Where the texts are from, and how many were used."""
    corpus = record.corpus
    return [
        ("Name", _known(corpus, "name")),
        ("Source", _known(corpus, "source")),
        ("Rows in the file", _count(corpus.get("n_rows"))),
        ("Items used", _count(corpus.get("n_used"))),
        ("Encoding", _known(corpus, "encoding")),
        ("sha256", _known(corpus, "sha256")),
    ]


def corpus_tables(record: RunRecord) -> list[TableView]:
    """What was dropped and why, and how many items each emotion has."""
    dropped = [
        (entry.get("reason"), entry.get("count")) for entry in record.corpus.get("dropped") or []
    ]
    emotions = list((record.corpus.get("emotions") or {}).items())
    tables = []
    if dropped:
        tables.append(plain_table("Rows left out", ("reason", "rows"), dropped, numeric=[1]))
    if emotions:
        tables.append(
            plain_table("Items of each emotion", ("emotion", "items"), emotions, numeric=[1])
        )
    return tables


def model_facts(record: RunRecord) -> Facts:
    """Which weights, exactly."""
    model = record.model
    return [
        ("Name", _known(model, "name")),
        ("Revision asked for", visible(str(model.get("requested_revision") or "the default"))),
        ("Revision used", _known(model, "revision")),
        ("Path", _known(model, "path")),
        ("sha256", _known(model, "sha256")),
        ("Attention", _known(model, "attn_implementation")),
        ("Engine", visible(record.engine) or UNKNOWN),
    ]


def run_facts(record: RunRecord) -> Facts:
    """What identifies the run."""
    seeds = ", ".join(f"{visible(name)} {value}" for name, value in record.seeds.items())
    return [
        ("Started", visible(record.created)),
        ("Last written", visible(record.updated)),
        ("State", record.state),
        ("Seeds", seeds or UNKNOWN),
        ("Identity", visible(record.identity)),
    ]


def reproduction_tables(record: RunRecord) -> list[TableView]:
    """Versions, timings and the self-check."""
    tables = [
        plain_table("Versions", ("package", "version"), list(record.versions.items())),
        plain_table(
            "Time spent",
            ("stage", "seconds"),
            [(stage, f"{seconds:.1f}") for stage, seconds in record.timings.items()],
            numeric=[1],
        ),
        plain_table(
            "Self-check of the model",
            ("check", "passed", "difference", "tolerance", "what was compared"),
            [
                [check.get(k) for k in ("name", "passed", "value", "tolerance", "detail")]
                for check in record.self_check
            ],
            numeric=[2, 3],
        ),
    ]
    return [table for table in tables if table.rows]


def configuration(record: RunRecord) -> str:
    """The resolved options, as a file for ``--config``."""
    return str(yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True))


def _labels(record: RunRecord) -> list[str]:
    tokens = record.prompts.get("label_tokens") or []
    return [str(token.get("label")) for token in tokens] or list(
        record.corpus.get("emotions") or {}
    )


def _known(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return UNKNOWN if value in (None, "") else visible(str(value))


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else UNKNOWN


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, int | float) else UNKNOWN
