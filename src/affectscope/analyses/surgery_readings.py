"""What an edit leaves of every appraisal: readings before and after, at the edited layer and later.

Two kinds of reader. *Own* readers are the very probes that holding holds, at the edited site: they
tell whether the projection was really applied. *Other* readers are probes of the residual stream
fitted to items that neither made the directions nor are operated on: they tell whether the
appraisal, rather than one estimate of its direction, was held. Two probes of the same appraisal
from different items are not the same direction, so that the second asks for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from concept_erasure import LeaceEraser
from numpy.typing import NDArray

from affectscope.analyses.parts import Parts
from affectscope.analyses.surgery_edits import FOLDS, Place, Surgeon
from affectscope.analyses.surgery_settings import singles
from affectscope.data import grouped_folds
from affectscope.engine import Intervention, Readout, Replace
from affectscope.probes.ridge import fit_ridge
from affectscope.vocabulary import Site

OWN, OTHER = "own", "other"
"""Who reads: the held probes themselves, or probes of other items."""


@dataclass(frozen=True, eq=False)
class Reader:
    """Readouts of all appraisals at a layer and site."""

    kind: str
    site: Site
    layer: int
    weights: NDArray[np.float64]
    """``[appraisal, d_model]``."""


@dataclass(frozen=True, eq=False)
class Readings:
    """Reads all appraisals under edits of each of them.

    Args:
        surgeon: Makes the edits, from the fitting part.
        parts: The parts of the corpus.
        place: Where the edits are made.
        coefficient: How far, in lengths of the residual stream.
    """

    surgeon: Surgeon
    parts: Parts
    place: Place
    coefficient: float

    @property
    def _edited(self) -> int:
        """The last layer that is edited."""
        return self.place.layers(self.surgeon.study.lm.n_layers)[-1]

    @cached_property
    def readers(self) -> list[Reader]:
        """The held probes; then probes of the third part after each layer from the edited one."""
        study, ratings, read = self.surgeon.study, self.surgeon.ratings, self.parts.read
        emotions = [study.corpus.emotions[item] for item in read]
        groups = [study.corpus.groups[item] for item in read]
        folds = grouped_folds(emotions, groups, FOLDS, study.seed)
        own = self.surgeon.directions(self.place.site, self._edited, "probe").vectors
        others = [
            Reader(
                OTHER,
                "resid_post",
                layer,
                fit_ridge(
                    study.clean.activations("resid_post", layer)[read], ratings.values[read], folds
                ).weights,
            )
            for layer in range(self._edited, study.lm.n_layers)
        ]
        return [Reader(OWN, self.place.site, self._edited, own), *others]

    def changes(self, items: NDArray[np.int64]) -> pd.DataFrame:
        """How far each appraisal's reading changes, in standard deviations of the clean readings.

        Each appraisal is moved up with the others held and without, or erased (LEACE).

        Args:
            items: The items to operate on.

        Returns:
            Columns item, edit, method, reader, layer and ``read.<appraisal>``.
        """
        study, names = self.surgeon.study, self.surgeon.ratings.names
        ups = [one for one in singles(names) if one.moves[0][1] > 0]
        edits = [
            (
                one.moves[0][0],
                method,
                self.surgeon.edit(one, self.place, self.coefficient, method),
            )
            for method in ("held", "raw")
            for one in ups
        ]
        edits += [(name, "leace", self._erasure(name, items)) for name in names]
        sweep = study.remembering_lm.intervene(
            [study.prompts[item] for item in items],
            [edit for *_, edit in edits],
            label_ids=study.task.label_ids,
            readouts=[
                Readout(one.site, one.layer, torch.from_numpy(one.weights).float())
                for one in self.readers
            ],
        )
        tables = []
        for reader, read in zip(self.readers, sweep.readouts, strict=True):
            clean = study.clean.activations(reader.site, reader.layer)
            whole = np.asarray(clean, dtype=np.float64) @ reader.weights.T
            deviation = whole[self.parts.test].std(axis=0)
            changes = (read.double().numpy() - whole[items][:, None]) / np.where(
                deviation > 0, deviation, np.nan
            )
            n, k = changes.shape[:2]
            found = {
                f"read.{name}": changes[:, :, column].ravel().astype(np.float32)
                for column, name in enumerate(names)
            }
            keys = {
                "item": np.repeat(items, k),
                "edit": [name for name, _, _ in edits] * n,
                "method": [method for _, method, _ in edits] * n,
                "reader": reader.kind,
                "layer": reader.layer,
            }
            tables.append(pd.DataFrame({**keys, **found}))
        table = pd.concat(tables, ignore_index=True)
        # Erasure is of the residual stream: probes of another site see nothing of it.
        return table[(table["reader"] == OTHER) | (table["method"] != "leace")]

    def _erasure(self, name: str, items: NDArray[np.int64]) -> Intervention:
        """The stream without what is linearly known of an appraisal, after the edited layer."""
        study, ratings = self.surgeon.study, self.surgeon.ratings
        layer = self._edited
        rating = ratings.values[self.parts.fit, ratings.names.index(name)]
        there = np.isfinite(rating)
        X = torch.from_numpy(self.surgeon.activations("resid_post", layer)[there]).double()
        z = torch.from_numpy(rating[there])
        eraser = LeaceEraser.fit(X, ((z - z.mean()) / z.std())[:, None])
        state = torch.from_numpy(study.clean.activations("resid_post", layer)[items]).double()
        return Intervention(
            [Replace("resid_post", layer, value=eraser(state).float())], f"{name} erased"
        )
