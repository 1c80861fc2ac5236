"""Every family, in each form in which it behaves differently, against naive full passes."""

from __future__ import annotations

import functools

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.models import LanguageModel, access_for
from affectscope.vocabulary import PRENORM_SITES, SITES
from tiny import VARIANTS, WORDS, loaded, tiny_family, tiny_variant, word_tokenizer

TOLERANCE = 1e-4
# 9, 14 and 24 tokens: longer than every sliding window, with a shared beginning
PROMPTS = [
    "Context: My first dog died. Answer:",
    "Context: My friend came home late, and rain again. Answer:",
    "Context: My first train went early, then you told me not to work all day long, late again! "
    "Answer:",
]
LABELS = [4, 9, 17, 30, 31, 60]
D = 32
LAYERS = (0, 2, 3)
KINDS = ("zero", "noise", "replace", "mean", "add", "project out")
HEADS = ("head_out[0]", "head_out[3]")


@functools.cache
def tokenizer():
    return word_tokenizer(WORDS)


@functools.cache
def model_of(variant: str):
    return tiny_variant(variant, len(tokenizer()))


@functools.cache
def language_model_of(variant: str) -> LanguageModel:
    return loaded(model_of(variant), tokenizer())


@pytest.fixture(params=VARIANTS)
def variant(request) -> str:
    return request.param


@pytest.fixture
def model(variant):
    return model_of(variant)


@pytest.fixture
def lm(variant) -> LanguageModel:
    return language_model_of(variant)


def encoded() -> list[tuple[int, ...]]:
    return [tuple(tokenizer().encode(prompt)) for prompt in PROMPTS]


def sites_of(model) -> tuple[str, ...]:
    post_norms = model.config.model_type in ("gemma2", "gemma3_text", "olmo2")
    return (*SITES, *(PRENORM_SITES if post_norms else ()), *HEADS)


def vector(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


PER_PROMPT, MEAN, DIRECTION, BASIS = vector(2, len(PROMPTS)), vector(1), vector(4), vector(3, 2)


def edit_of(kind: str, site: str, layer: int, position: int | str) -> eng.Edit:
    at = {"position": position}
    return {
        "zero": lambda: eng.Zero(site, layer, **at),
        "noise": lambda: eng.Noise(site, layer, seed=5, **at),
        "replace": lambda: eng.Replace(site, layer, value=PER_PROMPT, **at),
        "mean": lambda: eng.Mean(site, layer, value=MEAN, **at),
        "add": lambda: eng.Add(site, layer, vector=DIRECTION, coefficient=-1.5, **at),
        "project out": lambda: eng.ProjectOut(site, layer, basis=BASIS, **at),
    }[kind]()


def change_of(kind: str, site: str, layer: int, position: int, row: int) -> reference.Change:
    return {
        "zero": reference.zero,
        "noise": lambda: reference.noise(5, site, layer, position),
        "replace": lambda: reference.replace(PER_PROMPT[row]),
        "mean": lambda: reference.replace(MEAN),
        "add": lambda: reference.add(DIRECTION, -1.5),
        "project out": lambda: reference.project_out(BASIS),
    }[kind]()


Place = tuple[str, str, int, "int | str"]
"""Kind, site, layer and position of an edit."""


def interventions_of(cases: list[list[Place]]) -> list[eng.Intervention]:
    return [
        eng.Intervention([edit_of(*place) for place in places], name=str(places))
        for places in cases
    ]


def truth_of(model, cases: list[list[Place]], n_prompts: int = len(PROMPTS)) -> torch.Tensor:
    """Label logits [prompt, case, label] of naive full passes over the first prompts."""

    def changes(places: list[Place], row: int, n_tokens: int):
        for kind, site, layer, position in places:
            every = range(-n_tokens, 0) if position == "all" else [position]
            for token in every:
                yield site, layer, token, change_of(kind, site, layer, token, row)

    return torch.stack(
        [
            reference.full_passes(
                model, ids, [list(changes(places, row, len(ids))) for places in cases], LABELS
            )
            for row, ids in enumerate(encoded()[:n_prompts])
        ]
    )


def clean_of(model) -> torch.Tensor:
    return torch.cat([reference.full_passes(model, ids, [[]], LABELS) for ids in encoded()])


def test_the_self_check_passes(lm):
    assert lm.engine == "sweep", [str(check) for check in lm.checks if not check.passed]


@pytest.mark.parametrize("position", [-1, -2, -4, "all"])
def test_every_edit_equals_a_full_pass(lm, model, position):
    cases = [
        [(kind, site, layer, position)]
        for kind in KINDS
        for site in sites_of(model)
        for layer in LAYERS
    ]
    sweep = lm.intervene(PROMPTS, interventions_of(cases), label_ids=LABELS)
    truth = truth_of(model, cases)
    wrong = (sweep.logits - truth).abs().amax(dim=(0, 2))
    worst = int(wrong.argmax())
    assert wrong[worst] <= TOLERANCE, (cases[worst], float(wrong[worst]))
    changed = (truth - clean_of(model)[:, None]).abs().amax(dim=(0, 2)).tolist()
    most: dict[tuple[str, str], float] = {}
    for [(kind, site, layer, _)], change in zip(cases, changed, strict=True):
        most[kind, site] = max(change, most.get((kind, site), 0.0))
        # after the last block's attention nothing of an earlier token is read any more
        if layer < LAYERS[-1] or position in (-1, "all"):
            assert change > 2 * TOLERANCE, (kind, site, layer, change)
    assert min(most.values()) > 50 * TOLERANCE, min(most, key=most.__getitem__)
    n_tokens = sum(map(len, encoded()))
    assert set(sweep.hits.tolist()) == {n_tokens if position == "all" else len(PROMPTS)}


SEVERAL: list[list[Place]] = [
    [("zero", "attn_out", 0, -1), ("add", "resid_post", 2, -1), ("noise", "mlp_out", 2, -1)],
    [("replace", "mlp_out", 1, -1), ("project out", "resid_post", 1, -1)],
    [("zero", "head_out[0]", 1, -1), ("mean", "head_out[2]", 1, -1), ("add", "attn_out", 1, -1)],
    [("zero", "resid_post", 0, -3), ("zero", "attn_out", 2, -1)],
    [("noise", "attn_out", 1, -2), ("noise", "attn_out", 1, -1), ("add", "head_out[1]", 3, -1)],
    [("replace", "mlp_out", 0, -4), ("zero", "head_out[3]", 2, -2), ("mean", "mlp_out", 3, -1)],
    [("add", "attn_out", 1, "all"), ("zero", "mlp_out", 2, -1)],
    [("add", "resid_post", 1, -1), ("add", "resid_post", 1, -1)],
]


def test_several_edits_in_one_intervention(lm, model):
    sweep = lm.intervene(PROMPTS, interventions_of(SEVERAL), label_ids=LABELS)
    truth = truth_of(model, SEVERAL)
    assert (sweep.logits - truth).abs().max() <= TOLERANCE
    assert (truth - clean_of(model)[:, None]).abs().amax(dim=(0, 2)).min() > 100 * TOLERANCE


def test_the_plain_path_equals_full_passes(model):
    """Tells a fault of the map of sites from one of the sweep."""
    cases = [[(kind, site, 1, -1)] for kind in ("zero", "add") for site in sites_of(model)]
    several = [SEVERAL[4], SEVERAL[6]]
    ours = eng.intervene(
        eng.PromptReader(access_for(model), plain=True),
        encoded()[:1],
        interventions_of(cases + several),
        label_ids=LABELS,
    )
    truth = truth_of(model, cases + several, n_prompts=1)
    assert (ours.logits - truth).abs().max() <= TOLERANCE


def test_states_equal_full_passes(lm, model):
    sites, positions = sites_of(model), (-1, -2, -4)
    states = lm.capture(PROMPTS, sites=sites, positions=positions)
    for row, ids in enumerate(encoded()):
        places = [(site, layer) for site in sites for layer in range(lm.n_layers)]
        for (site, layer), tokens in reference.activations(model, ids, places).items():
            for position in positions:
                ours = states.at(site, layer, position)[row]
                assert torch.allclose(ours, tokens[position], rtol=1e-4, atol=1e-4), (site, layer)


def test_sites_are_what_the_residual_stream_gains(lm, model, variant):
    """No module's output is trusted: the stream is read where the next part gets it."""
    states = lm.capture(PROMPTS)
    for row, ids in enumerate(encoded()):
        stream = reference.stream(model, ids)
        for layer in range(lm.n_layers):
            entry, exit_ = stream["entry", layer][-1], stream["exit", layer][-1]
            attention = states.at("attn_out", layer)[row]
            mlp = states.at("mlp_out", layer)[row]
            assert torch.allclose(states.at("resid_post", layer)[row], exit_, atol=1e-4)
            assert torch.allclose(entry + attention + mlp, exit_, atol=1e-4)
            middle = stream["middle", layer][-1]
            gained = torch.zeros_like(entry) if variant == "gpt_neox" else attention
            assert torch.allclose(middle - entry, gained, atol=1e-4)
            assert min(attention.norm(), mlp.norm()) > 0.1


def test_heads_sum_to_attention(lm, model):
    heads = [f"head_out[{head}]" for head in range(4)]
    states = lm.capture(PROMPTS, sites=heads)
    whole = "attn_out_prenorm" if PRENORM_SITES[0] in sites_of(model) else "attn_out"
    for layer in range(lm.n_layers):
        bias = getattr(reference.projection_of(model, layer), "bias", None)
        total = sum(states.at(head, layer) for head in heads)
        for row, ids in enumerate(encoded()):
            attention = reference.activation(model, ids, whole, layer)
            assert torch.allclose(total[row] + (0 if bias is None else bias), attention, atol=1e-4)


def test_scores_are_those_of_the_plain_model(lm, model):
    ours, few = lm.score(PROMPTS), lm.score(PROMPTS, LABELS)
    for row, ids in enumerate(encoded()):
        truth = model(input_ids=torch.tensor([ids])).logits[0, -1]
        assert (ours[row] - truth).abs().max() <= TOLERANCE
        assert (few[row] - truth[LABELS]).abs().max() <= TOLERANCE


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("mistral, sliding", {"sliding_window": None}),
        ("gemma2", {"attn_logit_softcapping": None}),
        ("gemma2", {"final_logit_softcapping": None}),
        ("gemma2", {"sliding_window": 100}),
        ("gemma3", {"sliding_window": 100}),
        ("gemma3, capped", {"final_logit_softcapping": None}),
        ("phi3, sliding", {"sliding_window": None}),
        ("qwen2, sliding", {"layer_types": ["full_attention"] * 4}),
        ("qwen3, sliding", {"use_sliding_window": False}),
        ("gpt_neox, sequential", {"use_parallel_residual": True}),
        ("gpt2, scaled by layer", {"scale_attn_by_inverse_layer_idx": False}),
    ],
)
def test_what_makes_a_variant_matters(name, without):
    """Else the tests above would not show that the engine heeds it."""
    model_type, options = VARIANTS[name]
    model = model_of(name)
    other = tiny_family(model_type, len(tokenizer()), **options | without)
    other.load_state_dict(model.state_dict())
    for ids in encoded():
        tokens = torch.tensor([ids])
        difference = model(input_ids=tokens).logits[0, -1] - other(input_ids=tokens).logits[0, -1]
        assert difference.abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen3, sliding", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("n_tokens", [1, 2, 5])
def test_edits_of_a_prompts_first_token(name, n_tokens):
    """Nothing comes before the tokens that have to be computed again."""
    model, ids = model_of(name), encoded()[0][:n_tokens]
    places = [("zero", "attn_out", 1), ("add", "resid_post", 0), ("noise", "head_out[0]", 2)]
    cases = [[(*place, -n_tokens)] for place in places]
    sweep = language_model_of(name).intervene([ids], interventions_of(cases), label_ids=LABELS)
    changes = [
        [(site, layer, position, change_of(kind, site, layer, position, 0))]
        for [(kind, site, layer, position)] in cases
    ]
    truth = reference.full_passes(model, ids, changes, LABELS)
    assert (sweep.logits[0] - truth).abs().max() <= TOLERANCE


@pytest.mark.parametrize(
    "name", ["llama", "mistral, sliding", "qwen2, sliding", "qwen3, sliding", "gpt2"]
)
def test_long_prompts_through_torchs_own_attention(name, monkeypatch):
    """Taken where there are too many scores to hold, which prompts of a test never have."""
    model, lm = model_of(name), language_model_of(name)
    assert lm.engine == "sweep"
    monkeypatch.setattr("affectscope.engine.packing.MOST_SCORES", 0)
    monkeypatch.setattr("affectscope.engine.packing._attention", None)  # the other way fails
    assert len({ids[:2] for ids in encoded()}) == 1
    assert len({len(ids) for ids in encoded()}) == len(PROMPTS)
    states = lm.capture(PROMPTS, positions=(-1, -3))
    sweep = lm.intervene(PROMPTS, interventions_of(SEVERAL[:6]), label_ids=LABELS)
    truth = truth_of(model, SEVERAL[:6])
    assert (sweep.logits - truth).abs().max() <= TOLERANCE
    assert (sweep.clean - clean_of(model)).abs().max() <= TOLERANCE
    places = [(site, layer) for site in SITES for layer in range(lm.n_layers)]
    for row, ids in enumerate(encoded()):
        for (site, layer), tokens in reference.activations(model, ids, places).items():
            for position in (-1, -3):
                ours = states.at(site, layer, position)[row]
                assert torch.allclose(ours, tokens[position], rtol=1e-4, atol=1e-4), (site, layer)
