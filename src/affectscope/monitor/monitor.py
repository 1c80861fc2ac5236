"""Reading a model as it writes, and turns that are written already, with the same probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from affectscope.engine import Prompt, Readout
from affectscope.errors import UsageError
from affectscope.models import Generation, LanguageModel
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.reading import place, read_placed
from affectscope.monitor.thresholds import TurnKind
from affectscope.monitor.turn import TurnReading, token_texts, turn_reading


@dataclass(frozen=True, eq=False)
class Monitor:
    """Emotion and appraisals token by token, with alarms by the turn.

    Raises:
        LayerError: The model does not have the probes' layer.
        InterventionError: The probes are of another width.
        UsageError: The probes are of another model.
    """

    lm: LanguageModel
    """The model that is read."""
    probes: MonitorProbes
    """What reads it; made by :func:`affectscope.monitor.fit_monitor` for this very model."""

    def __post_init__(self) -> None:
        self.lm.reader.access.check_layer(self.probes.layer)
        self.probes.readout.check(self.lm.d_model)
        mine, said = self.lm.describe()["sha256"], self.probes.about.get("model_sha256")
        if said is not None and mine is not None and said != mine:
            raise UsageError(
                f"the probes were fitted to {self.probes.about.get('model')} with weights of the "
                f"hash {said[:12]}, and {self.lm.name} has {mine[:12]}",
                expected="probes of the very weights that are read",
                remedy="fit probes for this model: affectscope monitor --data CORPUS --save FOLDER",
            )

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        kind: TurnKind | None = None,
        readouts: Sequence[Readout] = (),
        **options: Any,
    ) -> tuple[Generation, list[TurnReading]]:
        """Let the model write and read each token's state in the same pass.

        Args:
            prompts: Texts or token ids.
            kind: Whose thresholds count: ``assistant`` in a chat, else ``text``, when None.
            readouts: Further readouts, which the generation holds.
            options: As :meth:`affectscope.models.LanguageModel.generate` takes them.

        Returns:
            What was written, and what was read of it. A text that ended at once has one entry.

        Raises:
            PromptError, InterventionError, UsageError: As ``LanguageModel.generate``.
        """
        generation = self.lm.generate(prompts, readouts=(*readouts, self.probes.readout), **options)
        if kind is None:
            kind = "assistant" if options.get("chat") else "text"
        turns = [
            turn_reading(
                self.probes,
                read.numpy(),
                [*token_texts(self.lm.tokenizer, tokens), ""][: len(read)],
                kind,
            )
            for read, tokens in zip(generation.readouts[-1], generation.tokens, strict=True)
        ]
        return replace(generation, readouts=generation.readouts[:-1]), turns

    def read(
        self,
        texts: Sequence[Prompt],
        *,
        after: Sequence[Prompt | None] | None = None,
        kind: TurnKind = "text",
    ) -> list[TurnReading]:
        """Read turns that are written already, in one pass over each.

        Every token is read from the state before it, as while it is written, and a last entry is
        of the state after all of them. Of a text with nothing before it the first two tokens are
        not read, where it has more: no state comes before the first, and the state of a sequence's
        first token says nothing of the text.

        Args:
            texts: The turns, as text or token ids.
            after: What comes before each, of the same sort; nothing when None.
            kind: Whose thresholds count.

        Raises:
            PromptError: A turn without tokens, or one that does not fit the model's context.
            UsageError: Not as many contexts as texts.
        """
        contexts = [None] * len(texts) if after is None else list(after)
        if len(contexts) != len(texts):
            raise UsageError(
                f"{len(contexts)} contexts for {len(texts)} texts", expected="one for each"
            )
        placed = [
            place(self.lm, text, context) for text, context in zip(texts, contexts, strict=True)
        ]
        found = read_placed(self.lm, self.probes, placed)
        return [
            turn_reading(self.probes, read, [*token_texts(self.lm.tokenizer, one.tokens), ""], kind)
            for one, read in zip(placed, found, strict=True)
        ]
