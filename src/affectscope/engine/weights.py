"""Reading attention: how much of a token's attention goes to each token it sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine.attention import attending_by
from affectscope.engine.batching import Ids, longest_first
from affectscope.engine.budget import in_portions
from affectscope.engine.capture import check_positions
from affectscope.engine.packing import Watch
from affectscope.engine.reading import PromptReader
from affectscope.errors import NotPossibleError


@dataclass(frozen=True)
class AttentionWeights:
    """What one token of every prompt attends to."""

    weights: tuple[Float[Tensor, "layer head _"], ...]
    """For every prompt ``[layer, head, token]``, float32 on the CPU; a row sums to 1.

    The tokens are all those of the prompt, from the first; what the attending token does not see
    (what follows it, and what lies outside a sliding window) has weight 0.
    """
    position: int
    """The attending token, counted from the end."""


@torch.no_grad()
def attention_weights(
    reader: PromptReader, encoded: Sequence[Ids], *, position: int = -1
) -> AttentionWeights:
    """Attention weights of a token of every prompt, in all layers and heads.

    They are taken where the clean pass computes them, after scaling, soft cap, mask and softmax.

    Args:
        reader: The model.
        encoded: Token ids of every prompt.
        position: The attending token, counted from the end.

    Raises:
        PromptError: For a position outside a prompt.
        ModelError: When memory runs out with a single prompt.
        NotPossibleError: A model on plain full passes that does not hand out its weights.
    """
    check_positions(encoded, [position])
    if reader.plain:
        return AttentionWeights(
            tuple(_plain_weights(reader, ids, position) for ids in encoded), position
        )
    prefix = reader.prefix(encoded, keep=-position)
    order = longest_first(encoded)
    found: dict[int, Tensor] = {}

    def read(places: range) -> None:
        portion = order[places.start : places.stop]
        watch = Watch(position)
        reader.clean_pass([encoded[row] for row in portion], prefix, keep=0, watch=watch)
        layers = torch.stack([watch.weights[layer] for layer in sorted(watch.weights)], dim=1)
        for prompt, row in enumerate(portion):
            found[row] = layers[prompt, :, :, : len(encoded[row])].clone()

    def most(start: int) -> int:
        return reader.most_prompts([encoded[row] for row in order[start:]], prefix)

    in_portions(reader.budget, len(encoded), most, read)
    return AttentionWeights(tuple(found[row] for row in range(len(encoded))), position)


def _plain_weights(
    reader: PromptReader, ids: Ids, position: int
) -> Float[Tensor, "layer head token"]:
    """The weights that the model itself hands out, of one prompt."""
    access = reader.access
    tokens = torch.tensor([list(ids)], device=access.device)
    with attending_by(access.model, "eager"):
        output = access.backbone(input_ids=tokens, use_cache=False, output_attentions=True)
    attentions = getattr(output, "attentions", None) or ()
    if len(attentions) != access.n_layers or any(layer is None for layer in attentions):
        raise NotPossibleError(
            f"{type(access.model).__name__} hands out attention weights of "
            f"{sum(layer is not None for layer in attentions)} of its {access.n_layers} layers",
            expected="weights of every layer",
            remedy="leave attention out for this model, which runs on plain full passes",
        )
    rows = [layer[0, :, position].float().cpu() for layer in attentions]
    return torch.stack(rows)
