"""Where chains join the pass, and that leaving blocks out changes nothing."""

from __future__ import annotations

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.engine.starts import chain_length, start_of

PROMPTS = ["Context: I lost it. Answer:", "Context: My friend came home late again. Answer:"]
LABELS = [4, 9, 17]
D = 32


def vector(seed: int) -> torch.Tensor:
    return torch.randn(D, generator=torch.Generator().manual_seed(seed))


def start(*edits: eng.Edit):
    found = start_of(eng.Intervention(edits))
    return (
        found.layer,
        [j for j, _ in found.joining],
        [j for j, _ in found.later],
        list(found.overwritten),
    )


def test_an_edit_of_attention_starts_at_its_block():
    assert start(eng.Zero("attn_out", 2)) == (2, [], [0], [])
    assert start(eng.Zero("head_out[1]", 2)) == (2, [], [0], [])
    assert start(eng.Zero("mlp_out_prenorm", 2)) == (2, [], [0], [])


def test_an_edit_after_attention_starts_at_the_next_block():
    assert start(eng.Zero("mlp_out", 2)) == (3, [0], [], [])
    assert start(eng.Noise("resid_post", 2, seed=0)) == (3, [0], [], [])
    assert start(eng.Zero("mlp_out", 3), eng.Zero("mlp_out", 2)) == (3, [1], [0], [])


def test_edits_of_one_block_that_include_attention_start_there():
    assert start(eng.Zero("mlp_out", 2), eng.Zero("attn_out", 2)) == (2, [], [0, 1], [])


def test_the_mlp_comes_before_the_stream_whatever_the_order_given():
    edits = (eng.Add("resid_post", 1, vector=vector(0)), eng.Zero("mlp_out", 1))
    assert start(*edits) == (2, [1, 0], [], [])


def test_what_a_fixed_stream_overwrites_is_left_out():
    replace = eng.Replace("resid_post", 2, value=vector(1))
    assert start(eng.Zero("attn_out", 0), eng.Zero("mlp_out", 2), replace) == (3, [2], [], [0, 1])
    assert start(replace, eng.Zero("attn_out", 3)) == (3, [0], [1], [])
    add = eng.Add("resid_post", 2, vector=vector(2))
    assert start(add, replace, add) == (3, [1, 2], [], [0])


def test_nothing_is_overwritten_where_later_tokens_can_see_it():
    early = eng.Zero("attn_out", 0, position=-2)
    late = eng.Zero("resid_post", 2, position=-2)
    assert start(early, late) == (0, [], [0, 1], [])


def test_moving_or_noisy_edits_overwrite_nothing():
    assert start(eng.Zero("attn_out", 0), eng.Add("resid_post", 2, vector=vector(1)))[3] == []
    assert start(eng.Zero("attn_out", 0), eng.Noise("resid_post", 2, seed=1))[3] == []


def test_chain_lengths():
    zero = eng.Zero("attn_out", 0)
    assert chain_length(eng.Intervention([zero])) == 1
    assert chain_length(eng.Intervention([zero, eng.Zero("attn_out", 0, position=-4)])) == 4
    assert chain_length(eng.Intervention([zero, eng.Zero("attn_out", 0, position="all")])) is None


EDITS = {
    "mlp twice, then the stream": [
        (eng.Zero("mlp_out", 1), reference.zero()),
        (eng.Add("mlp_out", 1, vector=vector(3)), reference.add(vector(3), 1.0)),
        (
            eng.Add("resid_post", 1, vector=vector(4), coefficient=-2.0),
            reference.add(vector(4), -2.0),
        ),
    ],
    "the last block": [(eng.Add("resid_post", 3, vector=vector(5)), reference.add(vector(5), 1.0))],
    "the last mlp": [(eng.Replace("mlp_out", 3, value=vector(5)), reference.replace(vector(5)))],
    "overwritten": [
        (eng.Zero("attn_out", 0), reference.zero()),
        (eng.Zero("resid_post", 1), reference.zero()),
        (eng.Replace("resid_post", 2, value=vector(6)), reference.replace(vector(6))),
        (eng.Noise("mlp_out", 3, seed=4), reference.noise(4, "mlp_out", 3)),
    ],
    "noise on a stream already edited": [
        (eng.Zero("mlp_out", 0), reference.zero()),
        (eng.Noise("resid_post", 2, seed=4), reference.noise(4, "resid_post", 2)),
    ],
}


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("position", [-1, -3])
def test_late_starts_equal_full_passes(lm, name, position):
    chosen = EDITS[name]
    moved = [type(edit)(**{**vars(edit), "position": position}) for edit, _ in chosen]
    changes = [
        reference.noise(4, edit.site, edit.layer, position)
        if isinstance(edit, eng.Noise)
        else change
        for edit, change in chosen
    ]
    # beside others that start elsewhere
    others = [eng.Intervention([eng.Zero("attn_out", layer)]) for layer in (0, 3)]
    sweep = lm.intervene(PROMPTS, [others[0], eng.Intervention(moved), others[1]], label_ids=LABELS)
    for row, ids in enumerate(lm.encode(PROMPTS)):
        truth = reference.full_pass(
            lm.model,
            ids,
            [
                (edit.site, edit.layer, position, change)
                for edit, change in zip(moved, changes, strict=True)
            ],
            LABELS,
        )
        assert (sweep.logits[row, 1] - truth).abs().max() < 1e-4
        reaches_the_end = position == -1 or min(edit.layer for edit in moved) < 3
        assert ((truth - sweep.clean[row]).abs().max() > 1e-3) == reaches_the_end
    assert sweep.hits.tolist() == [2, 2 * len(moved), 2]


def test_blocks_below_the_start_are_not_run(lm):
    run: list[int] = []
    handles = [
        block.register_forward_pre_hook(
            lambda _m, _a, kwargs, layer=layer: run.append(layer) if "branches" in kwargs else None,
            with_kwargs=True,
        )
        for layer, block in enumerate(lm.model.model.layers)
    ]
    try:
        lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("mlp_out", 1)])], label_ids=LABELS)
    finally:
        for handle in handles:
            handle.remove()
    assert run == [2, 3]
