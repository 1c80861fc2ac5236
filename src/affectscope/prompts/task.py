"""The emotion task: a model, a template, labels and a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from affectscope.prompts.calibration import (
    CONTENT_FREE_TEXTS,
    LabelOffsets,
    check_calibration,
    fit_offsets,
)
from affectscope.prompts.labels import LabelToken, audit_labels, label_warnings
from affectscope.prompts.templates import DEFAULT, Template, template_named
from affectscope.prompts.tokens import Tokenizer
from affectscope.vocabulary import EMOTIONS, Calibration


@runtime_checkable
class TaskModel(Protocol):
    """What the task needs of a language model."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    def score(
        self, prompts: Sequence[str], token_ids: Sequence[int] | None = None
    ) -> Float[Tensor, "prompt token"]:
        """Logits of the next token after each prompt."""


class EmotionTask:
    """Asks a model for the emotion of a text.

    Args:
        lm: A loaded model.
        template: A template, or what :func:`template_named` makes one of: a name of
            :data:`TEMPLATES`, ``chat``, or a text of one's own with ``{text}`` in it.
        calibration: How label scores are corrected; see :mod:`affectscope.prompts.calibration`.
        labels: The label words.

    Raises:
        PromptError: For an unknown template or calibration, or labels that cannot be scored.
    """

    def __init__(
        self,
        lm: TaskModel,
        *,
        template: str | Template = DEFAULT,
        calibration: Calibration = "batch",
        labels: Sequence[str] = EMOTIONS,
    ) -> None:
        check_calibration(calibration)
        self.lm = lm
        self.template = (
            template if isinstance(template, Template) else template_named(template, lm.tokenizer)
        )
        self.calibration: Calibration = calibration
        self.labels = tuple(labels)
        self.label_tokens: tuple[LabelToken, ...] = tuple(
            audit_labels(lm.tokenizer, self.template.fill("This happened."), self.labels)
        )

    @property
    def label_ids(self) -> list[int]:
        """The scored token of every label."""
        return [token.first_id for token in self.label_tokens]

    @property
    def shot_texts(self) -> tuple[str, ...]:
        """Texts of the template's examples, which must not be tested."""
        return self.template.shot_texts

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know of the template and the labels."""
        return [*self.template.notes, *label_warnings(self.label_tokens)]

    def prompts(self, texts: Sequence[str]) -> list[str]:
        """The prompt for every text."""
        return [self.template.fill(text) for text in texts]

    def fit(self, unlabelled: Float[Tensor, "prompt label"]) -> LabelOffsets:
        """Fit the calibration on label logits of unlabelled prompts.

        Args:
            unlabelled: Used by ``batch`` only; ``content-free`` asks the model itself.
        """
        if self.calibration == "content-free":
            unlabelled = self.lm.score(self.prompts(CONTENT_FREE_TEXTS), self.label_ids)
        return fit_offsets(self.calibration, unlabelled)

    def score_texts(self, texts: Sequence[str]) -> pd.DataFrame:
        """Every label's score for every text.

        Args:
            texts: One or more texts. ``batch`` calibration is fitted on these texts.

        Returns:
            One row a text and label: ``text`` (index), ``label``, ``logit``, ``p_raw`` and ``p``
            (probability among the labels before and after calibration).
        """
        logits = self.lm.score(self.prompts(texts), self.label_ids)
        p_raw = logits.softmax(dim=-1)
        p = self.fit(logits).scores(logits).softmax(dim=-1)
        n, k = logits.shape
        return pd.DataFrame(
            {
                "text": [i for i in range(n) for _ in range(k)],
                "label": list(self.labels) * n,
                "logit": logits.flatten().tolist(),
                "p_raw": p_raw.flatten().tolist(),
                "p": p.flatten().tolist(),
            }
        )

    def describe(self) -> dict[str, Any]:
        """What a report says of the prompts, as JSON values."""
        return {
            "template": self.template.name,
            "text": f"{self.template.prefix}{{x}}{self.template.suffix}",
            "calibration": self.calibration,
            "label_tokens": [token.as_dict() for token in self.label_tokens],
        }
