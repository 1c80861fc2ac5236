"""Where to operate: the place at which appraisals move answers and random directions do not.

For each place (site, width of window, centre) and each appraisal, the answer with the appraisal
moved up is compared with the answer with it moved down, by total variation; what damages answers
whichever way it goes counts for nothing. Random directions of the same length show how far answers
move for any push there; what exceeds that is *specific*:

    specific = mean over appraisals of TV(up, down) - mean over random directions of TV(+, -).

Neither theory nor labels are asked. All of it is done on the fitting part, half of which makes the
directions and the other half is operated on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.analyses.random_directions import isotropic
from affectscope.analyses.replacing import sweep_logits
from affectscope.analyses.surgery_edits import Place, Surgeon
from affectscope.analyses.surgery_settings import singles
from affectscope.engine import Intervention
from affectscope.errors import NotPossibleError
from affectscope.stats import Estimate, GroupBootstrap

RANDOM = 6
"""Random directions at each place."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The place to operate at, and how sure the choice is."""

    place: Place
    centre: Estimate
    """The best centre for this site and width, with the interval of where it is."""
    specific: Estimate
    """What appraisals move answers by, beyond random directions, there (total variation)."""
    share: float
    """Share of bootstrap draws in which this very place is the best."""
    table: pd.DataFrame
    """Site, span, layer, value, low, high, n: the specific effect at every place."""


def specific_effects(
    surgeon: Surgeon, items: NDArray[np.int64], places: Sequence[Place], coefficient: float
) -> pd.DataFrame:
    """How far answers move at some places.

    Args:
        surgeon: Fitted to other items.
        items: The items to operate on.
        places: Where.
        coefficient: How far, in lengths of the residual stream.

    Returns:
        Columns item, site, span, layer (the centre), ``spread`` (of appraisals) and ``random``.
    """
    study = surgeon.study
    edits: list[Intervention] = []
    counts: list[tuple[int, int]] = []
    for place in places:
        real, random = (
            _appraisal_edits(surgeon, place, coefficient),
            _random_edits(surgeon, place, coefficient),
        )
        counts.append((len(real), len(random)))
        edits += real + random
    prompts = [study.prompts[item] for item in items]
    logits = sweep_logits(study.remembering_lm, prompts, edits, study.task.label_ids)
    answers = study.clean.offsets.scores(logits).softmax(dim=-1)
    tables, start = [], 0
    for place, (n_real, n_random) in zip(places, counts, strict=True):
        middle, end = start + n_real, start + n_real + n_random
        tables.append(
            pd.DataFrame(
                {
                    "item": items,
                    "site": place.site,
                    "span": place.span,
                    "layer": place.centre,
                    "spread": _apart(answers[:, start:middle]).numpy(),
                    "random": _apart(answers[:, middle:end]).numpy(),
                }
            )
        )
        start = end
    return pd.concat(tables, ignore_index=True)


def _appraisal_edits(surgeon: Surgeon, place: Place, coefficient: float) -> list[Intervention]:
    """Each appraisal up, then down; those that can be moved while the others are held."""
    edits = []
    for setting in singles(surgeon.ratings.names):
        try:
            edits.append(surgeon.edit(setting, place, coefficient))
        except NotPossibleError:
            continue  # up and down are impossible alike, so that pairs stay pairs
    return edits


def _random_edits(surgeon: Surgeon, place: Place, coefficient: float) -> list[Intervention]:
    """Random directions, there and back."""
    layers = place.layers(surgeon.study.lm.n_layers)
    drawn = isotropic(RANDOM, surgeon.study.lm.d_model, surgeon.study.seed)
    return [
        surgeon.added([drawn[k]] * len(layers), place, sign * coefficient, f"random {k}")
        for k in range(RANDOM)
        for sign in (1, -1)
    ]


def _apart(answers: Float[Tensor, "item edit label"]) -> Float[Tensor, " item"]:
    """Mean total variation between the two answers of each pair of edits."""
    up, down = answers[:, 0::2], answers[:, 1::2]
    if not up.shape[1]:
        return torch.full((len(answers),), torch.nan)
    return (up - down).abs().sum(dim=-1).div(2).mean(dim=1)


def choose_place(observations: pd.DataFrame, draws: GroupBootstrap) -> Chosen:
    """The place with the largest specific effect.

    Args:
        observations: Of :func:`specific_effects`, all places.
        draws: Bootstrap of the items operated on, in the order of their numbers.
    """
    specific = observations.assign(specific=observations["spread"] - observations["random"])
    wide = specific.pivot_table(
        index="item", columns=["site", "span", "layer"], values="specific", sort=False
    ).sort_index()
    effects = draws.ratio(wide.to_numpy(dtype=float))
    keys = wide.columns.to_frame(index=False)
    places = [
        Place(str(site), int(span), int(layer))
        for site, span, layer in zip(keys["site"], keys["span"], keys["layer"], strict=True)
    ]
    best = int(np.argmax(effects.value))
    place = places[best]
    alike = [k for k, p in enumerate(places) if (p.site, p.span) == (place.site, place.span)]
    centre = effects.columns(alike).peak([places[k].centre for k in alike])
    estimates = effects.estimates()
    table = pd.DataFrame(
        {
            "site": [p.site for p in places],
            "span": [p.span for p in places],
            "layer": [p.centre for p in places],
            **{
                name: [getattr(one, name) for one in estimates]
                for name in ("value", "low", "high", "n")
            },
        }
    )
    share = float((effects.draws.argmax(axis=1) == best).mean())
    return Chosen(place, centre, estimates[best], share, table)
