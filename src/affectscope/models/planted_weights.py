"""The weights of the planted models: see :mod:`affectscope.models.planted` for what they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from affectscope.models.planted_words import CUES, ids_by_word
from affectscope.vocabulary import EMOTIONS

_ASKS, _RELAYS = ":", "Answer"
"""The last token, and the one before it."""

_SHARP = 60.0
"""How far apart attention's logits for a cue are: half above for a token that asks, else below."""

_PART = 2.0
"""Length, in an embedding, of the cue, of the constant and of each mark."""

_NOISE = 3.0
"""Length of an embedding's noise."""

_ANSWER = 6.0
"""Length of the answer that is written."""

_LOGIT, _LOGIT_NOISE = 1.0, 0.3
"""How much of the normalised answer, and of the noise, the unembedding reads."""


@dataclass(frozen=True)
class Parts:
    """Orthonormal rows: the directions of the stream."""

    cue: Float[Tensor, "emotion d_model"]
    relay: Float[Tensor, "emotion d_model"]
    answer: Float[Tensor, "emotion d_model"]
    constant: Float[Tensor, "1 d_model"]
    asks: Float[Tensor, "1 d_model"]
    relays: Float[Tensor, "1 d_model"]
    noise: Float[Tensor, "noise d_model"]

    @classmethod
    def known(cls) -> int:
        """Directions that are not noise."""
        return 3 * len(EMOTIONS) + 3

    @classmethod
    def drawn(cls, d_model: int, generator: torch.Generator) -> Parts:
        """A basis turned at random."""
        k = len(EMOTIONS)
        square = torch.randn(d_model, d_model, generator=generator, dtype=torch.float64)
        basis = torch.linalg.qr(square)[0].T.contiguous()
        return cls(*basis.split([k, k, k, 1, 1, 1, d_model - cls.known()]))


def set_random_block(
    block: LlamaDecoderLayer,
    subspace: Float[Tensor, "noise d_model"],
    length: float,
    generator: torch.Generator,
) -> None:
    """Attention and MLP that read the noise and add about ``length`` to it."""
    attention, mlp = block.self_attn, block.mlp

    def drawn(n_rows: int, n_columns: int) -> Tensor:
        return torch.randn(n_rows, n_columns, generator=generator, dtype=torch.float64)

    n = len(subspace)
    for reads, scale in (
        (attention.q_proj, 0.2),
        (attention.k_proj, 0.2),
        (attention.v_proj, 0.2),
        (mlp.gate_proj, 0.2),
        (mlp.up_proj, 0.2),
    ):
        reads.weight.copy_(scale * drawn(reads.out_features, n) @ subspace)
    for writes in (attention.o_proj, mlp.down_proj):
        scale = length / (n * writes.in_features) ** 0.5
        writes.weight.copy_(scale * subspace.T @ drawn(n, writes.in_features))


def plant_head(
    block: LlamaDecoderLayer,
    head: int,
    parts: Parts,
    *,
    mark: Float[Tensor, "1 d_model"],
    source: Float[Tensor, "emotion d_model"],
    written: Float[Tensor, "emotion d_model"],
) -> None:
    """A head that moves ``source`` from where it is to ``written`` at tokens that have the mark."""
    attention = block.self_attn
    width, k = attention.head_dim, len(source)
    rows = slice(head * width, (head + 1) * width)
    for module in (attention.q_proj, attention.k_proj, attention.v_proj):
        module.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0
    # The slowest pair of rotary dimensions hardly turns: only what a token is counts.
    slowest = head * width + width // 2 - 1
    strength = (_SHARP * width**0.5) ** 0.5 * _rms(parts) / _PART
    attention.q_proj.weight[slowest] = strength * (mark - parts.constant / 2)[0]
    attention.k_proj.weight[slowest] = strength * source.sum(dim=0)
    attention.v_proj.weight[rows][:k] = _rms(parts) / _PART * source
    length = _ANSWER if written is parts.answer else _PART
    attention.o_proj.weight[:, rows][:, :k] = length * written.T


def plant_mlp(block: LlamaDecoderLayer, parts: Parts) -> None:
    """An MLP that writes the answer where the relay's subspace holds an emotion."""
    mlp, k = block.mlp, len(parts.relay)
    gate = 8.0  # where silu(x) is x
    mlp.gate_proj.weight[:k] = gate * _rms(parts) / _PART * parts.constant
    mlp.up_proj.weight[:k] = _rms(parts) / _PART * parts.relay
    mlp.down_proj.weight[:, :k] = _ANSWER / gate * parts.answer.T


def _rms(parts: Parts) -> float:
    """About what a stream is divided by: that of a cue word with the noise of some blocks."""
    return float(np.sqrt((3 * _PART**2 + _NOISE**2) / parts.noise.shape[1]))


def set_vocabulary(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    parts: Parts,
    generator: torch.Generator,
) -> None:
    """Embeddings of all words, and an unembedding that reads the answer."""
    n = len(parts.noise)

    def noise() -> Float[Tensor, " d_model"]:
        drawn = torch.randn(n, generator=generator, dtype=torch.float64)
        return drawn / drawn.norm() @ parts.noise

    emotion_of = {cue: index for index, cues in enumerate(CUES.values()) for cue in cues}
    marks = {_ASKS: parts.asks[0], _RELAYS: parts.relays[0]}
    embedding, unembedding = model.model.embed_tokens.weight, model.lm_head.weight
    unembedding.zero_()
    cue_noise = noise()
    for word, ids in ids_by_word(tokenizer).items():
        value = _PART * parts.constant[0] + _NOISE * (cue_noise if word in emotion_of else noise())
        if word in emotion_of:
            value = value + _PART * parts.cue[emotion_of[word]]
        if word in marks:
            value = value + _PART * marks[word]
        embedding[ids] = value.float()
        read = _LOGIT_NOISE * noise()
        if word in EMOTIONS:
            read = read + _LOGIT * parts.answer[EMOTIONS.index(word)]
        unembedding[ids] = read.float()
