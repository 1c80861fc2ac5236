"""What ``patch`` puts in place of what: site, window of layers, token, and in which direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from affectscope.analyses.replacing import Place, place
from affectscope.analyses.windows import window
from affectscope.engine import Intervention, Replace, States
from affectscope.vocabulary import SITES, Site, head_of, head_site

Direction = Literal["sufficient", "necessary"]
"""``sufficient``: the source's activations in the target's pass: do they bring the source's answer?
``necessary``: the target's activations in the source's pass: does it lose its own answer?"""


@dataclass(frozen=True)
class Condition:
    """One patch."""

    site: Site
    layer: int
    """The window's centre."""
    span: int
    """Layers in the window."""
    position: int = -1
    direction: Direction = "sufficient"

    def place(self, n_layers: int) -> Place:
        """What is replaced: two conditions with the same place are the same counterfactual."""
        return place(self.site, window(self.layer, self.span, n_layers), self.position)


@dataclass(frozen=True)
class Plan:
    """All patches of every pair.

    Args:
        n_layers: Layers of the model.
        n_heads: Heads of a layer that are patched alone; 0 for none.
        span: Layers in a window of all but the comparison of spans.
        spans: Sizes of window that are compared.
        positions: Tokens counted from the end, the last among them.
    """

    n_layers: int
    n_heads: int
    span: int
    spans: tuple[int, ...]
    positions: tuple[int, ...]

    def _everywhere(
        self, span: int, position: int = -1, direction: Direction = "sufficient"
    ) -> list[Condition]:
        return [
            Condition(site, layer, span, position, direction)
            for site in SITES
            for layer in range(self.n_layers)
        ]

    @property
    def earlier(self) -> list[Condition]:
        """The main window at each token before the last."""
        return [
            one
            for position in self.positions
            if position != -1
            for one in self._everywhere(self.span, position)
        ]

    @property
    def at_last(self) -> list[Condition]:
        """Every size of window at the last token."""
        return [one for span in self.spans for one in self._everywhere(span)]

    @property
    def heads(self) -> list[Condition]:
        """Every head alone, at the last token."""
        return [
            Condition(head_site(head), layer, 1)
            for head in range(self.n_heads)
            for layer in range(self.n_layers)
        ]

    @property
    def necessary(self) -> list[Condition]:
        """The main window at the last token, the other way."""
        return self._everywhere(self.span, direction="necessary")

    def groups(self) -> list[list[Condition]]:
        """The conditions by call, those with the longest chains first.

        A clean pass that is kept for those serves all. Heads are apart, since an edit of a head
        costs every sibling in its call.
        """
        return [
            group for group in (self.earlier, self.at_last, self.heads, self.necessary) if group
        ]

    def different(self, conditions: Sequence[Condition]) -> dict[Place, Condition]:
        """One condition for each counterfactual."""
        return {one.place(self.n_layers): one for one in reversed(conditions)}

    def n_tokens(self) -> int:
        """Chained tokens of every pair, for time estimates."""
        return sum(-position for group in self.groups() for _, _, position in self.different(group))


def intervention(at: Place, values: States, heads: States | None) -> Intervention:
    """The patch of a place.

    Args:
        at: What is replaced.
        values: Activations at all :data:`SITES`, a row for each prompt.
        heads: Activations of single heads.
    """
    site, layers, position = at
    of = values if head_of(site) is None else heads
    assert of is not None, "heads are captured wherever they are patched"
    return Intervention(
        [
            Replace(site, layer, position=position, value=of.at(site, layer, position))
            for layer in layers
        ],
        name=f"{site} {layers} at {position}",
    )
