"""Where is the emotion inferred? What the other experiments say of it, joined for one model.

*Site*: of the two sites that add to the residual stream, the one whose patch carries the source's
answer over for more pairs at its best layer. *Layer*: where that patch peaks; as a share of depth
too, so that models of different depth compare. Every other method has a peak of its own, with its
interval, and a profile over layers, which is compared with patching's by its order (Spearman 1904,
Am. J. Psychol. 15(1)). Whether a control task localises elsewhere is tested in
:mod:`affectscope.analyses.control`, whether other prompts do in
:mod:`affectscope.analyses.robust`; their peaks stand beside these.

Nothing is computed with the model here: the observations of the other experiments are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from affectscope.analyses.ablate import Ablate
from affectscope.analyses.experiment import (
    Experiment,
    Result,
    SummaryValue,
    Unit,
    UnitOutput,
    read_observations,
)
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import RIGHT, layer_table
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.profiles import (
    Profile,
    ablate_profiles,
    mean_rank_correlation,
    patch_profiles,
    peak_difference,
    probe_profiles,
    rank_correlation,
    relative_depth,
    transfer_curves,
)
from affectscope.analyses.study import Study
from affectscope.errors import NotPossibleError
from affectscope.figures import localise_charts
from affectscope.stats import Estimate, RatioDraws
from affectscope.vocabulary import SITES, Site

ADDING: tuple[Site, ...] = ("attn_out", "mlp_out")
"""Sites that add something: resid_post only carries on what they have added."""

COLUMNS = ["metric", "method", "other", "items", "site", "value", "low", "high", "n"]


class Localise(Experiment):
    """The summary of where, over the methods that a run has used.

    Args:
        study: The study.
        parts: Experiments of the same study whose units are done before: ``Patch``, and as many of
            ``Probe`` and ``Ablate`` as there are.
    """

    name = "localise"

    def __init__(self, study: Study, parts: Sequence[Experiment]) -> None:
        self.study = study
        self.parts = tuple(parts)

    @property
    def method(self) -> str:
        """What is joined, for the report."""
        return f"from the experiments {', '.join(part.name for part in self.parts)}."

    def planned_cost(self) -> float:
        """Nothing is computed with the model."""
        return 0.0

    def units(self) -> list[Unit]:
        """None of its own."""
        return []

    def compute(self, unit: Unit) -> UnitOutput:
        """There is no unit to compute."""
        raise AssertionError(unit)

    @cached_property
    def _patch(self) -> Patch:
        for part in self.parts:
            if isinstance(part, Patch):
                return part
        raise NotPossibleError(
            "localise needs patching, which this run does not do",
            expected="the experiment patch",
            remedy="add patch to --experiments",
        )

    def _profiles(self) -> Iterator[Profile]:
        for part in self.parts:
            try:
                observations = read_observations(part, self.study.store)
            except NotPossibleError:
                continue  # that experiment has said why
            match part:
                case Probe():
                    yield from probe_profiles(self.study, observations)
                case Ablate():
                    yield from ablate_profiles(self.study, observations)
                case Patch():
                    yield from patch_profiles(part, observations)

    def result(self, observations: pd.DataFrame) -> Result:
        """Peaks of every method, how they agree, and the site and layer that stand out.

        Args:
            observations: Not used: those of the other experiments are read.

        Raises:
            NotPossibleError: Without patching.
        """
        answers = self._answers()
        profiles = list(self._profiles())
        place = locate(answers)
        rows = [*_peak_rows(profiles, self.study.lm.n_layers), *_agreement_rows(profiles)]
        table = pd.DataFrame(rows)[COLUMNS]
        curves = pd.concat(
            [
                layer_table(profile.curves, "profile").assign(
                    method=profile.method, items=profile.items
                )
                for profile in profiles
            ],
            ignore_index=True,
        )
        summary = self._summary(place, profiles)
        drawn = pd.concat([table, curves], ignore_index=True)
        order = [*COLUMNS[:5], "layer", *COLUMNS[5:]]
        drawn[["other"]] = drawn[["other"]].fillna("")
        return Result(
            self.name, drawn[order], curves, summary, self._answer(place, summary), localise_charts
        )

    def _answers(self) -> Mapping[Site, RatioDraws]:
        """The share of pairs that answer the source's emotion, by layer."""
        patch = self._patch
        return transfer_curves(patch, read_observations(patch, self.study.store))

    def _summary(self, place: Place, profiles: Sequence[Profile]) -> dict[str, SummaryValue]:
        n_layers = self.study.lm.n_layers
        summary: dict[str, SummaryValue] = {
            "localise.site": place.site,
            "localise.layer": place.layer,
            "localise.relative_depth": relative_depth(place.layer, n_layers),
            "localise.transfer": place.transfer,
            "localise.margin": place.margin,
        }
        for profile in profiles:
            suffix = f"_{RIGHT}" if profile.items == RIGHT and _has_both(profile, profiles) else ""
            for site in profile.curves:
                peak = profile.peak(site)
                summary[f"localise.{profile.method}.{site}.peak_layer{suffix}"] = peak
        for site in SITES:
            there = [each.curves[site] for each in _one_each(profiles) if site in each.curves]
            if len(there) > 1:
                summary[f"localise.{site}.agreement"] = mean_rank_correlation(there)
        return summary

    def _answer(self, place: Place, summary: Mapping[str, SummaryValue]) -> str:
        layer, depth = place.layer, cast(Estimate, summary["localise.relative_depth"])
        other = next(site for site in ADDING if site != place.site)
        clearly = "more" if place.margin.low > 0 else "not clearly more"
        answer = (
            f"The emotion is brought to the last token by {place.site} at layer {layer.value:.0f} "
            f"[{layer.low:.0f}, {layer.high:.0f}], {percent(depth)} of the way through the model: "
            f"patching it carries the answer over for {percent(place.transfer)} of "
            f"{place.transfer.n} pairs, {clearly} than {other} at its best layer."
        )
        holding = [
            name.split(".")[1:-2]
            for name, peak in summary.items()
            if name.endswith(f".{place.site}.peak_layer")
            and isinstance(peak, Estimate)
            and peak.low <= layer.value <= peak.high
        ]
        peaks = [name for name in summary if name.endswith(f".{place.site}.peak_layer")]
        methods = ", ".join(".".join(words) for words in holding) or "none"
        return (
            f"{answer} Of {len(peaks)} methods' profiles at {place.site}, those whose peak may lie "
            f"at that layer: {methods}."
        )


@dataclass(frozen=True)
class Place:
    """Where patching finds the emotion."""

    site: Site
    layer: Estimate
    transfer: Estimate
    """Share of pairs whose answer follows the source there."""
    margin: Estimate
    """By how much that exceeds the other adding site at its own best layer."""


def locate(answers: Mapping[Site, RatioDraws]) -> Place:
    """The adding site and layer whose patch carries most answers over.

    Args:
        answers: Share of pairs that answer the source's emotion, by layer, with common draws.
    """
    best = {site: float(np.nanmax(answers[site].value)) for site in ADDING}
    site = max(ADDING, key=lambda name: best[name])
    other = next(name for name in ADDING if name != site)
    curve = answers[site]
    layer = curve.peak(range(len(curve.value)))
    return Place(site, layer, curve.estimates()[int(layer.value)], _margin(curve, answers[other]))


def _margin(one: RatioDraws, other: RatioDraws) -> Estimate:
    """Difference of the highest values of two curves, draw by draw."""
    highest, other_highest = (
        np.nan_to_num(np.vstack([curve.value, curve.draws]), nan=-np.inf).max(axis=1)
        for curve in (one, other)
    )
    with np.errstate(invalid="ignore"):  # a draw in which no pair is left
        differences = highest - other_highest
    value, values = float(differences[0]), differences[1:]
    n = int(min(one.n.max(), other.n.max()))
    if one.n_groups.max() < 2:
        return Estimate(value, np.nan, np.nan, n)
    low, high = np.quantile(values[np.isfinite(values)], [0.025, 0.975])
    return Estimate(value, float(low), float(high), n)


def _peak_rows(profiles: Sequence[Profile], n_layers: int) -> Iterator[dict[str, Any]]:
    for profile in profiles:
        for site in profile.curves:
            keys = {"method": profile.method, "other": "", "items": profile.items, "site": site}
            peak = profile.peak(site)
            yield {"metric": "peak_layer", **keys, **peak.as_dict()}
            yield {"metric": "peak_depth", **keys, **relative_depth(peak, n_layers).as_dict()}


def _agreement_rows(profiles: Sequence[Profile]) -> Iterator[dict[str, Any]]:
    """Each pair of methods at each site: later by how many layers, and in the same order?"""
    chosen = _one_each(profiles)
    for number, one in enumerate(chosen):
        for other in chosen[number + 1 :]:
            for site in SITES:
                if site not in one.curves or site not in other.curves:
                    continue
                curves = one.curves[site], other.curves[site]
                keys = {"method": one.method, "other": other.method, "items": RIGHT, "site": site}
                yield {"metric": "peak_difference", **keys, **peak_difference(*curves).as_dict()}
                yield {"metric": "rank_correlation", **keys, **rank_correlation(*curves).as_dict()}


def _one_each(profiles: Sequence[Profile]) -> list[Profile]:
    """One profile of every method: of the items that the model gets right, as patching's are."""
    return [each for each in profiles if each.items == RIGHT]


def _has_both(profile: Profile, profiles: Sequence[Profile]) -> bool:
    return len({each.items for each in profiles if each.method == profile.method}) > 1
