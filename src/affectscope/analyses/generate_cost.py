"""What steering costs: how far it moves what a model expects, and what it no longer knows.

- *divergence*: at every token of the shipped neutral passages, the Kullback-Leibler divergence of
  the next token's distribution from the unsteered one, in nats, averaged over a passage; steered
  from the first token on, as a text is that the model writes.
- *question*: simple facts completed by one of four words; the answer is the most probable one.
- *infer*: items of the corpus that steering was not fitted to, whose emotion is asked for.

The last two are single answers of single tokens: the counterfactual sweep gives them for all
conditions at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affectscope.analyses.generate_plan import Condition, wish
from affectscope.analyses.study import Study
from affectscope.engine import Add, Intervention, SteeringVector
from affectscope.texts import neutral_texts, questions

Steering = Sequence[tuple[SteeringVector, ...]]
"""The vectors of every condition."""


@dataclass(frozen=True, eq=False)
class Costs:
    """Measures what conditions cost.

    Args:
        study: The study.
        items: Items whose emotion is asked for.
        passages: How many neutral passages are read.
        asked: How many questions are asked.
    """

    study: Study
    items: NDArray[np.int64]
    passages: int
    asked: int

    def of(self, conditions: Sequence[Condition], steering: Steering) -> pd.DataFrame:
        """All three, one row for each condition and passage, question or item.

        Columns ``condition`` (its index), ``what``, ``id``, ``value``.
        """
        parts = [self._divergence(conditions, steering)]
        plain = [k for k, c in enumerate(conditions) if c.method != "prompt"]
        if plain:
            vectors = [steering[k] for k in plain]
            if self._facts[0]:
                parts += [_rows("question", plain, *self._right_answers(vectors))]
            parts += [_rows("infer", plain, *self._right_emotions(vectors))]
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def _neutral(self) -> tuple[list[str], list[tuple[int, ...]]]:
        """Ids and tokens of neutral passages."""
        table = neutral_texts().iloc[: self.passages]
        return table["id"].tolist(), self.study.lm.encode(table["text"].tolist())

    def _divergence(self, conditions: Sequence[Condition], steering: Steering) -> pd.DataFrame:
        ids, encoded = self._neutral
        first, rest = [one[:1] for one in encoded], [one[1:] for one in encoded]
        prompts, clean, texts, each = [], [], [], []
        for condition, vectors in zip(conditions, steering, strict=True):
            asked = wish(condition.target, condition.sign) if condition.method == "prompt" else ""
            for one, begun, text in zip(encoded, first, rest, strict=True):
                if asked:
                    prompts.append(self.study.lm.encode([f"({asked})\n\n"])[0])
                    texts.append(one)
                    clean.append(self._nothing(begun))
                else:
                    prompts.append(begun)
                    texts.append(text)
                    clean.append(begun)
                each.append(vectors)
        found = self.study.lm.divergence(prompts, texts, steering_each=each, clean_prompts=clean)
        values = np.array([float(kl.mean()) for kl in found]).reshape(len(conditions), -1)
        return _rows("divergence", list(range(len(conditions))), ids, values)

    def _nothing(self, begun: tuple[int, ...]) -> tuple[int, ...]:
        """What stands before a passage when nothing is asked: a start token, or a line's end."""
        start = self.study.lm.tokenizer.bos_token_id
        return (int(start),) if isinstance(start, int) else self.study.lm.encode(["\n\n"])[0]

    @cached_property
    def _facts(self) -> tuple[list[str], list[str], NDArray[np.int64]]:
        """Ids, questions, and the first token of each option, the right one first.

        Without those whose options begin with the same token: its score would be that of both.
        """
        table = questions().iloc[: self.asked]
        options = table[["answer", "wrong1", "wrong2", "wrong3"]]
        first = [
            [self._first_token(q, option) for option in row]
            for q, row in zip(table["question"], options.to_numpy(), strict=True)
        ]
        told_apart = [len(set(row)) == len(row) for row in first]
        kept = table[told_apart]
        tokens = np.array(first)[told_apart]
        return kept["id"].tolist(), kept["question"].tolist(), tokens

    def _first_token(self, question: str, option: str) -> int:
        """The token that an option adds to its question."""
        lm = self.study.lm
        before, whole = lm.encode([question])[0], lm.encode([f"{question} {option}"])[0]
        return whole[len(before)]

    def _right_answers(self, steering: Steering) -> tuple[list[str], NDArray[np.float64]]:
        ids, asked, tokens = self._facts
        known = sorted(set(tokens.ravel().tolist()))
        logits = self._answers(asked, steering, known)
        column = np.searchsorted(known, tokens)
        chosen = np.take_along_axis(logits, column[:, None, :].repeat(logits.shape[1], 1), axis=2)
        return ids, (chosen.argmax(axis=2) == 0).astype(float).T

    def _right_emotions(self, steering: Steering) -> tuple[list[str], NDArray[np.float64]]:
        study = self.study
        prompts = [study.prompts[item] for item in self.items]
        logits = self._answers(prompts, steering, study.task.label_ids)
        answers = study.clean.offsets.scores(torch.from_numpy(logits)).argmax(dim=-1).numpy()
        right = answers == study.clean.emotions[self.items][:, None]
        return [str(item) for item in self.items], right.astype(float).T

    def _answers(
        self, prompts: Sequence[str], steering: Steering, token_ids: Sequence[int]
    ) -> NDArray[np.float32]:
        """Logits ``[prompt, condition, token]``."""
        lm = self.study.remembering_lm
        edits = [_as_intervention(vectors, k) for k, vectors in enumerate(steering) if vectors]
        logits = np.empty((len(prompts), len(steering), len(token_ids)), dtype=np.float32)
        steered = [k for k, vectors in enumerate(steering) if vectors]
        if edits:
            sweep = lm.intervene(prompts, edits, label_ids=token_ids)
            logits[:, steered] = sweep.logits.numpy()
        left = [k for k, vectors in enumerate(steering) if not vectors]
        if left:
            logits[:, left] = lm.score(prompts, token_ids).numpy()[:, None]
        return logits


def _as_intervention(vectors: Sequence[SteeringVector], k: int) -> Intervention:
    """Vectors at the last token: what ``generated`` is for an answer of one token."""
    return Intervention(
        [
            Add(vector.site, layer, vector=add)
            for vector in vectors
            for layer, add in zip(vector.layers, vector.added(), strict=True)
        ],
        str(k),
    )


def _rows(
    what: str, conditions: Sequence[int], ids: Sequence[str], values: NDArray[np.float64]
) -> pd.DataFrame:
    """Values ``[condition, id]`` as rows."""
    return pd.DataFrame(
        {
            "condition": np.repeat(conditions, len(ids)),
            "what": what,
            "id": list(ids) * len(conditions),
            "value": values.ravel(),
        }
    )
