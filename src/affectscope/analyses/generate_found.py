"""What was written under every setting of ``generate``, and how far it moved from the unsteered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.generate_plan import Condition, Plan
from affectscope.analyses.generate_rows import SETTING, setting_of, texts_of
from affectscope.stats import GroupBootstrap, RatioDraws

Array = NDArray[np.float64]


class Found:
    """What was written, and what all estimates of it are made from.

    Args:
        plan: What was written.
        observations: Rows of all units.
        seed: Of the bootstrap.
    """

    def __init__(self, plan: Plan, observations: pd.DataFrame, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        self.rows = observations
        self.texts = texts_of(observations[observations["what"] == "text"], plan)
        self.draws = GroupBootstrap(tuple(self.texts.prompts), seed=seed)
        self._damage = self._divergences()

    def _divergences(self) -> tuple[dict[Condition, int], RatioDraws]:
        """Damage of every setting; of none it is 0."""
        rows = self.rows[self.rows["what"] == "divergence"]
        wide = rows.pivot(index="id", columns=SETTING, values="value")
        keys = {setting_of(column): k for k, column in enumerate(wide.columns)}
        draws = GroupBootstrap(tuple(map(str, wide.index)), seed=self.seed)
        return keys, draws.ratio(wide.to_numpy(dtype=np.float64))

    def damage(self, settings: list[Condition]) -> RatioDraws:
        """Nats a token, of some settings."""
        keys, draws = self._damage
        return draws.columns([keys[setting] for setting in settings])

    def shifts(self, reader: str, target: str, sign: int, at: list[int]) -> Array:
        """Effects ``[row, setting]`` of some settings, in standard deviations."""
        column = f"{reader}.{target}"
        clean = self.texts.clean[column]
        spread = float(clean.std(ddof=1)) if len(clean) > 1 else np.nan
        moved = sign * (self.texts.columns[column][:, at] - clean[:, None])
        return np.asarray(moved / (spread if spread > 0 else np.nan))

    def meant(self, target: str, sign: int) -> list[int]:
        """Settings that mean a direction."""
        return self.texts.index(target=target, sign=sign)

    def keys(self, at: list[int]) -> dict[str, list[Any]]:
        """Columns that tell settings apart, for rows of estimates."""
        chosen = [self.texts.settings[k] for k in at]
        return {name: [getattr(key, name) for key in chosen] for name in SETTING}

    def random_places(self) -> list[tuple[dict[str, list[Any]], list[int]]]:
        """Places and lengths at which random directions were added, and those settings."""
        found: dict[tuple[int, float], list[int]] = {}
        for k in self.texts.index(method="random"):
            setting = self.texts.settings[k]
            found.setdefault((setting.layer, setting.coefficient), []).append(k)
        return [
            (
                {"method": ["random"], "layer": [layer], "coefficient": [c]},
                members,
            )
            for (layer, c), members in sorted(found.items())
        ]
