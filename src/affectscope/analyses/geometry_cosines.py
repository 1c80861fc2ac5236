"""The cosines of all refits at all places, out of the observations of ``geometry``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from affectscope.analyses.geometry_fit import KINDS, Array, Halves
from affectscope.analyses.geometry_jackknife import Jackknife
from affectscope.vocabulary import SITES, Site


@dataclass(frozen=True)
class Names:
    """What has a direction."""

    emotions: tuple[str, ...]
    appraisals: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Emotions, then appraisals."""
        return (*self.emotions, *self.appraisals)

    @property
    def columns(self) -> list[str]:
        """The same with what they are, so that no emotion is taken for an appraisal."""
        return [f"emotion.{name}" for name in self.emotions] + [
            f"appraisal.{name}" for name in self.appraisals
        ]


@dataclass(frozen=True, eq=False)
class Geometries:
    """The cosines of all refits at all places."""

    names: Names
    sites: tuple[Site, ...]
    n_layers: int
    strata: np.ndarray
    """Half of every part, ``[part]``."""
    n: int
    """Items."""
    across: Array
    """Between halves, ``[refit, kind, site, layer, name, name]``."""
    within: Array
    """Between emotions within a half, ``[refit, kind, site, layer, emotion, emotion]``."""
    agreement: Array
    """Of the two kinds of direction, ``[refit, site, layer, name]``."""

    @classmethod
    def read(cls, observations: pd.DataFrame, names: Names, halves: Halves, n: int) -> Geometries:
        """From the tables of all units."""
        sites = tuple(site for site in SITES if (observations["site"] == site).any())
        n_layers = int(observations["layer"].max()) + 1
        axes = [halves.refits, KINDS, sites, range(n_layers), names.columns]
        order = pd.MultiIndex.from_product(axes)
        keys = [observations[column] for column in ("left_out", "kind", "site", "layer")]
        keys.append(observations["what"] + "." + observations["name"])
        cells = observations.set_index(pd.MultiIndex.from_arrays(keys)).reindex(order)
        shape = tuple(map(len, axes))
        n_emotions = len(names.emotions)

        def block(columns: list[str]) -> Array:
            return cells[columns].to_numpy(dtype=np.float64).reshape(*shape, len(columns))

        within = block([f"same.{column}" for column in names.columns[:n_emotions]])
        return cls(
            names,
            sites,
            n_layers,
            halves.of_part,
            n,
            block([f"cosine.{column}" for column in names.columns]),
            within[..., :n_emotions, :],
            block(["agreement"])[:, 0, ..., 0],
        )

    @property
    def profiles(self) -> Array:
        """Emotions with appraisals, ``[refit, kind, site, layer, emotion, appraisal]``."""
        n_emotions = len(self.names.emotions)
        return self.across[..., :n_emotions, n_emotions:]

    @property
    def emotion_products(self) -> Array:
        """Products of the mean directions of both halves, ``[refit, kind, site, layer, e, e]``.

        With ``(u1 + u2) / 2`` an emotion's direction: (within + across) / 2.
        """
        n_emotions = len(self.names.emotions)
        return (self.within + self.across[..., :n_emotions, :n_emotions]) / 2

    def jackknife(self, refits: Array) -> Jackknife:
        """Of statistics of every refit, the whole first, ``[refit, ...]``."""
        return Jackknife(refits[0], refits[1:], self.strata)

    def rows(
        self,
        metric: str,
        found: Jackknife,
        axes: Mapping[str, Sequence[Any]] | None = None,
        limits: tuple[float, float] = (-1.0, 1.0),
    ) -> pd.DataFrame:
        """Tidy rows of a jackknife over kinds, sites and layers, unless other axes are given."""
        keys = self.places if axes is None else axes
        low, high = found.interval(limits)
        rows = pd.MultiIndex.from_product(list(keys.values()), names=list(keys)).to_frame(
            index=False
        )
        return rows.assign(
            metric=metric,
            value=np.ravel(found.value),
            low=np.ravel(low),
            high=np.ravel(high),
            n=self.n,
        )

    @property
    def places(self) -> dict[str, Sequence[Any]]:
        """The axes of what is estimated for every kind, site and layer."""
        return {"kind": KINDS, "site": self.sites, "layer": range(self.n_layers)}
