"""The counterfactual sweep: many interventions for the price of one clean pass and a few tokens.

What would the model answer if an activation at the last token had been different? The edit cannot
reach earlier tokens (attention is causal), so only the last token has to be computed again:

1. *Read once.* The prompts' shared prefix goes through the model once, each prompt's own tokens
   once; keys and values are kept (:mod:`affectscope.engine.reading`).
2. *Branch.* Every intervention is a sibling of the last token: one more query with the same
   position id, which attends to the tokens before the last and to itself, never to its siblings
   (a 4-D mask). All interventions of a prompt ride in the same pass; hooks edit each sibling's
   activation at its site and layer.
3. *Score only what is asked.* The siblings' hidden states meet the label rows of the unembedding
   and nothing else.

An intervention that edits an earlier token runs as full passes, one sequence for each prompt and
intervention (:func:`_full_passes`); so does everything when the reader is a plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from affectscope.engine.access import ModelAccess
from affectscope.engine.batching import Batch
from affectscope.engine.capture import at_positions, check_positions
from affectscope.engine.interventions import Edit, Intervention, Where
from affectscope.engine.reading import NOTHING, PromptReader, additive_mask
from affectscope.errors import EditNeverFiredError
from affectscope.vocabulary import Site

SIBLINGS = 256
"""Most siblings of one prompt in a pass: beyond it, attention's sibling-by-sibling mask costs."""

ROWS = 1024
"""Most siblings of all prompts in a pass."""


@dataclass(frozen=True)
class Sweep:
    """What the model answers under each intervention."""

    logits: Float[Tensor, "prompt intervention label"]
    """Label logits under each intervention, float32."""
    clean: Float[Tensor, "prompt label"]
    """Label logits without any, float32."""
    hits: Int[Tensor, " intervention"]
    """How many activations each intervention edited, over all prompts."""


@dataclass(frozen=True)
class _Application:
    """An edit, and the rows and columns of the running batch it applies to."""

    edit: Edit
    owner: tuple[int, int]
    """Index of the intervention, and of the edit in it."""
    rows: Tensor
    columns: Tensor
    where: Where


@torch.no_grad()
def intervene(
    reader: PromptReader,
    encoded: Sequence[tuple[int, ...]],
    interventions: Sequence[Intervention],
    *,
    label_ids: Sequence[int],
    max_rows: int = ROWS,
) -> Sweep:
    """Label logits of every prompt under every intervention.

    Args:
        reader: The model.
        encoded: Token ids of every prompt.
        interventions: What to change; each counterfactual is independent of the others.
        label_ids: Token ids to score.
        max_rows: Most counterfactual sequences in one pass.

    Raises:
        InterventionError: An edit that does not fit the model or the prompts.
        EditNeverFiredError: An edit that reached no activation.
        PromptError: A position outside a prompt, or a token that is not in the vocabulary.
        ModelError: Logits that are not finite numbers.
    """
    access = reader.access
    _check(access, encoded, interventions)
    n, k = len(encoded), len(interventions)
    logits = torch.empty((n, k, len(label_ids)), dtype=torch.float32)
    clean = torch.empty((n, len(label_ids)), dtype=torch.float32)
    hits: dict[tuple[int, int], int] = {}
    branching = [
        i for i, item in enumerate(interventions) if item.at_last_token and not reader.plain
    ]
    full = sorted(set(range(k)) - set(branching))
    prefix = reader.prefix(encoded, keep=1)
    size = max(1, min(SIBLINGS, max_rows, len(branching)))
    chunks = [branching[start : start + size] for start in range(0, len(branching), size)]
    for batch in reader.batches(encoded, prefix, max_prompts=max(1, max_rows // size)):
        hidden, cache = reader.read(batch, prefix)
        rows = torch.tensor(batch.rows)
        last = at_positions(hidden, batch, (-1,))[:, 0]
        clean[rows] = access.unembed(last, label_ids).cpu()
        for chunk in chunks:
            siblings = _Siblings(
                batch, prefix.n_tokens, encoded, [(i, interventions[i]) for i in chunk]
            )
            scored = siblings.run(access, cache, hits)
            logits[rows[:, None], torch.tensor(chunk)] = access.unembed(scored, label_ids).cpu()
    for row, column, scored in _full_passes(
        reader, encoded, [(i, interventions[i]) for i in full], hits, max_rows
    ):
        logits[row, column] = access.unembed(scored, label_ids).cpu()
    return Sweep(logits, clean, _count_hits(interventions, hits))


def _check(
    access: ModelAccess, encoded: Sequence[Sequence[int]], interventions: Sequence[Intervention]
) -> None:
    for intervention in interventions:
        for edit in intervention.edits:
            access.check_layer(edit.layer)
            edit.check(len(encoded), access.d_model)
            if edit.position != "all":
                check_positions(encoded, [edit.position])


def _count_hits(
    interventions: Sequence[Intervention], hits: Mapping[tuple[int, int], int]
) -> Int[Tensor, " intervention"]:
    for i, intervention in enumerate(interventions):
        for j, edit in enumerate(intervention.edits):
            if not hits.get((i, j)):
                raise EditNeverFiredError(
                    f"edit {j} of intervention {intervention.name or i!r} "
                    f"({type(edit).__name__} at {edit.site}, layer {edit.layer}) never fired",
                    expected="every edit to change at least one activation",
                    remedy="the model did not call the module of that site; run "
                    "`affectscope models check` on it",
                )
    return torch.tensor(
        [sum(hits[i, j] for j in range(len(item.edits))) for i, item in enumerate(interventions)],
        dtype=torch.long,
    )


def _edit_hooks(
    applications: Sequence[_Application], hits: dict[tuple[int, int], int]
) -> dict[tuple[int, Site], Callable[[Tensor], Tensor]]:
    """One hook for every edited place, applying its edits in order."""
    places: dict[tuple[int, Site], list[_Application]] = {}
    for application in applications:
        edit = application.edit
        places.setdefault((edit.layer, edit.site), []).append(application)

    def hook_at(here: list[_Application]) -> Callable[[Tensor], Tensor]:
        def hook(activation: Tensor) -> Tensor:
            edited = activation.clone()
            for a in here:
                edited[a.rows, a.columns] = a.edit.apply(edited[a.rows, a.columns], a.where)
                hits[a.owner] = hits.get(a.owner, 0) + len(a.rows)
            return edited

        return hook

    return {place: hook_at(here) for place, here in places.items()}


@dataclass(frozen=True)
class _Siblings:
    """The interventions of a batch as siblings of each prompt's last token."""

    batch: Batch
    n_prefix: int
    encoded: Sequence[tuple[int, ...]]
    interventions: Sequence[tuple[int, Intervention]]
    """With their index in the call."""

    def run(
        self, access: ModelAccess, cache: DynamicCache, hits: dict[tuple[int, int], int]
    ) -> Float[Tensor, "prompt sibling d_model"]:
        """Normalised hidden states of the siblings."""
        lengths = self.batch.lengths
        n_prompts, n_siblings = len(lengths), len(self.interventions)
        last = self.batch.ids.gather(1, lengths[:, None] - 1)
        positions = (self.n_prefix + lengths - 1)[:, None].expand(-1, n_siblings)
        past = [(layer.keys, layer.values) for layer in cache.layers]
        with access.hooks(_edit_hooks(list(self._applications()), hits)):
            output = access.backbone(
                input_ids=last.expand(-1, n_siblings),
                attention_mask=self._mask(past[0][0].shape[2], access.dtype),
                position_ids=positions,
                past_key_values=DynamicCache(past),
                use_cache=True,
            )
        hidden: Tensor = output.last_hidden_state
        assert hidden.shape[:2] == (n_prompts, n_siblings)
        return hidden

    def _mask(self, n_past: int, dtype: torch.dtype) -> Float[Tensor, "prompt 1 sibling key"]:
        """Each sibling sees the tokens before the last one, and itself."""
        lengths = self.batch.lengths
        n_siblings = len(self.interventions)
        before = torch.arange(n_past, device=lengths.device) < (
            self.n_prefix + lengths - 1
        ).unsqueeze(1)
        itself = torch.eye(n_siblings, dtype=torch.bool, device=lengths.device)
        allowed = torch.cat(
            [
                before[:, None, :].expand(-1, n_siblings, -1),
                itself.expand(len(lengths), -1, -1),
            ],
            dim=2,
        )
        return additive_mask(allowed, dtype)

    def _applications(self) -> Iterator[_Application]:
        device = self.batch.ids.device
        rows = torch.arange(len(self.batch.rows), device=device)
        where = Where(
            prompts=torch.tensor(self.batch.rows),
            tokens=self.n_prefix + self.batch.lengths - 1,
            encoded=self.encoded,
        )
        for column, (i, intervention) in enumerate(self.interventions):
            columns = torch.full_like(rows, column)
            for j, edit in enumerate(intervention.edits):
                yield _Application(edit, (i, j), rows, columns, where)


def _full_passes(
    reader: PromptReader,
    encoded: Sequence[tuple[int, ...]],
    interventions: Sequence[tuple[int, Intervention]],
    hits: dict[tuple[int, int], int],
    max_rows: int,
) -> Iterator[tuple[list[int], list[int], Float[Tensor, "sequence d_model"]]]:
    """Run every prompt under every intervention as a whole sequence of its own.

    Yields:
        Prompt indices, intervention indices and final hidden states of a batch of sequences.
    """
    pairs = [(prompt, item) for prompt in range(len(encoded)) for item in interventions]
    sequences = [encoded[prompt] for prompt, _ in pairs]
    for batch in reader.batches(sequences, NOTHING, max_rows) if pairs else ():
        members = [pairs[row] for row in batch.rows]
        applications = list(_whole_sequence_applications(batch, members, encoded))
        with reader.access.hooks(_edit_hooks(applications, hits)):
            hidden, _ = reader.read(batch, NOTHING)
        yield (
            [prompt for prompt, _ in members],
            [item[0] for _, item in members],
            at_positions(hidden, batch, (-1,))[:, 0],
        )


def _whole_sequence_applications(
    batch: Batch,
    members: Sequence[tuple[int, tuple[int, Intervention]]],
    encoded: Sequence[tuple[int, ...]],
) -> Iterator[_Application]:
    device = batch.ids.device
    for row, (prompt, (i, intervention)) in enumerate(members):
        length = int(batch.lengths[row])
        for j, edit in enumerate(intervention.edits):
            tokens = (
                torch.arange(length, device=device)
                if edit.position == "all"
                else torch.tensor([length + edit.position], device=device)
            )
            where = Where(torch.full_like(tokens, prompt), tokens, encoded)
            yield _Application(edit, (i, j), torch.full_like(tokens, row), tokens, where)
