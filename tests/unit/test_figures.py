"""Figures: what is drawn, in whatever shape the table comes."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import json
import re
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert

import synthetic_causal
import synthetic_run
from affectscope.errors import DiskFullError, RunError
from affectscope.figures import (
    FIGURES,
    ablate_charts,
    ablate_figures,
    generate_charts,
    human_charts,
    infer_charts,
    infer_figures,
    pairs_charts,
    patch_charts,
    patch_figures,
    probe_charts,
    save_figure,
)
from affectscope.figures.theme import layer_ticks, site_styles
from affectscope.figures.wording import percent, visible, with_interval
from affectscope.vocabulary import EMOTIONS, EXPERIMENTS, SITES

SVG = "{http://www.w3.org/2000/svg}"

CAUSAL = {"ablate": synthetic_causal.ablate_table, "patch": synthetic_causal.patch_table}
TABLES = synthetic_run.TABLES | CAUSAL


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - made by the test itself


def svg_of(chart: alt.TopLevelMixin) -> ElementTree.Element:
    """The picture of a chart; a parse error if a label broke the XML."""
    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return parsed(vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=version))


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def drawn_values(chart: alt.TopLevelMixin) -> list[dict]:
    """Every row inside a chart's specification."""
    found = []

    def walk(node) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "values" and value and isinstance(value[0], dict):
                    found.extend(value)
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    spec = chart.to_dict()
    for rows in spec.pop("datasets", {}).values():
        found.extend(rows)
    walk(spec)
    return found


def all_charts(tables: dict[str, pd.DataFrame]) -> dict[str, alt.TopLevelMixin]:
    return {
        name: figure.chart
        for experiment, table in tables.items()
        for name, figure in FIGURES[experiment](table).items()
    }


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {name: make() for name, make in TABLES.items()}


def test_every_experiment_has_its_figures(tables):
    assert set(FIGURES) == set(EXPERIMENTS)
    assert set(infer_charts(tables["infer"])) == {
        "infer_accuracy",
        "infer_readers",
        "infer_recall",
        "infer_predicted",
        "infer_open_vocabulary",
        "infer_confusion",
        "infer_confusion_raw",
    }
    assert set(probe_charts(tables["probe"])) == {
        "probe_layers",
        "probe_heatmap",
        "probe_selectivity",
        "probe_mlp",
        "probe_positions",
    }
    assert set(ablate_charts(tables["ablate"])) == {
        "ablate_agreement",
        "ablate_accuracy",
        "ablate_kl",
        "ablate_spans",
    }
    assert set(patch_charts(tables["patch"])) == {
        "patch_layers",
        "patch_heatmap",
        "patch_outcomes",
        "patch_recovered",
        "patch_spans",
        "patch_positions",
        "patch_heads",
        "patch_directions",
        "patch_emotions",
    }
    assert set(generate_charts(tables["generate"])) == {
        "generate_frontier",
        "generate_matched",
        "generate_recommended",
        "generate_fluency",
        "generate_kinds",
    }
    assert set(pairs_charts(tables["pairs"])) == {"pairs_moved"}
    assert set(human_charts(tables["human"])) == {
        "human_accuracy",
        "human_recall",
        "human_appraisals",
        "human_distance",
        "human_confusion",
    }


def assert_readable(name: str, svg: ElementTree.Element) -> None:
    """At most 360 wide, no text under 10 px, a title, and titled axes."""
    assert float(svg.get("width")) <= 360, name
    sizes = [
        float(element.get("font-size").removesuffix("px")) for element in svg.iter(f"{SVG}text")
    ]
    assert min(sizes) >= 10, name
    written = texts(svg)
    titles = (
        "share of",
        "emotion of the author",
        "Jensen-Shannon distance",
        "accuracy minus control accuracy",
        "source's emotion",
        "KL divergence, nats",
        "KL, nats",
        "same answer",
        "layer of the peak",
        "r²",
        "log-odds for a standard deviation of the rating",
        "change of log probability, nats",
        "change, as a share of the intended",
        "change of the share of answers",
        "mean change of the others / intended",
        "total variation beyond random directions",
        "rank correlation",
        "part of the largest in the map",
        "component 1",
        "success",
        "promoted",
        "effect, SD",
        "damage, nats a token",
        "length of the vector",
    )
    assert any(word in " ".join(written) for word in titles), name
    dots = (
        "patch_emotions",
        "attend_all_layers",
        "robust_peak",
        "robust_accuracy",
        "promote_random",
    )
    maps = (
        "appraise_r2",
        "appraise_black_box",
        "surgery_moves",
        "surgery_compounds",
        "promote_moved",
    )
    others = ("surgery_pairs", "geometry_profiles", "geometry_components", "localise_peaks")
    leaks = name == "surgery_leakage"
    if not leaks and not name.startswith(
        ("infer", "human", "pairs", "generate", *dots, *maps, *others)
    ):
        assert "layer (from 0)" in written, name


def assert_title_fits(name: str, svg: ElementTree.Element) -> None:
    titles = [e for e in svg.iter(f"{SVG}text") if e.get("font-size") == "13px"]
    assert len(titles) == 1, name
    assert not titles[0].text.endswith("…"), f"{name}: {titles[0].text}"


def test_figures_are_readable_at_phone_width(tables):
    for name, chart in all_charts(tables).items():
        svg = svg_of(chart)
        assert_readable(name, svg)
        assert_title_fits(name, svg)


@pytest.mark.parametrize("n_layers", [1, 2, 120])
def test_models_of_any_depth(n_layers):
    tables = {
        "probe": synthetic_run.probe_table(n_layers),
        "ablate": synthetic_causal.ablate_table(n_layers),
        "patch": synthetic_causal.patch_table(n_layers),
    }
    for name, chart in all_charts(tables).items():
        svg = svg_of(chart)
        assert_readable(name, svg)
        if name == "patch_emotions":
            continue  # its numbers are percentages
        ticks = [int(text) for text in texts(svg) if text.isdigit()]
        assert set(ticks) <= set(range(n_layers)), name
        assert 1 <= len(set(ticks)) <= 12, name


@pytest.mark.parametrize("n_labels", [2, 13, 40])
def test_label_sets_of_any_size(n_labels):
    labels = [f"a rather long name of emotion {k}" for k in range(n_labels)]
    charts = infer_charts(synthetic_run.infer_table(labels))
    for name, chart in charts.items():
        assert_readable(name, svg_of(chart))
    numbers = [text for text in texts(svg_of(charts["infer_confusion"])) if text.isdigit()]
    assert bool(numbers) == (n_labels <= 16)


def test_confusion_numbers_are_the_percentages():
    table = synthetic_run.infer_table()
    rows = table[table["metric"] == "confusion"]
    expected = sorted(f"{100 * v:.0f}" for v in rows["value"] if v >= 0.005)
    written = texts(svg_of(infer_charts(table)["infer_confusion"]))
    assert sorted(text for text in written if text.isdigit()) == expected


def test_confusion_grid_fits_its_numbers():
    """13 labels: the smallest cell is wide enough for a two-digit number at 10 px."""
    svg = svg_of(infer_charts(synthetic_run.infer_table())["infer_confusion"])
    cells = [e for e in svg.iter(f"{SVG}path") if e.get("aria-roledescription") == "rect mark"]
    widths = [float(re.match(r"M[-\d.]+,[-\d.]+h([\d.]+)", e.get("d")).group(1)) for e in cells]
    assert len(cells) >= 13
    assert min(widths) > 15


def test_peaks_are_those_of_the_table():
    table = synthetic_causal.patch_table(30)
    written = texts(svg_of(patch_charts(table)["patch_layers"]))
    peak = synthetic_causal.peak_layer(30)
    main = table.query("span == 3 and position == -1 and direction == 'sufficient'")
    value = main.query("metric == 'source' and site == 'attn_out' and layer == @peak")["value"]
    assert f"attn_out: highest at layer {peak}, {100 * value.iloc[0]:.0f} %" in written
    alt_text = patch_figures(table)["patch_layers"].alt_text
    assert f"attn_out is highest at layer {peak} with {100 * value.iloc[0]:.1f} %" in alt_text


def test_knock_outs_tell_the_lowest_layer(tables):
    table = tables["ablate"].query("kind == 'zero' and metric == 'agreement' and span == 1")
    lowest = table.loc[table.query("site == 'mlp_out'")["value"].idxmin(), "layer"]
    text = ablate_figures(tables["ablate"])["ablate_agreement"].alt_text
    of_zero = text.partition("Set to zero: ")[2].partition("Replaced")[0]
    assert f"mlp_out is lowest at layer {lowest} with" in of_zero


def test_earlier_layer_wins_among_equals():
    table = synthetic_run.probe_table(10)
    table.loc[table["metric"] == "accuracy", "value"] = 0.5
    written = " ".join(texts(svg_of(probe_charts(table)["probe_layers"])))
    assert written.count("highest at layer 0, 50 %") == len(SITES)


def test_undefined_values_leave_gaps_and_break_nothing():
    for experiment, make in TABLES.items():
        table = make()
        table.loc[table.index % 3 == 0, ["value", "low", "high"]] = np.nan
        table.loc[table.index % 7 == 0, ["high"]] = np.inf
        for name, figure in FIGURES[experiment](table).items():
            assert_readable(name, svg_of(figure.chart))
            assert "nan" not in figure.alt_text.lower().split(), name
            for row in drawn_values(figure.chart):
                assert all(v is None or isinstance(v, str) or np.isfinite(v) for v in row.values())


def test_wholly_undefined_values_still_make_figures():
    for experiment, make in TABLES.items():
        table = make()
        table[["value", "low", "high"]] = np.nan
        for name, figure in FIGURES[experiment](table).items():
            svg_of(figure.chart)
            assert "no value" in figure.alt_text or "none" in figure.alt_text, name


def test_values_without_intervals_are_drawn_and_said_to_have_none():
    for experiment, make in TABLES.items():
        whole = FIGURES[experiment](make())
        table = make()
        table[["low", "high"]] = np.nan
        figures = FIGURES[experiment](table)
        assert set(figures) == set(whole)
        for name, figure in figures.items():
            assert_readable(name, svg_of(figure.chart))
            assert "95 % interval" not in figure.alt_text, name
            assert "no value" not in figure.alt_text, name
            for state, drawn in ((True, figure), (False, whole[name])):
                told = "None is drawn where" in drawn.caption
                assert told is (state and "interval" in whole[name].caption), name


def test_accuracy_above_chance_is_in_no_chart():
    table = synthetic_run.infer_table()
    row = {"metric": "above_chance", "emotion": "", "predicted": ""}
    row |= {"value": -0.02, "low": -0.05, "high": 0.01, "n": 700}
    more = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
    before, after = infer_figures(table), infer_figures(more)
    assert set(before) == set(after)
    for name, figure in after.items():
        assert figure.chart.to_dict() == before[name].chart.to_dict()
        assert "above_chance" not in set(figure.rows["metric"])


def test_no_rows_make_no_figures(tables):
    for experiment, table in tables.items():
        assert FIGURES[experiment](table.iloc[:0]) == {}


def test_one_part_of_a_table_makes_its_figures_only(tables):
    only = tables["patch"].query("metric == 'recovered'")
    assert set(patch_charts(only)) == {"patch_recovered", "patch_positions", "patch_heads"}
    only = tables["infer"].query("metric in ['accuracy', 'chance']")
    assert set(infer_charts(only)) == {"infer_accuracy"}


def test_the_main_window_is_that_of_both_directions():
    for span in (1, 3, 5):
        figures = patch_figures(synthetic_causal.patch_table(12, span=span))
        for name in ("patch_layers", "patch_heatmap", "patch_outcomes", "patch_recovered"):
            assert set(figures[name].rows["span"]) == {span}, name
            assert set(figures[name].rows["direction"]) == {"sufficient"}, name
        assert set(figures["patch_spans"].rows["span"]) == {1, 3, 5}
        assert set(figures["patch_positions"].rows["position"]) == {-1, -2, -3}
    first = ablate_figures(synthetic_causal.ablate_table(12, spans=(3, 5)))
    assert set(first["ablate_kl"].rows["span"]) == {3}
    assert set(first["ablate_spans"].rows["span"]) == {3, 5}


def test_tables_of_one_part_make_no_comparison():
    one = synthetic_causal.patch_table(8, spans=(), positions=(-1,), n_heads=0)
    one = one[(one["direction"] == "sufficient") & (one["source_emotion"] == "")]
    names = {"patch_layers", "patch_heatmap", "patch_outcomes", "patch_recovered"}
    assert set(patch_charts(one)) == names
    older = one.drop(columns=["position", "direction", "source_emotion", "target_emotion"])
    assert set(patch_charts(older)) == names
    assert "ablate_spans" not in ablate_charts(synthetic_causal.ablate_table(8, spans=(1,)))


def test_the_strongest_head_is_told():
    figure = patch_figures(synthetic_causal.patch_table(10, n_heads=12))["patch_heads"]
    peak = synthetic_causal.peak_layer(10)
    assert f"Furthest: layer {peak}, head 1 with 17.0 %" in figure.alt_text
    heads = [text for text in texts(svg_of(figure.chart)) if re.fullmatch(r"H\d+", text)]
    assert heads == [f"H{k}" for k in range(12)]


def test_calibration_that_changes_nothing_is_drawn_once():
    charts = infer_charts(synthetic_run.infer_table())
    assert "infer_confusion_raw" in charts
    table = synthetic_run.infer_table(calibrated=False)
    for metric in ("recall", "confusion", "predicted_share"):
        raw = table[table["metric"] == f"{metric}_raw"]
        table.loc[table["metric"] == metric, "value"] = raw["value"].to_numpy()
    charts = infer_charts(table)
    assert "infer_confusion_raw" not in charts
    assert "calibrated" not in texts(svg_of(charts["infer_recall"]))


def test_a_missing_column_is_named():
    for experiment, make in TABLES.items():
        with pytest.raises(RunError, match="low") as caught:
            FIGURES[experiment](make().drop(columns=["low"]))
        assert experiment in caught.value.message


def test_rows_are_those_of_the_table(tables):
    for experiment, table in tables.items():
        whole = set(map(tuple, table.fillna("").to_numpy().tolist()))
        for name, figure in FIGURES[experiment](table).items():
            assert list(figure.rows.columns) == list(table.columns), name
            assert set(map(tuple, figure.rows.fillna("").to_numpy().tolist())) <= whole, name


def test_hostile_text_stays_text():
    labels = [*synthetic_run.HOSTILE, "a\x00b\x1b", "left\u202eright", "plain"]
    table = synthetic_run.infer_table(labels)
    for chart in infer_charts(table).values():
        svg = svg_of(chart)
        assert not list(svg.iter(f"{SVG}script"))
        assert not list(svg.iter(f"{SVG}img"))
    sites = ("attn_out", synthetic_run.HOSTILE[0], 'a"b\\')
    for make in (synthetic_run.probe_table, synthetic_causal.patch_table):
        for name, chart in all_charts({make.__name__.partition("_")[0]: make(8, sites)}).items():
            svg = svg_of(chart)
            assert not list(svg.iter(f"{SVG}script")), name
            if name not in {"patch_heads", "patch_emotions"}:  # they name no site of these
                assert any("<script>" in text for text in texts(svg)), name


def test_more_rows_than_altair_takes_by_default():
    table = synthetic_run.infer_table([f"label {k}" for k in range(80)])
    assert (table["metric"] == "confusion").sum() > 5000
    assert infer_charts(table)["infer_confusion"].to_dict()


def test_a_site_looks_the_same_everywhere():
    alone = site_styles(["mlp_out"])[0]
    assert site_styles(list(SITES))[SITES.index("mlp_out")] == alone
    styles = site_styles([*SITES, "head_out[1]", "head_out[2]"])
    assert len({style.colour for style in styles}) == 5
    assert len({style.dash for style in styles}) == 5
    assert len({style.shape for style in styles}) == 5


def _luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_lines_stand_out_from_white():
    """Contrast of at least 3 to 1, as WCAG 2 asks of graphics."""
    for style in site_styles([*SITES, "a", "b", "c", "d"]):
        assert 1.05 / (_luminance(style.colour) + 0.05) >= 3, style


def test_layer_ticks():
    assert layer_ticks(0, 1) == [0, 1]
    assert layer_ticks(3, 3) == [3]
    assert layer_ticks(0, 29) == [0, 5, 10, 15, 20, 25]
    assert layer_ticks(0, 125) == [0, 20, 40, 60, 80, 100, 120]


def test_wording():
    assert percent(0.1234) == "12.3 %"
    assert percent(float("nan")) == "no value"
    assert with_interval(0.5, float("nan"), 0.6) == "50.0 % (no interval)"
    assert visible("joy é\n\u202e") == "joy é\\n\\u202e"


# --- on disk ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("figures") / "made"
    labels = [*synthetic_run.HOSTILE, "joy"]
    figure = infer_figures(synthetic_run.infer_table(labels))["infer_recall"]
    paths = save_figure(figure.chart, figure.rows, folder, "infer_recall")
    assert [path.suffix for path in paths] == [".html", ".svg", ".png", ".csv"]
    return folder


def test_nothing_temporary_is_left(saved):
    assert {path.name for path in saved.iterdir()} == {
        f"infer_recall.{ending}" for ending in ("html", "svg", "png", "csv")
    }


def test_png_has_twice_the_size(saved):
    svg = parsed((saved / "infer_recall.svg").read_text(encoding="utf-8"))
    width, height = struct.unpack(">II", (saved / "infer_recall.png").read_bytes()[16:24])
    assert (width, height) == (2 * float(svg.get("width")), 2 * float(svg.get("height")))


def test_csv_gives_the_rows_back(saved):
    figure = infer_figures(synthetic_run.infer_table([*synthetic_run.HOSTILE, "joy"]))[
        "infer_recall"
    ]
    read = pd.read_csv(io.StringIO((saved / "infer_recall.csv").read_text()))
    assert read["emotion"].tolist() == figure.rows["emotion"].tolist()
    np.testing.assert_allclose(read["value"], figure.rows["value"])


def test_page_is_closed_to_the_outside(saved):
    page = (saved / "infer_recall.html").read_text(encoding="utf-8")
    addresses = []

    class Addresses(HTMLParser):
        def handle_starttag(self, tag, attrs):
            addresses.extend(value for name, value in attrs if name in ("src", "href"))

    Addresses().feed(page)
    assert addresses == ["data:,"]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_labels_cannot_end_the_script(saved):
    page = (saved / "infer_recall.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2
    assert synthetic_run.HOSTILE[0] not in page
    spec = json.loads(re.search(r"vegaEmbed\('#figure', (\{.*\}), \{", page).group(1))
    assert synthetic_run.HOSTILE[0] in json.dumps(spec, ensure_ascii=False).replace('\\"', '"')


def test_same_table_same_files(tmp_path):
    figure = patch_figures(synthetic_causal.patch_table(6))["patch_layers"]
    for folder in ("a", "b"):
        save_figure(figure.chart, figure.rows, tmp_path / folder, "figure")
    for ending in ("html", "svg", "png", "csv"):
        first, second = (tmp_path / f / f"figure.{ending}" for f in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_full_disk_is_told_and_leaves_the_old_figure(tmp_path, monkeypatch):
    figure = patch_figures(synthetic_causal.patch_table(6))["patch_layers"]
    save_figure(figure.chart, figure.rows, tmp_path, "figure")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("affectscope.atomic.os.fsync", no_space)
    with pytest.raises(DiskFullError, match="full"):
        save_figure(figure.chart, figure.rows, tmp_path, "figure")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_figures_and_report_load_no_model_library():
    code = (
        "import sys, affectscope.figures, affectscope.report;"
        "print([m for m in ('torch', 'transformers', 'affectscope.analyses', "
        "'affectscope.models', 'affectscope.engine') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert done.stdout.strip() == "[]"


def test_all_emotions_are_drawn(tables):
    written = set(texts(svg_of(infer_charts(tables["infer"])["infer_confusion"])))
    assert set(EMOTIONS) <= written
