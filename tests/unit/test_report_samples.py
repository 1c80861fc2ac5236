"""Pairs of texts on the report: drawn by the seed, from what the table recommends."""

from __future__ import annotations

import numpy as np
import pytest
from test_report import Page

import synthetic_run
from affectscope.report import build_report
from affectscope.report.contents import Findings
from affectscope.report.samples import samples_view
from affectscope.runs.record import RunRecord
from affectscope.texts import writing_prompts
from synthetic_generate import (
    COEFFICIENTS,
    LAYERS,
    RECOMMENDED,
    STUCK,
    directions,
    generate_observations,
    generate_table,
)


def view_of(table=None, observations=None, **changes):
    table = generate_table() if table is None else table
    observations = generate_observations() if observations is None else observations
    record = RunRecord(**synthetic_run.record(**changes))
    return samples_view(Findings("generate", table, {}, "", observations=observations), record)


def test_pairs_are_what_the_seed_draws():
    """Drawn again here from a list made in another way."""
    ids = sorted(writing_prompts().groupby("kind", sort=False).head(2)["id"])
    every = [
        (name, target, sign, prompt, repeat)
        for name, target, sign in directions()
        for prompt in ids
        for repeat in (0, 1)
    ]
    for seed in (0, 7):
        view = view_of(seeds={"seed": seed})
        drawn = np.random.default_rng(seed).choice(len(every), size=12, replace=False)
        assert len(view.pairs) == 12
        for k, pair in zip(drawn, view.pairs, strict=True):
            name, target, sign, prompt, repeat = every[k]
            method, layer, c = RECOMMENDED if name != STUCK else ("means", LAYERS[-1], 0.6)
            said = f"text of {prompt} no {repeat}:"
            assert pair.direction == name
            assert pair.unsteered == f"{said} none  0 -1 0.0"
            assert pair.steered == f"{said} {method} {target} {sign} {layer} {c}"
            prompts = writing_prompts().set_index("id")["prompt"]
            assert pair.prompt == prompts[prompt]
    assert view_of(seeds={"seed": 7}) != view_of(seeds={"seed": 8})
    assert view_of(seeds={"seed": 7}) == view_of(seeds={"seed": 7})


def test_order_of_the_stored_rows_decides_nothing():
    shuffled = generate_observations().sample(frac=1.0, random_state=3)
    assert view_of(observations=shuffled) == view_of()


def test_without_a_recommended_setting_the_longest_means_are_drawn_and_it_is_said():
    table = generate_table()
    view = view_of(table[~table["metric"].str.startswith("recommended_")])
    settings = {pair.setting for pair in view.pairs}
    assert settings == {f"means, layer {LAYERS[-1]}, {COEFFICIENTS[-1]:g} (not recommended)"}
    assert "none is recommended for pleasantness+" in view.note
    assert f"none is recommended for {STUCK}," in view_of().note
    moving = table[~((table["direction"] == STUCK) & (table["metric"] == "effect"))]
    assert "none is recommended" not in view_of(moving).note


def test_fewer_texts_make_fewer_pairs_and_the_heading_says_so():
    one = generate_observations(n_prompts=1)
    few = view_of(observations=one[one["id"].isin(["continue-01", "n1"]) & (one["sign"] >= 0)])
    assert view_of().title == "Twelve pairs, drawn by the seed, not chosen"
    assert few.title == "6 pairs, drawn by the seed, not chosen"
    assert len(few.pairs) == 6


def test_nothing_to_show():
    observations = generate_observations()
    assert view_of(observations=observations[observations["what"] != "text"]) is None
    assert view_of(observations=observations.drop(columns="text")) is None
    assert view_of(generate_table().iloc[:0]) is None
    record = RunRecord(**synthetic_run.record())
    assert samples_view(Findings("generate", generate_table(), {}, ""), record) is None


def test_long_and_empty_texts():
    observations = generate_observations()
    long = view_of(observations=observations.assign(text="x" * 5000))
    assert {len(pair.steered) for pair in long.pairs} == {2000}
    assert {
        pair.steered for pair in view_of(observations=observations.assign(text=" \n")).pairs
    } == {"(nothing)"}


def written(folder, text=None) -> Page:
    synthetic_run.write_run(folder, {"generate": generate_table()})
    if text is not None:
        stored = folder / "results" / "generate_observations.parquet"
        generate_observations().assign(text=text).to_parquet(stored)
    return Page(build_report(folder))


def test_the_page_has_the_pairs_in_two_columns(tmp_path):
    page = written(tmp_path / "run")
    assert ("h3", "Twelve pairs, drawn by the seed, not chosen") in page.texts
    (table,) = [attrs for attrs in page.of("table") if attrs.get("class") == "samples"]
    assert "Unsteered Steered" in page.text
    for pair in view_of().pairs:
        both = f"{pair.direction} {pair.setting} {pair.prompt} {pair.unsteered} {pair.steered}"
        assert " ".join(both.split()) in page.text
    assert table == {"class": "samples"}


@pytest.mark.parametrize("bad", [*synthetic_run.HOSTILE, "</td></table>", "{{ 7 * 7 }}"])
def test_texts_are_never_markup(tmp_path, bad):
    page = written(tmp_path / "run", f"{bad}\x00\u202e and\n\na second line")
    assert not page.of("script")
    assert not page.of("img")
    assert page.text.count(bad) == 24
    assert "\\x00\\u202e and\n\na second line" in page.source
    assert "\x00" not in page.source
    assert "\u202e" not in page.source


def test_texts_that_cannot_be_read_are_told(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run", {"generate": generate_table()})
    (folder / "results" / "generate_observations.parquet").unlink()
    page = Page(build_report(folder))
    assert f"Cannot read {folder / 'results' / 'generate_observations.parquet'}" in page.text
    assert "drawn by the seed" not in page.text
    assert "figures/generate_frontier.csv" in page.text


def test_what_the_experiment_asks_and_its_terms_are_explained(tmp_path):
    page = written(tmp_path / "run")
    assert "Does what it writes move when an appraisal is moved inside it" in page.text
    for term in ("damage", "effect of steering", "echo", "collapse", "matched effect", "judge"):
        assert ("dt", term) in page.texts
    assert "Effects are in standard deviations; nll, divergence and damage in nats" in page.text
    assert "effect_of_kind" not in page.text
