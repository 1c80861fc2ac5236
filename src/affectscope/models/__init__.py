"""Models: loading, the map of families, the load-time self-check, the default model."""

from affectscope.models.architectures import (
    ARCHITECTURES,
    Architecture,
    access_for,
    register_architecture,
)
from affectscope.models.checked import from_pretrained, load_model
from affectscope.models.language_model import LanguageModel
from affectscope.models.loading import Pretrained, load_pretrained
from affectscope.models.self_check import Check, self_check
from affectscope.models.writing import Generation

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Check",
    "Generation",
    "LanguageModel",
    "Pretrained",
    "access_for",
    "from_pretrained",
    "load_model",
    "load_pretrained",
    "register_architecture",
    "self_check",
]
