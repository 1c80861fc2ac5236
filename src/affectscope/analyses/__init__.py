"""The experiments, one module each, and how to run one or several."""

from __future__ import annotations

from affectscope.analyses.ablate import Ablate
from affectscope.analyses.appraise import Appraise
from affectscope.analyses.attend import Attend
from affectscope.analyses.baselines import BagOfWords, bag_of_words
from affectscope.analyses.building import ENOUGH_ITEMS, applicable, build, with_needed
from affectscope.analyses.control import Control
from affectscope.analyses.experiment import (
    Experiment,
    MemoryStore,
    Result,
    Unit,
    UnitOutput,
    UnitStore,
    collect,
    finish_units,
)
from affectscope.analyses.generate import Generate
from affectscope.analyses.geometry import Geometry
from affectscope.analyses.human import Human
from affectscope.analyses.in_memory import (
    ablate,
    appraise,
    attend,
    control,
    generate,
    geometry,
    human,
    infer,
    pairs,
    patch,
    probe,
    promote,
    robust,
    surgery,
)
from affectscope.analyses.infer import Infer
from affectscope.analyses.localise import Localise
from affectscope.analyses.pairs import Pairs
from affectscope.analyses.patch import Patch
from affectscope.analyses.probe import Probe
from affectscope.analyses.promote import Promote
from affectscope.analyses.robust import Robust
from affectscope.analyses.settings import Settings
from affectscope.analyses.steer import steering_vectors
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.analyses.surgery import Surgery

__all__ = [
    "ENOUGH_ITEMS",
    "Ablate",
    "Appraise",
    "Attend",
    "BagOfWords",
    "CleanExperiment",
    "Control",
    "Experiment",
    "Generate",
    "Geometry",
    "Human",
    "Infer",
    "Localise",
    "MemoryStore",
    "Pairs",
    "Patch",
    "Probe",
    "Promote",
    "Result",
    "Robust",
    "Settings",
    "Study",
    "Surgery",
    "Unit",
    "UnitOutput",
    "UnitStore",
    "ablate",
    "applicable",
    "appraise",
    "attend",
    "bag_of_words",
    "build",
    "collect",
    "control",
    "finish_units",
    "generate",
    "geometry",
    "human",
    "infer",
    "pairs",
    "patch",
    "probe",
    "promote",
    "robust",
    "steering_vectors",
    "surgery",
    "with_needed",
]
