"""Counterfactuals that put given activations in place of the model's own, and their scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine import Intervention
from affectscope.models import LanguageModel
from affectscope.vocabulary import Site

MOST_AT_ONCE = 400
"""Interventions in one call."""

SIBLING = 0.8
"""Cost of one more query position of a prompt that is read, in token positions: measured on
SmolLM2-135M. It joins at its layer, half way up on average."""

Place = tuple[Site, tuple[int, ...], int]
"""What is replaced: site, layers, and position."""


def place(site: Site, layers: Sequence[int], position: int = -1) -> Place:
    """What a window of replaced activations comes to.

    A value put in place of the last token's residual stream overwrites all that came before it, and
    no later token sees what was there: of a window at ``resid_post`` only the last layer counts.

    Examples:
        >>> place("attn_out", [3, 4, 5])
        ('attn_out', (3, 4, 5), -1)
        >>> place("resid_post", [3, 4, 5])
        ('resid_post', (5,), -1)
        >>> place("resid_post", [3, 4, 5], -2)
        ('resid_post', (3, 4, 5), -2)
    """
    overwritten = site == "resid_post" and position == -1
    return site, tuple(layers[-1:] if overwritten else layers), position


def sweep_logits(
    lm: LanguageModel,
    prompts: Sequence[str],
    interventions: Sequence[Intervention],
    label_ids: Sequence[int],
) -> Float[Tensor, "prompt intervention label"]:
    """Label logits under each intervention, a limited number of them at a time."""
    return torch.cat(
        [
            lm.intervene(
                prompts, interventions[start : start + MOST_AT_ONCE], label_ids=label_ids
            ).logits
            for start in range(0, len(interventions), MOST_AT_ONCE)
        ],
        dim=1,
    )
