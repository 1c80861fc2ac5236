"""Figures of ``probe`` that compare probes and tokens, drawn from a table of a finished run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from affectscope.figures import probe_charts
from affectscope.figures.probe import probe_figures
from affectscope.vocabulary import SITES


def accuracy(probe: str, position: int, site: str, layer: int) -> float:
    return 0.1 + 0.05 * layer + 0.02 * SITES.index(site) - 0.01 * position * (probe == "mlp")


@pytest.fixture(scope="module")
def table():
    rows = [
        {
            "metric": "accuracy",
            "items": items,
            "probe": probe,
            "position": position,
            "site": site,
            "layer": layer,
            "n": 700,
            "p": 0.001 if layer > 3 else 0.5,
            "value": accuracy(probe, position, site, layer),
        }
        for items in ("all", "right")
        for probe in ("linear", "mlp")
        for position in (-1, -2, -3)
        for site in SITES
        for layer in range(6)
    ]
    return pd.DataFrame(rows).assign(
        low=lambda t: t["value"] - 0.03, high=lambda t: t["value"] + 0.03
    )


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
    names = {"probe_layers", "probe_heatmap", "probe_mlp", "probe_positions"}
    assert set(probe_charts(table)) == names
    assert set(probe_charts(table[table["probe"] == "linear"])) == names - {"probe_mlp"}
    last = table[table["position"] == -1]
    assert set(probe_charts(last)) == names - {"probe_positions"}
    older = last[last["probe"] == "linear"].drop(columns=["probe", "position", "p"])
    assert set(probe_charts(older)) == {"probe_layers", "probe_heatmap"}


def test_the_curves_are_the_linear_probes_at_the_last_token(table):
    rows = probe_figures(table)["probe_layers"].rows
    assert len(rows) == len(SITES) * 6
    assert set(rows["probe"]) == {"linear"}
    assert set(rows["position"]) == {-1}


def test_both_probes_are_drawn_with_their_own_values(table):
    values = {
        (row["series"], row["panel"], row["layer"]): row["value"]
        for row in drawn(probe_charts(table)["probe_mlp"])
        if {"series", "value"} <= row.keys()
    }
    assert len(values) == 2 * len(SITES) * 6
    for (series, site, layer), value in values.items():
        probe = {"linear": "linear", "non-linear": "mlp"}[series]
        assert value == pytest.approx(accuracy(probe, -1, site, layer))


def test_the_map_has_every_token_and_layer(table):
    cells = {
        (row["down"], row["panel"], row["start"] + 0.5): row["value"]
        for row in drawn(probe_charts(table)["probe_positions"])
        if {"down", "value"} <= row.keys()
    }
    assert len(cells) == 3 * len(SITES) * 6
    for (position, site, layer), value in cells.items():
        assert value == pytest.approx(accuracy("linear", int(position), site, int(layer)))


def test_the_caption_counts_significant_layers(table):
    caption = probe_figures(table)["probe_layers"].caption
    assert "attn_out 2 of 6, mlp_out 2 of 6, resid_post 2 of 6" in caption
    assert "above chance" not in probe_figures(table.assign(p=np.nan))["probe_layers"].caption
