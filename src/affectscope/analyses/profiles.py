"""Layer profiles: how strongly each method finds the emotion at each layer, with common draws.

What a method measures differs (accuracy, divergence, a share of a logit difference), and so does
its scale; the order of its layers and where it peaks can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from affectscope.analyses.layers import curves_by_layer, item_sets
from affectscope.analyses.patch import Patch
from affectscope.analyses.study import Study
from affectscope.stats import Estimate, RatioDraws
from affectscope.vocabulary import ABLATION_KINDS, Site


@dataclass(frozen=True)
class Profile:
    """One method's curve over layers, for every site."""

    method: str
    """Such as ``probe``, ``ablate.zero`` or ``patch``."""
    items: str
    """Which items: ``all`` or ``right``."""
    curves: Mapping[Site, RatioDraws]

    def peak(self, site: Site) -> Estimate:
        """Where the curve of a site is highest."""
        curve = self.curves[site]
        return curve.peak(range(len(curve.value)))


def probe_profiles(study: Study, observations: pd.DataFrame) -> Iterator[Profile]:
    """Accuracy of the linear probe at the last token.

    Args:
        study: The study.
        observations: Of the experiment ``probe``.
    """
    here = _only(observations, probe="linear", position=-1)
    right = (here["predicted"] == here["emotion"]).astype(float)
    yield from _of_items(study, "probe", here.assign(right=right), "right")


def ablate_profiles(study: Study, observations: pd.DataFrame) -> Iterator[Profile]:
    """Divergence of the answers under each kind of knock-out, one layer at a time.

    Args:
        study: The study.
        observations: Of the experiment ``ablate``.
    """
    here = _only(observations, span=int(observations["span"].min()))
    for kind in ABLATION_KINDS:
        yield from _of_items(study, f"ablate.{kind}", here[here["kind"] == kind], "kl")


def patch_profiles(patch: Patch, observations: pd.DataFrame) -> Iterator[Profile]:
    """Share of the logit difference that a patch carries over, and that its reverse takes away.

    The pairs are of items that the model gets right.

    Args:
        patch: The experiment.
        observations: Its observations.
    """
    here = _only(observations, span=patch.span, position=-1)
    draws = patch.study.bootstrap(patch.pairs[:, 1], second=patch.pairs[:, 0])
    for direction, method in (("sufficient", "patch"), ("necessary", "patch.necessary")):
        seen = here[here["direction"] == direction]
        if len(seen):
            curves = curves_by_layer(seen, "carried", "pair", draws, denominator="whole")
            yield Profile(method, "right", curves)


def transfer_curves(patch: Patch, observations: pd.DataFrame) -> dict[Site, RatioDraws]:
    """Share of pairs that answer the source's emotion, by layer: what patching's peaks are of.

    Args:
        patch: The experiment.
        observations: Its observations.
    """
    here = _only(observations, span=patch.span, position=-1, direction="sufficient")
    here = here.assign(hit=(here["outcome"] == "source").astype(float))
    draws = patch.study.bootstrap(patch.pairs[:, 1], second=patch.pairs[:, 0])
    return curves_by_layer(here, "hit", "pair", draws)


def _only(observations: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    for column, value in wanted.items():
        observations = observations[observations[column] == value]
    return observations


def _of_items(
    study: Study, method: str, observations: pd.DataFrame, column: str
) -> Iterator[Profile]:
    seen = np.unique(observations["item"])
    for name, items in item_sets(study).items():
        used = np.intersect1d(items, seen)
        if len(used):
            here = observations[observations["item"].isin(used)]
            yield Profile(
                method, name, curves_by_layer(here, column, "item", study.bootstrap(used))
            )


def peak_difference(one: RatioDraws, other: RatioDraws) -> Estimate:
    """How many layers later one curve peaks than another, with the interval of the difference.

    The draws of curves over different observations are independent of each other.
    """
    return _derived(lambda curve: np.argmax(curve, axis=1), one, other, np.subtract)


def rank_correlation(one: RatioDraws, other: RatioDraws) -> Estimate:
    """Spearman's correlation over layers: do two curves order the layers alike?

    The interval tells how sure the two curves are, for these layers.
    """
    return _derived(lambda curve: rankdata(curve, axis=1), one, other, _correlated)


def _derived(
    of_curve: Callable[[np.ndarray], np.ndarray],
    one: RatioDraws,
    other: RatioDraws,
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Estimate:
    """A number read off two curves, and its interval over their draws."""
    values = combine(*(of_curve(_with_draws(curve)) for curve in (one, other))).astype(float)
    return _over_draws(values, (one, other))


def _with_draws(curve: RatioDraws) -> np.ndarray:
    """The curve, then its draws, ``[1 + draw, layer]``; what is not defined comes lowest."""
    return np.nan_to_num(np.vstack([curve.value, curve.draws]), nan=-np.inf)


def _over_draws(values: np.ndarray, curves: Sequence[RatioDraws]) -> Estimate:
    """A number of several curves, then of their draws, as an estimate."""
    n = int(min(curve.n.max() for curve in curves))
    n_groups = min(curve.n_groups.max() for curve in curves)
    if n_groups < 2 or not np.isfinite(values[1:]).any():
        return Estimate(float(values[0]), np.nan, np.nan, n)
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return Estimate(float(values[0]), float(low), float(high), n)


def _correlated(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation of rows; NaN where one is constant."""
    one, other = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, other))
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((one * other).sum(axis=1) / size)


def relative_depth(layer: Estimate, n_layers: int) -> Estimate:
    """A layer as a share of depth, 0 for the first and 1 for the last, so that models compare."""
    last = max(n_layers - 1, 1)
    return Estimate(layer.value / last, layer.low / last, layer.high / last, layer.n)


def mean_rank_correlation(curves: Sequence[RatioDraws]) -> Estimate:
    """The mean of the rank correlations of all pairs of curves.

    Args:
        curves: Two or more, with equally many draws.
    """
    ranks = [rankdata(_with_draws(curve), axis=1) for curve in curves]
    pairs = [
        _correlated(one, other) for number, one in enumerate(ranks) for other in ranks[:number]
    ]
    return _over_draws(np.mean(pairs, axis=0), curves)
