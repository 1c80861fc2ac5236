"""Free generation: ordinary decoding, with vectors added and probes read on the way.

Prompts of a batch are padded on the left, go through the model once, and then token by token over
the kept keys and values, by the model's own ``generate``. Here is only what that does not do: a
vector of its own for each row (:mod:`affectscope.engine.steering`), draws that depend on a row's
seed and not on the batch, and readouts of the state that every token is written from.

A draw needs one uniform number: the tokens' probabilities, largest first, are laid end to end, and
the token is the one that the number falls on. The numbers of a row come from a generator of its
own, ``numpy.random.default_rng(seed)``, so that a text does not change with what is written beside
it (but for rounding, which can turn a near-tie).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
)
from transformers.generation.streamers import BaseStreamer

from affectscope.engine.batching import Ids
from affectscope.engine.budget import in_portions
from affectscope.engine.reading import PromptReader
from affectscope.engine.readouts import Readout
from affectscope.engine.steering import RowSteering, SteeredTokens
from affectscope.errors import UsageError
from affectscope.vectors import SteeringVector
from affectscope.vocabulary import Site

OnTokens = Callable[[int, int], None]
"""Told the index of a prompt and the token just written after it."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Raises:
        UsageError: A temperature or a share outside its range.
    """

    temperature: float = 0.0
    """Divides the logits before a draw; 0 takes the most probable token."""
    top_k: int = 50
    """Draw among so many of the most probable tokens; 0 for all (Fan et al. 2018)."""
    top_p: float = 1.0
    """And among the fewest of them that hold this share (Holtzman et al. 2020)."""
    max_new_tokens: int = 60
    """Tokens written at most."""
    min_new_tokens: int = 0
    """Tokens written before the text may end."""

    def __post_init__(self) -> None:
        checks = (
            ("temperature", 0 <= self.temperature < np.inf, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("min_new_tokens", 0 <= self.min_new_tokens <= self.max_new_tokens, "0 to the most"),
        )
        for name, right, expected in checks:
            if not right:
                raise UsageError(
                    f"{name} cannot be {getattr(self, name)!r}",
                    expected=expected,
                    remedy="leave it out for the default",
                )


@dataclass(frozen=True)
class Written:
    """What was written after one prompt."""

    tokens: Ids
    """The new tokens, without the one that ended the text."""
    ended: bool
    """Whether the model ended the text itself."""
    readouts: tuple[Float[Tensor, "token target"], ...] = ()
    """For every readout, what it read of the state that each token was written from; the last row
    is of the state that ended the text, where the model ended it."""


@torch.no_grad()
def write(
    reader: PromptReader,
    encoded: Sequence[Ids],
    *,
    sampling: Sampling,
    seeds: Sequence[Sequence[int]],
    stop_ids: Sequence[int],
    steering: Sequence[Sequence[SteeringVector]],
    steered: SteeredTokens = "generated",
    readouts: Sequence[Readout] = (),
    on_token: OnTokens | None = None,
) -> list[Written]:
    """Let the model go on after each prompt.

    Args:
        reader: The model. One that is read by plain full passes writes one text at a time.
        encoded: Token ids of every prompt.
        sampling: How tokens are chosen.
        seeds: Seed of every prompt's draws, as ``numpy.random.default_rng`` takes it.
        stop_ids: Tokens that end a text.
        steering: The vectors of every prompt.
        steered: Which tokens they are added to.
        readouts: What to read of the states that tokens are written from.
        on_token: Called as tokens are written.
    """
    order = sorted(range(len(encoded)), key=lambda index: -len(encoded[index]))
    written: dict[int, Written] = {}

    def most(start: int) -> int:
        longest = len(encoded[order[start]]) + sampling.max_new_tokens
        return (
            1 if reader.plain else reader.budget.rows(reader.access, tokens=longest, keys=longest)
        )

    def work(portion: range) -> None:
        rows = [order[k] for k in portion]
        batch = _Batch(reader, [encoded[row] for row in rows], sampling, stop_ids)
        found = batch.write(
            [seeds[row] for row in rows],
            RowSteering([steering[row] for row in rows]),
            steered,
            readouts,
            None if on_token is None else lambda row, token: on_token(rows[row], token),
        )
        written.update(zip(rows, found, strict=True))

    in_portions(reader.budget, len(encoded), most, work)
    return [written[index] for index in range(len(encoded))]


@dataclass(frozen=True)
class _Batch:
    """Prompts that are gone on with together."""

    reader: PromptReader
    encoded: Sequence[Ids]
    sampling: Sampling
    stop_ids: Sequence[int]

    @property
    def width(self) -> int:
        return max(map(len, self.encoded))

    def write(
        self,
        seeds: Sequence[Sequence[int]],
        steering: RowSteering,
        steered: SteeredTokens,
        readouts: Sequence[Readout],
        on_token: OnTokens | None,
    ) -> list[Written]:
        access, width = self.reader.access, self.width
        pad = self.stop_ids[0] if self.stop_ids else 0
        ids = torch.tensor([[*[pad] * (width - len(one)), *one] for one in self.encoded])
        lengths = torch.tensor([len(one) for one in self.encoded])
        real = torch.arange(width) >= width - lengths[:, None]
        model: Any = access.model
        assert isinstance(model, PreTrainedModel)
        reading = _Reading(readouts)
        with steering.on(access, _Tokens(steered, width)), access.hooks(reading.hooks()):
            output = model.generate(
                ids.to(access.device),
                attention_mask=real.long().to(access.device),
                generation_config=self._configuration(pad),
                logits_processor=self._choosing(seeds),
                streamer=None if on_token is None else _Streamer(on_token, self.stop_ids),
            )
        return [
            self._written(row, output[row, width:].tolist(), reading) for row in range(len(lengths))
        ]

    def _configuration(self, pad: int) -> GenerationConfig:
        """Nothing of what comes with the model's files: how it decodes is said here alone."""
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=self.sampling.max_new_tokens,
            min_new_tokens=self.sampling.min_new_tokens or None,
            eos_token_id=list(self.stop_ids) or None,
            pad_token_id=pad,
        )

    def _choosing(self, seeds: Sequence[Sequence[int]]) -> LogitsProcessorList:
        drawing = self.sampling.temperature > 0
        return LogitsProcessorList([_Draw(self.sampling, seeds) if drawing else _InFloat32()])

    def _written(self, row: int, tokens: list[int], reading: _Reading) -> Written:
        end = next((k for k, token in enumerate(tokens) if token in self.stop_ids), None)
        n = len(tokens) if end is None else end
        states = n if end is None else end + 1
        return Written(
            tuple(tokens[:n]), end is not None, tuple(read[row, :states] for read in reading.taken)
        )


class _Tokens:
    """Which tokens of a pass are steered: the first pass at a place holds the prompt."""

    def __init__(self, steered: SteeredTokens, width: int) -> None:
        self._steered, self._width = steered, width
        self._begun: set[tuple[int, Site]] = set()

    def __call__(self, place: tuple[int, Site], activation: Tensor) -> Tensor | None:
        rows, tokens = activation.shape[:2]
        if place in self._begun:
            assert tokens == 1, "after the prompt, tokens go through one by one"
            return None if self._steered != "last" else torch.zeros(rows, 1, dtype=torch.bool)
        self._begun.add(place)
        assert tokens == self._width, "the prompt goes through whole"
        if self._steered == "all":
            return None
        return (torch.arange(tokens) == tokens - 1).expand(rows, tokens)


class _Reading:
    """Takes what readouts read at the last token of every pass."""

    def __init__(self, readouts: Sequence[Readout]) -> None:
        self._readouts = readouts
        self._steps: list[list[Tensor]] = [[] for _ in readouts]

    def hooks(self) -> dict[tuple[int, Site], Callable[[Tensor], None]]:
        places: dict[tuple[int, Site], list[int]] = {}
        for index, readout in enumerate(self._readouts):
            places.setdefault((readout.layer, readout.site), []).append(index)

        def hook_at(here: list[int]) -> Callable[[Tensor], None]:
            known: dict[torch.device, list[tuple[Tensor, Tensor | None]]] = {}

            def hook(activation: Tensor) -> None:
                device = activation.device
                if device not in known:
                    known[device] = [_on(self._readouts[index], device) for index in here]
                state = activation[:, -1].float()
                for index, (weights, bias) in zip(here, known[device], strict=True):
                    self._steps[index].append(torch.nn.functional.linear(state, weights, bias))

            return hook

        return {place: hook_at(here) for place, here in places.items()}

    @property
    def taken(self) -> list[Float[Tensor, "row step target"]]:
        return [torch.stack(steps, dim=1).cpu() for steps in self._steps]


def _on(readout: Readout, device: torch.device) -> tuple[Tensor, Tensor | None]:
    bias = None if readout.bias is None else readout.bias.to(device).float()
    return readout.weights.to(device).float(), bias


class _InFloat32(LogitsProcessor):
    """Logits in float32, so that 16 bits do not tie tokens."""

    def __call__(
        self, input_ids: Int[Tensor, "row token"], scores: Float[Tensor, "row vocabulary"]
    ) -> Float[Tensor, "row vocabulary"]:
        return scores.float()


class _Draw(LogitsProcessor):
    """Leaves the token that is drawn, and no other."""

    def __init__(self, sampling: Sampling, seeds: Sequence[Sequence[int]]) -> None:
        self._sampling = sampling
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def __call__(
        self, input_ids: Int[Tensor, "row token"], scores: Float[Tensor, "row vocabulary"]
    ) -> Float[Tensor, "row vocabulary"]:
        numbers = [generator.random() for generator in self._generators]
        tokens = drawn(scores, numbers, self._sampling)
        return torch.full_like(scores, -torch.inf).scatter(-1, tokens[:, None], 0.0)


def drawn(
    logits: Float[Tensor, "row vocabulary"], numbers: Sequence[float], sampling: Sampling
) -> Int[Tensor, " row"]:
    """The token that each row's number, from 0 to 1, falls on."""
    n = logits.shape[-1]
    k = min(sampling.top_k or n, n)
    largest, tokens = (logits.float() / sampling.temperature).topk(k)
    shares = largest.double().softmax(dim=-1)
    before = shares.cumsum(dim=-1) - shares
    shares = shares.where(before < sampling.top_p, 0.0)
    reached = shares.cumsum(dim=-1)
    u = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None]
    column = torch.searchsorted(reached, u * reached[:, -1:], right=True)
    column = column.clamp(max=(shares > 0).sum(dim=-1, keepdim=True) - 1)
    return tokens.gather(-1, column)[:, 0]


class _Streamer(BaseStreamer):
    """Hands tokens on as they are written; of each row none after its end."""

    def __init__(self, on_token: OnTokens, stop_ids: Sequence[int]) -> None:
        self._on_token, self._stop_ids = on_token, set(stop_ids)
        self._ended: set[int] = set()
        self._prompt_seen = False

    def put(self, value: Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for row, token in enumerate(value.flatten().tolist()):
            if row in self._ended:
                continue
            if token in self._stop_ids:
                self._ended.add(row)
            else:
                self._on_token(row, token)

    def end(self) -> None:
        pass
