"""affectscope: a microscope for how language models infer emotion.

Names are loaded when they are first used, so that importing the package is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affectscope import analyses
    from affectscope.data import Corpus, Readers, load_corpus, load_readers
    from affectscope.engine import (
        Add,
        AttentionWeights,
        BlockAttention,
        Edit,
        Intervention,
        Mean,
        Noise,
        ProjectOut,
        Readout,
        Replace,
        States,
        SteeringVector,
        Sweep,
        Zero,
    )
    from affectscope.errors import AffectscopeError
    from affectscope.models import (
        Architecture,
        Generation,
        LanguageModel,
        load_model,
        register_architecture,
    )
    from affectscope.monitor import Monitor, MonitorProbes, fit_monitor
    from affectscope.prompts import EmotionTask
    from affectscope.stats import Estimate, HumanReference, human_reference
    from affectscope.vocabulary import APPRAISALS, EMOTIONS, PRENORM_SITES, SITES, head_site

__version__ = "0.1.0"

_HOMES = {
    "APPRAISALS": "vocabulary",
    "EMOTIONS": "vocabulary",
    "PRENORM_SITES": "vocabulary",
    "head_site": "vocabulary",
    "SITES": "vocabulary",
    "AffectscopeError": "errors",
    "Corpus": "data",
    "Readers": "data",
    "load_corpus": "data",
    "load_readers": "data",
    "Add": "engine",
    "AttentionWeights": "engine",
    "BlockAttention": "engine",
    "Edit": "engine",
    "Intervention": "engine",
    "Mean": "engine",
    "Noise": "engine",
    "ProjectOut": "engine",
    "Readout": "engine",
    "Replace": "engine",
    "States": "engine",
    "SteeringVector": "engine",
    "Sweep": "engine",
    "Zero": "engine",
    "Architecture": "models",
    "Generation": "models",
    "LanguageModel": "models",
    "load_model": "models",
    "register_architecture": "models",
    "Monitor": "monitor",
    "MonitorProbes": "monitor",
    "fit_monitor": "monitor",
    "EmotionTask": "prompts",
    "Estimate": "stats",
    "HumanReference": "stats",
    "human_reference": "stats",
}

__all__ = [
    "APPRAISALS",
    "EMOTIONS",
    "PRENORM_SITES",
    "SITES",
    "Add",
    "AffectscopeError",
    "Architecture",
    "AttentionWeights",
    "BlockAttention",
    "Corpus",
    "Edit",
    "EmotionTask",
    "Estimate",
    "Generation",
    "HumanReference",
    "Intervention",
    "LanguageModel",
    "Mean",
    "Monitor",
    "MonitorProbes",
    "Noise",
    "ProjectOut",
    "Readers",
    "Readout",
    "Replace",
    "States",
    "SteeringVector",
    "Sweep",
    "Zero",
    "analyses",
    "fit_monitor",
    "head_site",
    "human_reference",
    "load_corpus",
    "load_model",
    "load_readers",
    "register_architecture",
]


def __getattr__(name: str) -> Any:
    if name == "analyses":
        return importlib.import_module("affectscope.analyses")
    if name in _HOMES:
        return getattr(importlib.import_module(f"affectscope.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'affectscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
