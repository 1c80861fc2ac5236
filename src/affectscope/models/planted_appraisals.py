"""A model in which two appraisals cause three emotions, by weights set by hand.

It is the planted model of :mod:`affectscope.models.planted` with other words. Each text has a word
for how pleasant the event was and one for how much another person caused it, at five levels each.
The planted head brings both levels to the last token, as two directions of the stream that are
*not* orthogonal; each label's logit there is a sum of the levels,

    joy = pleasantness,   anger = -pleasantness + other,   guilt = -pleasantness - other,

and nothing else in the model matters. So an edit along one appraisal that holds the other has known
effects, and one that holds nothing leaks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from affectscope.data import Corpus
from affectscope.errors import UsageError
from affectscope.models.checked import from_pretrained
from affectscope.models.language_model import LanguageModel
from affectscope.models.planted import planted_model
from affectscope.models.planted_weights import Parts
from affectscope.models.planted_words import FILLERS, ids_by_word

APPRAISALS = ("pleasantness", "other_responsblt")
LABELS = ("anger", "guilt", "joy")

CAUSES: NDArray[np.float64] = np.array([[-1.0, -1.0, 1.0], [1.0, -1.0, 0.0]])
"""How each appraisal moves each label's logit, ``[appraisal, label]``."""

WORDS: dict[str, tuple[str, ...]] = {
    "pleasantness": ("grief", "lonely", "routine", "delight", "wedding"),
    "other_responsblt": ("sudden", "unexpected", "ordinary", "blamed", "insult"),
}
"""The word for each rating, 1 to 5."""

_OVERLAP = 0.6
"""How much of the first appraisal's direction is in the second's."""

_LOGIT = 2.0
"""How much of an appraisal's direction, in the normalised stream, the labels' rows read."""

_PART = 2.0
"""Length of the cue in an embedding, as in the other planted models."""


@dataclass(frozen=True, eq=False)
class PlantedAppraisals:
    """A model and what its appraisals cause."""

    lm: LanguageModel
    """The model, as if it had been loaded."""
    layer: int
    """Layer whose head brings the appraisals to the last token."""
    readouts: Float[Tensor, "appraisal d_model"]
    """What the labels' rows read, of unit length: the residual stream along them is the
    appraisals'. They are orthogonal to each other only in the dual basis."""


def planted_appraisals(
    *, layer: int = 1, n_layers: int = 4, d_model: int = 128, noise: float = 1.0, seed: int = 0
) -> PlantedAppraisals:
    """The model.

    Args:
        layer: Layer whose head brings the appraisals to the last token.
        n_layers: Layers.
        d_model: Width of the stream.
        noise: Length of what attention and each MLP add to the stream's noise.
        seed: Seed of all that is random.

    Raises:
        UsageError: The layer does not fit into the model.
    """
    planted = planted_model(layer=layer, n_layers=n_layers, d_model=d_model, noise=noise, seed=seed)
    parts = Parts.drawn(d_model, torch.Generator().manual_seed(seed))
    model, tokenizer = planted.lm.model, planted.lm.tokenizer
    words = ids_by_word(tokenizer)
    embedding, unembedding = model.model.embed_tokens.weight, model.lm_head.weight
    common = embedding[words[WORDS["pleasantness"][0]][0]].double()
    common = common - (common @ parts.cue.T) @ parts.cue
    with torch.no_grad():
        for k, name in enumerate(APPRAISALS):
            for rating, word in enumerate(WORDS[name], start=1):
                embedding[words[word]] = (common + _cue(parts, k, rating)).float()
        readouts = _readouts(parts)
        for column, label in enumerate(LABELS):
            causes = torch.from_numpy(CAUSES[:, column])
            unembedding[words[label]] = (_LOGIT * causes @ readouts).float()
    lm = from_pretrained(replace(planted.lm.pretrained, name=f"planted-appraisals-{seed}"))
    unit = readouts / readouts.norm(dim=1, keepdim=True)
    return PlantedAppraisals(lm, layer, unit.float())


def _coordinates(k: int, level: float) -> NDArray[np.float64]:
    """Where a level in -1 to 1 lies in the cue's subspace: its four first coordinates.

    They sum to 1, by which the planted head finds the word.
    """
    at = np.zeros(4)
    at[2 * k : 2 * k + 2] = (1 + level) / 2, (1 - level) / 2
    if k:
        at[:2] = _OVERLAP * level / 2, -_OVERLAP * level / 2
    return at


def _cue(parts: Parts, k: int, rating: int) -> Float[Tensor, " d_model"]:
    """The part of an embedding that holds a level; all are of one length."""
    at = torch.from_numpy(_coordinates(k, (rating - 3) / 2))
    rest = torch.sqrt(1.5 - at @ at)
    return _PART * (at @ parts.cue[:4] + rest * parts.relay[0])


def _readouts(parts: Parts) -> Float[Tensor, "appraisal d_model"]:
    """Directions along which the answer's subspace reads each level and not the other."""
    step = [torch.from_numpy(_coordinates(k, 1.0) - _coordinates(k, -1.0)) for k in (0, 1)]
    written = torch.stack(step) @ parts.answer[:4]
    return torch.linalg.pinv(written).T


def planted_appraisal_corpus(n: int = 300, seed: int = 0) -> Corpus:
    """Texts with a word for each appraisal, whose levels go together (r about .5).

    Args:
        n: Number of texts.
        seed: Seed of the texts.

    Raises:
        UsageError: For fewer than one text.
    """
    if n < 1:
        raise UsageError(f"{n} texts", expected="one or more", remedy="give a larger number")
    generator = np.random.default_rng(seed)
    ratings = np.empty((n, 2), dtype=int)
    ratings[:, 0] = generator.integers(1, 6, n)
    alike = generator.random(n) < 0.5
    ratings[:, 1] = np.where(alike, ratings[:, 0], generator.integers(1, 6, n))
    texts: dict[str, None] = {}
    while len(texts) < n:
        words = generator.choice(FILLERS, size=generator.integers(7, 13)).tolist()
        for name, rating in zip(APPRAISALS, ratings[len(texts)], strict=True):
            words.insert(int(generator.integers(0, len(words) - 3)), WORDS[name][rating - 1])
        texts.setdefault(f"{' '.join(words)}.")
    levels = (ratings - 3) / 2 + 1e-3 * generator.standard_normal((n, 2))
    items = pd.DataFrame(
        {
            "item_id": [f"planted-{i}" for i in range(n)],
            "text": list(texts),
            "emotion": [LABELS[k] for k in (levels @ CAUSES).argmax(axis=1)],
            "group": [f"author-{i // 2}" for i in range(n)],
            **{name: ratings[:, k].astype(float) for k, name in enumerate(APPRAISALS)},
        }
    )
    sha256 = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return Corpus("planted-appraisals", items, LABELS, "memory", sha256, "utf-8")
