"""What does the last token look at, and does it matter? Attention by kind of token, and knock-outs.

The paper (Tak et al. 2025) names, for each layer, the token that the last position attends to most
in any head. Attention alone does not say that what is looked at is used (Jain and Wallace 2019,
"Attention is not Explanation"). So the last token's attention to each kind of token is also knocked
out, over windows of layers (Geva et al. 2023, "Dissecting Recall of Factual Associations in
Auto-Regressive Language Models"), beside a control that knocks out as many tokens of the same
prompt drawn at random: what any blocking does is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from affectscope.analyses.ablate import kullback_leibler
from affectscope.analyses.attend_table import attend_result
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.study import ITEMS, Study
from affectscope.analyses.windows import require_count, window
from affectscope.engine import AttentionWeights, BlockAttention, Intervention
from affectscope.prompts.token_kinds import TOKEN_KINDS, TokenKind, token_kinds

ALL_LAYERS = -1
"""In the column ``layer``: knocked out at every layer."""

Case = tuple[TokenKind, bool, int]
"""A kind of token; whether as many random tokens are blocked in their place; centre of a window."""


class Attend(Experiment):
    """Attention of the last token by kind of token, and its knock-out by kind.

    Args:
        study: The study.
        items: Use at most so many items (the first of the sample, which is in random order).
        span: Layers knocked out together, centred on the layer that is named.
    """

    name = "attend"

    def __init__(self, study: Study, *, items: int | None = 200, span: int = 5) -> None:
        self.study = study
        self.span = span
        window(0, span, study.lm.n_layers)  # refuse an even span before any work is done
        require_count("items", items)
        self.n_items = len(study.corpus) if items is None else min(len(study.corpus), items)

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"{self.n_items} items; attention knocked out over windows of {self.span} layer(s) and "
            f"over all layers; random tokens of the control by seed {self.study.seed}."
        )

    @cached_property
    def kinds(self) -> list[list[TokenKind]]:
        """The kind of every token of every item's prompt.

        Raises:
            NotPossibleError: A tokenizer that does not say which characters a token comes from.
        """
        study = self.study
        return [
            token_kinds(study.lm.tokenizer, study.task.template, text)
            for text in study.corpus.texts[: self.n_items]
        ]

    @cached_property
    def present(self) -> list[TokenKind]:
        """The kinds that occur, in the vocabulary's order."""
        found = {kind for kinds in self.kinds for kind in kinds}
        return [kind for kind in TOKEN_KINDS if kind in found]

    def planned_cost(self) -> float:
        """One token for each item and knock-out, and each item's clean pass."""
        cases = 2 * len(TOKEN_KINDS) * (self.study.lm.n_layers + 1)
        share = self.n_items / len(self.study.corpus)
        return self.n_items * cases + share * self.study.n_tokens

    def units(self) -> list[Unit]:
        """One unit for every block of items."""
        per_item = self.planned_cost() / self.n_items
        return [
            Unit(
                self.name,
                {
                    "items": [start, min(start + ITEMS, self.n_items)],
                    "span": self.span,
                    "kinds": list(self.present),
                },
                cost=per_item * (min(start + ITEMS, self.n_items) - start),
            )
            for start in range(0, self.n_items, ITEMS)
        ]

    def compute(self, unit: Unit) -> UnitOutput:
        """Attention of a block of items, and their answers under every knock-out."""
        start, stop = unit.key["items"]
        prompts = self.study.prompts[start:stop]
        attention = self.study.remembering_lm.attention(prompts)
        looked = [self._looked(start + row, w) for row, w in enumerate(attention.weights)]
        answered = self._answered(range(start, stop), attention)
        return UnitOutput(pd.concat([*looked, answered], ignore_index=True))

    def _looked(self, item: int, weights: Float[Tensor, "layer head token"]) -> pd.DataFrame:
        """How much attention goes to each kind, a row for each layer and kind."""
        kinds = self.kinds[item]
        is_kind = torch.tensor([[kind == other for kind in kinds] for other in self.present])
        shares = torch.einsum("lht,kt->lkh", weights, is_kind.float())
        most = most_attended(weights, kinds)
        n_layers, n_kinds, n_heads = shares.shape
        rows = {
            "item": item,
            "measure": "attention",
            "kind": list(self.present) * n_layers,
            "layer": np.repeat(np.arange(n_layers), n_kinds),
            "n_tokens": is_kind.sum(dim=1).repeat(n_layers).numpy(),
            "weight": shares.mean(dim=2).flatten().numpy(),
            "weight_max": shares.amax(dim=2).flatten().numpy(),
            "most_attended": [float(kind == top) for top in most for kind in self.present],
        }
        heads = shares.flatten(0, 1).numpy()
        return pd.DataFrame(rows | {f"head.{head}": heads[:, head] for head in range(n_heads)})

    def _answered(self, items: range, attention: AttentionWeights) -> pd.DataFrame:
        """The answers under knock-outs, a row for each case in which an item has such tokens."""
        study, blocked = self.study, {}
        for kind in self.present:
            blocked[kind, False] = [self._of_kind(item, kind) for item in items]
            blocked[kind, True] = [self._at_random(item, kind) for item in items]
        interventions, places = self._interventions(blocked, attention)
        clean = study.clean.logits[items.start : items.stop]
        logits = clean[:, None]
        if interventions:
            sweep = study.remembering_lm.intervene(
                study.prompts[items.start : items.stop],
                interventions,
                label_ids=study.task.label_ids,
            )
            logits = torch.cat([logits, sweep.logits], dim=1)
        offsets = study.clean.offsets
        scores, before = offsets.scores(logits), offsets.scores(clean)
        changes = kullback_leibler(before[:, None], scores)
        labels = np.asarray(study.task.labels)
        parts = []
        for (kind, random, layer), column in places.items():
            n_tokens = np.array([int(tokens.sum()) for tokens in blocked[kind, random]])
            has = np.flatnonzero(n_tokens)
            rows = {
                "item": items.start + has,
                "measure": "knockout",
                "kind": kind,
                "blocked": "random" if random else "kind",
                "layer": layer,
                "span": self.study.lm.n_layers if layer == ALL_LAYERS else self.span,
                "n_tokens": n_tokens[has],
                "predicted": labels[scores[:, column].argmax(dim=-1).numpy()[has]],
                "kl": changes[:, column].numpy()[has],
            }
            parts.append(pd.DataFrame(rows))
        return pd.concat(parts, ignore_index=True)

    def _of_kind(self, item: int, kind: TokenKind) -> Bool[Tensor, " token"]:
        """The tokens of a kind, but for the last, which always sees itself."""
        kinds = self.kinds[item]
        return torch.tensor([other == kind for other in kinds[:-1]] + [False])

    def _at_random(self, item: int, kind: TokenKind) -> Bool[Tensor, " token"]:
        """As many tokens of the prompt, of any kind but ``special``."""
        kinds, count = self.kinds[item], int(self._of_kind(item, kind).sum())
        others = [at for at, other in enumerate(kinds[:-1]) if other != "special"]
        seed = [self.study.seed, item, TOKEN_KINDS.index(kind)]
        chosen = np.random.default_rng(seed).permutation(others)[:count].astype(np.int64)
        tokens = torch.zeros(len(kinds), dtype=torch.bool)
        tokens[torch.from_numpy(chosen)] = True
        return tokens

    def _interventions(
        self,
        blocked: Mapping[tuple[TokenKind, bool], list[Bool[Tensor, " token"]]],
        attention: AttentionWeights,
    ) -> tuple[list[Intervention], dict[Case, int]]:
        """The knock-outs, and for each case the column of its answers, 0 being the clean pass.

        Layers at which no prompt gives such tokens any weight, as outside a sliding window, are
        left out: nothing would be blocked.
        """
        interventions: list[Intervention] = []
        places: dict[Case, int] = {}
        for (kind, random), tokens in blocked.items():
            looked = torch.stack(
                [
                    weights[:, :, mine].sum(dim=(1, 2)) > 0
                    for weights, mine in zip(attention.weights, tokens, strict=True)
                ]
            ).any(dim=0)
            for layer, layers in self._windows():
                edits = [BlockAttention(at, tokens=tokens) for at in layers if looked[at]]
                places[kind, random, layer] = len(interventions) + 1 if edits else 0
                if edits:
                    name = f"{'random as ' if random else ''}{kind} {layer}"
                    interventions.append(Intervention(edits, name=name))
        return interventions, places

    def _windows(self) -> Iterator[tuple[int, list[int]]]:
        n_layers = self.study.lm.n_layers
        for layer in range(n_layers):
            yield layer, window(layer, self.span, n_layers)
        yield ALL_LAYERS, list(range(n_layers))

    def result(self, observations: pd.DataFrame) -> Result:
        """Attention and what its knock-out does, by kind and layer, and where they are extreme."""
        return attend_result(self.study, observations, self.n_items)


def most_attended(
    weights: Float[Tensor, "layer head token"], kinds: list[TokenKind]
) -> list[TokenKind]:
    """For each layer the kind of the token that gets most attention from any head.

    The first token and special tokens aside, as in the paper.
    """
    special = torch.tensor([kind == "special" for kind in kinds])
    strongest = weights.amax(dim=1).masked_fill(special, -1.0)
    return [kinds[token] for token in strongest.argmax(dim=1).tolist()]
