"""Estimates of ``patch`` by emotion: what is carried over from which emotion to which.

At each site's peak layer, with the main window. The p of an emotion are adjusted for all layers of
the site, since the peak was chosen on the same pairs; see :mod:`affectscope.analyses.patch_table`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.study import Study, estimate_rows
from affectscope.stats import Estimate, false_discovery_rate, sign_flip_test
from affectscope.vocabulary import Site

ROUNDING = 4
"""Digits of a logit that count: a patch that changes nothing has the sign of a rounding."""


def by_emotion(
    study: Study,
    pairs: NDArray[np.int64],
    observations: pd.DataFrame,
    peaks: Mapping[Site, int],
) -> pd.DataFrame:
    """Rows ``source_by_pair``, ``source_by_emotion`` and ``recovered_by_emotion``.

    Emotions (and pairs of emotions) whose pairs are too few for an interval have no row.

    Args:
        study: The study.
        pairs: Items ``[pair, (source, target)]``.
        observations: Of the main window, every layer.
        peaks: The layer to look at, by site.
    """
    tables = []
    for site, layer in peaks.items():
        of_site = observations[observations["site"] == site]
        here = of_site[of_site["layer"] == layer].set_index("pair").sort_index()
        emotions = here[["source_emotion", "target_emotion"]].agg(tuple, axis=1)
        tables.append(_shares(study, pairs, here, emotions, "source_by_pair"))
        sources = here["source_emotion"].map(lambda emotion: (emotion, ""))
        tables.append(_shares(study, pairs, here, sources, "source_by_emotion"))
        recovered = _shares(study, pairs, here, sources, "recovered_by_emotion")
        p = [_adjusted_p(study, pairs, of_site, e)[layer] for e in recovered["source_emotion"]]
        tables.append(recovered.assign(p=p, q=false_discovery_rate(np.array(p, dtype=float))))
        for table in tables[-3:]:
            where = {"site": site, "layer": layer, "span": here["span"].iloc[0]}
            for name, value in (where | {"position": -1, "direction": "sufficient"}).items():
                table[name] = value
    return pd.concat(tables, ignore_index=True)


def _shares(
    study: Study,
    pairs: NDArray[np.int64],
    here: pd.DataFrame,
    kinds: pd.Series,
    metric: str,
) -> pd.DataFrame:
    """A share for each kind of pair that has an interval.

    Args:
        study: The study.
        pairs: Items ``[pair, (source, target)]``.
        here: One row a pair: columns outcome, carried, whole.
        kinds: Source's and target's emotion of every pair; the target's empty for any.
        metric: What is estimated.
    """
    draws = study.bootstrap(pairs[here.index, 1], second=pairs[here.index, 0])
    names = sorted(set(kinds))
    of_kind = np.array([[kind == name for name in names] for kind in kinds])
    if metric.startswith("recovered"):
        top, bottom = here["carried"].to_numpy(), here["whole"].to_numpy()
    else:
        top = (here["outcome"] == "source").to_numpy(dtype=float)
        bottom = np.ones_like(top)
    shares = draws.ratio(
        np.where(of_kind, top[:, None], np.nan),
        np.where(of_kind, bottom[:, None], 0.0),
    ).estimates()
    kept = [(name, share) for name, share in zip(names, shares, strict=True) if _sure(share)]
    return estimate_rows(
        {
            "source_emotion": [source for (source, _), _ in kept],
            "target_emotion": [target for (_, target), _ in kept],
        },
        [share for _, share in kept],
        metric,
    )


def _sure(share: Estimate) -> bool:
    return bool(np.isfinite([share.value, share.low, share.high]).all())


def flip_test(
    study: Study, pairs: NDArray[np.int64], carried: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The p values of what is carried being above 0, adjusted for all columns.

    The larger of the tests by the sources' groups and by the targets'.

    Args:
        study: The study.
        pairs: Items ``[pair, (source, target)]``.
        carried: ``[pair, statistic]``.
    """
    groups = np.asarray(study.corpus.groups, dtype=str)
    carried = carried.round(ROUNDING)
    tests = [
        sign_flip_test(carried, groups[items].tolist(), seed=study.seed).p for items in pairs.T
    ]
    return np.asarray(np.max(tests, axis=0))


def _adjusted_p(
    study: Study, pairs: NDArray[np.int64], of_site: pd.DataFrame, emotion: str
) -> NDArray[np.float64]:
    """Whether the pairs of a source emotion recover more than nothing, by layer."""
    of_emotion = of_site[of_site["source_emotion"] == emotion]
    wide = of_emotion.pivot_table(index="pair", columns="layer", values="carried").sort_index()
    return flip_test(study, pairs[wide.index], wide.to_numpy())
