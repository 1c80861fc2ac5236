"""The replication card: the paper's numbers beside the run's, where the paper has the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from affectscope.published import PublishedValue, paper_name, published_values
from affectscope.report.contents import RunContents
from affectscope.report.views import TableView, interval, number, plain_table

_COLUMNS = ("experiment", "what", "published", "this run", "95 % interval", "agrees", "n", "unlike")

_MAIN: Mapping[str, Any] = {"position": -1, "direction": "sufficient", "source_emotion": ""}
"""What a published value is about where the run also has others."""

_METHOD_COLUMNS = ("kind", "probe")


def replication_card(contents: RunContents) -> TableView | None:
    """The paper's values that this run has a counterpart of; None where there is none.

    They agree where the run's interval, widened by the published value's precision, holds it.
    """
    name = str(contents.record.model.get("name") or "")
    tables = {found.experiment: found.table for found in contents.findings}
    rows = []
    for published in published_values(name):
        table = tables.get(published.experiment)  # type: ignore[call-overload]
        found = None if table is None else counterpart(table, published)
        if found is not None:
            rows.append(_row(published, found))
    if not rows:
        return None
    caption = (
        f"The paper's values for {paper_name(name)} (Tak et al. 2025, without calibration, "
        "crowd-enVENT) beside this run's. What differs in how they were come by is in the last "
        "column; other differences (data, calibration) are in this run's configuration."
    )
    return plain_table(caption, _COLUMNS, rows, numeric=[2, 3, 4, 6])


def counterpart(table: pd.DataFrame, published: PublishedValue) -> Mapping[str, Any] | None:
    """The one estimate of a run that a published value is about, if there is one."""
    part = "template" if "template" in table.columns else "part"
    wanted: dict[str, Any] = {
        "metric": published.metric,
        "items": published.items,
        part: published.part,
        "site": published.site,
        "layer": published.layer,
        "span": published.span,
    }
    stated = {column: value for column, value in wanted.items() if value not in (None, "")}
    rows = table
    for column, value in {**_MAIN, **stated}.items():
        if column in rows.columns:
            rows = rows[rows[column] == value]
    for column in _METHOD_COLUMNS:
        if published.method and column in rows.columns:
            rows = rows[rows[column] == published.method]
    return {str(k): v for k, v in rows.iloc[0].items()} if len(rows) == 1 else None


def _row(published: PublishedValue, found: Mapping[str, Any]) -> tuple[Any, ...]:
    value, low, high = (float(found[key]) for key in ("value", "low", "high"))
    known = all(map(math.isfinite, (low, high)))
    holds = low - published.precision <= published.value <= high + published.precision
    return (
        published.experiment,
        _what(published),
        f"{published.value:.3f} ± {published.precision:g}",
        number(value),
        interval(value, low, high),
        ("yes" if holds else "no") if known else "–",
        int(found["n"]),
        published.unlike,
    )


def _what(published: PublishedValue) -> str:
    place = f"{published.site} {published.layer}" if published.site else ""
    span = f"span {published.span}" if published.span and published.span > 1 else ""
    words = (published.metric, published.part, published.method, place, span)
    return ", ".join(word for word in words if word)
