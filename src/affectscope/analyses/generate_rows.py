"""Observations of ``generate`` as matrices: a row for each text of a prompt, a column a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.generate_plan import Condition, Plan

Array = NDArray[np.float64]

OF_TEXTS = ("nll", "repeated", "distinct", "valence", "n_tokens", "recall")
"""What is averaged over the texts of a setting."""


SETTING = [field.name for field in fields(Condition)]
"""Columns that tell settings apart."""


def setting_of(values: Iterable[Any]) -> Condition:
    """The condition that a row is of, from its columns in the order of :data:`SETTING`."""
    method, target, sign, layer, coefficient, draw = values
    return Condition(method, str(target), int(sign), int(layer), float(coefficient), int(draw))


@dataclass(frozen=True)
class Texts:
    """Texts as matrices ``[prompt and repeat, setting]``."""

    settings: list[Condition]
    prompts: list[str]
    """Prompt of every row."""
    kinds: list[str]
    """Its kind."""
    columns: Mapping[str, Array]
    clean: Mapping[str, Array]
    """The unsteered text of every row, ``[row]``."""

    def index(self, **where: object) -> list[int]:
        """The settings that have these values."""
        return [
            k
            for k, setting in enumerate(self.settings)
            if all(getattr(setting, name) == value for name, value in where.items())
        ]


def texts_of(rows: pd.DataFrame, plan: Plan) -> Texts:
    """Rows of texts as matrices, settings in the order in which they were written."""
    pairs = [(opening, repeat) for opening in plan.openings for repeat in range(plan.repeats)]
    row_of = {(opening.id, repeat): k for k, (opening, repeat) in enumerate(pairs)}
    keys = [setting_of(values) for values in rows[SETTING].itertuples(index=False)]
    settings = list(dict.fromkeys(keys))
    column_of = {key: k for k, key in enumerate(settings)}
    r = [row_of[str(i), int(n)] for i, n in zip(rows["id"], rows["repeat"], strict=True)]
    c = [column_of[key] for key in keys]
    read = [n for n in rows.columns if n.partition(".")[0] in ("judge", "own", "echo")]
    columns = {}
    for name in (*read, *OF_TEXTS):
        matrix = np.full((len(pairs), len(settings)), np.nan)
        matrix[r, c] = rows[name].to_numpy(dtype=np.float64)
        columns[name] = matrix
    return Texts(
        settings,
        [opening.id for opening, _ in pairs],
        [opening.kind for opening, _ in pairs],
        columns,
        {name: matrix[:, column_of[Condition("none")]] for name, matrix in columns.items()},
    )
