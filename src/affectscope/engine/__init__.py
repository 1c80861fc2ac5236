"""Reading and editing activations: capture, interventions and the counterfactual sweep.

The engine works on an unmodified Hugging Face causal language model through forward hooks. It
knows no model family; :class:`ModelAccess` tells it where a model's sites are.
"""

from affectscope.engine.access import ModelAccess
from affectscope.engine.batching import Prompt, encode_all
from affectscope.engine.capture import States, capture
from affectscope.engine.interventions import (
    Add,
    Edit,
    Intervention,
    Mean,
    Noise,
    ProjectOut,
    Replace,
    Zero,
)
from affectscope.engine.reading import PromptReader
from affectscope.engine.sweep import Sweep, intervene

__all__ = [
    "Add",
    "Edit",
    "Intervention",
    "Mean",
    "ModelAccess",
    "Noise",
    "ProjectOut",
    "Prompt",
    "PromptReader",
    "Replace",
    "States",
    "Sweep",
    "Zero",
    "capture",
    "encode_all",
    "intervene",
]
