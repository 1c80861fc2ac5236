"""``lm.intervene`` against one plain full pass for each prompt and intervention."""

from __future__ import annotations

import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.errors import EditNeverFiredError, InterventionError, LayerError, PromptError
from affectscope.models import from_pretrained
from affectscope.vocabulary import SITES

TOLERANCE = 1e-4
PREFIX = "What are the inferred emotions in the following contexts? Context:"
PROMPTS = [
    f"{PREFIX} I lost it. Answer:",
    f"{PREFIX} My friend came home late, and the train went early again. Answer:",
    f"{PREFIX} rain. Answer:",
    f"{PREFIX} You told me not to work all day long, then I found the money! Answer:",
    f"{PREFIX} I lost him. Answer:",
]
LABELS = [4, 9, 17, 30, 31]
D = 32
N_LAYERS = 4


def vector(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed))


def edits_and_references(site: str, layer: int, position: int = -1):
    """Each kind of edit with its reference; ``row`` picks the prompt's own vector."""
    one, per_prompt, basis = vector(1), vector(2, len(PROMPTS)), vector(3, 2)
    at = {"position": position}
    return {
        "zero": (eng.Zero(site, layer, **at), lambda _: reference.zero()),
        "noise": (
            eng.Noise(site, layer, seed=5, **at),
            lambda _: reference.noise(5, site, layer, position),
        ),
        "replace": (
            eng.Replace(site, layer, value=per_prompt, **at),
            lambda row: reference.replace(per_prompt[row]),
        ),
        "mean": (eng.Mean(site, layer, value=one, **at), lambda _: reference.replace(one)),
        "add": (
            eng.Add(site, layer, vector=one, coefficient=-1.5, **at),
            lambda _: reference.add(one, -1.5),
        ),
        "project out": (
            eng.ProjectOut(site, layer, basis=basis, **at),
            lambda _: reference.project_out(basis),
        ),
    }


def expected(lm, places) -> torch.Tensor:
    """Reference logits [prompt, intervention, label]; places: list of lists of edits."""
    return torch.stack(
        [
            torch.stack(
                [
                    reference.full_pass(
                        lm.model,
                        ids,
                        [
                            (site, layer, position, make(row))
                            for site, layer, position, make in edits
                        ],
                        LABELS,
                    )
                    for edits in places
                ]
            )
            for row, ids in enumerate(lm.encode(PROMPTS))
        ]
    )


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", ["zero", "noise", "replace", "mean", "add", "project out"])
@pytest.mark.parametrize("position", [-1, -2])
def test_every_edit_equals_a_full_pass(lm, site, kind, position):
    edits = [edits_and_references(site, layer, position)[kind] for layer in range(N_LAYERS)]
    sweep = lm.intervene(PROMPTS, [eng.Intervention([edit]) for edit, _ in edits], label_ids=LABELS)
    truth = expected(lm, [[(site, layer, position, make)] for layer, (_, make) in enumerate(edits)])
    assert (sweep.logits - truth).abs().max() < TOLERANCE
    changed = (truth - sweep.clean[:, None]).abs().amax(dim=-1)
    assert changed[:, :-1].max() > 0.01, "the reference edit must matter, or this shows nothing"
    assert sweep.hits.tolist() == [len(PROMPTS)] * N_LAYERS


def test_clean_scores_equal_full_passes(lm):
    sweep = lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("mlp_out", 0)])], label_ids=LABELS)
    truth = torch.stack(
        [reference.full_pass(lm.model, ids, [], LABELS) for ids in lm.encode(PROMPTS)]
    )
    assert (sweep.clean - truth).abs().max() < TOLERANCE


def test_several_edits_in_one_intervention(lm):
    value, direction = vector(7, len(PROMPTS)), vector(8)
    intervention = eng.Intervention(
        [
            eng.Replace("attn_out", 1, value=value),
            eng.Zero("mlp_out", 2),
            eng.Add("resid_post", 2, vector=direction, coefficient=2.0),
            eng.Noise("attn_out", 3, seed=1),
        ]
    )
    truth = expected(
        lm,
        [
            [
                ("attn_out", 1, -1, lambda row: reference.replace(value[row])),
                ("mlp_out", 2, -1, lambda _: reference.zero()),
                ("resid_post", 2, -1, lambda _: reference.add(direction, 2.0)),
                ("attn_out", 3, -1, lambda _: reference.noise(1, "attn_out", 3)),
            ]
        ],
    )
    sweep = lm.intervene(PROMPTS, [intervention], label_ids=LABELS)
    assert (sweep.logits - truth).abs().max() < TOLERANCE
    assert sweep.hits.tolist() == [4 * len(PROMPTS)]


def test_edits_of_all_tokens_and_of_several_positions(lm):
    direction = vector(9)
    ids = lm.encode(PROMPTS)
    sweep = lm.intervene(
        PROMPTS,
        [
            eng.Intervention([eng.Add("resid_post", 1, vector=direction, position="all")]),
            eng.Intervention([eng.Zero("resid_post", 0, position=-3), eng.Zero("attn_out", 2)]),
        ],
        label_ids=LABELS,
    )
    for row, tokens in enumerate(ids):
        every = [
            ("resid_post", 1, position, reference.add(direction, 1.0))
            for position in range(len(tokens))
        ]
        two = [("resid_post", 0, -3, reference.zero()), ("attn_out", 2, -1, reference.zero())]
        for column, edits in enumerate((every, two)):
            truth = reference.full_pass(lm.model, tokens, edits, LABELS)
            assert (sweep.logits[row, column] - truth).abs().max() < TOLERANCE
    assert sweep.hits.tolist() == [sum(map(len, ids)), 2 * len(PROMPTS)]


def test_siblings_do_not_see_each_other(lm):
    alone = eng.Intervention([eng.Zero("attn_out", 1)])
    crowd = [alone] + [
        eng.Intervention([eng.Add("resid_post", 0, vector=100 * vector(k))]) for k in range(20)
    ]
    few = lm.intervene(PROMPTS, [alone], label_ids=LABELS).logits[:, 0]
    many = lm.intervene(PROMPTS, crowd, label_ids=LABELS).logits[:, 0]
    assert (few - many).abs().max() < TOLERANCE


def prompts_in(call):
    """Prompts end to end in a row: positions count up within each."""
    positions = call.get("position_ids", torch.zeros(1, 1))
    return 1 + int((positions.diff() != 1).sum())


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_batch_size_bounds_every_pass(lm, rows):
    """Prompts in the backbone's passes; counterfactuals in those of the last block."""
    prompts, branches = [], []
    sized = from_pretrained(lm.pretrained, batch_size=rows)
    handles = [
        lm.model.model.register_forward_pre_hook(
            lambda _m, _a, kwargs: prompts.append(prompts_in(kwargs)), with_kwargs=True
        ),
        lm.model.model.layers[-1].register_forward_pre_hook(
            lambda _m, args, kwargs: (
                branches.append(args[0].shape[0] * args[0].shape[1])
                if "branches" in kwargs
                else None
            ),
            with_kwargs=True,
        ),
    ]
    try:
        interventions = [eng.Intervention([eng.Zero("attn_out", 1)])] * 20
        sized.intervene(PROMPTS, interventions, label_ids=LABELS)
    finally:
        for handle in handles:
            handle.remove()
    assert max(prompts) <= rows
    assert sum(prompts) == len(PROMPTS) + 1, "every prompt once, and their prefix"
    assert max(branches) <= rows
    assert sum(branches) == len(PROMPTS) * 20, "every counterfactual once"


@pytest.mark.parametrize("path", ["sweep", "plain"])
def test_full_passes_equal_the_reference_too(lm, path):
    reader = eng.PromptReader(lm.reader.access, plain=path == "plain")
    edits = [edits_and_references("attn_out", layer)["add"][0] for layer in range(N_LAYERS)]
    ours = eng.intervene(
        reader,
        lm.encode(PROMPTS),
        [eng.Intervention([edit]) for edit in edits],
        label_ids=LABELS,
    )
    truth = expected(
        lm,
        [
            [("attn_out", layer, -1, lambda _: reference.add(vector(1), -1.5))]
            for layer in range(N_LAYERS)
        ],
    )
    assert (ours.logits - truth).abs().max() < TOLERANCE


@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
def test_batch_size_does_not_change_scores(lm, rows):
    interventions = [
        eng.Intervention([edit])
        for layer in range(N_LAYERS)
        for edit, _ in edits_and_references("attn_out", layer).values()
    ]
    free = lm.intervene(PROMPTS, interventions, label_ids=LABELS)
    sized = from_pretrained(lm.pretrained, batch_size=rows)
    bound = sized.intervene(PROMPTS, interventions, label_ids=LABELS)
    assert (free.logits - bound.logits).abs().max() < TOLERANCE


def test_more_interventions_than_one_pass_holds(lm):
    interventions = [
        eng.Intervention([eng.Add("mlp_out", 1, vector=vector(1), coefficient=k / 100)])
        for k in range(600)
    ]
    sweep = lm.intervene(PROMPTS[:2], interventions, label_ids=LABELS)
    for k in (0, 255, 256, 599):
        truth = reference.full_pass(
            lm.model,
            lm.encode(PROMPTS[:1])[0],
            [("mlp_out", 1, -1, reference.add(vector(1), k / 100))],
            LABELS,
        )
        assert (sweep.logits[0, k] - truth).abs().max() < TOLERANCE


def hooks_of(model) -> list[list[int]]:
    return [[*module._forward_hooks, *module._forward_pre_hooks] for module in model.modules()]


def test_the_model_is_left_as_it_was(lm):
    ids = torch.tensor([lm.encode(PROMPTS[:1])[0]])
    before = lm.model(input_ids=ids).logits
    # transformers leaves hooks of its own on a model that was once asked for its attentions
    hooks = hooks_of(lm.model)
    lm.intervene(PROMPTS, [eng.Intervention([eng.Zero("attn_out", 0)])], label_ids=LABELS)
    bad = eng.Replace("attn_out", 0, value=vector(0))
    object.__setattr__(bad, "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lm.intervene(PROMPTS, [eng.Intervention([bad])], label_ids=LABELS)
    assert torch.equal(lm.model(input_ids=ids).logits, before)
    assert hooks_of(lm.model) == hooks


class TestErrors:
    def refuse(self, lm, error, words, *edits):
        with pytest.raises(error, match=words) as caught:
            lm.intervene(PROMPTS, [eng.Intervention(list(edits))], label_ids=LABELS)
        assert caught.value.expected
        assert caught.value.remedy

    def test_layer(self, lm):
        self.refuse(lm, LayerError, "layer 4 does not exist", eng.Zero("attn_out", 4))
        self.refuse(lm, LayerError, "layer -1 does not exist", eng.Zero("attn_out", -1))

    def test_site(self, lm):
        with pytest.raises(InterventionError, match="no site 'attention'"):
            eng.Zero("attention", 0)

    def test_position(self, lm):
        with pytest.raises(InterventionError, match="position 3 does not count from the end"):
            eng.Zero("attn_out", 0, position=3)
        self.refuse(lm, PromptError, "lies outside prompt 2", eng.Zero("attn_out", 0, position=-40))

    def test_shapes(self, lm):
        for value in (torch.zeros(D + 1), torch.zeros(len(PROMPTS) + 1, D), torch.zeros(1, 1, D)):
            with pytest.raises(InterventionError, match="has shape"):
                lm.intervene(
                    PROMPTS,
                    [eng.Intervention([eng.Replace("attn_out", 0, value=value)])],
                    label_ids=LABELS,
                )
        dependent = torch.stack([vector(1), 2 * vector(1)])
        self.refuse(
            lm,
            InterventionError,
            "linearly dependent",
            eng.ProjectOut("attn_out", 0, basis=dependent),
        )

    def test_no_edits(self):
        with pytest.raises(InterventionError, match="has no edits"):
            eng.Intervention([], name="empty")

    def test_no_prompts(self, lm):
        with pytest.raises(PromptError, match="no prompts"):
            lm.capture([])
        with pytest.raises(PromptError, match="prompt 1 has no tokens"):
            lm.capture(["I lost it", ""])

    def test_an_edit_that_never_fires(self, lm):
        """A site whose module the model does not call."""
        unused = torch.nn.Linear(D, D)
        sites = {**lm.reader.access.sites, "mlp_out": [unused] * N_LAYERS}
        access = eng.ModelAccess(
            **{**vars(lm.reader.access), "sites": sites},
        )
        with pytest.raises(EditNeverFiredError, match="mlp_out, layer 1"):
            eng.intervene(
                eng.PromptReader(access),
                lm.encode(PROMPTS),
                [eng.Intervention([eng.Zero("mlp_out", 1)])],
                label_ids=LABELS,
            )
