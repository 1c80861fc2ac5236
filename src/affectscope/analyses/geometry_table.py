"""Estimates of ``geometry``, read off the cosines of every refit.

Cosines and reliability of directions, similarity of the model's profiles to people's with
family-wise tests, agreement of the two kinds of direction, and the principal components of the
emotions. Every interval is from the jackknife (:mod:`affectscope.analyses.geometry_jackknife`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.geometry_affect import affect_of
from affectscope.analyses.geometry_components import (
    N_COMPONENTS,
    affect_correlation,
    components,
    permuted_affect,
    turned_onto,
)
from affectscope.analyses.geometry_cosines import Geometries
from affectscope.analyses.geometry_fit import KINDS, Array
from affectscope.analyses.geometry_jackknife import Chosen, Jackknife, largest
from affectscope.analyses.layers import ALL
from affectscope.analyses.similarity import (
    deal_names,
    permuted_correlation,
    permuted_similarity,
    profile_correlation,
    representational_similarity,
)
from affectscope.stats import Estimate, MaximumTest, RatioDraws, maximum_test

PERMUTATIONS = 5000

CHOSEN_KIND, CHOSEN_SITE = "probe", "resid_post"
"""Whose layer is chosen for the summary: the paper's directions, and the sum of all that came."""

EXAMPLES = [
    (emotion, appraisal)
    for emotion in ("anger", "pride")
    for appraisal in ("pleasantness", "other_responsblt")
]
"""The paper's examples of emotions and appraisals."""

COLUMNS = ["metric", "items", "kind", "site", "layer", "emotion", "appraisal"]
COLUMNS += ["value", "low", "high", "n", "p"]

ANY = (-np.inf, np.inf)
SHARE = (0.0, 1.0)

Summary = dict[str, SummaryValue]


def geometry_estimates(
    geometries: Geometries, people: Array, *, seed: int
) -> tuple[pd.DataFrame, Summary]:
    """The table of estimates, and the summary.

    Args:
        geometries: The cosines.
        people: People's profiles, ``[refit, emotion, appraisal]``.
        seed: Seed of the permutations.
    """
    similar, parts = _similarities(geometries, people, seed)
    curve = similar.at(_kind(CHOSEN_KIND), geometries.sites.index(CHOSEN_SITE))
    chosen = largest(curve, geometries.n)
    parts += [_cosines(geometries, people), _reliability(geometries), _agreement(geometries)]
    affect = affect_of(geometries.names.emotions, geometries.names.appraisals, people[0])
    scores = components(geometries.emotion_products)
    parts += _component_rows(geometries, scores.share, scores.scores, affect, seed)
    summary: Summary = {}
    if chosen is not None:
        place = (_kind(CHOSEN_KIND), geometries.sites.index(CHOSEN_SITE), chosen.index)
        where: dict[str, Sequence[Any]] = {"kind": [CHOSEN_KIND], "site": [CHOSEN_SITE]}
        where["layer"] = [chosen.index]
        parts.append(_estimate_row("human_similarity", where, chosen.estimate))
        parts += _score_rows(geometries, scores.scores[(slice(None), *place)], where)
        table = _joined(parts)
        summary = _summary(geometries, table, chosen, curve, seed)
        return table, summary
    return _joined(parts), summary


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    text = dict.fromkeys(("kind", "site", "emotion", "appraisal"), "")
    return table.assign(items=ALL, layer=table["layer"].fillna(-1).astype(int)).fillna(text)


def _kind(kind: str) -> int:
    return [str(name) for name in KINDS].index(kind)


def _similarities(
    geometries: Geometries, people: Array, seed: int
) -> tuple[Jackknife, list[pd.DataFrame]]:
    """Both comparisons with people at every place, tested over all layers and sites of a kind."""
    profiles = geometries.profiles
    theirs = people[:, None, None, None]
    dealt = deal_names(len(geometries.names.emotions), seed=seed, n_permutations=PERMUTATIONS)
    parts = []
    found = {
        "similarity": (representational_similarity(profiles, theirs), permuted_similarity),
        "profile_correlation": (profile_correlation(profiles, theirs), permuted_correlation),
    }
    for metric, (refits, permuted) in found.items():
        tests = [
            maximum_test(
                of_kind.ravel(), permuted(at.reshape(-1, *at.shape[-2:]), people[0], dealt)
            )
            for of_kind, at in zip(refits[0], profiles[0], strict=True)
        ]
        parts += _tested(geometries, metric, geometries.jackknife(refits), tests)
    return geometries.jackknife(found["similarity"][0]), parts


def _tested(
    geometries: Geometries,
    metric: str,
    found: Jackknife,
    tests: Sequence[MaximumTest],
    limits: tuple[float, float] = (-1.0, 1.0),
) -> list[pd.DataFrame]:
    """Rows with their p, and a row for each kind of direction with what p = 0.05 needs."""
    rows = geometries.rows(metric, found, limits=limits)
    needed = pd.DataFrame(
        {
            "metric": f"{metric}_critical",
            "kind": KINDS,
            "value": [test.critical for test in tests],
            "n": [test.n_permutations for test in tests],
        }
    )
    return [rows.assign(p=np.concatenate([test.p for test in tests])), needed]


def _cosines(geometries: Geometries, people: Array) -> pd.DataFrame:
    """Every emotion with every appraisal: the model's cosines, and people's ratings."""
    names = geometries.names
    cells = {"emotion": names.emotions, "appraisal": names.appraisals}
    model = geometries.rows(
        "cosine", geometries.jackknife(geometries.profiles), {**geometries.places, **cells}
    )
    theirs = geometries.rows("people", geometries.jackknife(people), cells, ANY)
    return pd.concat([model, theirs])


def _reliability(geometries: Geometries) -> pd.DataFrame:
    """The mean cosine of directions with themselves, fitted on the other half."""
    itself = np.diagonal(geometries.across, axis1=-2, axis2=-1)
    n_emotions = len(geometries.names.emotions)
    groups = {"emotions": itself[..., :n_emotions], "appraisals": itself[..., n_emotions:]}
    return pd.concat(
        [
            geometries.rows(f"reliability_{name}", geometries.jackknife(cosines.mean(axis=-1)))
            for name, cosines in groups.items()
        ]
    )


def _agreement(geometries: Geometries) -> pd.DataFrame:
    """The cosine of an emotion's or appraisal's two kinds of direction, and the mean of all."""
    places = {"site": geometries.sites, "layer": range(geometries.n_layers)}
    n_emotions = len(geometries.names.emotions)
    of_each = {
        "emotion": (geometries.names.emotions, geometries.agreement[..., :n_emotions]),
        "appraisal": (geometries.names.appraisals, geometries.agreement[..., n_emotions:]),
    }
    parts = [
        geometries.rows("probe_means", geometries.jackknife(cosines), {**places, what: names})
        for what, (names, cosines) in of_each.items()
    ]
    mean = geometries.jackknife(geometries.agreement.mean(axis=-1))
    return pd.concat([*parts, geometries.rows("probe_means_mean", mean, places)])


def _component_rows(
    geometries: Geometries, share: Array, scores: Array, affect: Mapping[str, Array], seed: int
) -> list[pd.DataFrame]:
    """Shares of variance, and how far a component follows valence and arousal."""
    parts = [
        geometries.rows(
            f"component_{k + 1}_share", geometries.jackknife(share[..., k]), limits=SHARE
        )
        for k in range(N_COMPONENTS)
    ]
    for what, values in affect.items():
        refits = affect_correlation(scores, values)
        tests = [
            maximum_test(
                of_kind.ravel(),
                permuted_affect(
                    at.reshape(-1, *at.shape[-2:]), values, seed=seed, n_permutations=PERMUTATIONS
                ),
            )
            for of_kind, at in zip(refits[0], scores[0], strict=True)
        ]
        found = geometries.jackknife(refits)
        parts += _tested(geometries, f"{what}_r", found, tests, SHARE)
    return parts


def _score_rows(
    geometries: Geometries, scores: Array, where: Mapping[str, Sequence[Any]]
) -> list[pd.DataFrame]:
    """The emotions on the first components at the chosen place, ``[refit, emotion, component]``."""
    turned = geometries.jackknife(np.stack([turned_onto(refit, scores[0]) for refit in scores]))
    axes = {**where, "emotion": geometries.names.emotions}
    return [
        geometries.rows(
            f"component_{k + 1}",
            Jackknife(turned.value[:, k], turned.left_out[..., k], turned.strata),
            axes,
            ANY,
        )
        for k in range(N_COMPONENTS)
    ]


def _estimate_row(metric: str, where: Mapping[str, Sequence[Any]], found: Estimate) -> pd.DataFrame:
    return pd.DataFrame({**where, **found.as_dict()}).assign(metric=metric)


def _summary(
    geometries: Geometries, table: pd.DataFrame, chosen: Chosen, curve: Jackknife, seed: int
) -> Summary:
    """What holds at the chosen place."""
    here = table[(table["layer"] == chosen.index) & (table["site"] == CHOSEN_SITE)]
    here = here[here["kind"].isin([CHOSEN_KIND, ""])]

    def row(metric: str, emotion: str = "", appraisal: str = "") -> pd.Series | None:
        found = here[
            (here["metric"] == metric)
            & (here["emotion"] == emotion)
            & (here["appraisal"] == appraisal)
        ]
        return None if found.empty else found.iloc[0]

    summary: Summary = {"human_similarity": chosen.estimate}
    summary["human_similarity_layer"] = _layer(curve, geometries, seed)
    wanted = {"probe_means_cosine": ("probe_means_mean", "", "")}
    wanted |= {what: (what, "", "") for what in ("profile_correlation", "valence_r", "arousal_r")}
    wanted |= {
        f"{emotion}.{appraisal}.cosine": ("cosine", emotion, appraisal)
        for emotion, appraisal in EXAMPLES
    }
    for name, which in wanted.items():
        if (found := row(*which)) is not None:
            value, low, high = (float(found[column]) for column in ("value", "low", "high"))
            summary[name] = Estimate(value, low, high, int(found["n"]))
    for metric in ("similarity", "profile_correlation", "valence_r", "arousal_r"):
        if (found := row(metric)) is not None:
            name = "human_similarity" if metric == "similarity" else metric.removesuffix("_r")
            summary[f"{name}_p"] = float(found["p"])
    return {f"geometry.{key}": value for key, value in summary.items()}


def _layer(curve: Jackknife, geometries: Geometries, seed: int) -> Estimate:
    """The layer of the largest similarity; its interval is that over draws around the curve."""
    n_layers = len(curve.value)
    return RatioDraws(
        curve.value,
        curve.draws(seed=seed),
        np.full(n_layers, geometries.n),
        np.full(n_layers, len(curve.strata)),
        np.zeros(n_layers, dtype=bool),
    ).peak(range(n_layers))
