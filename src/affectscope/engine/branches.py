"""Steps 2 and 3 of the sweep: branches of a clean pass, run side by side from where they start.

An intervention whose earliest edited token is the m-th from the end is a *chain*: those last m
tokens once more (one token, for an edit at the last). All chains of a prompt go through the blocks
side by side; :mod:`affectscope.engine.attention` keeps them apart. A chain joins the others at the
block where it first differs from the clean pass (:mod:`affectscope.engine.starts`), with the clean
residual stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from affectscope.engine.access import ModelAccess
from affectscope.engine.applying import Application, Hits, edit_hooks
from affectscope.engine.attention import Branches, attending_to_branches, require_seen
from affectscope.engine.batching import Ids
from affectscope.engine.interventions import ActivationEdit, Edit, Where
from affectscope.engine.knockout import Block, BlockAttention, blocks_by_layer, in_branch_order
from affectscope.engine.notes import BlockCall
from affectscope.engine.reading import CleanPass
from affectscope.engine.starts import Start


@dataclass(frozen=True)
class Chain:
    """An intervention as the chains that carry it out."""

    index: int
    """Of the intervention in the call."""
    start: Start


@dataclass(frozen=True)
class BranchPass:
    """Chains of some prompts of a clean pass, all of one length.

    Args:
        clean: The clean pass.
        members: Row in the clean pass and index in the call, for every prompt.
        encoded: Token ids of every prompt of the call.
        chains: One for every intervention, by the layer where they start.
        length: Tokens in each chain.
    """

    clean: CleanPass
    members: Sequence[tuple[int, int]]
    encoded: Sequence[Ids]
    chains: Sequence[Chain]
    length: int
    _places: dict[int, Where] = field(default_factory=dict, init=False)

    def run(self, access: ModelAccess, hits: Hits) -> Float[Tensor, "prompt chain d_model"]:
        """Normalised hidden states of every chain's last token."""
        branches = self._branches(hits)
        first = self.chains[0].start.layer
        stream = self._joining(first, hits)
        with (
            torch.no_grad(),
            attending_to_branches(access.model),
            access.hooks(edit_hooks(list(self._applications()), hits), editing=True),
        ):
            for layer in range(first, access.n_layers):
                call = self.clean.calls[layer]
                stream = _run_block(
                    access.blocks[layer], stream, self._options(call, stream, branches)
                )
                require_seen(layer, branches.layers_seen)
                new = self._joining(layer + 1, hits).to(stream.device)
                stream = torch.cat([stream, new], dim=1) if new.shape[1] else stream
            ends = stream[:, self.length - 1 :: self.length]
            final: Tensor = access.final_norm(ends)
        for chain in self.chains:
            for j in chain.start.overwritten:
                hits[chain.index, j] = hits.get((chain.index, j), 0) + len(self.members)
        return final

    @property
    def _rows(self) -> slice | Tensor:
        """The prompts' rows in the clean pass; a slice where that avoids a copy."""
        rows = [row for row, _ in self.members]
        if rows == list(range(rows[0], rows[0] + len(rows))):
            return slice(rows[0], rows[0] + len(rows))
        return torch.tensor(rows)

    def _pick(self, tensor: Tensor) -> Tensor:
        rows = self._rows
        return tensor[rows if isinstance(rows, slice) else rows.to(tensor.device)]

    def _branches(self, hits: Hits) -> Branches:
        ends = self.clean.prefix.n_tokens + self._pick(self.clean.batch.lengths)
        n_past = tuple((ends - self.length).tolist())
        return Branches(
            prefix=self.clean.prefix.keys_values,
            keys_values=[
                (self._pick(keys), self._pick(values)) for keys, values in self.clean.keys_values
            ],
            n_past=n_past,
            chain=self.length,
            blocks=blocks_by_layer(list(self._blocks(n_past))),
            hits=hits,
        )

    def _blocks(self, n_past: Sequence[int]) -> Iterator[tuple[int, Block]]:
        """The knock-outs of attention, each with its layer."""
        known: dict[int, Tensor] = {}  # the layers of a window have the same tokens blocked
        for number, chain in enumerate(self.chains):
            for j, edit in chain.start.later:
                if not isinstance(edit, BlockAttention):
                    continue
                if id(edit.tokens) not in known:
                    blocked = [
                        edit.blocked(index, len(self.encoded[index])) for _, index in self.members
                    ]
                    known[id(edit.tokens)] = in_branch_order(blocked, n_past, self.length)
                heads = None if edit.heads is None else tuple(edit.heads)
                yield (
                    edit.layer,
                    Block(
                        (chain.index, j),
                        number,
                        self.length + int(edit.position),
                        known[id(edit.tokens)],
                        heads,
                    ),
                )

    def _joining(self, layer: int, hits: Hits) -> Float[Tensor, "prompt row d_model"]:
        """The residual stream into a block, of the chains that start there."""
        starting = [chain for chain in self.chains if chain.start.layer == layer]
        clean = self._pick(self.clean.streams[layer])[:, -self.length :]
        states = clean[:, None].repeat(1, len(starting), 1, 1)
        for column, chain in enumerate(starting):
            self._edit_on_joining(states[:, column], chain, hits)
        return states.flatten(1, 2)

    def _edit_on_joining(
        self, states: Float[Tensor, "prompt token d_model"], chain: Chain, hits: Hits
    ) -> None:
        """Apply, in place, the edits of the block before the one where a chain starts."""
        added: dict[int, Tensor] = {}  # what the MLP adds at a position, by now
        for j, edit in chain.start.joining:
            position, where = int(edit.position), self._where(edit)
            state = states[:, position]
            if edit.site == "mlp_out":
                if edit.layer not in self.clean.mlp_out:
                    continue  # the model does not call that MLP, and the edit never fires
                clean = self._pick(self.clean.mlp_out[edit.layer])[:, position]
                old = added.get(position, clean)
                added[position] = edit.apply(old, where)
                change = added[position].float() - old.float()
                new = (state.float() + change.to(state.device)).to(state.dtype)
            else:
                new = edit.apply(state, where)
            states[:, position] = new
            hits[chain.index, j] = hits.get((chain.index, j), 0) + len(self.members)

    def _options(self, call: BlockCall, stream: Tensor, branches: Branches) -> dict[str, Any]:
        options: dict[str, Any] = {**call.options, "branches": branches, "attention_mask": None}
        if call.positions:
            n_chains = stream.shape[1] // self.length
            options["position_embeddings"] = tuple(
                self._pick(tensor)[:, -self.length :].repeat(1, n_chains, 1)
                if self.length > 1
                else self._pick(tensor)[:, -1:]
                for tensor in call.positions
            )
        return options

    def _applications(self) -> Iterator[Application]:
        for number, chain in enumerate(self.chains):
            for j, edit in chain.start.later:
                if not isinstance(edit, ActivationEdit):
                    continue
                column = (number + 1) * self.length + int(edit.position)
                yield Application(edit, (chain.index, j), (slice(None), column), self._where(edit))

    def _where(self, edit: Edit) -> Where:
        """Which prompts and tokens an edit of every member changes."""
        position = int(edit.position)
        if position not in self._places:
            prompts = torch.tensor([index for _, index in self.members])
            lengths = torch.tensor([len(self.encoded[index]) for _, index in self.members])
            self._places[position] = Where(prompts, lengths + position, self.encoded)
        return self._places[position]


def _run_block(block: nn.Module, stream: Tensor, options: dict[str, Any]) -> Tensor:
    output = block(stream, **options)
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result
