"""The estimates of ``attend``: attention by kind of token, and what its knock-out does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Result, SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, item_sets
from affectscope.analyses.study import Study
from affectscope.figures.attend import attend_charts
from affectscope.stats import Estimate, RatioDraws, estimate_rows, sign_flip_test

ORDER = (
    *("metric", "items", "kind", "blocked", "layer", "head", "span"),
    *("value", "low", "high", "n", "p"),
)
"""Columns of the table. ``layer`` is -1 for all layers together, ``head`` -1 for all heads."""

_NAMES = {
    "special": "the first token",
    "instruction": "the instruction",
    "shot_text": "the examples' texts",
    "shot_label": "the examples' labels",
    "frame": "the frame",
    "content": "the situation's content words",
    "function": "its function words",
}

Place = tuple[str, int]
"""A kind of token, and a layer."""


@dataclass(frozen=True)
class _Curves:
    """One statistic by kind and layer."""

    places: Sequence[Place]
    ratio: RatioDraws

    def of(self, kind: str, *, windows: bool = True) -> tuple[RatioDraws, list[int]]:
        """The statistic of one kind by layer; with or without that of all layers together."""
        columns = [
            k
            for k, (other, layer) in enumerate(self.places)
            if other == kind and (layer >= 0) == windows
        ]
        return self.ratio.columns(columns), [self.places[k][1] for k in columns]

    def rows(self, metric: str, **more: Any) -> pd.DataFrame:
        """The estimates as a tidy table."""
        kinds, layers = (list(part) for part in zip(*self.places, strict=True))
        keys = {"kind": kinds, "layer": layers}
        return estimate_rows(keys, self.ratio.estimates(), metric).assign(**more)


def attend_result(study: Study, observations: pd.DataFrame, n_items: int) -> Result:
    """The result of ``attend`` over its first items."""
    labels = np.asarray(study.task.labels)
    items = observations["item"].to_numpy(dtype=np.int64)
    knocked = observations["measure"] == "knockout"
    clean, author = (
        labels[codes[items]] for codes in (study.clean.predicted, study.clean.emotions)
    )
    observations = observations.assign(
        item_id=study.corpus.items["item_id"].to_numpy()[items], emotion=author, clean=clean
    )
    measured = observations.assign(
        agreement=(observations["predicted"] == clean).where(knocked).astype(float),
        accuracy=(observations["predicted"] == author).where(knocked).astype(float),
        weight_per_token=observations["weight"] / observations["n_tokens"].replace(0, np.nan),
    )
    parts: list[pd.DataFrame] = []
    summary: dict[str, SummaryValue] = {}
    for name, chosen in item_sets(study).items():
        used = chosen[chosen < n_items]
        if len(used):
            table, found = _Estimates(study, measured[measured["item"].isin(used)], used).all()
            if name != ALL:
                table = table[table["metric"] != "head_weight"]
            parts.append(table.assign(items=name))
            suffix = "" if name == ALL else f"_{name}"
            summary |= {f"{key}{suffix}": value for key, value in found.items()}
    table = pd.concat(parts, ignore_index=True)[list(ORDER)]
    return Result("attend", table, observations, summary, _answer(summary), attend_charts)


@dataclass(frozen=True)
class _Estimates:
    """Estimates over some items."""

    study: Study
    observations: pd.DataFrame
    items: NDArray[np.int64]

    def _wide(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        """A column as ``[item, (kind, layer)]``, NaN where an item has no such token."""
        wide = rows.pivot_table(
            index="item", columns=["kind", "layer"], values=column, sort=False, dropna=False
        )
        return wide.reindex(self.items)

    def _curves(self, wide: pd.DataFrame) -> _Curves:
        columns = cast(Iterable[tuple[str, int]], wide.columns)
        places = [(kind, int(layer)) for kind, layer in columns]
        ratio = self.study.bootstrap(self.items).ratio(wide.to_numpy(dtype=float))
        return _Curves(places, ratio)

    def all(self) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
        """The table, and the summary by dotted name."""
        looked, found = self._attention()
        knocked, more = self._knockouts()
        return pd.concat([looked, knocked], ignore_index=True), found | more

    def _attention(self) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
        rows = self.observations[self.observations["measure"] == "attention"]
        common = {"blocked": "", "head": -1, "span": 0, "p": np.nan}
        parts = []
        summary: dict[str, SummaryValue] = {}
        for metric in ("weight", "weight_max", "weight_per_token", "most_attended"):
            curves = self._curves(self._wide(rows, metric))
            parts.append(curves.rows(metric, **common))
            if metric == "weight":
                for kind in dict.fromkeys(kind for kind, _ in curves.places):
                    curve, layers = curves.of(kind)
                    peak = curve.peak(layers)
                    summary[f"attend.{kind}.peak_layer"] = peak
                    summary[f"attend.{kind}.weight"] = curve.estimates()[int(peak.value)]
        for column in rows.columns[rows.columns.str.startswith("head.")]:
            curves = self._curves(self._wide(rows, column))
            head = int(column.removeprefix("head."))
            parts.append(curves.rows("head_weight", **common | {"head": head}))
        return pd.concat(parts, ignore_index=True), summary

    def _knockouts(self) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
        rows = self.observations[self.observations["measure"] == "knockout"]
        span = int(rows.loc[rows["layer"] >= 0, "span"].iloc[0])
        common = {"head": -1, "span": span}
        parts = []
        summary: dict[str, SummaryValue] = {}
        divergence = {}
        for blocked in ("kind", "random"):
            here = rows[rows["blocked"] == blocked]
            for metric in ("agreement", "accuracy", "kl"):
                wide = self._wide(here, metric)
                curves = self._curves(wide)
                parts.append(curves.rows(metric, blocked=blocked, p=np.nan, **common))
                if metric == "agreement":
                    summary |= _lowest(curves, blocked)
                elif metric == "kl":
                    divergence[blocked] = wide
        difference = divergence["kind"] - divergence["random"][divergence["kind"].columns]
        groups = np.asarray(self.study.corpus.groups, dtype=str)[self.items].tolist()
        test = sign_flip_test(difference.to_numpy(dtype=float), groups, seed=self.study.seed)
        curves = self._curves(difference)
        parts.append(curves.rows("kl_difference", blocked="kind", p=test.p, **common))
        significant = dict(zip(curves.places, test.significant.tolist(), strict=True))
        for kind in dict.fromkeys(kind for kind, _ in curves.places):
            summary[f"attend.{kind}.significant_layers"] = sum(
                found
                for (other, layer), found in significant.items()
                if other == kind and layer >= 0
            )
        return pd.concat(parts, ignore_index=True), summary


def _lowest(curves: _Curves, blocked: str) -> dict[str, SummaryValue]:
    """Where the fewest answers stay, for each kind, and how many stay when no layer sees it."""
    summary: dict[str, SummaryValue] = {}
    for kind in dict.fromkeys(kind for kind, _ in curves.places):
        curve, layers = curves.of(kind)
        everywhere = curves.of(kind, windows=False)[0].estimates()[0]
        if blocked == "random":
            summary[f"attend.all_layers.{kind}.random_agreement"] = everywhere
            continue
        lowest = curve.peak(layers, lowest=True)
        summary[f"attend.{kind}.knockout_layer"] = lowest
        summary[f"attend.{kind}.knockout_agreement"] = curve.estimates()[int(lowest.value)]
        summary[f"attend.all_layers.{kind}.agreement"] = everywhere
    return summary


def _answer(summary: dict[str, SummaryValue]) -> str:
    sentences = []
    for kind in ("content", "shot_label"):
        peak, weight = (summary.get(f"attend.{kind}.{name}") for name in ("peak_layer", "weight"))
        if not (isinstance(peak, Estimate) and isinstance(weight, Estimate)):
            continue
        sentences.append(
            f"The last token attends to {_NAMES[kind]} most at layer {peak.value:.0f} "
            f"[{peak.low:.0f}, {peak.high:.0f}], with {percent(weight)} of its attention."
        )
    clauses = []
    for kind in ("content", "shot_label", "instruction"):
        everywhere = f"attend.all_layers.{kind}"
        kept, control = (summary.get(f"{everywhere}.{name}") for name in _KEPT)
        if isinstance(kept, Estimate) and isinstance(control, Estimate):
            clauses.append(
                f"{_NAMES[kind]} {percent(kept)} (as many random tokens: {percent(control)})"
            )
    if clauses:
        sentences.append(
            "Share of answers that stay when the last token cannot see at any layer: "
            f"{'; '.join(clauses)}."
        )
    return " ".join(sentences)


_KEPT = ("agreement", "random_agreement")
