"""The residual stream at every token of texts that are there already, in one pass.

:meth:`affectscope.models.LanguageModel.capture` reads the same few positions of every prompt; here
each text's tokens are handed out whole, so that what is kept of them is the taker's business. The
pass ends at the last layer that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine import PromptReader
from affectscope.engine.batching import Ids, longest_first, padded
from affectscope.engine.budget import in_portions
from affectscope.vocabulary import Site

SITE: Site = "resid_post"
"""Where the monitor reads: the residual stream after a block."""

Take = Callable[[int, int, Float[Tensor, "token d_model"]], None]
"""Gets the index of a text, a layer, and the states of all the text's tokens there."""


class _Enough(Exception):  # noqa: N818 - it is no error
    """The last layer that is asked for has been seen."""


@torch.no_grad()
def follow_states(
    reader: PromptReader, encoded: Sequence[Ids], layers: Sequence[int], take: Take
) -> None:
    """Run texts through the model and hand out their states.

    Args:
        reader: The model.
        encoded: Token ids of every text.
        layers: Which blocks, from 0.
        take: Called once for every text and layer; again for a text whose pass ran out of memory.

    Raises:
        LayerError: For a layer that the model does not have.
    """
    order = longest_first(encoded)

    def work(portion: range) -> None:
        rows = [order[k] for k in portion]
        batch = padded([encoded[row] for row in rows], reader.access.device)

        def hook_at(layer: int) -> Callable[[Tensor], None]:
            def hook(activation: Tensor) -> None:
                for k, row in enumerate(rows):
                    take(row, layer, activation[k, : len(encoded[row])])
                if layer == max(layers):
                    raise _Enough

            return hook

        hooks = {(layer, SITE): hook_at(layer) for layer in layers}
        with reader.access.hooks(hooks), suppress(_Enough):
            reader.access.backbone(input_ids=batch.ids, use_cache=False)

    def most(start: int) -> int:
        return reader.most_sequences([encoded[index] for index in order[start:]])

    in_portions(reader.budget, len(encoded), most, work)
