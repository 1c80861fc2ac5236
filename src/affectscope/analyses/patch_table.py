"""Estimates of ``patch``: outcomes and the logit difference that moves, under every patch.

Column ``p`` tells whether the recovered logit difference is above 0 (the main window, the last
token, source to target): signs are flipped, and the largest statistic of all layers and sites is
what each is compared with. What a patch without effect does to the difference is as often towards
the source's emotion as away from it, for all pairs of one source alike, so that signs flip by the
source's group. Pairs share targets as well; flips by connected components of groups would respect
both, but a few hundred pairs out of a few hundred items hang together in one giant component, which
leaves nothing to flip. So the test is done by the source's group and by the target's, and p is the
larger of the two.

The emotions of the by-emotion results are tested at a layer that was chosen on the same pairs.
Their p are therefore adjusted for all layers of the site, and hold wherever the peak is; q is the
false discovery rate over the emotions of the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import curves_by_layer, layer_table
from affectscope.analyses.patch_conditions import Direction, Plan
from affectscope.analyses.patch_emotions import by_emotion, flip_test
from affectscope.analyses.study import Study
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws
from affectscope.vocabulary import SITES, Site, head_of, head_site

COLUMNS = [
    *("metric", "site", "layer", "span", "position", "direction"),
    *("source_emotion", "target_emotion", "value", "low", "high", "n", "p", "q"),
]

OUTCOMES = ("source", "target", "neither")

MOVED: dict[Direction, str] = {"sufficient": "recovered", "necessary": "lost"}
"""What the share of the logit difference is called."""

CHANGED: dict[Direction, str] = {"sufficient": "source", "necessary": "broken"}
"""The share of pairs that tells most: those that a peak is the peak of."""

Curves = dict[str, dict[Site, RatioDraws]]
"""Metric, then site."""


@dataclass(frozen=True)
class Part:
    """The observations of one size of window, token and direction."""

    span: int
    position: int
    direction: Direction
    heads: bool
    """Whether these are single heads."""
    curves: Curves

    def rows(self) -> pd.DataFrame:
        """The estimates."""
        tables = [layer_table(curves, metric) for metric, curves in self.curves.items()]
        return pd.concat(tables, ignore_index=True).assign(
            span=self.span, position=self.position, direction=self.direction
        )

    def peaks(self) -> Iterator[tuple[Site, Estimate, Estimate]]:
        """For each site the layer with the largest share of changed answers, and that share."""
        return self._peaks(CHANGED[self.direction])

    def moved_peaks(self) -> Iterator[tuple[Site, Estimate, Estimate]]:
        """For each site the layer with the largest share of the logit difference, and that."""
        return self._peaks(MOVED[self.direction])

    def _peaks(self, metric: str) -> Iterator[tuple[Site, Estimate, Estimate]]:
        for site, curve in self.curves[metric].items():
            layer = curve.peak(range(len(curve.value)))
            yield site, layer, curve.estimates()[int(layer.value)]


def patch_estimates(
    study: Study, plan: Plan, pairs: NDArray[np.int64], observations: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    """The table of estimates, and the summary.

    Args:
        study: The study.
        plan: What was patched.
        pairs: Items ``[pair, (source, target)]``.
        observations: One row for each pair and patch.
    """
    draws = study.bootstrap(pairs[:, 1], second=pairs[:, 0])
    parts = list(_parts(observations, draws, plan))
    main = next(part for part in parts if _is_main(part, plan))
    p = carried_test(study, pairs, _of_main(observations, plan))
    tables = [_with_p(part.rows(), p if part is main else {}) for part in parts]
    summary: dict[str, SummaryValue] = {}
    for part in parts:
        summary |= _heads(part) if part.heads else _peaks(part, part is main)
    for site, values in p.items():
        summary[f"patch.{site}.significant_layers"] = int((values <= 0.05).sum())
    summary |= _explained_by_single_layers(observations, draws, plan, main)
    peaks = {site: int(layer.value) for site, layer, _ in main.peaks()}
    tables.append(by_emotion(study, pairs, _of_main(observations, plan), peaks))
    table = pd.concat(tables, ignore_index=True)
    table[["source_emotion", "target_emotion"]] = table[
        ["source_emotion", "target_emotion"]
    ].fillna("")
    return table.reindex(columns=COLUMNS), summary


def _is_main(part: Part, plan: Plan) -> bool:
    where = (part.span, part.position, part.direction, part.heads)
    return where == (plan.span, -1, "sufficient", False)


def _of_main(observations: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The observations of the main window at the last token, from source to target."""
    return observations[
        (observations["span"] == plan.span)
        & (observations["position"] == -1)
        & (observations["direction"] == "sufficient")
        & observations["site"].isin(SITES)
    ]


def _parts(observations: pd.DataFrame, draws: GroupBootstrap, plan: Plan) -> Iterator[Part]:
    """The observations part by part, with their curves."""
    heads = [head_site(head) for head in range(plan.n_heads)]
    marked = observations.assign(
        heads=observations["site"].isin(heads),
        broken=(observations["outcome"] != "source").astype(float),
        **{name: (observations["outcome"] == name).astype(float) for name in OUTCOMES},
    )
    keys = ["heads", "direction", "position", "span"]
    parted = cast(
        Iterable[tuple[tuple[bool, Direction, int, int], pd.DataFrame]],
        marked.groupby(keys, sort=False),
    )
    for (of_heads, direction, position, span), seen in parted:
        sites: Sequence[Site] = heads if of_heads else SITES
        shares = (*OUTCOMES, "broken") if direction == "necessary" else OUTCOMES
        curves: Curves = {
            metric: curves_by_layer(seen, metric, "pair", draws, sites=sites) for metric in shares
        }
        curves[MOVED[direction]] = curves_by_layer(
            seen, "carried", "pair", draws, denominator="whole", sites=sites
        )
        yield Part(int(span), int(position), direction, bool(of_heads), curves)


def carried_test(
    study: Study, pairs: NDArray[np.int64], observations: pd.DataFrame
) -> dict[Site, NDArray[np.float64]]:
    """Family-wise p values: is the recovered logit difference above 0?

    Args:
        study: The study.
        pairs: Items ``[pair, (source, target)]``.
        observations: Columns pair, site, layer, carried; every layer of one window.

    Returns:
        p by layer for each site; the family is all layers and sites. The larger of the tests by the
        sources' groups and by the targets'.
    """
    sites = [site for site in SITES if (observations["site"] == site).any()]
    wide = [
        observations[observations["site"] == site]
        .pivot_table(index="pair", columns="layer", values="carried")
        .sort_index()
        for site in sites
    ]
    values = np.concatenate([table.to_numpy() for table in wide], axis=1)
    p = flip_test(study, pairs[wide[0].index], values)
    return dict(zip(sites, np.split(p, len(sites)), strict=True))


def _with_p(rows: pd.DataFrame, p: dict[Site, NDArray[np.float64]]) -> pd.DataFrame:
    tested = (rows["metric"] == "recovered") & rows["site"].isin(list(p))
    return rows.assign(
        p=[
            p[site][layer] if test else np.nan
            for site, layer, test in zip(rows["site"], rows["layer"], tested, strict=True)
        ]
    )


def _peaks(part: Part, is_main: bool) -> dict[str, SummaryValue]:
    """Where one part peaks, under the names that tell which part it is."""
    summary: dict[str, SummaryValue] = {}
    for site, layer, share in part.peaks():
        if part.direction == "necessary":
            summary[f"patch.{site}.necessary_peak_layer"] = layer
            summary[f"patch.{site}.necessary_peak"] = share
            continue
        names = [f"patch.{site}"] if is_main else []
        names.append(
            f"patch.{site}.span{part.span}"
            if part.position == -1
            else f"patch.position{part.position}.{site}"
        )
        for name in names:
            summary |= {f"{name}.peak_layer": layer, f"{name}.peak_transfer": share}
    if part.direction == "necessary" or is_main:
        name = "lost" if part.direction == "necessary" else "recovered"
        for site, layer, share in part.moved_peaks():
            summary[f"patch.{site}.{name}_peak_layer"] = layer
            summary[f"patch.{site}.{name}_peak"] = share
    return summary


def _heads(part: Part) -> dict[str, SummaryValue]:
    """The single head that carries most: by answers changed, and by the logit difference.

    Of heads that change as many answers the one that moves the difference further. A head's name
    has no interval: ``support`` is the share of bootstrap draws in which the same head is highest.
    """
    heads = list(part.curves["source"])
    names = [f"L{layer}H{head_of(head)}" for head in heads for layer in range(_depth(part))]
    found: dict[str, NDArray[np.float64]] = {}
    for metric in ("source", "recovered"):
        curves = part.curves[metric]
        found[metric] = np.concatenate([curves[head].value for head in heads])
        found[f"{metric} draws"] = np.concatenate([curves[head].draws for head in heads], axis=1)
    first = np.lexsort((found["recovered"], found["source"]))[-1]
    furthest = int(np.nanargmax(found["recovered"]))
    recovered = np.nan_to_num(found["recovered draws"], nan=-np.inf)
    estimates = {
        metric: [one for head in heads for one in part.curves[metric][head].estimates()]
        for metric in ("source", "recovered")
    }
    return {
        "patch.heads.peak": names[first],
        "patch.heads.peak_transfer": estimates["source"][first],
        "patch.heads.recovered_peak": names[furthest],
        "patch.heads.recovered": estimates["recovered"][furthest],
        "patch.heads.recovered_support": float((recovered.argmax(axis=1) == furthest).mean()),
    }


def _depth(part: Part) -> int:
    return len(next(iter(part.curves["source"].values())).value)


def _explained_by_single_layers(
    observations: pd.DataFrame, draws: GroupBootstrap, plan: Plan, main: Part
) -> dict[str, SummaryValue]:
    """How much of what the main window carries at its peak its layers carry one by one.

    The sum of what they recover alone, over what the window recovers: 1 where their effects add up,
    less where they work together only, more where one says what another has said.
    """
    if plan.span == 1 or 1 not in plan.spans:
        return {}
    summary: dict[str, SummaryValue] = {}
    at_last = observations[
        (observations["position"] == -1) & (observations["direction"] == "sufficient")
    ]
    for site, layer, _ in main.peaks():
        if site == "resid_post":
            continue  # there a window is its last layer alone
        half, centre = plan.span // 2, int(layer.value)
        here = at_last[at_last["site"] == site]
        window = here[(here["span"] == plan.span) & (here["layer"] == centre)]
        single = here[(here["span"] == 1) & ((here["layer"] - centre).abs() <= half)]
        ratio = draws.ratio(
            single.groupby("pair")["carried"].sum().sort_index().to_numpy()[:, None],
            window.set_index("pair")["carried"].sort_index().to_numpy()[:, None],
        )
        summary[f"patch.{site}.single_layers_share"] = ratio.estimates()[0]
    return summary


def patch_answer(summary: dict[str, SummaryValue], plan: Plan) -> str:
    """What was found, in a few sentences."""
    found = cast(dict[str, Estimate], summary)
    peak, transfer = found["patch.attn_out.peak_layer"], found["patch.attn_out.peak_transfer"]
    broken = found["patch.attn_out.necessary_peak"]
    answer = (
        f"Patching attn_out carries the source's emotion over most at layer {peak.value:.0f} "
        f"[{peak.low:.0f}, {peak.high:.0f}], for {percent(transfer)} of {transfer.n} pairs "
        f"(windows of {plan.span}); mlp_out at most for "
        f"{percent(found['patch.mlp_out.peak_transfer'])}. The other way it breaks the source's "
        f"own answer most at layer {found['patch.attn_out.necessary_peak_layer'].value:.0f}, for "
        f"{percent(broken)} of pairs."
    )
    if "patch.heads.recovered" in summary:
        answer += (
            f" Of single heads {summary['patch.heads.recovered_peak']} moves the logit difference "
            f"furthest, by {percent(found['patch.heads.recovered'])} of the way."
        )
    return answer
