"""How many tokens a model takes before a token's position is encoded in another way.

Two kinds of rotary embedding look at the length of the whole pass: ``longrope`` (Phi-3) takes
other frequencies for every token once a pass is longer than the length of the pretraining, and
``dynamic`` stretches them with each further token. The score of a prompt would then depend on the
longest prompt of its batch, and the keys of a shared prefix on what follows. Below that length
both are constant, as all other kinds are always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedConfig


def constant_context(config: PreTrainedConfig) -> int | None:
    """Most tokens of a prompt whose scores do not depend on the rest of a batch.

    It is the length that the model was built for, which learned positions cannot exceed, or less
    where the rotary embedding changes earlier.

    Args:
        config: A model's configuration.

    Returns:
        The number of tokens; None where the configuration names no length.
    """
    text = config.get_text_config()
    # GPT-2 says `n_positions`, which its configuration answers to by this name too
    built_for = getattr(text, "max_position_embeddings", None)
    lengths = [built_for, *(_pretrained_length(rotary) for rotary in _rotaries(text))]
    return min((int(length) for length in lengths if length is not None), default=None)


def _rotaries(config: PreTrainedConfig) -> Iterator[Mapping[str, Any]]:
    """The parameters of each rotary embedding: one for all layers, or one for a kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, Mapping)]
    yield from nested or [parameters]


def _pretrained_length(rotary: Mapping[str, Any]) -> int | None:
    """Where ``longrope`` changes; ``dynamic`` does at the length that the model was built for."""
    if rotary.get("rope_type") != "longrope":
        return None
    return rotary.get("original_max_position_embeddings")
