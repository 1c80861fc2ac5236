"""The projection of appraisal surgery is what is added: the released code's error, kept out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import affectscope.engine as eng
import reference
from affectscope.analyses.holding import held_fixed
from affectscope.errors import NotPossibleError

D = 32
PROMPTS = ["I lost it. Answer:", "My friend came home late again. Answer:"]


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, D))


def by_formula(v: np.ndarray, V: np.ndarray) -> np.ndarray:
    """The paper's z, as it is written."""
    z = (np.eye(len(v)) - V.T @ np.linalg.inv(V @ V.T) @ V) @ v
    return z / np.linalg.norm(z)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_it_is_the_papers_formula(k):
    v, V = drawn(0), drawn(1, k)
    z = held_fixed(v, V)
    np.testing.assert_allclose(z, by_formula(v, V), atol=1e-10)
    assert np.linalg.norm(z) == pytest.approx(1)
    np.testing.assert_allclose(V @ z, 0, atol=1e-10)
    assert v @ z > 0, "what is left points the same way"


def test_held_readouts_may_depend_on_each_other_and_have_any_scale():
    v, V = drawn(0), drawn(1, 2)
    doubled = np.vstack([V, V[:1] + V[1:], 1e6 * V[:1], np.zeros((1, D))])
    np.testing.assert_allclose(held_fixed(v, doubled), held_fixed(v, V), atol=1e-9)


def test_nothing_held_leaves_the_direction_itself():
    v = drawn(0)
    np.testing.assert_allclose(held_fixed(v, np.zeros((0, D))), v / np.linalg.norm(v))


def test_nothing_left_is_an_error():
    V = drawn(1, 3)
    with pytest.raises(NotPossibleError, match=r"(?s)nothing of pleasantness is left.*hold fewer"):
        held_fixed(V.sum(axis=0), V, name="pleasantness")


def test_what_is_added_is_the_projected_vector_not_the_raw_one(lm):
    """The authors computed z and then added v: with v the held readouts move, with z they do not.

    The readouts come out of naive full passes, by hooks that come after the edit.
    """
    v, V = drawn(2), drawn(3, 4)
    v = v + 2 * V[0]  # a direction that leaks
    z = held_fixed(v, V)
    weights = torch.from_numpy(V).float()
    edits = [
        eng.Intervention([eng.Add("resid_post", 1, vector=torch.from_numpy(x).float())])
        for x in (z, v / np.linalg.norm(v))
    ]
    readout = eng.Readout("resid_post", 1, weights)
    [read] = lm.intervene(PROMPTS, edits, label_ids=[4], readouts=[readout]).readouts
    for row, ids in enumerate(lm.encode(PROMPTS)):
        clean = reference.activation(lm.model, ids, "resid_post", 1) @ weights.T
        change = (read[row] - clean).abs().amax(dim=-1)
        assert change[0] < 1e-4, "z holds"
        assert change[1] > 0.1, "v does not, or this shows nothing"
