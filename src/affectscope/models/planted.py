"""Models with a planted truth: a known head at a known layer carries a known feature.

A method that localises should be tried where the answer is known. Here the weights of a Llama are
set by hand. The residual stream is split into subspaces: *cue* (which emotion's cue word a token
is), *answer* (which emotion the model is to name), with a *relay* between them if asked for, a
constant, a mark on each kind of token that asks, and *noise*, all the rest, in a basis that is
turned at random. Every word has its own noise; a cue word has its emotion's cue and the same noise
as all other cue words.

- The planted head looks from the last token (the colon of ``Answer:``) for a token with a cue and
  writes the emotion into *answer*. All other tokens look away from it.
- The unembedding reads *answer*, and a little of the noise.
- All other heads and all MLPs are random, but read and write *noise* only: their outputs differ
  from text to text and say nothing of the emotion.

So at the last token the emotion is in ``attn_out`` and in the planted ``head_out[h]`` at the
planted layer only, in ``resid_post`` from there on, in ``mlp_out`` nowhere; and there only does it
matter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from affectscope.errors import UsageError
from affectscope.models.checked import from_pretrained
from affectscope.models.language_model import LanguageModel
from affectscope.models.loading import Pretrained
from affectscope.models.planted_weights import (
    Parts,
    plant_head,
    plant_mlp,
    set_random_block,
    set_vocabulary,
)
from affectscope.models.planted_words import planted_corpus, word_tokenizer
from affectscope.vocabulary import EMOTIONS, SITES, Site, head_site

__all__ = ["PlantedModel", "Truth", "planted_corpus", "planted_model"]


@dataclass(frozen=True)
class Truth:
    """Where the emotion is, at the last token."""

    layer: int
    """Layer of the head that brings it there."""
    head: int
    """That head."""
    n_layers: int
    """Layers of the model."""
    relay: tuple[int, int] | None = None
    """Layer and head that bring it to the token before, where there are two steps."""
    mlp_layer: int | None = None
    """Layer of the MLP that makes the answer of it, where an MLP does."""

    @property
    def sites(self) -> dict[Site, tuple[int, ...]]:
        """The layers at which each site holds the emotion, and matters for the answer."""
        return {
            "attn_out": (self.layer,),
            "mlp_out": () if self.mlp_layer is None else (self.mlp_layer,),
            "resid_post": tuple(range(self.layer, self.n_layers)),
        }

    def holds(self, site: Site, layer: int) -> bool:
        """Whether a site of a layer, which may be a head, holds the emotion at the last token."""
        if site in SITES:
            return layer in self.sites[site]
        return (site, layer) == (head_site(self.head), self.layer)


@dataclass(frozen=True, eq=False)
class PlantedModel:
    """A model and where its emotion is."""

    lm: LanguageModel
    """The model, as if it had been loaded."""
    truth: Truth
    """Where the emotion is."""


def planted_model(
    *,
    layer: int = 4,
    head: int = 1,
    relay: tuple[int, int] | None = None,
    mlp_layer: int | None = None,
    n_layers: int = 8,
    n_heads: int = 4,
    d_model: int = 96,
    noise: float = 0.5,
    seed: int = 0,
) -> PlantedModel:
    """A small Llama whose truth is known.

    Args:
        layer: The layer whose head brings the emotion to the last token.
        head: That head.
        relay: Layer and head that first bring it from the cue word to the token before the last,
            from where the planted head then takes it; ``layer`` comes later.
        mlp_layer: The layer whose MLP makes the answer out of what attention brought; ``layer`` or
            a later one. None: the head writes the answer itself. Not together with ``relay``.
        n_layers: Layers.
        n_heads: Heads of every layer.
        d_model: Width of the stream.
        noise: Length of what attention and each MLP add to the stream's noise.
        seed: Seed of all that is random.

    Raises:
        UsageError: The truth does not fit into the model.
    """
    truth = Truth(layer, head, n_layers, relay, mlp_layer)
    _require_room(truth, n_heads, d_model)
    generator = torch.Generator().manual_seed(seed)
    tokenizer = word_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        intermediate_size=2 * d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=n_heads,
        num_key_value_heads=n_heads,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    parts = Parts.drawn(d_model, generator)
    for block in model.model.layers:
        set_random_block(block, parts.noise, noise, generator)
    _plant(model, truth, parts)
    set_vocabulary(model, tokenizer, parts, generator)
    pretrained = Pretrained(
        model=model,
        tokenizer=tokenizer,
        name=f"planted-{seed}",
        path="memory",
        revision=None,
        sha256=_weights_sha256(model),
        dtype="float32",
        device="cpu",
        attn_implementation=config._attn_implementation,
    )
    return PlantedModel(from_pretrained(pretrained), truth)


def _plant(model: LlamaForCausalLM, truth: Truth, parts: Parts) -> None:
    """The steps from the cue word to the answer."""
    blocks = model.model.layers
    source, brought = parts.cue, parts.answer
    if truth.relay is not None:
        layer, head = truth.relay
        plant_head(
            blocks[layer], head, parts, mark=parts.relays, source=source, written=parts.relay
        )
        source = parts.relay
    if truth.mlp_layer is not None:
        plant_mlp(blocks[truth.mlp_layer], parts)
        brought = parts.relay
    block = blocks[truth.layer]
    plant_head(block, truth.head, parts, mark=parts.asks, source=source, written=brought)


def _weights_sha256(model: LlamaForCausalLM) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def _require_room(truth: Truth, n_heads: int, d_model: int) -> None:
    steps = [(truth.layer, truth.head), *([truth.relay] if truth.relay else [])]
    inside = all(0 <= at < truth.n_layers and 0 <= head < n_heads for at, head in steps)
    ordered = truth.relay is None or truth.relay[0] < truth.layer
    made = truth.mlp_layer is None or (
        truth.relay is None and truth.layer <= truth.mlp_layer < truth.n_layers
    )
    if not (inside and ordered and made):
        raise UsageError(
            f"{truth} in a model of {truth.n_layers} layers of {n_heads} heads",
            expected="layers and heads that there are; relay before layer, or mlp_layer not before "
            "it, not both",
            remedy="choose others, or more layers or heads",
        )
    k = len(EMOTIONS)
    if d_model % n_heads or (d_model // n_heads) % 2 or d_model // n_heads < k:
        raise UsageError(
            f"{n_heads} heads in a stream of {d_model}",
            expected=f"a multiple: heads of an even width of at least {k}",
            remedy="give a larger d_model",
        )
    if d_model < Parts.known() + k:
        raise UsageError(
            f"a stream of {d_model}",
            expected=f"at least {Parts.known() + k}, to have room for noise",
            remedy="give a larger d_model",
        )
