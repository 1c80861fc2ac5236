"""Vectors made from a corpus: their directions, what is held, and that they are fitted once."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import affectscope.analyses as afa
from affectscope.analyses import steer
from affectscope.analyses.steerer import fit_steerer
from affectscope.cli import main
from affectscope.engine import SteeringVector
from affectscope.errors import LayerError, UsageError
from affectscope.models.planted_appraisals import (
    APPRAISALS,
    LABELS,
    planted_appraisal_corpus,
    planted_appraisals,
)
from affectscope.prompts import EmotionTask


@pytest.fixture(scope="module")
def planted():
    return planted_appraisals()


@pytest.fixture(scope="module")
def corpus():
    return planted_appraisal_corpus(200)


@pytest.fixture(scope="module")
def task(planted):
    return EmotionTask(planted.lm, labels=LABELS, calibration="none")


def streams(task, corpus, layer):
    """The residual stream at the answer's token, by a plain pass for each item."""
    found = []
    for prompt in task.prompts(corpus.texts):
        seen = []
        block = task.lm.model.model.layers[layer]
        handle = block.register_forward_hook(lambda m, i, o, s=seen: s.append(o))
        ids = torch.tensor([task.lm.tokenizer.encode(prompt)])
        with torch.no_grad():
            task.lm.model(ids)
        handle.remove()
        out = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
        found.append(out[0, -1] if out.ndim == 3 else out[-1])
    return torch.stack(found).double().numpy()


def test_a_direction_of_means_is_the_covariance_with_the_rating(task, corpus):
    vector = afa.steering_vectors(
        task, corpus, appraisals="pleasantness=+2", layer=2, span=1, coefficient=0.3
    )[0]
    X = streams(task, corpus, 2)
    y = corpus.items["pleasantness"].to_numpy()
    expected = (X - X.mean(0)).T @ (y - y.mean())
    expected *= 2 / np.linalg.norm(expected)
    assert np.allclose(vector.directions[0].numpy(), expected, atol=1e-4)
    assert vector.norms[0] == pytest.approx(np.linalg.norm(X, axis=1).mean(), rel=1e-5)
    length = float(vector.added()[0].norm())
    assert length == pytest.approx(0.3 * 2 * np.linalg.norm(X, axis=1).mean(), rel=1e-4)
    assert vector.layers == (2,)


def test_an_emotion_is_its_mean_less_that_of_the_others(task, corpus):
    vector = afa.steering_vectors(task, corpus, emotions="joy=-1", layer=2, span=1)[0]
    X, joy = streams(task, corpus, 2), np.array(corpus.emotions) == "joy"
    expected = X[~joy].mean(0) - X[joy].mean(0)
    assert np.allclose(vector.directions[0], expected / np.linalg.norm(expected), atol=1e-4)


def test_what_is_held_is_not_moved(task, corpus):
    steerer = fit_steerer(task, corpus, (1, 2))
    options = {"appraisals": "pleasantness=1", "layer": 2, "span": 1, "kind": "means"}
    free = afa.steering_vectors(task, corpus, **options)[0]
    held = afa.steering_vectors(task, corpus, hold="other_responsblt", **options)[0]
    probe = steerer._directions("appraisals", 2, "probe").of("other_responsblt")
    assert abs(float(held.directions[0].double() @ torch.from_numpy(probe))) < 1e-6
    assert abs(float(free.directions[0].double() @ torch.from_numpy(probe))) > 0.05
    assert float(held.directions[0].norm()) == pytest.approx(1, abs=1e-5)


def test_layers_share_the_coefficient(task, corpus):
    vector = afa.steering_vectors(task, corpus, emotions="joy=1", layer=2, span=3)[0]
    assert vector.layers == (1, 2, 3)
    shares = vector.added().norm(dim=1) / vector.norms
    assert torch.allclose(shares, torch.full((3,), steer.COEFFICIENT / 3), rtol=1e-4)


def test_random_vectors_are_as_long_and_stand_for_nothing(task, corpus):
    steerer = fit_steerer(task, corpus, (2,))
    drawn = steerer.random(5, (2,))
    assert all(float(one.directions.norm()) == pytest.approx(1, abs=1e-5) for one in drawn)
    assert not torch.equal(drawn[0].directions, drawn[1].directions)


def test_what_is_fitted_is_kept(task, corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path))
    options = {"appraisals": "pleasantness=1", "emotions": "joy=1", "layer": 2, "keep": True}
    first = afa.steering_vectors(task, corpus, **options)

    def fit_again(*_, **__):
        raise AssertionError("fitted again")

    with monkeypatch.context() as patched:
        patched.setattr(steer, "fit_steerer", fit_again)
        again = afa.steering_vectors(task, corpus, **options)
        assert all(torch.equal(a.added(), b.added()) for a, b in zip(first, again, strict=True))
        with pytest.raises(AssertionError, match="fitted again"):
            afa.steering_vectors(task, planted_appraisal_corpus(199), **options)
        with pytest.raises(AssertionError, match="fitted again"):
            afa.steering_vectors(task, corpus, **{**options, "appraisals": "pleasantness=2"})
        file = next(tmp_path.rglob("*.safetensors"))
        file.write_bytes(file.read_bytes()[:-10])
        with pytest.raises(AssertionError, match="fitted again"):
            afa.steering_vectors(task, corpus, **options)
    mended = afa.steering_vectors(task, corpus, **options)
    assert all(torch.equal(a.added(), b.added()) for a, b in zip(first, mended, strict=True))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, UsageError, "nothing is to be moved"),
        ({"appraisals": "joy=1"}, UsageError, "names joy"),
        ({"emotions": "pride=1"}, UsageError, "pride"),
        ({"emotions": "joy"}, UsageError, "does not say what to move"),
        ({"emotions": "joy=1", "hold": "pleasantness"}, UsageError, "is to be held"),
        ({"emotions": "joy=1", "layer": 9}, LayerError, "layer 9"),
        ({"emotions": "joy=1", "span": 2}, UsageError, "span"),
    ],
)
def test_what_cannot_be_made_is_refused(task, corpus, options, error, said):
    with pytest.raises(error, match=said):
        afa.steering_vectors(task, corpus, **options)


@pytest.fixture
def command(task, corpus, monkeypatch, tmp_path, capsys):
    """Runs ``affectscope steer`` on the planted model."""
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("affectscope.cli.steer.load_task", lambda config: (task.lm, task))
    monkeypatch.setattr("affectscope.data.load_corpus", lambda name, **_: corpus)

    def run(*arguments):
        code = main(["steer", "--max-new-tokens", "6", "--layer", "2", *arguments])
        return code, capsys.readouterr()

    return run


PROMPT = ("--prompt", "I saw my friend")


def test_the_command_writes_with_and_without(command, task):
    arguments = ("--emotion", "joy=+3", "--compare", "--json", "--coefficient", "1")
    code, told = command(*PROMPT, *arguments)
    assert code == 0
    answer = json.loads(told.out)
    text = answer["texts"][0]
    plain = task.lm.generate(["I saw my friend"], max_new_tokens=6, temperature=0.8, seed=[0])
    assert text["unsteered"] == plain.texts[0]
    assert text["steered"] != text["unsteered"]
    assert answer["vectors"][0]["moves"] == [["joy", 3.0]]
    assert answer["vectors"][0]["coefficient"] == 1


def test_the_command_saves_a_vector_and_takes_it_again(command, tmp_path):
    saved = tmp_path / "vector"
    moved = ("--set", "pleasantness=-2", "--hold", "other_responsblt")
    code, first = command(*PROMPT, *moved, "--save", str(saved), "--coefficient", "0.5")
    assert code == 0
    assert SteeringVector.from_pretrained(saved).coefficient == 0.5
    code, second = command(*PROMPT, "--vector", str(saved))
    assert code == 0
    assert first.out == second.out


def test_people_see_both_texts_side_by_side(command):
    code, told = command(*PROMPT, "--prompt", "We waited", "--emotion", "joy=1", "--compare")
    assert code == 0
    assert told.out.count("unsteered") == 2
    assert "We waited" in told.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*PROMPT,), "nothing is to be moved"),
        ((*PROMPT, "--emotion", "joy=1", "--hold", "pleasantness"), "--hold says what stays"),
        ((*PROMPT, "--emotion", "joy=1", "--direction", "pca"), "means or probe"),
        ((*PROMPT, "--emotion", "joy=1", "--steered", "some"), "last or generated or all"),
        ((*PROMPT, "--set", "nothing=1"), "names nothing"),
        (("--prompt", " ", "--emotion", "joy=1"), "a prompt is empty"),
        ((*PROMPT, "--vector", "no-such-folder"), "no-such-folder"),
        ((*PROMPT, "--emotion", "joy=1", "--temperature", "-1"), "temperature"),
        ((*PROMPT, "--emotion", "joy=1", "--set", "pleasantness=1", "--save", "v"), "--save"),
    ],
)
def test_a_wrong_command_is_told_so_in_words(command, arguments, said):
    code, told = command(*arguments)
    assert code in (1, 2)
    assert said in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_default_layers_are_deep(task):
    assert steer.default_layer(30) == 22
    assert steer.default_layer(4) == 2
    assert APPRAISALS[0] == "pleasantness"
