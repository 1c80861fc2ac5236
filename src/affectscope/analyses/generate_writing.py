"""Texts written under conditions, and what is measured of each.

Columns of a text: ``condition``, ``what`` (``text``), ``id`` (the prompt's), ``kind``, ``repeat``,
``text``, ``n_tokens``, ``ended``, ``judge.TARGET`` and ``own.TARGET`` (readings), ``judged`` (the
emotion that the judge names), ``valence`` (-1 to 1), ``echo.TARGET`` (whether a word of the target
itself stands in the text), ``nll`` (mean of -log p of the tokens under the unsteered model, after
the bare prompt, in nats), ``repeated`` (share of 4-grams seen before in the text), ``distinct``
(distinct over all bigrams) and ``recall`` (share of the content words that the prompt fixes; NaN
where it fixes none).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectscope.analyses.generate_cost import Steering
from affectscope.analyses.generate_plan import Condition, Opening, Plan, wish
from affectscope.analyses.generate_readers import TextReaders
from affectscope.analyses.study import Study
from affectscope.prompts import in_chat_format
from affectscope.texts import (
    appraisal_words,
    content_recall,
    distinct_by_text,
    label_echo,
    repeated_share,
    valence,
)
from affectscope.vocabulary import APPRAISAL_NAMES


@dataclass(frozen=True, eq=False)
class Writer:
    """Lets the model write, and measures what it wrote.

    Args:
        study: The study.
        plan: What is written.
        readers: Who reads it.
    """

    study: Study
    plan: Plan
    readers: TextReaders

    def texts(self, conditions: Sequence[Condition], steering: Steering) -> pd.DataFrame:
        """A row for each condition, prompt and repeat.

        Args:
            conditions: What is asked for or added.
            steering: The vectors of each.
        """
        openings, repeats = self.plan.openings, self.plan.repeats
        rows = [
            (k, opening, repeat)
            for k in range(len(conditions))
            for opening in openings
            for repeat in range(repeats)
        ]
        lm = self.study.lm
        bare = [self._prompt(opening, "") for _, opening, _ in rows]
        asked = [
            self._prompt(opening, wish(conditions[k].target, conditions[k].sign))
            if conditions[k].method == "prompt"
            else plain
            for (k, opening, _), plain in zip(rows, bare, strict=True)
        ]
        number = {opening.id: at for at, opening in enumerate(openings)}
        written = lm.generate(
            asked,
            steering_each=[steering[k] for k, _, _ in rows],
            max_new_tokens=self.plan.max_new_tokens,
            min_new_tokens=min(8, self.plan.max_new_tokens),
            temperature=self.plan.temperature,
            seed=[
                (self.study.seed * len(openings) + number[opening.id]) * repeats + repeat
                for _, opening, repeat in rows
            ],
        )
        likelihoods = lm.log_likelihood(bare, written.tokens)
        measured = self._measured(
            written.texts, written.tokens, [opening for _, opening, _ in rows]
        )
        return pd.DataFrame(
            {
                "condition": [k for k, _, _ in rows],
                "what": "text",
                "id": [opening.id for _, opening, _ in rows],
                "kind": [opening.kind for _, opening, _ in rows],
                "repeat": [repeat for _, _, repeat in rows],
                "text": list(written.texts),
                "n_tokens": [len(tokens) for tokens in written.tokens],
                "ended": list(written.ended),
                "nll": [float(-one.mean()) if len(one) else np.nan for one in likelihoods],
                **measured,
            }
        )

    def _prompt(self, opening: Opening, wished: str) -> str:
        tokenizer = self.study.lm.tokenizer
        chat = bool(getattr(tokenizer, "chat_template", None))
        text = opening.asking(wished, chat=chat)
        return in_chat_format(tokenizer, text) if chat and opening.in_chat else text

    def _measured(
        self,
        texts: Sequence[str],
        tokens: Sequence[Sequence[int]],
        openings: Sequence[Opening],
    ) -> dict[str, object]:
        targets = self.plan.targets
        judged, own = self.readers.judged(texts), self.readers.own(texts)
        return {
            **{f"judge.{target}": judged[:, k] for k, target in enumerate(targets)},
            **{f"own.{target}": own[:, k] for k, target in enumerate(targets)},
            "judged": self.readers.named(texts),
            "valence": valence(texts),
            **{f"echo.{target}": label_echo(texts, words_of(target)) for target in targets},
            "repeated": repeated_share(tokens),
            "distinct": distinct_by_text(tokens, 2),
            "recall": content_recall(texts, [opening.required for opening in openings]),
        }


def words_of(target: str) -> tuple[str, ...]:
    """The words that name a target itself."""
    if target in APPRAISAL_NAMES:
        return appraisal_words(target)
    return (target,)
