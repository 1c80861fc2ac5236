"""The table and the summary of surgery, and what they say in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.agreement import Agreement, agreement, people_matrix
from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.study import Study
from affectscope.analyses.surgery_effects import (
    Moves,
    PlaceScores,
    appraisal_moves,
    changed_by_centre,
    changes_table,
    random_rates,
)
from affectscope.analyses.surgery_leakage import leakage_table
from affectscope.analyses.surgery_pairs import pair_shifts, pairs_table
from affectscope.analyses.surgery_readings import OTHER, OWN
from affectscope.stats import Estimate, GroupBootstrap, estimate_rows
from affectscope.theory import prediction_matrix
from affectscope.vocabulary import EMOTIONS

if TYPE_CHECKING:
    from affectscope.analyses.surgery import Surgery

METHODS = ("held", "raw")

COLUMNS = (
    *("metric", "edit", "method", "coefficient", "site", "span", "layer", "emotion", "read"),
    *("value", "low", "high", "n", "p", "significant"),
)
"""Of the table; empty or NaN where a metric has no such key."""


def surgery_estimates(
    surgery: Surgery, observations: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    """Everything that is estimated, and the few numbers of the summary."""
    study, main = surgery.study, surgery.main
    scores = PlaceScores(_part(observations, "place"), tuple(study.task.labels))
    draws = study.bootstrap(scores.items)
    tables, summary = _place(surgery)
    effects, more = _effects(surgery, scores, draws)
    tables += effects
    summary |= more
    centres = _part(observations, "centres")
    tables.append(changed_by_centre(centres, scores.clean.argmax(axis=-1), draws))
    tables += [
        changes_table(scores, draws, method, c) for method in METHODS for c in surgery.coefficients
    ]
    tables.append(random_rates(scores, main))
    leaked, more = _leakage(surgery, _part(observations, "leakage"), draws)
    tables.append(leaked)
    summary |= more
    if study.corpus.has_pairs:
        shifts = pair_shifts(study, scores, main)
        if len(shifts):
            pairs = pairs_table(shifts, study.seed)
            tables.append(pairs)
            summary |= _pairs_summary(pairs)
    table = pd.concat(tables, ignore_index=True)
    for column in COLUMNS:
        if column not in table.columns:
            table[column] = (
                "" if column in ("edit", "method", "emotion", "read", "site") else np.nan
            )
    texts = ["edit", "method", "emotion", "read", "site"]
    table[texts] = table[texts].fillna("")
    return table[list(COLUMNS)], summary


def _part(observations: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of one part, with its own columns."""
    return observations[observations["part"] == part].dropna(axis=1, how="all")


def _place(surgery: Surgery) -> tuple[list[pd.DataFrame], dict[str, SummaryValue]]:
    chosen = surgery.chosen
    place = chosen.place
    rows = chosen.table.assign(metric="specific")
    return [rows], {
        "surgery.site": place.site,
        "surgery.span": place.span,
        "surgery.layer": chosen.centre,
        "surgery.place_share": chosen.share,
        "surgery.specific": chosen.specific,
        "surgery.coefficient": surgery.main,
    }


def _effects(
    surgery: Surgery, scores: PlaceScores, draws: GroupBootstrap
) -> tuple[list[pd.DataFrame], dict[str, SummaryValue]]:
    """Effects of every appraisal on every emotion, and how they agree with theory and people."""
    names, labels = surgery.ratings.names, scores.labels
    expected = expected_effects(surgery.study, surgery.ratings.values, names, labels)
    tables: list[pd.DataFrame] = []
    summary: dict[str, SummaryValue] = {}
    for method in METHODS:
        moves = appraisal_moves(
            scores,
            draws,
            names,
            method=method,
            coefficient=surgery.main,
            n_random=surgery.n_random,
        )
        tables.append(moves.table(names, labels, method))
        suffix = "" if method == "held" else f"_{method}"
        summary[f"surgery.significant{suffix}"] = int(np.count_nonzero(moves.signs))
        for source, matrix in expected.items():
            found = agreement(moves.signs, matrix, seed=surgery.study.seed)
            tables.append(_agreement_rows(found, method, source))
            if found.n:
                summary[f"surgery.{source}_agreement{suffix}"] = found.share
                summary[f"surgery.{source}_p{suffix}"] = found.p
            anyhow = agreement(_signs(moves), matrix, seed=surgery.study.seed)
            tables.append(_agreement_rows(anyhow, method, source, metric="agreement_of_all"))
            if anyhow.n:
                summary[f"surgery.{source}_agreement_of_all{suffix}"] = anyhow.share
                summary[f"surgery.{source}_p_of_all{suffix}"] = anyhow.p
    return tables, summary


def _signs(moves: Moves) -> NDArray[np.int8]:
    """The sign of every effect, significant or not."""
    return np.sign(moves.values).astype(np.int8)


def expected_effects(
    study: Study, ratings: NDArray[np.float64], names: Sequence[str], labels: Sequence[str]
) -> dict[str, NDArray[np.int8]]:
    """What appraisal theory and people's own ratings predict, ``[appraisal, label]``.

    Labels that theory has no word for are predicted nothing about.
    """
    theory = np.zeros((len(names), len(labels)), dtype=np.int8)
    known = [k for k, label in enumerate(labels) if label in EMOTIONS]
    if known:
        theory[:, known] = prediction_matrix(list(names), [labels[k] for k in known])
    people = people_matrix(
        ratings, study.corpus.emotions, study.corpus.groups, labels, seed=study.seed
    )
    return {"theory": theory, "people": people}


def _agreement_rows(
    found: Agreement, method: str, source: str, metric: str = "agreement"
) -> pd.DataFrame:
    rows = estimate_rows({"edit": [source], "method": [method]}, [found.share], metric)
    return rows.assign(p=found.p)


def _leakage(
    surgery: Surgery, rows: pd.DataFrame, draws: GroupBootstrap
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    table, found = leakage_table(rows, surgery.ratings.names, draws)
    layers = [layer for _, _, layer in found]
    edited, last = min(layers), max(layers)
    summary: dict[str, SummaryValue] = {}
    for method in METHODS:
        here = found[OTHER, method, edited]
        if np.isfinite(here.ratio.value):
            summary[f"surgery.leakage_{method}"] = here.ratio
            summary[f"surgery.leakage_{method}_last_layer"] = found[OTHER, method, last].ratio
            summary[f"surgery.cells_held_{method}"] = here.held
            summary[f"surgery.leakage_{method}_own"] = found[OWN, method, edited].ratio
    return table, summary


def _pairs_summary(pairs: pd.DataFrame) -> dict[str, SummaryValue]:
    summary: dict[str, SummaryValue] = {}
    for metric in ("pairs_agreement", "pairs_moved", "pairs_size"):
        for method in METHODS:
            row = pairs[
                (pairs["metric"] == metric) & (pairs["method"] == method) & (pairs["edit"] == "")
            ].iloc[0]
            suffix = "" if method == "held" else f"_{method}"
            value, low, high = (float(row[name]) for name in ("value", "low", "high"))
            summary[f"surgery.{metric}{suffix}"] = Estimate(value, low, high, int(row["n"]))
            if metric == "pairs_agreement":
                summary[f"surgery.pairs_p{suffix}"] = float(row["p"])
    return summary


def surgery_answer(surgery: Surgery, summary: dict[str, SummaryValue]) -> str:
    """What was found, in some sentences."""

    def of(name: str) -> Estimate | None:
        found = summary.get(f"surgery.{name}")
        return found if isinstance(found, Estimate) else None

    layer, n_cells = of("layer"), len(surgery.ratings.names) * len(surgery.study.task.labels)
    assert layer is not None
    sentences = [
        f"Moved at {summary['surgery.site']}, layer {layer.value:.0f} [{layer.low:.0f}, "
        f"{layer.high:.0f}], with all others held, appraisals change emotions significantly, "
        f"beyond random directions, in {summary['surgery.significant']} of {n_cells} cases"
    ]
    theory = of("theory_agreement")
    if theory is not None:
        sentences[0] += (
            f"; where theory says which way, {round(theory.value * theory.n)} of these {theory.n} "
            f"go that way (p = {summary['surgery.theory_p']:.2g} against shuffled emotions)"
        )
    held_all, raw_all = of("theory_agreement_of_all"), of("theory_agreement_of_all_raw")
    if held_all is not None and raw_all is not None:
        sentences.append(
            f"Of all {held_all.n} changes that theory says the direction of, significant or not, "
            f"{percent(held_all)} go that way (p = {summary['surgery.theory_p_of_all']:.2g}), and "
            f"{percent(raw_all)} without holding "
            f"(p = {summary['surgery.theory_p_of_all_raw']:.2g})"
        )
    held, raw, own = of("leakage_held"), of("leakage_raw"), of("leakage_held_own")
    own_raw = of("leakage_raw_own")
    if held and raw and own and own_raw:
        sentences.append(
            f"Held appraisals change by {percent(own)} of the intended change as the held probes "
            f"read them (without holding {percent(own_raw)}), and by {percent(held)} as probes of "
            f"other items do (without holding {percent(raw)})"
        )
    agree, size = of("pairs_agreement"), of("pairs_size")
    if agree is not None and size is not None:
        sentences.append(
            f"In {percent(agree)} of {agree.n} minimal pairs the change inside goes where "
            f"rewriting the text goes (p = {summary['surgery.pairs_p']:.2g}), with "
            f"{percent(size)} of its size"
        )
        raw_agree, raw_size = of("pairs_agreement_raw"), of("pairs_size_raw")
        if raw_agree is not None and raw_size is not None:
            sentences[-1] += (
                f"; without holding in {percent(raw_agree)} "
                f"(p = {summary['surgery.pairs_p_raw']:.2g}), with {percent(raw_size)}"
            )
    return ". ".join(sentences) + "."
