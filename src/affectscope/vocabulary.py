"""The words of the house: emotions, appraisals and sites, each declared once.

Emotions and appraisals are those of crowd-enVENT (Troiano, Oberländer and Klinger 2023,
Computational Linguistics 49(1), doi 10.1162/coli_a_00461); sites are places in a transformer
block where an activation is read or edited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

EMOTIONS: tuple[str, ...] = (
    "anger",
    "boredom",
    "disgust",
    "fear",
    "guilt",
    "joy",
    "neutral",
    "pride",
    "relief",
    "sadness",
    "shame",
    "surprise",
    "trust",
)
"""The 13 emotions, in alphabetical order. crowd-enVENT's ``no-emotion`` is called ``neutral``."""


@dataclass(frozen=True)
class Appraisal:
    """One dimension on which a person evaluates an event, rated 1 (not at all) to 5 (extremely)."""

    name: str
    """Column name in crowd-enVENT."""
    question: str
    """What the experiencer was asked to rate, in the first person."""
    theory: str
    """The appraisal check it belongs to (Scherer and Fontaine 2019; Smith and Ellsworth 1985)."""


APPRAISALS: tuple[Appraisal, ...] = (
    Appraisal("suddenness", "the event was sudden", "novelty"),
    Appraisal("familiarity", "the event was familiar", "novelty"),
    Appraisal("predict_event", "I could have predicted the event", "novelty"),
    Appraisal("pleasantness", "the event was pleasant", "intrinsic pleasantness"),
    Appraisal("unpleasantness", "the event was unpleasant", "intrinsic pleasantness"),
    Appraisal("goal_relevance", "it had important consequences for me", "goal relevance"),
    Appraisal("chance_responsblt", "it was caused by chance or nature", "agency"),
    Appraisal("self_responsblt", "it was caused by my own behaviour", "agency"),
    Appraisal("other_responsblt", "it was caused by somebody else's behaviour", "agency"),
    Appraisal("predict_conseq", "I could foresee its consequences", "outcome probability"),
    Appraisal("goal_support", "it had good consequences for me", "goal conduciveness"),
    Appraisal("urgency", "it needed an immediate response", "urgency"),
    Appraisal("self_control", "I could influence it", "control"),
    Appraisal("other_control", "someone else could influence it", "control"),
    Appraisal("chance_control", "nobody could influence it", "control"),
    Appraisal("accept_conseq", "I could live with its consequences", "adjustment"),
    Appraisal("standards", "it clashed with my standards", "internal standards"),
    Appraisal("social_norms", "it broke laws or social norms", "external standards"),
    Appraisal("attention", "I had to attend to it", "attention"),
    Appraisal("not_consider", "I wanted to shut it out of my mind", "attention"),
    Appraisal("effort", "it took much energy", "effort"),
)
"""The 21 appraisals of crowd-enVENT."""

APPRAISAL_NAMES: tuple[str, ...] = tuple(appraisal.name for appraisal in APPRAISALS)

Site = str
"""Where an activation is read or edited: one of :data:`SITES` or :data:`PRENORM_SITES`, or
``head_out[h]``.

``attn_out`` and ``mlp_out`` are what attention and MLP add to the residual stream, after any
post-norm; ``resid_post`` is the residual stream after the block. ``head_out[3]`` is what head 3
adds to attention's output (without the output bias, which belongs to no head; before any
post-norm).
"""

SITES: tuple[Site, ...] = ("attn_out", "mlp_out", "resid_post")
"""The sites of every family: what the experiments read and edit."""

PRENORM_SITES: tuple[Site, ...] = ("attn_out_prenorm", "mlp_out_prenorm")
"""Attention's and the MLP's output before the post-norm, in families that have one."""

_HEAD = re.compile(r"head_out\[(0|[1-9]\d*)\]")


def head_site(head: int) -> Site:
    """The site of one attention head: ``head_out[3]``."""
    return f"head_out[{head}]"


def head_of(site: Site) -> int | None:
    """The head of a ``head_out[h]`` site, counted from 0; None for any other site."""
    found = _HEAD.fullmatch(site)
    return None if found is None else int(found[1])


def site_index(site: Site) -> int:
    """A number for every site, which is part of the seed of noise.

    Raises:
        KeyError: For a site that there is not.
    """
    head = head_of(site)
    numbers = {name: index for index, name in enumerate((*SITES, *PRENORM_SITES))}
    return numbers[site] if head is None else 16 + head


Calibration = Literal["none", "content-free", "batch"]
"""How label scores are corrected for the prompt's own preferences."""

CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)

AblationKind = Literal["zero", "noise", "mean", "resample"]
"""What replaces an activation in a knock-out."""

ABLATION_KINDS: tuple[AblationKind, ...] = get_args(AblationKind)

ExperimentName = Literal[
    "infer",
    "pairs",
    "probe",
    "ablate",
    "patch",
    "attend",
    "control",
    "robust",
    "localise",
    "appraise",
    "geometry",
    "promote",
    "surgery",
    "generate",
    "human",
]
"""An experiment that ``affectscope run`` can do."""

EXPERIMENTS: tuple[ExperimentName, ...] = get_args(ExperimentName)
