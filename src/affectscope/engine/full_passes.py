"""Interventions as full forward passes: for edits of all tokens, and for models that need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from affectscope.engine.applying import Application, Hits, add_hits, edit_hooks
from affectscope.engine.batching import Ids
from affectscope.engine.budget import in_portions
from affectscope.engine.interventions import ActivationEdit, Intervention, Where
from affectscope.engine.knockout import BlockAttention
from affectscope.engine.masking import MaskedRow, masking
from affectscope.engine.reading import PromptReader


@torch.no_grad()
def score_full_passes(
    reader: PromptReader,
    encoded: Sequence[Ids],
    interventions: Sequence[tuple[int, Intervention]],
    *,
    label_ids: Sequence[int],
    logits: Tensor,
    hits: Hits,
) -> None:
    """Run every prompt under every intervention as a whole sequence of its own.

    Args:
        reader: The model.
        encoded: Token ids of every prompt.
        interventions: With their index in the call.
        label_ids: Token ids to score.
        logits: Takes the scores, ``[prompt, intervention, label]``.
        hits: Counts the edits.
    """
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]))
    pairs = [(prompt, item) for prompt in order for item in interventions]

    def work(portion: range) -> None:
        members = pairs[portion.start : portion.stop]
        sequences = [encoded[prompt] for prompt, _ in members]
        counted: Hits = {}
        hooks = edit_hooks(list(_applications(members, encoded)), counted)
        masked = _masked_rows(members, encoded)
        with reader.access.hooks(hooks, editing=True), masking(reader.access, masked, counted):
            states = reader.side_by_side(sequences)
        rows = torch.tensor([prompt for prompt, _ in members])
        columns = torch.tensor([i for _, (i, _) in members])
        logits[rows, columns] = reader.access.unembed(states, label_ids).cpu()
        add_hits(hits, counted)

    def most(start: int) -> int:
        return reader.most_sequences([encoded[prompt] for prompt, _ in pairs[start:]])

    in_portions(reader.budget, len(pairs), most, work)


def _applications(
    members: Sequence[tuple[int, tuple[int, Intervention]]], encoded: Sequence[Ids]
) -> Iterator[Application]:
    for row, (prompt, (i, intervention)) in enumerate(members):
        length = len(encoded[prompt])
        for j, edit in enumerate(intervention.edits):
            if not isinstance(edit, ActivationEdit):
                continue
            tokens = (
                torch.arange(length)
                if edit.position == "all"
                else torch.tensor([length + edit.position])
            )
            where = Where(torch.full_like(tokens, prompt), tokens, encoded)
            yield Application(edit, (i, j), (row, tokens), where)


def _masked_rows(
    members: Sequence[tuple[int, tuple[int, Intervention]]], encoded: Sequence[Ids]
) -> dict[int, list[MaskedRow]]:
    """The knock-outs of attention, by layer."""
    rows: dict[int, list[MaskedRow]] = {}
    for row, (prompt, (i, intervention)) in enumerate(members):
        length = len(encoded[prompt])
        for j, edit in enumerate(intervention.edits):
            if isinstance(edit, BlockAttention):
                token, blocked = length + int(edit.position), edit.blocked(prompt, length)
                heads = None if edit.heads is None else tuple(edit.heads)
                masked = MaskedRow((i, j), row, token, blocked, heads)
                rows.setdefault(edit.layer, []).append(masked)
    return rows
