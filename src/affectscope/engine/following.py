"""What a model makes of texts that are there already: how probable, and how steering changes that.

The texts go through the model as they are, each token told by those before it. ``log_likelihood``
is what a text is worth under the model; ``divergence`` compares the distributions over the next
token with and without vectors added, at every token,

    KL(p || q) = sum over the vocabulary of p (log p - log q),

p without and q with the vectors: how much of the model's knowledge of the text an intervention
costs, whatever it is good for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from affectscope.engine.batching import Ids, padded
from affectscope.engine.budget import in_portions
from affectscope.engine.reading import PromptReader
from affectscope.engine.steering import RowSteering, SteeredTokens
from affectscope.errors import PromptError
from affectscope.vectors import SteeringVector

TOKENS = 256
"""Next-token distributions in memory at once: of 50,000 tokens each, they are what is large."""


def log_likelihood(
    reader: PromptReader,
    prompts: Sequence[Ids],
    continuations: Sequence[Ids],
    *,
    steering: Sequence[Sequence[SteeringVector]],
    steered: SteeredTokens = "generated",
) -> list[Float[Tensor, " token"]]:
    """Log-probability of every token of each continuation, in nats, given what comes before it.

    Args:
        reader: The model.
        prompts: What comes before; at least one token.
        continuations: What is judged; an empty one has no log-probabilities.
        steering: Vectors of every prompt.
        steered: Which tokens they are added to.
    """
    _require_tokens(prompts)
    found: dict[int, Tensor] = {}

    def take(index: int, hidden: Tensor) -> None:
        states = _before_each(hidden, prompts[index], continuations[index])
        ids = torch.tensor(continuations[index], device=hidden.device)
        parts = [
            _log_p(reader, some).gather(-1, told[:, None])[:, 0].cpu()
            for some, told in zip(_few(states), _few(ids), strict=True)
        ]
        found[index] = torch.cat(parts)

    _follow(reader, list(zip(prompts, continuations, strict=True)), steering, steered, take)
    return [found[index] for index in range(len(prompts))]


def divergence(
    reader: PromptReader,
    prompts: Sequence[Ids],
    texts: Sequence[Ids],
    *,
    steering: Sequence[Sequence[SteeringVector]],
    steered: SteeredTokens = "generated",
    clean_prompts: Sequence[Ids] | None = None,
) -> list[Float[Tensor, " token"]]:
    """How far vectors move the distribution of every token of a text, in nats.

    Args:
        reader: The model.
        prompts: What comes before each text; at least one token.
        texts: At whose tokens the distributions are compared.
        steering: Vectors of every text.
        steered: Which tokens they are added to.
        clean_prompts: What comes before each text in the pass without vectors, where that is
            another prompt: how far an instruction moves the model.

    Returns:
        For every text, KL(without || with) at each token.
    """
    clean = prompts if clean_prompts is None else clean_prompts
    _require_tokens([*prompts, *clean])
    kept: dict[tuple[Ids, Ids], Tensor] = {}
    found: dict[int, Tensor] = {}
    once = list(dict.fromkeys(zip(clean, texts, strict=True)))

    def keep(index: int, hidden: Tensor) -> None:
        before, text = once[index]
        kept[once[index]] = _before_each(hidden, before, text).clone()

    def compare(index: int, hidden: Tensor) -> None:
        after = _before_each(hidden, prompts[index], texts[index])
        pairs = zip(_few(kept[clean[index], texts[index]]), _few(after), strict=True)
        parts = []
        for one, other in pairs:
            p, q = _log_p(reader, one), _log_p(reader, other)
            parts.append((p.exp() * (p - q)).sum(dim=-1).clamp_min(0.0).cpu())
        found[index] = torch.cat(parts)

    _follow(reader, once, [()] * len(once), steered, keep)
    _follow(reader, list(zip(prompts, texts, strict=True)), steering, steered, compare)
    return [found[index] for index in range(len(texts))]


def _before_each(hidden: Tensor, before: Ids, text: Ids) -> Float[Tensor, "token d_model"]:
    """The states that tell each token of the text."""
    start = len(before) - 1
    return hidden[start : start + len(text)]


def _few(rows: Tensor) -> list[Tensor]:
    """The rows, if any, in portions of which the distributions fit into memory."""
    return [rows[start : start + TOKENS] for start in range(0, max(len(rows), 1), TOKENS)]


def _log_p(reader: PromptReader, hidden: Float[Tensor, "token d_model"]) -> Tensor:
    return reader.access.unembed(hidden).log_softmax(dim=-1)


def _require_tokens(prompts: Sequence[Ids]) -> None:
    if any(not ids for ids in prompts):
        raise PromptError(
            "a text without tokens has no next token",
            expected="at least one token before what is judged",
            remedy="leave empty texts out",
        )


@torch.no_grad()
def _follow(
    reader: PromptReader,
    pairs: Sequence[tuple[Ids, Ids]],
    steering: Sequence[Sequence[SteeringVector]],
    steered: SteeredTokens,
    take: Callable[[int, Tensor], None],
) -> None:
    """Run prompts with their texts, and hand out each one's states after the final norm."""
    whole = [(*before, *text) for before, text in pairs]
    order = sorted(range(len(whole)), key=lambda index: -len(whole[index]))

    def work(portion: range) -> None:
        rows = [order[k] for k in portion]
        batch = padded([whole[row] for row in rows], reader.access.device)
        where = _where([len(pairs[row][0]) for row in rows], batch.ids.shape[1], steered)
        added = RowSteering([steering[row] for row in rows])
        with added.on(reader.access, lambda _place, _activation: where):
            output = reader.access.backbone(input_ids=batch.ids, use_cache=False)
        for k, row in enumerate(rows):
            take(row, output.last_hidden_state[k, : len(whole[row])])

    def most(start: int) -> int:
        return reader.most_sequences([whole[index] for index in order[start:]])

    in_portions(reader.budget, len(whole), most, work)


def _where(prompt_lengths: Sequence[int], width: int, steered: SteeredTokens) -> Tensor | None:
    """Which tokens are steered, ``[row, token]``; all when None."""
    if steered == "all":
        return None
    last = torch.tensor(prompt_lengths)[:, None] - 1
    tokens = torch.arange(width)[None]
    return tokens == last if steered == "last" else tokens >= last
