"""Step 3 of the sweep, start late: where a chain leaves the clean pass.

Below its first edited layer a chain is the clean pass. When that layer's edits come after attention
(at ``mlp_out`` or ``resid_post``), not even that block has to be run again: what it adds is known
from the clean pass. And in a chain of one token, an edit that puts a fixed value in place of the
residual stream overwrites everything before it; no other token can have seen that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affectscope.engine.interventions import ActivationEdit, Edit, Intervention, Replace, Zero
from affectscope.engine.readouts import reads

_IN_BLOCK = {"mlp_out": 1, "resid_post": 2}
"""The sites after attention, in the order in which a block computes them."""


@dataclass(frozen=True)
class Start:
    """Where a chain joins the pass, and which of its edits happen when."""

    layer: int
    """The first block the chain goes through."""
    joining: tuple[tuple[int, ActivationEdit], ...]
    """Edits of the clean states of the block before, with their index in the intervention."""
    later: tuple[tuple[int, Edit], ...]
    """Edits on the way, with their index in the intervention."""
    overwritten: tuple[int, ...] = ()
    """Edits of which nothing is left, by their index in the intervention."""


def chain_length(intervention: Intervention) -> int | None:
    """How many last tokens an intervention can change; None when it edits all tokens."""
    positions = [edit.position for edit in intervention.edits]
    return None if "all" in positions else max(-int(position) for position in positions)


def start_of(intervention: Intervention) -> Start:
    """Where an intervention that does not edit all tokens joins the pass."""
    edits = list(enumerate(intervention.edits))
    overwritten: tuple[int, ...] = ()
    if chain_length(intervention) == 1:
        last = _last_overwriting(edits)
        before = [(j, edit) for j, edit in edits if _before((j, edit), last)]
        if not any(reads(edit) for _, edit in before):
            overwritten = tuple(j for j, _ in before)
        edits = [(j, edit) for j, edit in edits if j not in overwritten]
    layer = min(edit.layer for _, edit in edits)
    first = [(j, edit) for j, edit in edits if edit.layer == layer]
    after = [
        (j, edit)
        for j, edit in first
        if isinstance(edit, ActivationEdit) and edit.site in _IN_BLOCK
    ]
    if len(after) == len(first):
        after.sort(key=lambda item: _IN_BLOCK[item[1].site])
        later = tuple(item for item in edits if item not in first)
        return Start(layer + 1, tuple(after), later, overwritten)
    return Start(layer, (), tuple(edits), overwritten)


def _last_overwriting(edits: Sequence[tuple[int, Edit]]) -> tuple[int, Edit] | None:
    """The last edit, in order of computation, that puts a fixed value in the residual stream."""
    fixed = [
        (j, edit)
        for j, edit in edits
        if edit.site == "resid_post" and isinstance(edit, (Zero, Replace))
    ]
    return max(fixed, key=lambda item: (item[1].layer, item[0]), default=None)


def _before(item: tuple[int, Edit], last: tuple[int, Edit] | None) -> bool:
    """Whether an edit is overwritten by that one."""
    if last is None:
        return False
    (j, edit), (at, overwriting) = item, last
    if edit.layer != overwriting.layer:
        return edit.layer < overwriting.layer
    return edit.site != "resid_post" or j < at
