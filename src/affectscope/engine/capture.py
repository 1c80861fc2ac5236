"""Reading activations at chosen layers, sites and positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine.batching import Batch, Ids, longest_first
from affectscope.engine.budget import in_portions
from affectscope.engine.reading import PromptReader
from affectscope.errors import PromptError
from affectscope.vocabulary import Site


@dataclass(frozen=True)
class States:
    """Captured activations.

    The axes of ``tensor`` are named by the other fields.
    """

    tensor: Float[Tensor, "prompt layer site position d_model"]
    """Activations in float32, on the CPU."""
    final: Float[Tensor, "prompt d_model"]
    """The last token's hidden state after the final norm: what the unembedding sees."""
    layers: tuple[int, ...]
    sites: tuple[Site, ...]
    positions: tuple[int, ...]

    def at(self, site: Site, layer: int, position: int = -1) -> Float[Tensor, "prompt d_model"]:
        """The activations of one site, layer and position."""
        return self.tensor[
            :, self.layers.index(layer), self.sites.index(site), self.positions.index(position)
        ]


def check_positions(encoded: Sequence[Ids], positions: Sequence[int]) -> None:
    """Raise :class:`PromptError` when a position lies outside some prompt."""
    if not positions:
        raise PromptError(
            "no positions were given",
            expected="at least one, such as -1 for the last token",
            remedy="leave positions out to get the last token",
        )
    shortest = min(range(len(encoded)), key=lambda index: len(encoded[index]))
    for position in positions:
        if not -len(encoded[shortest]) <= position <= -1:
            raise PromptError(
                f"position {position} lies outside prompt {shortest}",
                expected=f"a position from -{len(encoded[shortest])} to -1, as that prompt has "
                f"{len(encoded[shortest])} tokens",
                remedy="ask for a position nearer to the end, or leave the short prompt out",
            )


@torch.no_grad()
def capture(
    reader: PromptReader,
    encoded: Sequence[Ids],
    *,
    sites: Sequence[Site],
    layers: Sequence[int],
    positions: Sequence[int] = (-1,),
) -> States:
    """Activations of every prompt at the given places.

    Args:
        reader: The model.
        encoded: Token ids of every prompt.
        sites: Which activations.
        layers: Which blocks, from 0.
        positions: Which tokens, counted from the end.

    Raises:
        PromptError: For a position outside a prompt.
        LayerError: For a layer the model does not have.
        InterventionError: For a site that does not exist.
        ModelError: When memory runs out with a single prompt.
    """
    check_positions(encoded, positions)
    access = reader.access
    for site in sites:
        access.check_site(site)
    prefix = reader.prefix(encoded, keep=max(-position for position in positions))
    shape = (len(encoded), len(layers), len(sites), len(positions), access.d_model)
    tensor = torch.empty(shape, dtype=torch.float32)
    final = torch.empty((len(encoded), access.d_model), dtype=torch.float32)

    order = longest_first(encoded)

    def read(places: range) -> None:
        portion = order[places.start : places.stop]
        ends = torch.tensor([len(encoded[row]) for row in portion]) - prefix.n_tokens
        columns = ends[:, None] + torch.tensor(list(positions))
        prompts = [encoded[row] for row in portion]
        batch = reader.batch(prompts, prefix)
        functions = {
            (layer, site): _store(tensor[:, i, j], torch.tensor(portion), batch, columns)
            for i, layer in enumerate(layers)
            for j, site in enumerate(sites)
        }
        with access.hooks(functions):
            clean = reader.clean_pass(prompts, prefix, keep=0, anew=True)
        final[portion] = clean.hidden.float().cpu()

    def most(start: int) -> int:
        return reader.most_prompts([encoded[row] for row in order[start:]], prefix)

    in_portions(reader.budget, len(encoded), most, read)
    return States(tensor, final, tuple(layers), tuple(sites), tuple(positions))


def _store(target: Tensor, rows: Tensor, batch: Batch, columns: Tensor) -> Callable[[Tensor], None]:
    def store(activation: Tensor) -> None:
        target[rows] = batch.at(activation, columns).float().cpu()

    return store
