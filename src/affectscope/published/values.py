"""Reading the table of published values."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

SOURCE = "Tak et al. 2025"

_HUB_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Llama-3.2-1B": ("Llama-3.2-1B-Instruct",),
        "Gemma-2-2B": ("gemma-2-2b-it",),
        "Llama-3.1-8B": ("Llama-3.1-8B-Instruct", "Meta-Llama-3.1-8B-Instruct"),
        "Phi-3.5-mini": ("Phi-3.5-mini-instruct",),
        "OLMo-2-7B": ("OLMo-2-1124-7B-Instruct",),
        "Ministral-8B": ("Ministral-8B-Instruct-2410",),
        "Phi-3-medium": ("Phi-3-medium-4k-instruct", "Phi-3-medium-128k-instruct"),
        "Mistral-Nemo-12B": ("Mistral-Nemo-Instruct-2407",),
        "OLMo-2-13B": ("OLMo-2-1124-13B-Instruct",),
        "Gemma-2-9B": ("gemma-2-9b-it",),
    }
)
"""What the instruction-tuned models of the paper are called on the Hub, without their owner."""


@dataclass(frozen=True)
class PublishedValue:
    """One number of the paper."""

    model: str
    """The model, by the paper's name."""
    experiment: str
    """The experiment it belongs to, by the name of the house."""
    metric: str
    """Which estimate of that experiment it is comparable with."""
    part: str
    """The prompt template, or the control task; empty for the main task."""
    items: str
    """``all``, or ``right``: those that the model gets right."""
    method: str
    """Kind of probe or of ablation; empty elsewhere."""
    site: str
    """Empty where it is not of a site."""
    layer: int | None
    """Counted from 0; the centre of the window."""
    span: int | None
    """Layers edited together."""
    value: float
    precision: float
    """How far the number may be off: half its last digit, or how well a figure can be read."""
    unlike: str
    """In what it was come by otherwise than here; empty where in nothing known."""


def paper_name(model: str) -> str | None:
    """The paper's name of a model, from a Hub id or a folder; None for a model it does not have.

    Args:
        model: Such as ``meta-llama/Llama-3.2-1B-Instruct``.

    Examples:
        >>> paper_name("google/gemma-2-9b-it")
        'Gemma-2-9B'
    """
    last = model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    for name, hub_names in _HUB_NAMES.items():
        if last in map(str.lower, hub_names):
            return name
    return None


@cache
def _all_values() -> tuple[PublishedValue, ...]:
    text = resources.files("affectscope.published").joinpath("tak2025.csv").read_text("utf-8")
    return tuple(
        PublishedValue(
            model=row["model"],
            experiment=row["experiment"],
            metric=row["metric"],
            part=row["part"],
            items=row["items"],
            method=row["method"],
            site=row["site"],
            layer=_number(row["layer"]),
            span=_number(row["span"]),
            value=float(row["value"]),
            precision=float(row["precision"]),
            unlike=row["unlike"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def _number(text: str) -> int | None:
    return int(text) if text else None


def published_values(model: str | None = None) -> tuple[PublishedValue, ...]:
    """The paper's numbers, of all its models or of one.

    Args:
        model: A Hub id or folder (see :func:`paper_name`), or the paper's own name; nothing is
            found for a model that the paper does not have.
    """
    if model is None:
        return _all_values()
    name = paper_name(model) or model
    return tuple(each for each in _all_values() if each.model == name)
