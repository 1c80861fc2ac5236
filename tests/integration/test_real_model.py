"""The sweep on the real default model, against naive full passes that share no code with it."""

from __future__ import annotations

import copy

import pytest
import torch

import affectscope as afs
import reference
from affectscope.vocabulary import SITES

pytestmark = pytest.mark.integration

LAYERS = (0, 11, 21, 29)


@pytest.fixture(scope="module")
def task(smollm):
    return afs.EmotionTask(smollm)


@pytest.fixture(scope="module")
def prompts(task):
    """The shortest, a middling and the longest prompt of a sample: unequal lengths."""
    texts = sorted(afs.load_corpus("vignettes").sample(40, 0).texts, key=len)
    return task.prompts([texts[0], texts[20], texts[-1]])


def test_every_label_is_one_token(task):
    assert task.warnings == []
    assert len(set(task.label_ids)) == 13


def test_the_self_check_passes(smollm):
    assert smollm.engine == "sweep"
    assert len(smollm.checks) == 5
    assert all(check.passed for check in smollm.checks)
    assert all(0 <= check.value < 1e-4 for check in smollm.checks)


@pytest.fixture(scope="module")
def exact(smollm):
    """The same weights in float64, whose naive passes are the truth to far below 1e-4."""
    return copy.deepcopy(smollm.model).double()


@pytest.mark.parametrize("kind", ["zero", "noise", "replace", "add"])
def test_interventions_equal_full_passes(smollm, exact, task, prompts, kind):
    """To 1e-4 of a logit, or as far as naive float32 passes are from the truth themselves."""
    encoded = smollm.encode(prompts)
    assert len({len(ids) for ids in encoded}) == 3
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(len(prompts), smollm.d_model, generator=generator)
    direction = torch.randn(smollm.d_model, generator=generator)
    places = [(site, layer) for site in SITES for layer in LAYERS]
    ours = {
        "zero": afs.Zero,
        "noise": lambda site, layer: afs.Noise(site, layer, seed=7),
        "replace": lambda site, layer: afs.Replace(site, layer, value=source),
        "add": lambda site, layer: afs.Add(site, layer, vector=direction, coefficient=0.5),
    }[kind]
    theirs = {
        "zero": lambda row, site, layer: reference.zero(),
        "noise": lambda row, site, layer: reference.noise(7, site, layer),
        "replace": lambda row, site, layer: reference.replace(source[row]),
        "add": lambda row, site, layer: reference.add(direction, 0.5),
    }[kind]
    sweep = smollm.intervene(
        prompts,
        [afs.Intervention([ours(site, layer)]) for site, layer in places],
        label_ids=task.label_ids,
    )

    def naive(model) -> torch.Tensor:
        return torch.stack(
            [
                torch.stack(
                    [
                        reference.full_pass(
                            model,
                            ids,
                            [(site, layer, -1, theirs(row, site, layer))],
                            task.label_ids,
                        )
                        for site, layer in places
                    ]
                )
                for row, ids in enumerate(encoded)
            ]
        )

    truth = naive(exact)
    difference = float((sweep.logits - truth).abs().max())
    own = float((naive(smollm.model) - truth).abs().max())
    print(f"largest logit difference, {kind}: sweep {difference:.1e}, naive float32 {own:.1e}")
    # Roundings depend on the number of threads: with one, 1.7 times the naive pass's were seen.
    assert difference < max(1e-4, 2 * own)
    assert own < 2e-4
    assert (truth - sweep.clean[:, None]).abs().max() > 0.1


def test_the_papers_phenomenon(smollm, task):
    """Calibration lifts the accuracy far above chance; raw, the last shot's label dominates."""
    corpus = afs.load_corpus("vignettes")
    result = afs.analyses.infer(task, corpus)
    assert result.summary["infer.accuracy"].low > result.summary["infer.chance"].high
    assert result.summary["infer.accuracy_raw"].value < result.summary["infer.accuracy"].value
    shares = result.table[result.table["metric"] == "predicted_share_raw"]
    assert shares.loc[shares["value"].idxmax(), "predicted"] == "sadness"
