"""Planted models: the truth is where it is said to be, and the pipeline finds it and nothing else.

That the truth is true is checked on plain passes of the Hugging Face model, without the engine.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from benchmarks.planted import (
    METHODS,
    by_probing,
    centres,
    expected_centres,
    planted_study,
    score,
    shuffled_labels,
    smear,
)
from benchmarks.planted_figure import smear_figure

from affectscope.errors import UsageError
from affectscope.models.planted import planted_corpus, planted_model
from affectscope.models.planted_words import CUES, FILLERS
from affectscope.prompts import TEMPLATES, EmotionTask
from affectscope.vocabulary import EMOTIONS, SITES, head_site

SETTINGS = (
    {"layer": 4, "head": 1, "seed": 0},
    {"layer": 0, "head": 0, "seed": 1},
    {"layer": 7, "head": 3, "seed": 2},
    {"layer": 5, "head": 2, "relay": (2, 0), "seed": 3},
    {"layer": 2, "head": 0, "mlp_layer": 5, "seed": 4},
)


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def planted(request):
    return planted_model(**request.param)


@pytest.fixture(scope="module")
def study(planted):
    return planted_study(planted)


def plain_outputs(planted, study):
    """attn_out, mlp_out and resid_post at the last token, by hooks: site -> [item, layer, d]."""
    model, tokenizer = planted.lm.model, planted.lm.tokenizer
    kept = {site: [] for site in SITES}
    handles = []
    for block in model.model.layers:
        for site, module in zip(SITES, (block.self_attn, block.mlp, block), strict=True):

            def hook(_module, _args, output, site=site):
                value = output[0] if isinstance(output, tuple) else output
                kept[site].append(value[0, -1].clone())

            handles.append(module.register_forward_hook(hook))
    answers = []
    for prompt in study.prompts:
        logits = model(input_ids=torch.tensor([tokenizer.encode(prompt)])).logits
        answers.append(int(logits[0, -1].argmax()))
    for handle in handles:
        handle.remove()
    n = len(study.prompts)
    return {site: torch.stack(v).reshape(n, -1, planted.lm.d_model) for site, v in kept.items()}, [
        tokenizer.decode([answer]).strip() for answer in answers
    ]


class TestTruth:
    def test_the_model_answers_every_text_in_open_vocabulary(self, planted, study):
        assert plain_outputs(planted, study)[1] == study.corpus.emotions
        assert planted.lm.engine == "sweep"  # it passes its own check

    def test_emotions_differ_where_it_says_and_only_there(self, planted, study):
        """Two texts that differ in nothing but the cue word, by plain passes.

        All other activations stay the same but for the scale of the stream, which the length of
        the cue cannot change: all cues are equally long.
        """
        fillers = FILLERS[:9]
        texts = [" ".join([*fillers[:4], CUES[e][0], *fillers[4:]]) + "." for e in EMOTIONS]
        prompts = [TEMPLATES["joy_sadness_0"].fill(text) for text in texts]
        holder = type("Prompts", (), {"prompts": prompts})
        outputs, answers = plain_outputs(planted, holder)
        assert answers == list(EMOTIONS)
        for site, values in outputs.items():
            for layer in range(planted.lm.n_layers):
                here = values[:, layer]
                apart = (here - here.mean(dim=0)).norm(dim=1).min() / here.norm(dim=1).max()
                if planted.truth.holds(site, layer):
                    assert apart > 0.2, (site, layer)
                else:
                    assert apart < 1e-4, (site, layer)

    def test_other_activations_are_not_constant(self, planted, study):
        """Nor is the truth the only place where anything happens."""
        for values in plain_outputs(planted, study)[0].values():
            varies = values.std(dim=0).norm(dim=-1) / values.norm(dim=-1).mean(dim=0)
            assert (varies > 0.02).all()  # rounding would be 1e-6

    def test_the_last_five_tokens_hold_it_nowhere_else(self, planted, study):
        """A nearest-mean reader of the stream at -2 to -5, by plain hidden states."""
        truth, relay = planted.truth, planted.truth.relay
        model, tokenizer = planted.lm.model, planted.lm.tokenizer
        y = study.clean.emotions
        streams = []
        for prompt in study.prompts:
            ids = torch.tensor([tokenizer.encode(prompt)])
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
            # the last one is normalised
            streams.append(torch.stack([state[0, -5:] for state in states[1:-1]]))
        X = torch.stack(streams).numpy()  # [item, layer, position, d]
        train = np.arange(len(y)) % 2 == 0
        for layer in range(truth.n_layers - 1):
            for at in range(5):
                x = X[:, layer, at]
                means = np.stack([x[train & (y == e)].mean(axis=0) for e in range(len(EMOTIONS))])
                near = ((x[~train][:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
                accuracy = (near == y[~train]).mean()
                carried = (at == 4 and layer >= truth.layer) or (
                    relay is not None and at == 3 and layer >= relay[0]
                )
                assert accuracy > 0.9 if carried else accuracy < 0.25, (layer, at - 5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_all_of_it_and_nothing_else(planted, study, method):
    found = METHODS[method](study)
    result = score(found, planted.truth)
    assert result.true > 0
    assert result.found == result.true
    assert result.false == 0


def test_patching_where_it_is_moves_every_pair_and_elsewhere_none(planted, study):
    curves = smear(study, spans=(1,), pairs=60)
    for row in curves.itertuples():
        assert row.transfer == (1.0 if planted.truth.holds(row.site, row.layer) else 0.0), row


def test_a_window_smears_it_over_as_many_centres_as_it_is_wide(planted, study):
    curves = smear(study, spans=(1, 3, 5), pairs=40)
    truth = planted.truth
    for span in (1, 3, 5):
        around = range(truth.layer - span // 2, truth.layer + span // 2 + 1)
        inside = [centre for centre in around if 0 <= centre < truth.n_layers]
        assert centres(curves, "attn_out", span) == inside
        assert centres(curves, "resid_post", span)[0] == inside[0]
        for site in SITES:
            assert set(expected_centres(truth, site, span)) == set(
                curves[
                    (curves["site"] == site) & (curves["span"] == span) & (curves["transfer"] > 0.5)
                ]["layer"]
            )


def test_a_head_is_found_by_patching_no_other(planted, study):
    found = METHODS["patch, heads"](study)
    assert found.localised == {(head_site(planted.truth.head), planted.truth.layer)}


def test_nothing_is_found_where_labels_are_shuffled():
    """Some runs; `python -m benchmarks.planted` does 200."""
    study = planted_study(planted_model(seed=8, n_layers=4, layer=2))
    refitted = shuffled_labels(study, 20, n_permutations=99)[0]
    assert refitted.called <= 4  # more than that has a chance of 0.3 % at 5 %
    assert refitted.interval[0] <= 0.05
    assert by_probing(study).localised  # with the labels as they are


def test_the_seed_makes_the_model():
    first, same, other = (planted_model(seed=seed) for seed in (0, 0, 1))
    assert first.lm.pretrained.sha256 == same.lm.pretrained.sha256
    assert first.lm.pretrained.sha256 != other.lm.pretrained.sha256


def test_the_corpus_has_one_cue_a_text_and_authors_of_two():
    corpus = planted_corpus(130, seed=3)
    cue_of = {cue: emotion for emotion, cues in CUES.items() for cue in cues}
    for text, emotion in zip(corpus.texts, corpus.emotions, strict=True):
        words = re.findall(r"\w+", text)
        assert [cue_of[word] for word in words if word in cue_of] == [emotion]
        assert not set(words[-3:]) & set(cue_of)
    assert len(set(corpus.texts)) == 130
    assert set(np.unique(corpus.emotions, return_counts=True)[1].tolist()) == {10}
    assert len(set(corpus.groups)) == 65
    assert corpus.texts == planted_corpus(130, seed=3).texts != planted_corpus(130, seed=4).texts


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_answered(template):
    lm = planted_model(seed=1).lm
    corpus = planted_corpus(26, seed=1)
    task = EmotionTask(lm, template=template, calibration="batch")
    answers = task.score_texts(corpus.texts).pivot(index="text", columns="label", values="p")
    assert answers.idxmax(axis=1).tolist() == corpus.emotions


def test_the_figure_has_a_panel_for_every_span_and_draws_all_of_it():
    curves = smear(planted_study(planted_model()), spans=(1, 3), pairs=10)
    chart = smear_figure(curves).to_dict()
    lines = [panel["layer"][1] for panel in chart["hconcat"]]
    assert [line["title"] for line in lines] == ["span 1", "span 3"]
    drawn = [row for line in lines for row in chart["datasets"][line["data"]["name"]]]
    assert len(drawn) == len(curves) == 2 * 3 * 8


@pytest.mark.parametrize(
    "settings",
    [
        {"layer": 8},
        {"layer": -1},
        {"head": 4},
        {"layer": 3, "relay": (3, 0)},
        {"layer": 3, "mlp_layer": 2},
        {"layer": 3, "relay": (1, 0), "mlp_layer": 5},
        {"d_model": 40},
        {"d_model": 90},
        {"d_model": 52},
    ],
)
def test_a_truth_that_does_not_fit_is_refused(settings):
    with pytest.raises(UsageError):
        planted_model(**settings)


def test_an_empty_corpus_is_refused():
    with pytest.raises(UsageError):
        planted_corpus(0)
