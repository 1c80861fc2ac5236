"""A loaded model under the house's vocabulary: capture, intervene, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from affectscope.engine import (
    AttentionWeights,
    Intervention,
    PassMemory,
    Prompt,
    PromptReader,
    Readout,
    Sampling,
    States,
    SteeredTokens,
    SteeringVector,
    Sweep,
    attention_weights,
    capture,
    check_steering,
    divergence,
    encode_all,
    hand_back_freed_memory,
    has_heads,
    intervene,
    log_likelihood,
    write,
)
from affectscope.errors import PromptError
from affectscope.models.context import constant_context
from affectscope.models.loading import Pretrained
from affectscope.models.self_check import Check
from affectscope.models.writing import (
    Generation,
    OnText,
    TextPieces,
    chat_prompts,
    end_tokens,
    generation,
    row_seeds,
    steering_of_rows,
)
from affectscope.vocabulary import SITES, Site

Engine = Literal["sweep", "full pass"]
"""How prompts and interventions are computed."""

MANY_PROMPTS = 16
"""A call with so many is long enough to tidy up after it."""

BatchSize = int | Literal["auto"]
"""Most prompts (or counterfactuals) in one pass; ``"auto"`` leaves it to the engine."""


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model whose activations can be read and edited.

    Made by :func:`affectscope.load_model`.
    """

    pretrained: Pretrained
    """The Hugging Face model and tokenizer, and where they came from."""
    reader: PromptReader
    """Runs prompts."""
    checks: tuple[Check, ...]
    """What the self-check at load found."""

    @property
    def batch_size(self) -> BatchSize:
        """Most prompts or counterfactuals in one pass; ``"auto"``: chosen from free memory."""
        return self.reader.budget.asked or "auto"

    @property
    def engine(self) -> Engine:
        """``"sweep"``, or ``"full pass"`` for a model that failed its self-check."""
        return "full pass" if self.reader.plain else "sweep"

    @property
    def model(self) -> PreTrainedModel:
        """The Hugging Face model, untouched."""
        return self.pretrained.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The Hugging Face tokenizer, untouched."""
        return self.pretrained.tokenizer

    @property
    def name(self) -> str:
        """The name or path it was loaded by."""
        return self.pretrained.name

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return self.reader.access.n_layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.reader.access.d_model

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of every block: :data:`SITES`, and those before a post-norm where it has one.

        Heads are sites too, ``head_out[h]``; :attr:`n_heads` counts them.
        """
        return tuple(self.reader.access.sites)

    @property
    def n_heads(self) -> int:
        """How many heads of a block can be read and edited; 0 where its weights are quantised."""
        access = self.reader.access
        return access.n_heads if has_heads(access) else 0

    @property
    def context_length(self) -> int | None:
        """Most tokens of a prompt; None where the model's configuration does not say.

        That is what the model was built for, or less where its positions change beyond it, see
        :func:`affectscope.models.context.constant_context`.
        """
        return constant_context(self.model.config)

    def encode(self, prompts: Sequence[Prompt]) -> list[tuple[int, ...]]:
        """Token ids of every prompt, with the special tokens the tokenizer puts first.

        Raises:
            PromptError: For a prompt without tokens, or longer than the model's context.
        """
        encoded = encode_all(self.tokenizer, prompts)
        longest = max(range(len(encoded)), key=lambda index: len(encoded[index]))
        if self.context_length is not None and len(encoded[longest]) > self.context_length:
            raise PromptError(
                f"prompt {longest} has {len(encoded[longest]):,} tokens",
                expected=f"at most {self.context_length:,}, the model's context",
                remedy="leave the text out, shorten it, or use a template with fewer shots",
            )
        return encoded

    def too_long(self, prompts: Sequence[str]) -> list[int]:
        """Index of every prompt that is longer than the model's context."""
        limit = self.context_length
        if limit is None:
            return []
        # a token is at least a byte, so most prompts need not be tokenised to know that they fit
        maybe = [i for i, prompt in enumerate(prompts) if len(prompt.encode()) + 8 > limit]
        return [i for i in maybe if len(self.tokenizer.encode(prompts[i])) > limit]

    def capture(
        self,
        prompts: Sequence[Prompt],
        *,
        sites: Sequence[Site] = SITES,
        layers: Sequence[int] | Literal["all"] = "all",
        positions: Sequence[int] = (-1,),
    ) -> States:
        """Read activations, without changing any.

        Args:
            prompts: Texts or token ids.
            sites: Which activations of each block.
            layers: Which blocks, from 0, or all.
            positions: Which tokens, counted from the end of each prompt.

        Returns:
            ``.tensor`` float32 ``[prompt, layer, site, position, d_model]``.

        Raises:
            LayerError: For a layer the model does not have.
            InterventionError: For a site that does not exist.
            PromptError: For an empty prompt, or a position outside one.
        """
        chosen = tuple(range(self.n_layers)) if layers == "all" else tuple(layers)
        states = capture(
            self.reader,
            self.encode(prompts),
            sites=sites,
            layers=chosen,
            positions=positions,
        )
        self._tidy(len(prompts))
        return states

    def intervene(
        self,
        prompts: Sequence[Prompt],
        interventions: Sequence[Intervention],
        *,
        label_ids: Sequence[int],
        readouts: Sequence[Readout] = (),
    ) -> Sweep:
        """What the model would answer under each intervention, scored on the label tokens only.

        Equals a full forward pass for each prompt and intervention; see
        :mod:`affectscope.engine.sweep` for how it avoids them.

        Args:
            prompts: Texts or token ids.
            interventions: Counterfactuals, independent of each other.
            label_ids: Token ids to score.
            readouts: What to read of the activations under each intervention, such as by probes.

        Returns:
            ``.logits`` float32 ``[prompt, intervention, label]``, ``.clean`` ``[prompt, label]``,
            ``.hits`` ``[intervention]``, ``.readouts`` ``[prompt, intervention, target]`` for each.

        Raises:
            InterventionError: An edit that does not fit the model or the prompts.
            EditNeverFiredError: An edit that reached no activation.
            PromptError: For an empty prompt, or a position outside one.
        """
        sweep = intervene(
            self.reader,
            self.encode(prompts),
            interventions,
            label_ids=label_ids,
            readouts=readouts,
        )
        self._tidy(len(prompts))
        return sweep

    def attention(self, prompts: Sequence[Prompt], *, position: int = -1) -> AttentionWeights:
        """What a token of every prompt attends to, in all layers and heads.

        Args:
            prompts: Texts or token ids.
            position: The attending token, counted from the end of each prompt.

        Returns:
            ``.weights``, float32 ``[layer, head, token]`` for every prompt.

        Raises:
            PromptError: For an empty prompt, or a position outside one.
            NotPossibleError: A model on full passes that does not hand out its weights.
        """
        weights = attention_weights(self.reader, self.encode(prompts), position=position)
        self._tidy(len(prompts))
        return weights

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        steering: SteeringVector | Sequence[SteeringVector] = (),
        steering_each: Sequence[Sequence[SteeringVector]] | None = None,
        steered: SteeredTokens = "generated",
        chat: bool = False,
        max_new_tokens: int = 60,
        min_new_tokens: int = 0,
        temperature: float = 0.0,
        top_k: int = 50,
        top_p: float = 1.0,
        seed: int | Sequence[int] = 0,
        readouts: Sequence[Readout] = (),
        on_text: OnText | None = None,
    ) -> Generation:
        """Let the model write, with vectors added to its activations as it does.

        Ordinary decoding by transformers' own ``generate``; see
        :mod:`affectscope.engine.decoding`.

        Args:
            prompts: Texts or token ids.
            steering: Vectors added in every prompt.
            steering_each: Further vectors for each prompt; an empty entry for none.
            steered: Which tokens they are added to: ``last`` (the prompt's last one), ``generated``
                (it and all that are written) or ``all``.
            chat: Put each prompt into the model's chat format, as a user's message.
            max_new_tokens: Tokens written at most.
            min_new_tokens: Tokens written before a text may end.
            temperature: Of the draws; 0 takes the most probable token each time.
            top_k: Draw among so many of the most probable tokens; 0 for all.
            top_p: And among the fewest of them that hold this share of their probability.
            seed: Of the draws; each prompt has draws of its own. Or one for each prompt: equal
                ones make equal draws, as for comparing a prompt with and without steering.
            readouts: What to read of the state that each token is written from. Their ``position``
                means nothing here.
            on_text: Told, as they come, the pieces of text and which prompt each belongs to.

        Raises:
            PromptError: An empty prompt, or one that leaves no room in the model's context.
            InterventionError: A vector or readout that does not fit the model.
            UsageError: A sampling option outside its range.
        """
        sampling = Sampling(temperature, top_k, top_p, max_new_tokens, min_new_tokens)
        rows = steering_of_rows(steering, steering_each, len(prompts))
        check_steering(self.reader.access, rows, steered)
        for readout in readouts:
            self.reader.access.check_layer(readout.layer)
            self.reader.access.check_site(readout.site)
            readout.check(self.d_model)
        encoded = self.encode(chat_prompts(self.tokenizer, prompts) if chat else prompts)
        self._require_room(encoded, max_new_tokens)
        written = write(
            self.reader,
            encoded,
            sampling=sampling,
            seeds=row_seeds(seed, len(prompts)),
            stop_ids=end_tokens(self.model, self.tokenizer),
            steering=rows,
            steered=steered,
            readouts=readouts,
            on_token=None if on_text is None else TextPieces(self.tokenizer, on_text),
        )
        self._tidy(len(prompts))
        return generation(self.tokenizer, encoded, written, len(readouts))

    def _require_room(self, encoded: Sequence[tuple[int, ...]], new: int) -> None:
        longest = max(map(len, encoded))
        if self.context_length is not None and longest + new > self.context_length:
            raise PromptError(
                f"a prompt of {longest:,} tokens and {new:,} new ones do not fit the model's "
                f"context of {self.context_length:,}",
                expected=f"at most {max(0, self.context_length - longest):,} new tokens",
                remedy="shorten the prompt, or ask for fewer new tokens",
            )

    def log_likelihood(
        self,
        prompts: Sequence[Prompt],
        continuations: Sequence[Sequence[int]],
        *,
        steering_each: Sequence[Sequence[SteeringVector]] | None = None,
        steered: SteeredTokens = "generated",
    ) -> list[Float[Tensor, " token"]]:
        """Log-probability, in nats, of every token of each continuation after its prompt.

        Args:
            prompts: Texts or token ids.
            continuations: Token ids of what follows each.
            steering_each: Vectors added in each; none when None.
            steered: Which tokens they are added to.

        Raises:
            PromptError: An empty prompt.
            InterventionError: A vector that does not fit the model.
        """
        rows = steering_of_rows((), steering_each, len(prompts))
        check_steering(self.reader.access, rows, steered)
        found = log_likelihood(
            self.reader,
            self.encode(prompts),
            [tuple(ids) for ids in continuations],
            steering=rows,
            steered=steered,
        )
        self._tidy(len(prompts))
        return found

    def divergence(
        self,
        prompts: Sequence[Prompt],
        texts: Sequence[Sequence[int]],
        *,
        steering_each: Sequence[Sequence[SteeringVector]] | None = None,
        steered: SteeredTokens = "generated",
        clean_prompts: Sequence[Prompt] | None = None,
    ) -> list[Float[Tensor, " token"]]:
        """How far vectors, or another prompt, move what the model expects of a text, in nats.

        Args:
            prompts: What comes before each text, as text or token ids.
            texts: Token ids of the texts.
            steering_each: Vectors added in each; none when None.
            steered: Which tokens they are added to.
            clean_prompts: What comes before each text in the pass that is compared with, which has
                no vectors; the same prompts when None.

        Returns:
            For every text, the Kullback-Leibler divergence of the next token's distribution from
            the one without vectors, at each of its tokens.

        Raises:
            PromptError: An empty prompt.
            InterventionError: A vector that does not fit the model.
        """
        rows = steering_of_rows((), steering_each, len(prompts))
        check_steering(self.reader.access, rows, steered)
        found = divergence(
            self.reader,
            self.encode(prompts),
            [tuple(ids) for ids in texts],
            steering=rows,
            steered=steered,
            clean_prompts=None if clean_prompts is None else self.encode(clean_prompts),
        )
        self._tidy(len(prompts))
        return found

    def _tidy(self, n_prompts: int) -> None:
        """Hand back freed memory after a call of some seconds; it takes a hundredth of one."""
        if n_prompts >= MANY_PROMPTS and self.reader.access.device.type == "cpu":
            hand_back_freed_memory()

    def remembering(self, limit: int = 2**30) -> LanguageModel:
        """The same model, keeping its clean passes from one call to the next.

        For work that asks about the same prompts again. A change of the model in between (its
        weights, hooks of yours) would not be seen.

        Args:
            limit: Most bytes kept; what comes later is read anew each time.
        """
        return replace(self, reader=replace(self.reader, memory=PassMemory(limit)))

    def score(
        self, prompts: Sequence[Prompt], token_ids: Sequence[int] | None = None
    ) -> Float[Tensor, "prompt token"]:
        """Logits of the next token after each prompt, of all tokens when none are named."""
        return self.unembed(self.capture(prompts, sites=(), layers=()).final, token_ids)

    @torch.no_grad()
    def unembed(
        self, final: Float[Tensor, "prompt d_model"], token_ids: Sequence[int] | None = None
    ) -> Float[Tensor, "prompt token"]:
        """Logits from :attr:`States.final`; of all tokens when none are named."""
        access = self.reader.access
        hidden = final.to(device=access.device, dtype=access.dtype)
        return access.unembed(hidden, token_ids).cpu()

    def describe(self) -> dict[str, Any]:
        """What a report says of the model, as JSON values."""
        loaded = self.pretrained
        return {
            "name": loaded.name,
            "revision": loaded.revision,
            "architecture": type(self.model).__name__,
            "n_layers": self.n_layers,
            "d_model": self.d_model,
            "n_parameters": sum(p.numel() for p in self.model.parameters()),
            "dtype": loaded.dtype,
            "device": loaded.device,
            "attn_implementation": loaded.attn_implementation,
            "sha256": loaded.sha256,
            "path": loaded.path,
        }
