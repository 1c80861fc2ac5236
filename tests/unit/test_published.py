"""The paper's numbers: found by a model's name, and put beside the run's own."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import synthetic_run
from affectscope.published import paper_name, published_values
from affectscope.report import build_report
from affectscope.report.replication import counterpart
from affectscope.vocabulary import SITES

PAPER = Path(__file__).parents[3] / "shared" / "paper.md"

LAYERS = 16
"""Blocks of Llama-3.2-1B, the model that most numbers are of."""


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.2-1B-Instruct", "Llama-3.2-1B"),
        ("/models/llama-3.2-1b-instruct/", "Llama-3.2-1B"),
        ("google/gemma-2-9b-it", "Gemma-2-9B"),
        ("meta-llama/Llama-3.2-1B", None),
        ("smollm2-135m", None),
    ],
)
def test_models_are_known_by_their_names(model, name):
    assert paper_name(model) == name


def test_every_number_can_be_one():
    values = published_values()
    assert len({each.model for each in values}) == 10
    for each in values:
        assert 0 <= each.value <= 1
        assert 0 < each.precision <= 0.02
        assert each.site in ("", *SITES)
        assert (each.layer is None) == (each.site == "")
        assert each.layer is None or 0 <= each.layer < LAYERS
        assert each.items in ("all", "right")


def test_accuracies_are_those_of_the_specification():
    if not PAPER.exists():
        pytest.skip("the paper's specification is not beside the repository")
    sentence = re.search(r"Ten models, accuracy in %: (.*?) \(all instruct\)", PAPER.read_text())
    stated = dict(part.rsplit(" ", 1) for part in sentence[1].split(", "))
    ours = {
        each.model: f"{100 * each.value:.1f}"
        for each in published_values()
        if each.experiment == "infer"
    }
    assert ours == stated


def test_layers_count_from_zero():
    """The paper's layer 10, counted from 1, is where its patching peaks."""
    curve = [v for v in published_values("Llama-3.2-1B") if v.experiment == "patch"]
    attention = [v for v in curve if v.site == "attn_out" and v.span == 3]
    assert max(attention, key=lambda v: v.value).layer == 9


def row(**changes) -> dict:
    return {
        "metric": "source",
        "site": "attn_out",
        "layer": 9,
        "span": 3,
        "position": -1,
        "direction": "sufficient",
        "source_emotion": "",
        "value": 0.7,
        "low": 0.6,
        "high": 0.8,
        "n": 200,
    } | changes


PEAK = next(
    v
    for v in published_values("Llama-3.2-1B")
    if (v.experiment, v.site, v.layer, v.span) == ("patch", "attn_out", 9, 3)
)


@pytest.mark.parametrize(
    "change",
    [
        {"layer": 8},
        {"span": 1},
        {"site": "mlp_out"},
        {"position": -2},
        {"direction": "necessary"},
        {"metric": "target"},
        {"source_emotion": "joy"},
    ],
)
def test_the_counterpart_is_the_estimate_of_the_same_thing(change):
    table = pd.DataFrame([row(**change, value=0.1), row()])
    assert counterpart(table, PEAK)["value"] == 0.7
    assert counterpart(table[:1], PEAK) is None


CONTROL = {"part": "first_word", "metric": "transfer", "items": "right", "span": 3}
CONTROL |= {"site": "attn_out", "layer": 11}


@pytest.mark.parametrize(
    ("experiment", "like", "others"),
    [
        ("control", CONTROL, [{"part": "emotion"}, {"metric": "probe"}, {"span": 1}]),
        (
            "robust",
            {"metric": "accuracy", "items": "all", "template": "shots_12"},
            [{"template": "shots_9"}, {"metric": "accuracy_difference"}],
        ),
    ],
)
def test_counterparts_in_the_controls_and_templates(experiment, like, others):
    """Columns as the experiments' tables have them; their own tests hold them to that."""
    named = {"part": like.get("part") or like.get("template"), "metric": like["metric"]}
    published = [
        value
        for value in published_values("Llama-3.2-1B")
        if (value.experiment, value.part, value.metric) == (experiment, *named.values())
    ]
    assert len(published) == 1
    table = pd.DataFrame([like | change | {"value": 0.1} for change in others] + [like])
    assert counterpart(table, published[0]) is not None
    assert counterpart(table[:-1], published[0]) is None


def patch_table(value: float) -> pd.DataFrame:
    whole = synthetic_run.TABLES["patch"]()
    here = (whole["metric"] == "source") & (whole["site"] == "attn_out") & (whole["layer"] == 9)
    whole.loc[here, ["value", "low", "high"]] = [value, value - 0.05, value + 0.05]
    return whole


@pytest.mark.parametrize(("value", "agrees"), [(0.70, "yes"), (0.60, "no")])
def test_the_report_puts_them_side_by_side(tmp_path, value, agrees):
    model = synthetic_run.record()["model"] | {"name": "meta-llama/Llama-3.2-1B-Instruct"}
    folder = tmp_path / "run"
    synthetic_run.write_run(folder, {"patch": patch_table(value)}, model=model)
    page = build_report(folder).read_text()
    card = page.partition('id="replication"')[2].partition("</section>")[0]
    cells = re.search(r"source, attn_out 9, span 3</td>(.*?)</tr>", card, re.DOTALL)[1]
    found = re.findall(r"<td[^>]*>(.*?)</td>", cells)
    assert found[0] == f"{PEAK.value:.3f} ± {PEAK.precision:g}"
    assert found[1] == f"{value:.3f}"
    assert found[3] == agrees


def test_other_models_have_no_card(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run")
    assert 'id="replication"' not in build_report(folder).read_text()
