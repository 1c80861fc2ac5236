"""Steering vectors by name: appraisals and emotions to move, made from a corpus or kept ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectscope.analyses.directions import DirectionKind
from affectscope.analyses.ratings import rated
from affectscope.analyses.steerer import Steerer, fit_steerer, origin
from affectscope.analyses.surgery_settings import Setting, parse_emotions, parse_setting
from affectscope.analyses.windows import window
from affectscope.data import Corpus
from affectscope.engine import SteeringVector
from affectscope.errors import ModelError, UsageError
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask
from affectscope.user_cache import cache_path

DEPTH = 0.75
"""Where vectors are added unless a layer is named, as a share of the layers: late enough for
directions to be there, and early enough to be acted on. ``generate`` tells what is best.
"""

SPAN = 3
"""Layers that share a vector, unless said otherwise."""

COEFFICIENT = 0.15
"""Length of a move of size 1, in mean lengths of the residual stream."""


def default_layer(n_layers: int) -> int:
    """The centre that vectors are added around where none is named."""
    return round(DEPTH * (n_layers - 1))


def steering_vectors(
    task: EmotionTask,
    corpus: Corpus,
    *,
    appraisals: str | None = None,
    hold: str | None = None,
    emotions: str | None = None,
    layer: int | None = None,
    span: int = SPAN,
    kind: DirectionKind = "means",
    coefficient: float = COEFFICIENT,
    seed: int = 0,
    keep: bool = False,
) -> list[SteeringVector]:
    """Vectors that move appraisals and emotions, one for each of the two that is named.

    Args:
        task: The emotion task, whose model is steered.
        corpus: Labelled items that directions are fitted to.
        appraisals: Such as ``pleasantness=+2,other_responsblt=-1``.
        hold: Appraisals to hold, separated by commas; none when None or empty.
        emotions: Such as ``joy=+2``.
        layer: The centre of the layers that share the vector, from 0.
        span: How many share it, odd.
        kind: ``means`` moves along differences of means, ``probe`` along the weights of probes.
        coefficient: Length of a move of size 1, in mean lengths of the residual stream.
        seed: Of the folds that probes are fitted with.
        keep: Keep what is fitted in the user's cache, and take it from there the next time.

    Raises:
        UsageError: Nothing is to be moved, or something that the corpus does not tell.
        NotPossibleError: What is held leaves nothing to move along.
        LayerError: A layer that the model does not have.
    """
    lm = task.lm
    assert isinstance(lm, LanguageModel)
    if not appraisals and not emotions:
        raise UsageError(
            "nothing is to be moved",
            expected="appraisals (pleasantness=+2), emotions (joy=+2), or both",
            remedy="name some with --set or --emotion, or give a --vector",
        )
    if hold and not appraisals:
        raise UsageError(
            f"{hold} is to be held, and no appraisal is moved",
            expected="hold together with appraisals to move",
            remedy="leave hold out, or name appraisals to move",
        )
    centre = default_layer(lm.n_layers) if layer is None else layer
    lm.reader.access.check_layer(centre)
    layers = window(centre, span, lm.n_layers)
    used = corpus.without_texts(task.shot_texts)
    setting = parse_setting(appraisals, hold or "", rated(used)) if appraisals else None
    sizes = parse_emotions(emotions) if emotions else {}
    maker = _Maker(task, used, layers, kind, seed, keep)
    found = [] if setting is None else [maker.moved(setting)]
    if sizes:
        found.append(maker.promoted(sizes))
    return [vector.with_coefficient(coefficient) for vector in found]


@dataclass(eq=False)
class _Maker:
    """Makes vectors, reading the corpus at most once and not at all where they are kept."""

    task: EmotionTask
    corpus: Corpus
    layers: Sequence[int]
    kind: DirectionKind
    seed: int
    keep: bool
    steerer: Steerer | None = None

    def moved(self, setting: Setting) -> SteeringVector:
        key = {"appraisals": setting.moves, "held": setting.held(rated(self.corpus))}
        return self._kept(key, lambda s: s.moved(setting, self.layers, kind=self.kind))

    def promoted(self, sizes: dict[str, float]) -> SteeringVector:
        unknown = sorted(set(sizes) - set(self.corpus.emotions))
        if unknown:
            raise UsageError(
                f"emotions to move that no item of {self.corpus.name} has: {', '.join(unknown)}",
                expected=f"some of {', '.join(sorted(set(self.corpus.emotions)))}",
                remedy="name one of these",
            )
        return self._kept(
            {"emotions": sizes}, lambda s: s.promoted(sizes, self.layers, kind=self.kind)
        )

    def _kept(
        self, key: dict[str, Any], make: Callable[[Steerer], SteeringVector]
    ) -> SteeringVector:
        if not self.keep:
            return self._fitted(make)
        folder = self._folder(key)
        if folder.exists():
            try:
                return SteeringVector.from_pretrained(folder)
            except ModelError:  # damaged: made anew
                pass
        vector = self._fitted(make)
        vector.save_pretrained(folder)
        return vector

    def _fitted(self, make: Callable[[Steerer], SteeringVector]) -> SteeringVector:
        if self.steerer is None:
            self.steerer = fit_steerer(self.task, self.corpus, self.layers, seed=self.seed)
        return make(self.steerer)

    def _folder(self, key: dict[str, Any]) -> Path:
        """Named by everything that decides the vector."""
        lm = self.task.lm
        assert isinstance(lm, LanguageModel)
        items = pd.util.hash_pandas_object(self.corpus.items, index=False).to_numpy().tobytes()
        decides = {
            "version": 1,
            "origin": origin(lm, self.corpus, template=self.task.template.name, seed=self.seed),
            "dtype": lm.pretrained.dtype,
            "template": [self.task.template.prefix, self.task.template.suffix],
            "layers": list(self.layers),
            "kind": self.kind,
            "items": hashlib.sha256(items).hexdigest(),
            **key,
        }
        text = json.dumps(decides, sort_keys=True)
        return cache_path() / "steering" / hashlib.sha256(text.encode()).hexdigest()[:32]
