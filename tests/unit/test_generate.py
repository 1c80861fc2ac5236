"""Steered writing equals a naive loop of whole passes with hooks, token for token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import affectscope as afs
from affectscope.engine import Readout, Sampling, check_steering
from affectscope.engine.decoding import drawn
from affectscope.errors import (
    EditNeverFiredError,
    InterventionError,
    LayerError,
    PromptError,
    UsageError,
)
from affectscope.models import from_pretrained
from affectscope.vectors import SteeringVector
from reference import logits_when_steered, write_naively
from tiny import VARIANTS, loaded, tiny_variant

PROMPTS = ["My dog died", "I saw my friend at home and then we waited . My", "What"]


def a_vector(lm, layers=(1, 2), *, seed=0, size=1.0, site="resid_post", name="v") -> SteeringVector:
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(len(layers), lm.d_model, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    norms = torch.arange(1.0, len(layers) + 1)
    return SteeringVector(name, site, tuple(layers), directions, norms, coefficient=30 * size)


def added(*vectors: SteeringVector) -> dict:
    places: dict = {}
    for vector in vectors:
        n = len(vector.layers)
        for row, layer in enumerate(vector.layers):
            add = vector.coefficient * vector.norms[row] / n * vector.directions[row]
            place = (vector.site, layer)
            places[place] = places.get(place, 0) + add
    return places


@pytest.mark.parametrize("steered", ["last", "generated", "all"])
def test_what_is_written_equals_a_naive_loop(lm, steered):
    vectors = [a_vector(lm), a_vector(lm, (2,), seed=1, site="mlp_out")]
    found = lm.generate(PROMPTS, steering=vectors, steered=steered, max_new_tokens=9)
    plain = lm.generate(PROMPTS, max_new_tokens=9)
    stop = [lm.tokenizer.eos_token_id]
    for row, prompt in enumerate(PROMPTS):
        ids = lm.encode([prompt])[0]
        expected = write_naively(lm.model, ids, 9, added(*vectors), steered=steered, stop=stop)
        assert list(found.tokens[row]) == expected
        assert list(plain.tokens[row]) == write_naively(
            lm.model, ids, 9, {}, steered=steered, stop=stop
        )
    assert found.tokens != plain.tokens


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_family_writes_as_a_naive_loop(variant, tokenizer):
    lm = loaded(tiny_variant(variant, len(tokenizer)), tokenizer)
    vector = a_vector(lm, (0, lm.n_layers - 2))
    found = lm.generate(PROMPTS, steering=vector, max_new_tokens=6)
    stop = [lm.tokenizer.eos_token_id]
    for row, prompt in enumerate(PROMPTS):
        ids = lm.encode([prompt])[0]
        expected = write_naively(lm.model, ids, 6, added(vector), steered="generated", stop=stop)
        assert list(found.tokens[row]) == expected


def test_each_prompt_can_have_vectors_of_its_own(lm):
    one, other = a_vector(lm), a_vector(lm, (3,), seed=5)
    together = lm.generate(
        [PROMPTS[1]] * 3, steering_each=[[], [one], [one, other]], max_new_tokens=8
    )
    alone = [
        lm.generate([PROMPTS[1]], steering=list(v), max_new_tokens=8).tokens[0]
        for v in ([], [one], [one, other])
    ]
    assert list(together.tokens) == alone
    assert len(set(alone)) > 1


def test_the_batch_size_changes_nothing(lm):
    vector = a_vector(lm)
    small = from_pretrained(lm.pretrained, batch_size=1)
    options = {"steering": vector, "max_new_tokens": 8, "temperature": 0.9, "seed": 3}
    assert small.generate(PROMPTS, **options).tokens == lm.generate(PROMPTS, **options).tokens


def test_draws_follow_the_softmax(lm):
    """Chi-squared of 4,000 draws against the probabilities they are drawn with."""
    ids = lm.encode(["My dog"])[0]
    logits = logits_when_steered(lm.model, ids, len(ids), {}, "last")[-1]
    numbers = np.random.default_rng(0).random(4000)
    for sampling, k in ((Sampling(0.7, 0, 1.0), len(logits)), (Sampling(0.7, 5, 1.0), 5)):
        tokens = drawn(logits.expand(4000, -1), numbers.tolist(), sampling)
        p = (logits / 0.7).double()
        kept = p.topk(k).indices
        p = torch.softmax(torch.full_like(p, -torch.inf).index_copy(0, kept, p[kept]), 0)
        counts = torch.bincount(tokens, minlength=len(p)).double()
        likely = p * 4000 >= 5
        statistic = ((counts - 4000 * p)[likely] ** 2 / (4000 * p[likely])).sum()
        assert int(likely.sum()) >= 3
        assert float(statistic) < int(likely.sum()) + 4 * (2 * int(likely.sum())) ** 0.5
        assert counts[p == 0].sum() == 0


def test_top_p_leaves_the_fewest_tokens_that_reach_the_share():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    said = {int(drawn(logits, [u], Sampling(1.0, 0, 0.7))[0]) for u in np.linspace(0, 0.999, 50)}
    assert said == {0, 1}


def test_equal_seeds_make_equal_draws_and_others_do_not(lm):
    options = {"temperature": 1.5, "max_new_tokens": 12}
    twice = lm.generate([PROMPTS[0]] * 2, seed=[7, 7], **options)
    other = lm.generate([PROMPTS[0]] * 2, seed=7, **options)
    assert twice.tokens[0] == twice.tokens[1]
    assert other.tokens[0] != other.tokens[1]
    before = torch.random.get_rng_state()
    again = lm.generate([PROMPTS[0]] * 2, seed=7, **options)
    assert again.tokens == other.tokens
    assert torch.equal(before, torch.random.get_rng_state())


def test_readouts_read_the_state_that_each_token_is_written_from(lm):
    vector = a_vector(lm, (1,))
    weights = torch.randn(3, lm.d_model, generator=torch.Generator().manual_seed(2))
    bias = torch.tensor([0.5, -1.0, 2.0])
    reading = Readout("resid_post", 2, weights, bias)
    found = lm.generate(PROMPTS, steering=vector, max_new_tokens=7, readouts=[reading])
    for row, prompt in enumerate(PROMPTS):
        ids = lm.encode([prompt])[0]
        states = []
        block = lm.model.model.layers[2]
        handle = block.register_forward_hook(lambda m, i, o, s=states: s.append(o))
        logits_when_steered(
            lm.model, [*ids, *found.tokens[row]], len(ids), added(vector), "generated"
        )
        handle.remove()
        state = states[0][0] if states[0].ndim == 3 else states[0][0][0]
        expected = state[len(ids) - 1 :] @ weights.T + bias
        got = found.readouts[0][row]
        assert len(got) in (len(found.tokens[row]), len(found.tokens[row]) + 1)
        torch.testing.assert_close(got, expected[: len(got)], atol=1e-4, rtol=1e-4)


def test_pieces_of_text_come_as_they_are_written(lm):
    pieces: dict[int, str] = {}
    found = lm.generate(
        PROMPTS,
        max_new_tokens=6,
        on_text=lambda row, piece: pieces.__setitem__(row, pieces.get(row, "") + piece),
    )
    assert [pieces.get(row, "") for row in range(len(PROMPTS))] == list(found.texts)


def test_likelihoods_equal_those_of_whole_passes(lm):
    vector = a_vector(lm)
    prompts = [lm.encode([text])[0] for text in PROMPTS]
    texts = [(5, 9, 11, 4), (), (8,)]
    found = lm.log_likelihood(
        prompts, texts, steering_each=[[vector], [], [vector]], steered="generated"
    )
    for prompt, text, steering, got in zip(
        prompts, texts, [[vector], [], [vector]], found, strict=True
    ):
        logits = logits_when_steered(
            lm.model, [*prompt, *text], len(prompt), added(*steering), "generated"
        )
        log_p = logits.log_softmax(-1)
        expected = [float(log_p[len(prompt) - 1 + k, token]) for k, token in enumerate(text)]
        assert got.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("steered", ["last", "generated", "all"])
def test_divergence_equals_that_of_whole_passes(lm, steered):
    vector = a_vector(lm, size=0.5)
    prompt = lm.encode([PROMPTS[0]])[0]
    longer = lm.encode([PROMPTS[1]])[0]
    texts = [(5, 9, 11, 4), (8, 3), (5, 9, 11, 4)]
    prompts = [prompt, prompt, longer]
    each = [[vector], [], [vector]]
    found = lm.divergence(
        prompts, texts, steering_each=each, steered=steered, clean_prompts=[prompt] * 3
    )
    for before, text, steering, got in zip(prompts, texts, each, found, strict=True):
        p = logits_when_steered(lm.model, [*prompt, *text], len(prompt), {}, steered)
        q = logits_when_steered(lm.model, [*before, *text], len(before), added(*steering), steered)
        p = p[len(prompt) - 1 : -1].log_softmax(-1)
        q = q[len(before) - 1 : -1].log_softmax(-1)
        expected = (p.exp() * (p - q)).sum(-1)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)
    assert float(found[1].max()) < 1e-5


def test_the_model_is_left_as_it_was(lm):
    hooks = {name: len(m._forward_hooks) for name, m in lm.model.named_modules()}
    before = lm.generate(PROMPTS, max_new_tokens=4).tokens
    lm.generate(PROMPTS, steering=a_vector(lm), max_new_tokens=4)
    with pytest.raises(InterventionError):
        lm.generate(
            PROMPTS, steering=a_vector(lm), readouts=[Readout("resid_post", 1, torch.ones(2, 3))]
        )
    assert hooks == {name: len(m._forward_hooks) for name, m in lm.model.named_modules()}
    assert lm.generate(PROMPTS, max_new_tokens=4).tokens == before


def test_a_vector_that_does_not_fit_is_refused(lm):
    good = a_vector(lm)
    with pytest.raises(LayerError, match="layer 99"):
        lm.generate(PROMPTS, steering=a_vector(lm, (99,)))
    wide = SteeringVector("w", "resid_post", (1,), torch.ones(1, 5), torch.ones(1))
    with pytest.raises(InterventionError, match="5 wide"):
        lm.generate(PROMPTS, steering=wide)
    with pytest.raises(UsageError, match="steered tokens"):
        check_steering(lm.reader.access, [[good]], "some")
    with pytest.raises(UsageError, match="2 entries for 3"):
        lm.generate(PROMPTS, steering_each=[[good], []])


def test_what_cannot_be_written_is_refused(lm):
    with pytest.raises(PromptError, match="do not fit"):
        lm.generate(PROMPTS, max_new_tokens=lm.context_length)
    with pytest.raises(PromptError, match="chat template"):
        lm.generate(PROMPTS, chat=True)
    for option, value in [
        ("temperature", -1.0),
        ("top_p", 0.0),
        ("top_k", -1),
        ("max_new_tokens", 0),
    ]:
        with pytest.raises(UsageError, match=option):
            lm.generate(PROMPTS, **{option: value})
    with pytest.raises(UsageError, match="seed"):
        lm.generate(PROMPTS, seed=[1])


def test_a_vector_that_is_added_nowhere_is_an_error(lm, monkeypatch):
    """A model that does not call the module would be steered in words only."""
    blocks = lm.reader.access.blocks
    monkeypatch.setattr(type(blocks[1]), "__call__", lambda self, *a, **k: self.forward(*a, **k))
    with pytest.raises(EditNeverFiredError, match="never added"):
        lm.generate(PROMPTS[:1], steering=a_vector(lm), max_new_tokens=2)


CHAT = (
    "{% for m in messages %}<|{{ m.role }}|> {{ m.content }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_the_chat_format_is_put_on_once(lm, monkeypatch):
    monkeypatch.setattr(lm.tokenizer, "chat_template", CHAT)
    once = lm.generate(["My dog died"], chat=True, max_new_tokens=2)
    text = "<|user|> My dog died <|end|> <|assistant|>"
    assert once.prompt_tokens[0] == lm.encode([text])[0]
    twice = lm.generate([text], chat=True, max_new_tokens=2)
    assert twice.prompt_tokens == once.prompt_tokens


def test_steering_is_public():
    assert afs.SteeringVector is SteeringVector
