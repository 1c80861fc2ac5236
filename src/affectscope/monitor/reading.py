"""Texts that are there already, read as they would have been while they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affectscope.engine import Prompt, common_prefix_length
from affectscope.engine.batching import Ids
from affectscope.errors import PromptError
from affectscope.models import LanguageModel
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.states import follow_states


@dataclass(frozen=True)
class Placed:
    """A text among its tokens' context."""

    ids: Ids
    """Token ids of context and text."""
    start: int
    """Where the text begins."""

    @property
    def first(self) -> int:
        """The first token that is read.

        A sequence's own first token has no state before it. The second is not read either where
        nothing comes before the text: a first token's state is an attention sink, which is the
        same whatever it says (Xiao et al. 2024, ICLR).
        """
        return self.start or min(2, len(self.ids))

    @property
    def tokens(self) -> Ids:
        """The tokens that are read."""
        return self.ids[self.first :]


def place(lm: LanguageModel, text: Prompt, context: Prompt | None) -> Placed:
    """A text after its context, as token ids.

    Args:
        lm: The model.
        text: Text or token ids.
        context: What comes before it, of the same sort; None for nothing.

    Raises:
        PromptError: Nothing to read, or text where token ids are.
    """
    if context is None or not len(context):
        placed = Placed(lm.encode([text])[0], 0)
    elif isinstance(text, str) and isinstance(context, str):
        # Encoded together, since some tokenizers put a space before a text that stands alone; a
        # token that reaches over the boundary belongs to the text.
        before, whole = lm.encode([context, context + text])
        placed = Placed(whole, common_prefix_length([before, whole], 0))
    elif isinstance(text, str) or isinstance(context, str):
        raise PromptError(
            "a text and its context, one of them given as token ids",
            expected="both as text, or both as token ids",
        )
    else:
        placed = Placed(lm.encode([(*context, *text)])[0], len(context))
    if placed.start >= len(placed.ids):
        raise PromptError(
            "a turn without tokens cannot be read",
            expected="at least one token of text",
            remedy="leave empty turns out",
        )
    return placed


def read_placed(
    lm: LanguageModel, probes: MonitorProbes, placed: Sequence[Placed]
) -> list[NDArray[np.float32]]:
    """What the probes read of each text, in one pass over it.

    Returns:
        ``[token, label+appraisal]`` for every text: a row for every token of
        :attr:`Placed.tokens`, of the state before it, and one for the state after the last.
    """
    found: dict[int, NDArray[np.float32]] = {}
    readout = probes.readout

    def take(index: int, _layer: int, states: Tensor) -> None:
        wanted = states[placed[index].first - 1 :].float()
        weights, bias = readout.weights.to(states.device), readout.bias
        assert bias is not None
        read = torch.nn.functional.linear(wanted, weights, bias.to(states.device))
        found[index] = read.cpu().numpy()

    follow_states(lm.reader, [one.ids for one in placed], (probes.layer,), take)
    return [found[index] for index in range(len(placed))]
