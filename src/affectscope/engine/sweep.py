"""The counterfactual sweep: many interventions for the price of one clean pass and a few tokens.

What would the model answer if an activation had been different? An edit at a token cannot reach
earlier tokens (attention is causal), nor earlier layers, so only what it can reach is computed:

1. *Read once.* The prompts' shared prefix goes through the model once, each prompt's own tokens
   once; keys and values are kept (:mod:`affectscope.engine.reading`).
2. *Branch.* Every intervention is a sibling of the last token, or a short chain of last tokens when
   an earlier one is edited. Siblings attend to the prompt's past and to themselves, never to each
   other; all ride in the same pass (:mod:`affectscope.engine.attention`).
3. *Start late.* A sibling joins the pass at its first edited layer
   (:mod:`affectscope.engine.branches`).
4. *Score only what is asked.* The siblings' hidden states meet the label rows of the unembedding
   and nothing else.

An intervention that edits all tokens runs as full passes, one sequence for each prompt and
intervention (:mod:`affectscope.engine.full_passes`); so does everything when the reader is a plain
one. docs/sweep.md proves that the result is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from affectscope.engine.access import ModelAccess
from affectscope.engine.applying import Hits, add_hits, count_hits
from affectscope.engine.batching import Ids, longest_first
from affectscope.engine.branches import BranchPass, Chain
from affectscope.engine.budget import evenly, in_portions
from affectscope.engine.capture import check_positions
from affectscope.engine.full_passes import score_full_passes
from affectscope.engine.interventions import ActivationEdit, Intervention
from affectscope.engine.knockout import BlockAttention
from affectscope.engine.reading import CleanPass, PromptReader
from affectscope.engine.readouts import Readout, with_readouts
from affectscope.engine.starts import chain_length, start_of


@dataclass(frozen=True)
class Sweep:
    """What the model answers under each intervention."""

    logits: Float[Tensor, "prompt intervention label"]
    """Label logits under each intervention, float32."""
    clean: Float[Tensor, "prompt label"]
    """Label logits without any, float32."""
    hits: Int[Tensor, " intervention"]
    """How many activations each intervention edited, over all prompts."""
    readouts: tuple[Float[Tensor, "prompt intervention target"], ...] = ()
    """What each readout read under each intervention, float32."""


@torch.no_grad()
def intervene(
    reader: PromptReader,
    encoded: Sequence[Ids],
    interventions: Sequence[Intervention],
    *,
    label_ids: Sequence[int],
    readouts: Sequence[Readout] = (),
) -> Sweep:
    """Label logits of every prompt under every intervention.

    Args:
        reader: The model.
        encoded: Token ids of every prompt.
        interventions: What to change; each counterfactual is independent of the others.
        label_ids: Token ids to score.
        readouts: What to read of the activations under each intervention.

    Raises:
        InterventionError: An edit that does not fit the model or the prompts.
        EditNeverFiredError: An edit that reached no activation.
        PromptError: A position outside a prompt, or a token that is not in the vocabulary.
        ModelError: Logits that are not finite numbers, or memory that ran out.
    """
    for readout in readouts:
        readout.check(reader.access.d_model)
    watched, read = with_readouts(interventions, readouts, len(encoded))
    _check(reader.access, encoded, watched)
    call = _Call(reader, encoded, watched, label_ids)
    call.read_and_branch()
    full = [i for i, item in enumerate(watched) if call.by_full_pass(item)]
    score_full_passes(
        reader,
        encoded,
        [(i, watched[i]) for i in full],
        label_ids=label_ids,
        logits=call.logits,
        hits=call.hits,
    )
    return Sweep(call.logits, call.clean, count_hits(interventions, call.hits), read)


def _check(
    access: ModelAccess, encoded: Sequence[Ids], interventions: Sequence[Intervention]
) -> None:
    checked: set[tuple[int, int | str]] = set()
    for intervention in interventions:
        for edit in intervention.edits:
            access.check_layer(edit.layer)
            if isinstance(edit, ActivationEdit):
                access.check_site(edit.site)
            edit.check(len(encoded), access.d_model)
            if edit.position != "all":
                check_positions(encoded, [edit.position])
            if isinstance(edit, BlockAttention):
                edit.check_heads(access.n_heads)
                same = (id(edit.tokens), edit.position)  # many edits share their tokens
                if same not in checked:
                    edit.check_prompts([len(ids) for ids in encoded])
                    checked.add(same)


@dataclass
class _Call:
    """One call of :func:`intervene`, on its way."""

    reader: PromptReader
    encoded: Sequence[Ids]
    interventions: Sequence[Intervention]
    label_ids: Sequence[int]
    logits: Tensor = field(init=False)
    clean: Tensor = field(init=False)
    hits: Hits = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, labels = len(self.encoded), len(self.label_ids)
        self.logits = torch.empty((n, len(self.interventions), labels), dtype=torch.float32)
        self.clean = torch.empty((n, labels), dtype=torch.float32)

    def by_full_pass(self, intervention: Intervention) -> bool:
        """Whether an intervention cannot branch."""
        return self.reader.plain or chain_length(intervention) is None

    def _chains(self) -> dict[int, list[Chain]]:
        """The interventions that can branch: by their chains' length, then by where they start."""
        groups: dict[int, list[Chain]] = {}
        for i, intervention in enumerate(self.interventions):
            if not self.by_full_pass(intervention):
                length = chain_length(intervention)
                assert length is not None
                groups.setdefault(length, []).append(Chain(i, start_of(intervention)))
        return {
            length: sorted(group, key=lambda chain: chain.start.layer)
            for length, group in sorted(groups.items())
        }

    def read_and_branch(self) -> None:
        """Fill the clean logits, and those of every intervention that can branch."""
        chains = self._chains()
        keep = max(chains, default=0)
        prefix = self.reader.prefix(self.encoded, keep=max(keep, 1))
        order = longest_first(self.encoded)
        distinct: dict[Ids, list[int]] = {}
        for row in order:
            distinct.setdefault(self.encoded[row], []).append(row)
        prompts = list(distinct)

        def work(portion: range) -> None:
            read = prompts[portion.start : portion.stop]
            clean = self.reader.clean_pass(read, prefix, keep=keep)
            members = [(row, index) for row, ids in enumerate(read) for index in distinct[ids]]
            rows, indices = (list(numbers) for numbers in zip(*members, strict=True))
            self.clean[indices] = self._unembed(clean.hidden)[rows]
            for length, group in chains.items():
                self._branch(clean, members, group, length)

        def most(start: int) -> int:
            return self.reader.most_prompts(prompts[start:], prefix)

        in_portions(self.reader.budget, len(prompts), most, work)

    def _branch(
        self,
        clean: CleanPass,
        members: Sequence[tuple[int, int]],
        group: Sequence[Chain],
        length: int,
    ) -> None:
        """Score a group of interventions on the prompts of a clean pass.

        The counterfactuals are numbered prompt by prompt; a pass holds whole prompts, or a part of
        one that has too many interventions.
        """
        budget, access, k = self.reader.budget, self.reader.access, len(group)
        keys = clean.prefix.n_tokens + int(clean.batch.lengths.max())

        def most(start: int) -> int:
            rows = budget.rows(access, tokens=length, keys=keys)
            prompt, done = divmod(start, k)
            if done or rows < k:
                return evenly(k - done, rows)
            return k * evenly(len(members) - prompt, rows // k)

        def work(portion: range) -> None:
            first, last = portion.start // k, (portion.stop - 1) // k
            part = (
                group[portion.start - first * k : portion.stop - first * k]
                if first == last
                else group
            )
            hits: Hits = {}
            prompts = members[first : last + 1]
            states = BranchPass(clean, prompts, self.encoded, part, length).run(access, hits)
            rows = torch.tensor([index for _, index in prompts])
            columns = torch.tensor([chain.index for chain in part])
            self.logits[rows[:, None], columns] = self._unembed(states)
            add_hits(self.hits, hits)

        in_portions(budget, len(members) * k, most, work)

    def _unembed(self, hidden: Tensor) -> Tensor:
        return self.reader.access.unembed(hidden, self.label_ids).cpu()
