"""How much the experiments of a run do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes and choices of the experiments, each with the default of a run."""

    pairs: int = 200
    """Patching pairs."""
    span: int = 3
    """Layers in the main patching window."""
    spans: tuple[int, ...] = (1, 3, 5)
    """Sizes of window that knock-outs and patches are compared over."""
    heads: bool = True
    """Whether single heads are patched."""
    folds: int = 5
    """Folds of the probes."""
    probe_mlp: bool = True
    """Whether non-linear probes are fitted too."""
    ablate_items: int | None = None
    """Most items in the knock-outs; all when None."""
    attend_items: int = 200
    """Most items whose attention is read and knocked out."""
    control_items: int = 300
    """Most items of the control tasks."""
    control_pairs: int = 100
    """Patching pairs of the control task, and of the emotion task beside it."""
    robust_items: int = 200
    """Items that are put into every template."""
    robust_pairs: int = 60
    """Patching pairs under each template."""
    promote_items: int = 200
    surgery_items: int = 200
    """Most items that are operated on."""
    steer: Sequence[str] | None = None
    """Appraisals and emotions that writing is steered by; the paper's when None."""
    generate_prompts: int = 4
    """Prompts of each of four kinds that are written from."""
    generate_texts: int = 2
    """Texts for each prompt and setting."""
    generate_tokens: int = 32
    """Tokens written at most."""
    generate_random: int = 10
    """Random directions at each place and length."""
    set: str | None = None
    """Appraisals to move together beside the default settings, as a user writes them; several
    separated by semicolons."""
    hold: str | None = None
    """Appraisals that these hold; all others when None."""
    templates: Sequence[str] | None = None
    """Templates that the run's own is compared with; the paper's, and the chat format, when None.
    """
