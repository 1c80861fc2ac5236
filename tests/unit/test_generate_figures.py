"""Figures of ``generate``, drawn from a table of a finished run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_figures import assert_readable, assert_title_fits, drawn_values, svg_of, texts

from affectscope.analyses import generate_plan
from affectscope.analyses.generate_recommended import MOST_DAMAGE
from affectscope.errors import RunError
from affectscope.figures.generate import generate_charts, generate_figures
from affectscope.figures.steered import ALLOWED, METHOD_STYLES, METHODS
from synthetic_generate import (
    COEFFICIENTS,
    LAYERS,
    RECOMMENDED,
    STUCK,
    TARGETS,
    damage,
    directions,
    effect,
    generate_table,
)

NAMES = ["generate_frontier", "generate_matched", "generate_recommended", "generate_fluency"]
NAMES.append("generate_kinds")
DIRECTIONS = [name for name, _, _ in directions()]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return generate_table()


def panel(figure, name: str) -> list[dict]:
    """The points of a direction's panel."""
    return [row for row in drawn_values(figure.chart) if row.get("panel") == name]


def test_which_figures_there_are(table):
    assert list(generate_charts(table)) == NAMES
    assert generate_charts(table.iloc[:0]) == {}
    without = table[~table["metric"].str.startswith("recommended_")]
    assert list(generate_charts(without)) == [NAMES[0], NAMES[1], NAMES[3]]
    assert list(generate_charts(table[table["metric"] == "matched_damage"])) == [NAMES[1]]
    with pytest.raises(RunError, match="no column coefficient"):
        generate_figures(table.drop(columns="coefficient"))


def test_the_frontier_pairs_each_effect_with_its_own_damage(table):
    figure = generate_figures(table)["generate_frontier"]
    for name in DIRECTIONS:
        means = [p for p in panel(figure, name) if p["series"] == METHODS["means"]]
        layer = LAYERS[0] if name == STUCK else RECOMMENDED[1]
        assert [p["coefficient"] for p in means] == list(COEFFICIENTS)
        for point in means:
            c = point["coefficient"]
            assert point["damage"] == pytest.approx(damage(layer, c))
            assert point["value"] == pytest.approx(effect(name, "means", layer, c))


def test_each_way_is_drawn_at_the_layer_where_it_does_most_for_an_allowed_damage(table):
    """The earlier layer does most here once the later one's damage is not allowed."""
    later = (table["metric"] == "divergence") & (table["layer"] == LAYERS[-1])
    dear = table.assign(value=table["value"].where(~later, 0.6 + table["coefficient"]))
    figure = generate_figures(dear)["generate_frontier"]
    probe = [p for p in panel(figure, "pleasantness+") if p["series"] == METHODS["probe"]]
    expected = [effect("pleasantness+", "probe", LAYERS[0], c) for c in COEFFICIENTS]
    assert [p["value"] for p in probe] == pytest.approx(expected)


def test_the_recommended_setting_is_ringed_and_told(table):
    figure = generate_figures(table)["generate_frontier"]
    method, layer, c = RECOMMENDED
    for name in DIRECTIONS:
        ringed = [p for p in panel(figure, name) if p["ring"]]
        if name == STUCK:
            assert ringed == []
            assert f"{name}: nothing is recommended; at most" in figure.alt_text
            continue
        assert [(p["series"], p["coefficient"]) for p in ringed] == [(METHODS[method], c)]
        moved = effect(name, method, layer, c)
        said = f"{name}: recommended is {method}, layer {layer}, {c:g}, {moved:.2f} standard"
        assert said in figure.alt_text
        assert f"at {damage(layer, c):.2f} nats" in figure.alt_text


def test_asking_is_one_mark_and_random_directions_are_ranges(table):
    points = panel(generate_figures(table)["generate_frontier"], "pleasantness+")
    asked = [p for p in points if p["series"] == METHODS["prompt"]]
    assert [(p["damage"], p["value"]) for p in asked] == [(0.05, 0.4)]
    random = [p for p in points if p["series"] == METHODS["random"]]
    assert len(random) == len(LAYERS) * len(COEFFICIENTS)
    for p in random:
        assert (p["low"], p["high"]) == pytest.approx(
            (-0.3 - p["coefficient"], 0.3 + p["coefficient"])
        )


def test_half_an_interval_is_not_drawn_in_the_frontier(table):
    cut = table.assign(high=table["high"].where(table["metric"] != "effect", np.inf))
    points = panel(generate_figures(cut)["generate_frontier"], "pleasantness+")
    own = [p for p in points if p["series"] != METHODS["random"]]
    assert {(p["low"], p["high"]) for p in own} == {(None, None)}


def test_what_is_not_reached_is_said_in_its_row(table):
    figure = generate_figures(table)["generate_matched"]
    rows = [row for row in drawn_values(figure.chart) if "series" in row]
    said = {(r["category"], r["series"]): r["text"] for r in rows}
    for name in DIRECTIONS:
        reached = name != STUCK
        assert said[name, METHODS["means"]] == ("" if reached else "not reached")
        assert said[name, METHODS["prompt"]] == "not reached"
    written = texts(svg_of(figure.chart))
    assert written.count("not reached") == 4 + len(DIRECTIONS) - 1
    assert f"{STUCK}: reached by none." in figure.alt_text
    assert "pleasantness+: difference of means 0.29 nats" in figure.alt_text
    assert "not reached by asked in words" in figure.alt_text


def test_an_interval_without_upper_end_runs_to_the_edge(table):
    way = (table["metric"] == "matched_damage") & (table["method"] == "probe")
    figure = generate_figures(table.assign(high=table["high"].where(~way)))["generate_matched"]
    rows = [r for r in drawn_values(figure.chart) if r.get("series") == METHODS["probe"]]
    ends = {r["high"] for r in rows if r["category"] != STUCK}
    (end,) = ends
    assert end > max(r["value"] for r in rows if r["value"] is not None)
    assert {r["high"] for r in rows if r["category"] == STUCK} == {None}


def test_recommended_settings_by_both_readers_and_the_wrong_way(table):
    figure = generate_figures(table)["generate_recommended"]
    method, layer, c = RECOMMENDED
    category = f"pleasantness+\n{method}, layer {layer}, {c:g}"
    values = [r["value"] for r in drawn_values(figure.chart) if r.get("category") == category]
    moved = effect("pleasantness+", method, layer, c)
    assert values == pytest.approx([moved, 0.5 * moved, 0.25])
    svg = svg_of(figure.chart)
    written = [span.text for span in svg.iter("{http://www.w3.org/2000/svg}tspan")]
    assert "pleasantness+" in written
    assert f"{method}, layer {layer}, {c:g}" in written
    assert f"pleasantness+ ({method}, layer {layer}, {c:g}): judge {moved:.2f}" in figure.alt_text
    assert "wrong way 25.0 % (95 % interval" in figure.alt_text
    assert STUCK not in figure.alt_text
    assert "pleasantness 0.40" in figure.caption


def test_fluency_is_the_mean_over_directions_and_layers(table):
    table = table.copy()
    of = (table["metric"] == "nll") & (table["method"] == "held") & (table["coefficient"] == 0.35)
    table.loc[of, "value"] = np.arange(of.sum(), dtype=float)
    figure = generate_figures(table)["generate_fluency"]
    values = {
        (r["series"], r["coefficient"]): r["value"]
        for r in drawn_values(figure.chart)
        if "coefficient" in r
    }
    assert of.sum() == len(DIRECTIONS) * len(LAYERS)
    drawn = [
        r["value"]
        for r in drawn_values(figure.chart)
        if r.get("series") == METHODS["held"] and r["coefficient"] == 0.35
    ]
    assert max(drawn) == pytest.approx((of.sum() - 1) / 2)
    assert (METHODS["prompt"], 0.0) in values
    assert "-log p, nats a token: unsteered 2.00 nats" in figure.alt_text
    assert "interval" not in figure.caption


def test_kinds_are_of_the_recommended_setting_only(table):
    figure = generate_figures(table)["generate_kinds"]
    method, layer, c = RECOMMENDED
    assert set(figure.rows["method"]) == {method}
    assert set(figure.rows["layer"]) == {layer}
    assert set(figure.rows["coefficient"]) == {c}
    assert set(figure.rows["reader"]) == {"judge"}
    assert len(figure.rows) == 4 * (len(DIRECTIONS) - 1)
    assert "most in a report of given facts" in figure.alt_text


def test_one_direction_and_long_or_hostile_names():
    names = ("<script>alert(1)</script>", 'a "very" long name of an emotion that goes on', "a\x00b")
    for targets in (("joy",), names):
        table = generate_table(targets)
        if targets == ("joy",):
            table = table[(table["sign"] != -1) & (table["direction"] != "joy-")]
        for name, figure in generate_figures(table).items():
            svg = svg_of(figure.chart)
            assert_readable(name, svg)
            assert_title_fits(name, svg)
            assert "\x00" not in figure.alt_text
            assert not list(svg.iter("{http://www.w3.org/2000/svg}script"))


def test_ways_differ_in_more_than_colour():
    styles = METHOD_STYLES.values()
    for kind in ("colour", "dash", "shape"):
        assert len({getattr(style, kind) for style in styles}) == len(METHODS), kind


def test_what_figures_say_of_the_experiment_is_so():
    """Figures read tables only, and so repeat two things that the experiment decides."""
    assert ALLOWED == MOST_DAMAGE
    assert {*METHODS, "none"} == set(generate_plan.METHODS)


def test_six_panels_fit_the_figure(table):
    svg = svg_of(generate_charts(table)["generate_frontier"])
    assert len(DIRECTIONS) == 2 * len(TARGETS)
    assert set(DIRECTIONS) <= set(texts(svg))
    assert float(svg.get("width")) <= 360
    assert float(svg.get("height")) <= 640
