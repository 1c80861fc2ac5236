"""Readouts under interventions, against activations seen by hooks in one full pass each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.errors import InterventionError, LayerError
from affectscope.vocabulary import SITES

TOLERANCE = 1e-5
"""Of the largest reading; logits here are near 1."""
PROMPTS = ["I lost it. Answer:", "My friend came home late again. Answer:", "rain. Answer:"]
LABELS = [4, 9, 17]
D = 32
N_LAYERS = 4


def vector(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


VALUE = vector(7, len(PROMPTS))
CASES = {
    "add": (
        [eng.Add("resid_post", 1, vector=vector(1), coefficient=3.0)],
        lambda _: [("resid_post", 1, -1, reference.add(vector(1), 3.0))],
    ),
    "two": (
        [eng.Zero("attn_out", 0), eng.Add("mlp_out", 2, vector=vector(2))],
        lambda _: [
            ("attn_out", 0, -1, reference.zero()),
            ("mlp_out", 2, -1, reference.add(vector(2), 1.0)),
        ],
    ),
    "earlier": (
        [eng.Replace("mlp_out", 1, value=VALUE, position=-2)],
        lambda row: [("mlp_out", 1, -2, reference.replace(VALUE[row]))],
    ),
    "overwrites": (
        [eng.Add("mlp_out", 1, vector=vector(3)), eng.Replace("resid_post", 2, value=VALUE)],
        lambda row: [
            ("mlp_out", 1, -1, reference.add(vector(3), 1.0)),
            ("resid_post", 2, -1, reference.replace(VALUE[row])),
        ],
    ),
    "all tokens": ([eng.Zero("attn_out", 1, position="all")], None),
}


def naive(lm, row: int, edits, places) -> dict[tuple[str, int, int], torch.Tensor]:
    """Activations at some places [d_model], under edits, by hooks that come after theirs."""
    seen: dict[tuple[str, int, int], torch.Tensor] = {}

    def keep(place):
        def change(activation, _ids):
            seen[place] = activation.clone()
            return activation

        return change

    ids = lm.encode(PROMPTS)[row]
    watching = [(site, layer, position, keep((site, layer, position)))
                for site, layer, position in places]  # fmt: skip
    reference.full_pass(lm.model, ids, [*edits, *watching], LABELS)
    return seen


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("case", list(CASES))
def test_readouts_equal_a_full_pass(lm, case, plain):
    edits, by_hand = CASES[case]
    places = [(site, layer, -1) for site in SITES for layer in range(N_LAYERS)]
    places += [("resid_post", 2, -2), ("attn_out", 3, -3)]
    weights, bias = vector(5, 4), torch.arange(4.0)
    readouts = [eng.Readout(s, layer, weights, bias, position=at) for s, layer, at in places]
    model = replace(lm, reader=replace(lm.reader, plain=plain))
    sweep = model.intervene(PROMPTS, [eng.Intervention(edits)], label_ids=LABELS, readouts=readouts)
    bare = model.intervene(PROMPTS, [eng.Intervention(edits)], label_ids=LABELS)
    assert (sweep.logits - bare.logits).abs().max() < 1e-4
    assert torch.equal(sweep.hits, bare.hits), "a readout is not an edit of the user's"
    for row, ids in enumerate(lm.encode(PROMPTS)):
        made = (
            [("attn_out", 1, at, reference.zero()) for at in range(len(ids))]
            if by_hand is None
            else by_hand(row)
        )
        seen = naive(lm, row, made, places)
        for place, read in zip(places, sweep.readouts, strict=True):
            truth = seen[place] @ weights.T + bias
            assert (read[row, 0] - truth).abs().max() < TOLERANCE * truth.abs().max(), place


def test_readouts_keep_interventions_and_prompts_apart(lm):
    edits = [
        eng.Intervention([eng.Add("resid_post", layer, vector=vector(9), coefficient=float(c))])
        for layer in (0, 2)
        for c in (1, 5)
    ]
    readout = eng.Readout("resid_post", 3, torch.eye(D))
    [read] = lm.intervene(PROMPTS, edits, label_ids=LABELS, readouts=[readout]).readouts
    assert read.shape == (len(PROMPTS), len(edits), D)
    for row in range(len(PROMPTS)):
        for column, one in enumerate(edits):
            edit = one.edits[0]
            made = [("resid_post", edit.layer, -1, reference.add(vector(9), edit.coefficient))]
            truth = naive(lm, row, made, [("resid_post", 3, -1)])["resid_post", 3, -1]
            assert (read[row, column] - truth).abs().max() < TOLERANCE * truth.abs().max()


def test_a_readout_without_readouts_is_empty(lm):
    sweep = lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("mlp_out", 0)])], label_ids=LABELS)
    assert sweep.readouts == ()


@pytest.mark.parametrize(
    ("readout", "error"),
    [
        (eng.Readout("resid_post", 9, torch.eye(D)), LayerError),
        (eng.Readout("resid_post", 1, torch.eye(D + 1)), InterventionError),
        (eng.Readout("resid_post", 1, torch.ones(D)), InterventionError),
        (eng.Readout("resid_post", 1, torch.eye(D), torch.ones(3)), InterventionError),
    ],
)
def test_a_readout_that_does_not_fit_is_refused(lm, readout, error):
    edits = [eng.Intervention([eng.Zero("mlp_out", 0)])]
    with pytest.raises(error, match="expected"):
        lm.intervene(PROMPTS, edits, label_ids=LABELS, readouts=[readout])
