"""Attention knock-out against eager attention whose mask a hook changes, one prompt at a time."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.errors import EditNeverFiredError, InterventionError, LayerError, ModelError
from affectscope.models import access_for
from tiny import WORDS, loaded, tiny_variant, word_tokenizer

TOLERANCE = 1e-4
# 9, 14 and 24 tokens: longer than every sliding window, with a shared beginning
PROMPTS = [
    "Context: My first dog died. Answer:",
    "Context: My friend came home late, and rain again. Answer:",
    "Context: My first train went early, then you told me not to work all day long, late again! "
    "Answer:",
]
LABELS = [4, 9, 17, 30, 31, 60]
VARIANTS = (
    "llama",
    "mistral, sliding",
    "gemma2",
    "gemma3",
    "qwen2",
    "qwen2, sliding",
    "phi3, sliding",
    "gpt_neox",
    "gpt2, scaled by layer",
)


@functools.cache
def language_model_of(variant: str):
    tokenizer = word_tokenizer(WORDS)
    lm = loaded(tiny_variant(variant, len(tokenizer)), tokenizer)
    assert lm.engine == "sweep", lm.checks
    return lm


@pytest.fixture(params=VARIANTS)
def lm(request):
    return language_model_of(request.param)


@pytest.fixture(scope="module")
def encoded():
    return language_model_of("llama").encode(PROMPTS)


def drawn(encoded, seed: int, position: int = -1) -> list[list[int]]:
    """About a third of the tokens of every prompt but the attending one, and the one before it."""
    rng = np.random.default_rng(seed)
    return [
        sorted(
            {len(ids) + position - 1}
            | {int(t) for t in np.flatnonzero(rng.random(len(ids)) < 1 / 3)} - {len(ids) + position}
        )
        for ids in encoded
    ]


def knockouts_of(intervention: eng.Intervention, row: int, n_tokens: int):
    for edit in intervention.edits:
        if isinstance(edit, eng.BlockAttention):
            yield edit.layer, n_tokens + edit.position, edit.tokens[row], edit.heads


def truth_of(lm, encoded, interventions, changes=None) -> torch.Tensor:
    changes = changes or [[] for _ in interventions]
    return torch.stack(
        [
            torch.stack(
                [
                    reference.blocked_pass(
                        lm.model,
                        ids,
                        list(knockouts_of(intervention, row, len(ids))),
                        LABELS,
                        edits,
                    )
                    for intervention, edits in zip(interventions, changes, strict=True)
                ]
            )
            for row, ids in enumerate(encoded)
        ]
    )


def cases(encoded) -> list[eng.Intervention]:
    """One layer, several, one head, some heads, several edits of a layer, earlier tokens."""
    first, second = drawn(encoded, 1), drawn(encoded, 2)
    earlier = drawn(encoded, 3, position=-3)
    block = eng.BlockAttention
    single = [[block(layer, tokens=first)] for layer in range(4)]
    heads = [[block(layer, tokens=second, heads=[3])] for layer in (0, 2)]
    several = [
        [block(layer, tokens=first) for layer in range(4)],
        [block(1, tokens=second, heads=[0, 2]), block(2, tokens=first, heads=[1])],
        [block(1, tokens=first), block(1, tokens=second), block(1, tokens=first, heads=[2])],
        [block(2, tokens=first, heads=[0]), block(2, tokens=second, heads=[0])],
        [block(0, tokens=earlier, position=-3)],
        [block(1, tokens=earlier, position=-3, heads=[1]), block(2, tokens=second)],
    ]
    return [eng.Intervention(edits) for edits in [*single, *heads, *several]]


def test_knockouts_equal_full_passes_with_another_mask(lm, encoded):
    interventions = cases(encoded)
    sweep = lm.intervene(PROMPTS, interventions, label_ids=LABELS)
    truth = truth_of(lm, encoded, interventions)
    wrong = (sweep.logits - truth).abs().amax(dim=(0, 2))
    assert wrong.max() <= TOLERANCE, wrong
    changed = (truth - sweep.clean[:, None]).abs().amax(dim=(0, 2))
    assert changed.min() > 20 * TOLERANCE, changed
    # the token before the attending one is always seen, so every edit blocks something everywhere
    n_edits = torch.tensor([len(item.edits) for item in interventions])
    assert torch.equal(sweep.hits, len(PROMPTS) * n_edits)


def test_knockouts_together_with_other_edits(lm, encoded):
    tokens, vector = drawn(encoded, 4), torch.linspace(-2, 2, 32)
    block = eng.BlockAttention
    mixed = [
        (
            [block(1, tokens=tokens), eng.Add("mlp_out", 1, vector=vector)],
            [("mlp_out", 1, -1, reference.add(vector, 1.0))],
        ),
        (
            [eng.Zero("mlp_out", 0), block(2, tokens=tokens, heads=[1])],
            [("mlp_out", 0, -1, reference.zero())],
        ),
        (
            [eng.Add("resid_post", 0, vector=vector, position=-4), block(3, tokens=tokens)],
            [("resid_post", 0, -4, reference.add(vector, 1.0))],
        ),
        (
            [block(2, tokens=tokens), eng.Zero("head_out[2]", 2)],
            [("head_out[2]", 2, -1, reference.zero())],
        ),
        (  # nothing is left of the knock-out
            [block(1, tokens=tokens), eng.Replace("resid_post", 2, value=vector)],
            [("resid_post", 2, -1, reference.replace(vector))],
        ),
    ]
    others = [([eng.Zero("attn_out", 0)], [("attn_out", 0, -1, reference.zero())])]
    interventions = [eng.Intervention(edits) for edits, _ in [*mixed, *others]]
    sweep = lm.intervene(PROMPTS, interventions, label_ids=LABELS)
    truth = truth_of(lm, encoded, interventions, [changes for _, changes in [*mixed, *others]])
    assert (sweep.logits - truth).abs().max() <= TOLERANCE
    assert sweep.hits.tolist() == [6, 6, 6, 6, 6, 3]


@pytest.mark.parametrize(
    ("variant", "implementation"),
    [
        *itertools.product(
            ["llama", "mistral, sliding", "gemma3", "gpt_neox", "gpt2, scaled by layer"],
            ["eager", "sdpa"],
        ),
        ("gemma2", "eager"),  # its soft caps are eager's
    ],
)
def test_the_full_pass_path_equals_the_sweep(variant, implementation, encoded):
    lm = language_model_of(variant)
    interventions = cases(encoded)
    truth = truth_of(lm, encoded, interventions)
    before = lm.model.config._attn_implementation
    lm.model.set_attn_implementation(implementation)
    try:
        full = eng.intervene(
            eng.PromptReader(access_for(lm.model), plain=True),
            encoded,
            interventions,
            label_ids=LABELS,
        )
    finally:
        lm.model.set_attn_implementation(before)
    assert (full.logits - truth).abs().max() <= TOLERANCE
    assert full.hits.tolist() == [3 * len(item.edits) for item in interventions]


def test_knockouts_beside_an_edit_of_all_tokens(encoded):
    """Full passes side by side, of unequal length."""
    lm, vector = language_model_of("mistral, sliding"), torch.linspace(-1, 1, 32)
    tokens = drawn(encoded, 5)
    add = eng.Add("resid_post", 0, vector=vector, position="all")
    interventions = [eng.Intervention([add, eng.BlockAttention(2, tokens=tokens, heads=[0, 3])])]
    sweep = lm.intervene(PROMPTS, interventions, label_ids=LABELS)
    for row, ids in enumerate(encoded):
        changes = [
            ("resid_post", 0, token, reference.add(vector, 1.0)) for token in range(-len(ids), 0)
        ]
        knockouts = [(2, len(ids) - 1, tokens[row], [0, 3])]
        truth = reference.blocked_pass(lm.model, ids, knockouts, LABELS, changes)
        assert (sweep.logits[row, 0] - truth).abs().max() <= TOLERANCE


def test_booleans_indices_and_tensors_say_the_same(encoded):
    lm, indices = language_model_of("llama"), drawn(encoded, 6)
    booleans = [
        [t in some for t in range(len(ids))] for ids, some in zip(encoded, indices, strict=True)
    ]
    forms = [indices, booleans, [torch.tensor(b) for b in booleans], list(map(np.array, indices))]
    interventions = [eng.Intervention([eng.BlockAttention(1, tokens=form)]) for form in forms]
    logits = lm.intervene(PROMPTS, interventions, label_ids=LABELS).logits
    for one, other in itertools.pairwise(range(len(forms))):
        assert torch.equal(logits[:, one], logits[:, other])


@pytest.mark.parametrize("plain", [False, True])
def test_a_prompt_without_such_tokens_is_left_as_it_is(encoded, plain):
    lm = language_model_of("llama")
    reader = eng.PromptReader(access_for(lm.model), plain=plain)
    tokens = [[], [2, 3], []]
    edits = [eng.Intervention([eng.BlockAttention(0, tokens=tokens)])]
    sweep = eng.intervene(reader, encoded, edits, label_ids=LABELS)
    changes = (sweep.logits[:, 0] - sweep.clean).abs().amax(dim=1)
    assert changes[[0, 2]].max() <= TOLERANCE
    assert changes[1] > 20 * TOLERANCE
    assert sweep.hits.tolist() == [1]


@pytest.mark.parametrize("plain", [False, True])
def test_a_knockout_that_blocks_nothing_anywhere_is_an_error(encoded, plain):
    lm = language_model_of("mistral, sliding")
    reader = eng.PromptReader(access_for(lm.model), plain=plain)
    for tokens in ([[], [], []], [[0], [0, 1], [0, 2]]):  # no tokens, and tokens out of the window
        edits = [eng.Intervention([eng.BlockAttention(1, tokens=tokens)])]
        with pytest.raises(EditNeverFiredError, match="BlockAttention"):
            eng.intervene(reader, encoded, edits, label_ids=LABELS)


def test_a_later_token_is_never_seen_and_so_never_blocked(encoded):
    lm, last = language_model_of("llama"), [[len(ids) - 1] for ids in encoded]
    edits = [eng.Intervention([eng.BlockAttention(1, tokens=last, position=-2)])]
    with pytest.raises(EditNeverFiredError):
        lm.intervene(PROMPTS, edits, label_ids=LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": [[0], [0]]}, "for 2 prompts, in a call with 3"),
        ({"tokens": [[0], [0], [23]]}, "blocked for itself"),
        ({"tokens": [[0], [0], [99]]}, r"prompt 2 has 24 tokens.*\[99\]"),
        ({"tokens": [[0], [0], [-2]]}, r"prompt 2 has 24 tokens.*\[-2\]"),
        ({"tokens": [[0], [0], [0.5]]}, "prompt 2 has 24 tokens"),
        ({"tokens": [[True], [0], [0]]}, "prompt 0 has 9 tokens"),
        ({"tokens": [[0], [0], [0]], "heads": [4]}, r"heads \[4\]"),
        ({"tokens": [[0], [0], [0]], "heads": []}, r"heads \[\]"),
    ],
)
def test_what_does_not_fit_the_call_is_refused(options, message):
    lm = language_model_of("llama")
    with pytest.raises(InterventionError, match=message):
        lm.intervene(
            PROMPTS, [eng.Intervention([eng.BlockAttention(1, **options)])], label_ids=LABELS
        )


def test_layers_and_positions_are_checked():
    tokens = [[0], [0], [0]]
    with pytest.raises(LayerError, match="layer 4"):
        language_model_of("llama").intervene(
            PROMPTS, [eng.Intervention([eng.BlockAttention(4, tokens=tokens)])], label_ids=LABELS
        )
    with pytest.raises(InterventionError, match='position "all"'):
        eng.BlockAttention(1, tokens=tokens, position="all")
    with pytest.raises(InterventionError, match="position 2"):
        eng.BlockAttention(1, tokens=tokens, position=2)


def test_full_passes_need_attention_with_a_mask(encoded):
    lm = language_model_of("llama")
    reader = eng.PromptReader(access_for(lm.model), plain=True)
    edits = [eng.Intervention([eng.BlockAttention(1, tokens=[[0], [0], [0]])])]
    config, before = lm.model.config, lm.model.config._attn_implementation
    config._attn_implementation = "flex_attention"
    try:
        with pytest.raises(ModelError, match="'flex_attention' takes no mask"):
            eng.score_full_passes(
                reader,
                encoded,
                list(enumerate(edits)),
                label_ids=LABELS,
                logits=torch.empty(3, 1, len(LABELS)),
                hits={},
            )
    finally:
        config._attn_implementation = before


def test_blocks_below_the_knockout_are_not_run(lm, encoded):
    run: list[int] = []
    handles = [
        block.register_forward_pre_hook(
            lambda _m, _a, kwargs, layer=layer: run.append(layer) if "branches" in kwargs else None,
            with_kwargs=True,
        )
        for layer, block in enumerate(reference.blocks_of(lm.model))
    ]
    try:
        edits = [eng.Intervention([eng.BlockAttention(2, tokens=drawn(encoded, 1))])]
        lm.intervene(PROMPTS, edits, label_ids=LABELS)
    finally:
        for handle in handles:
            handle.remove()
    assert run == [2, 3]
