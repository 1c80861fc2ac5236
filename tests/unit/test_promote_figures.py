"""Figures of ``promote``, drawn from a table of a finished run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from affectscope.errors import RunError
from affectscope.figures.promote import promote_charts, promote_figures

EMOTIONS = ("anger", "joy")
LABELS = ("anger", "fear", "joy")
ARMS = [("means", "norm", "up"), ("means", "norm", "down"), ("probe", "norm", "up")]
ARMS += [("probe", "raw", "up")]
SIZES = {"norm": (0.05, 0.1, 0.2), "raw": (1.0, 2.0, 4.0)}
CENTRE = 3


def success(emotion: str, rank: int, layer: int) -> float:
    return 0.1 * layer + 0.1 * rank + 0.02 * EMOTIONS.index(emotion) - 0.1


def moved(emotion: str, label: str) -> float:
    return 0.3 if emotion == label else -0.25 if label == "fear" else -0.05


@pytest.fixture(scope="module")
def table():
    rows = []
    for kind, unit, sense in ARMS:
        for rank, c in enumerate(SIZES[unit]):
            at = {"kind": kind, "unit": unit, "sense": sense, "coefficient": c}
            for layer in range(6):
                values = [success(emotion, rank, layer) for emotion in EMOTIONS]
                for emotion, value in zip(EMOTIONS, values, strict=True):
                    where = {"metric": "success", "emotion": emotion, "layer": layer}
                    rows.append(at | where | {"value": value})
                where = {"metric": "mean_success", "layer": layer}
                rows.append(at | where | {"value": np.mean(values)})
            for emotion in EMOTIONS:
                for label in LABELS:
                    where = {"metric": "moved", "emotion": emotion, "label": label}
                    rows.append(at | where | {"layer": CENTRE, "value": moved(emotion, label)})
    for kind in ("isotropic", "covariance"):
        at = {"metric": "random_success", "random": kind, "layer": CENTRE, "coefficient": 0.1}
        rows += [at | {"emotion": emotion, "value": 0.01} for emotion in EMOTIONS]
    made = pd.DataFrame(rows).assign(items="all", n=200, p=np.nan)
    text = ["kind", "unit", "sense", "emotion", "label", "random"]
    made[text] = made[text].fillna("")
    return made.assign(low=made["value"] - 0.05, high=made["value"] + 0.05)


def drawn(chart) -> list[dict]:
    """Every object inside a specification, its rows among them."""
    found: list[dict] = []

    def walk(part):
        if isinstance(part, dict):
            found.append(part)
            part = list(part.values())
        for inner in part if isinstance(part, list) else ():
            walk(inner)

    walk(chart.to_dict())
    return found


def test_which_figures_there_are(table):
    names = ["promote_success", "promote_ways", "promote_random", "promote_moved"]
    assert list(promote_charts(table)) == names
    assert list(promote_charts(table[table["metric"] != "moved"])) == names[:-1]
    assert promote_charts(table.iloc[:0]) == {}
    with pytest.raises(RunError, match="no column coefficient"):
        promote_figures(table.drop(columns="coefficient"))


def test_a_panel_for_each_size_and_a_curve_for_each_emotion(table):
    values = {
        (row["panel"], row["series"], row["layer"]): row["value"]
        for row in drawn(promote_charts(table)["promote_success"])
        if {"panel", "value"} <= row.keys()
    }
    assert len(values) == 3 * len(EMOTIONS) * 6
    for rank, panel in enumerate(("0.05 of the norm", "0.1 of the norm", "0.2 of the norm")):
        for emotion in EMOTIONS:
            assert values[panel, emotion, 2] == pytest.approx(success(emotion, rank, 2))


def test_both_units_share_panels_by_rank(table):
    rows = [
        row
        for row in drawn(promote_charts(table)["promote_ways"])
        if {"panel", "series", "value"} <= row.keys()
    ]
    assert {row["panel"] for row in rows} == {
        f"{c:g} of the norm, {raw:g} raw"
        for c, raw in zip(SIZES["norm"], SIZES["raw"], strict=True)
    }
    assert len({row["series"] for row in rows}) == len(ARMS)


def test_own_directions_stand_beside_random_ones(table):
    figure = promote_figures(table)["promote_random"]
    own = {
        row["category"]: row["value"]
        for row in drawn(figure.chart)
        if row.get("series") == "its direction" and "category" in row
    }
    assert own == {name: pytest.approx(success(name, 1, CENTRE)) for name in EMOTIONS}
    assert len(figure.rows) == 3 * len(EMOTIONS)
    assert "random, anywhere, at most 6.0 % for any emotion" in figure.alt_text


def test_what_else_moves_is_of_the_middle_size_and_written_out(table):
    figure = promote_figures(table)["promote_moved"]
    assert set(figure.rows["coefficient"]) == {0.1}
    texts = {
        (row["emotion"], row["label"]): row["text"]
        for row in drawn(figure.chart)
        if "text" in row and "emotion" in row
    }
    assert texts["joy", "joy"] == "+30"
    assert texts["joy", "fear"] == "-25"
    assert len(texts) == len(EMOTIONS) * len(LABELS)
    assert "adding joy lowers fear most, by 25.0 %" in figure.alt_text


def test_undefined_values_are_drawn_as_nothing(table):
    gaps = table.assign(value=np.nan, low=np.nan, high=np.nan)
    for name, figure in promote_figures(gaps).items():
        figure.chart.to_dict()
        assert figure.alt_text, name
