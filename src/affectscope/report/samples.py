"""Texts as they were written, steered and not: pairs drawn by the run's seed, not chosen.

Every direction's texts at its recommended setting take part in the draw, and of a direction that
has none those under the longest vector, so that what does not work is seen as often as what does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from affectscope.figures.wording import shortened, visible
from affectscope.report.contents import Findings
from affectscope.report.views import visible_lines
from affectscope.runs.record import RunRecord
from affectscope.texts import writing_prompts

MOST_PAIRS = 12

MOST_CHARACTERS = 2000
"""Longer texts are cut on the page; the whole is in ``results/``."""

_COLUMNS = {"what", "id", "repeat", "text", "method", "target", "sign", "layer", "coefficient"}

_OF_TEXT = ["id", "repeat"]


@dataclass(frozen=True)
class PairView:
    """A prompt gone on with twice, with the same draws."""

    direction: str
    setting: str
    prompt: str
    unsteered: str
    steered: str


@dataclass(frozen=True)
class SamplesView:
    """The pairs, and how they were come by."""

    title: str
    note: str
    pairs: tuple[PairView, ...]


def samples_view(found: Findings, record: RunRecord) -> SamplesView | None:
    """Pairs of texts of a run; None where it has written none.

    Args:
        found: What is stored of an experiment.
        record: ``run.json``, for its seed.
    """
    if found.table is None or found.observations is None:
        return None
    if not set(found.observations.columns) >= _COLUMNS:
        return None
    texts = found.observations[found.observations["what"] == "text"]
    settings = _settings(found.table)
    pairs = [pair for setting in settings for pair in _pairs(texts, setting)]
    if not pairs:
        return None
    seed = _seed(record)
    drawn = np.random.default_rng(seed).choice(
        len(pairs), size=min(MOST_PAIRS, len(pairs)), replace=False
    )
    known = writing_prompts()
    prompts = dict(zip(known["id"], known["prompt"], strict=True))
    number = "Twelve" if len(drawn) == 12 else str(len(drawn))
    return SamplesView(
        f"{number} pairs, drawn by the seed, not chosen",
        _note(settings, len(pairs), seed),
        tuple(_view(pairs[k], prompts) for k in drawn),
    )


def _seed(record: RunRecord) -> int:
    """Of the run; 0 where it is not recorded."""
    seed = record.seeds.get("seed", record.config.get("seed"))
    return seed if isinstance(seed, int) and seed >= 0 else 0


def _settings(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The setting of each direction, and whether it is the recommended one."""
    steered = table[(table["metric"] == "effect") & (table["layer"] >= 0)]
    recommended = table[table["metric"] == "recommended_effect"]
    found = []
    for name, of in steered.groupby("direction", sort=False):
        chosen = recommended[recommended["direction"] == name]
        is_recommended = len(chosen) > 0
        if not is_recommended:
            means = of[of["method"] == "means"]
            chosen = (means if len(means) else of).sort_values(["coefficient", "layer"]).tail(1)
        row = {str(key): value for key, value in chosen.iloc[0].items()}
        found.append({**row, "recommended": is_recommended})
    return found


def _pairs(texts: pd.DataFrame, setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The texts of a setting beside the unsteered ones of the same prompts and draws."""
    at = pd.Series(True, index=texts.index)
    for column in ("method", "target", "sign", "layer", "coefficient"):
        at &= texts[column] == setting[column]
    bare = texts[texts["method"] == "none"][[*_OF_TEXT, "text"]]
    both = texts[at].merge(bare, on=_OF_TEXT, suffixes=("", "_unsteered"))
    both = both.sort_values(_OF_TEXT, kind="stable")
    return [
        {"id": i, "steered": steered, "unsteered": unsteered, **setting}
        for i, steered, unsteered in zip(
            both["id"].astype(str), both["text"], both["text_unsteered"], strict=True
        )
    ]


def _note(settings: list[dict[str, Any]], n: int, seed: int) -> str:
    said = (
        f"Of {n:,} pairs (directions by prompts and repeats), drawn with seed {seed}. Each pair "
        "shares its prompt and its random draws; + means more of the target, - less. Settings are "
        "method, layer and coefficient: those recommended"
    )
    without = [visible(str(s["direction"])) for s in settings if not s["recommended"]]
    if not without:
        return f"{said}."
    return (
        f"{said}; none is recommended for {', '.join(without)}, whose texts are those under the "
        "longest vector tried, of the difference of means where there is one."
    )


def _view(pair: Mapping[str, Any], prompts: Mapping[str, str]) -> PairView:
    setting = f"{visible(pair['method'])}, layer {pair['layer']}, {pair['coefficient']:g}"
    return PairView(
        direction=visible(str(pair["direction"])),
        setting=setting if pair["recommended"] else f"{setting} (not recommended)",
        prompt=visible_lines(prompts.get(pair["id"], pair["id"])),
        unsteered=_text(pair["unsteered"]),
        steered=_text(pair["steered"]),
    )


def _text(text: object) -> str:
    """A text without what surrounds it; one of nothing is said to be so."""
    said = text.strip() if isinstance(text, str) else ""
    return shortened(visible_lines(said), MOST_CHARACTERS) or "(nothing)"
