"""The report: everything a run holds on one page, and nothing that a run could smuggle in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

import synthetic_run
from affectscope.errors import DiskFullError, RunError, RunFolderError
from affectscope.figures import FIGURES
from affectscope.report import build_report, draw_figures, write_report
from affectscope.report.views import interval, number
from affectscope.vocabulary import EMOTIONS, EXPERIMENTS, SITES

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page as elements: what a browser would see of it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(t for where, t in self.texts if where != "style").split())


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A complete run with its figures and report."""
    folder = synthetic_run.write_run(tmp_path_factory.mktemp("run") / "whole")
    assert write_report(folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(whole) -> Page:
    return Page(whole / "report.html")


def test_every_figure_is_drawn_and_inside(whole, page):
    names = [
        name
        for experiment in EXPERIMENTS
        for name in FIGURES[experiment](synthetic_run.TABLES[experiment]())
    ]
    for name in names:
        for ending in ("html", "svg", "png", "csv"):
            assert (whole / "figures" / f"{name}.{ending}").stat().st_size > 0
        assert f"figures/{name}.csv" in page.text
    images = page.of("img")
    assert len(images) == len(names)
    svgs = {(whole / "figures" / f"{name}.svg").read_bytes() for name in names}
    prefix = "data:image/svg+xml;base64,"
    assert {base64.b64decode(image["src"].removeprefix(prefix)) for image in images} == svgs


def test_figures_have_their_numbers_in_words(page):
    peak = synthetic_run.peak_layer(30)
    alts = [image["alt"] for image in page.of("img")]
    assert len(set(alts)) == len(alts)
    assert any(f"attn_out is highest at layer {peak} with 52.0 %" in alt for alt in alts)
    assert all(len(alt) > 40 for alt in alts)
    assert all(int(image["width"]) <= 360 for image in page.of("img"))


def test_the_parts_are_there_in_order(page):
    headings = [" ".join(data.split()) for where, data in page.texts if where in ("h1", "h2")]
    headings = [heading for heading in headings if heading]
    assert headings == [
        "smollm2-135m on crowd-envent",
        "Contents",
        "What was asked",
        "The answers",
        "Does the model name the author's emotion?",
        "Within a pair, does the answer move as the changed appraisal predicts?",
        "Where can the emotion be read off?",
        "Which activations does the answer need?",
        "Which activations carry the answer over?",
        "What does the last token look at, and does it matter?",
        "Is it special to emotion?",
        "Does the prompt matter?",
        "Where is the emotion inferred?",
        "Which appraisals can be read off?",
        "Does the model relate emotions by appraisals as people do?",
        "Does adding an emotion's direction make the model answer with it?",
        "Does moving an appraisal inside the model move the emotion as theory says?",
        "Does what it writes move when an appraisal is moved inside it, and at what damage?",
        "How does the model compare with people who read the same texts?",
        "Label tokens",
        "The corpus",
        "How to reproduce",
        "Terms",
        "References",
    ]


def test_headings_are_nested(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_contents_lead_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert {link["href"] for link in page.of("a")} <= {f"#{each}" for each in ids}


def test_what_was_asked_answered_and_how_to_do_it_again(page):
    record = synthetic_run.record()
    for text in (
        *record["answers"].values(),
        record["command"],
        record["model"]["sha256"],
        record["corpus"]["sha256"],
        record["prompts"]["text"],
        record["settings"]["patch"],
        "134,515,008 parameters",
        "700 of 6,600 items used",
        "the text is empty",
        "iso-8859-1",
        "transformers",
        "5.23.0",
        "210.0",
        "edited branches against plain full passes",
        "seed 0",
        "limit: 700",
        "Troiano",
        "arXiv:2502.05489",
        "arXiv:2102.09690",
        "arXiv:2309.17249",
        *(f'" {emotion}"' for emotion in EMOTIONS),
        *SITES,
    ):
        assert " ".join(text.split()) in page.text, text


def test_estimates_are_in_the_tables(page):
    table = synthetic_run.probe_table()
    row = table.query("site == 'mlp_out' and layer == 12").iloc[0]
    cells = f"mlp_out 12 all {row['value']:.3f} {row['low']:.3f} to {row['high']:.3f} {row['n']}"
    assert cells in page.text


def test_a_complete_run_without_problems_has_no_warning(page):
    assert "Before you rely on this" not in page.text
    assert "state" not in {attrs.get("class") for attrs in page.of("p")}


def test_nothing_is_fetched(page):
    assert not {"script", "iframe", "object", "embed", "base", "form"} & {
        t for t, _ in page.elements
    }
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            value = attrs.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, value[:80])
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
    assert "@import" not in page.source
    assert "url(" not in page.source


def test_policy_allows_the_style_and_data_pictures_only(page):
    policy = next(m["content"] for m in page.of("meta") if m.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", page.source, flags=re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert rules["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in rules


def test_template_and_style_are_package_data():
    for name in ("page.html.j2", "page.css"):
        assert resources.files("affectscope.report").joinpath(name).is_file()


# --- what the run says of itself ---------------------------------------------------------------


def built(folder: Path, tables=None, **changes) -> Page:
    """The page of a run without drawn figures, which is quick."""
    synthetic_run.write_run(folder, tables, **changes)
    return Page(build_report(folder))


def label_tokens(**of_label) -> dict:
    prompts = synthetic_run.record()["prompts"]
    for token in prompts["label_tokens"]:
        token.update(of_label.get(token["label"], {}))
    return prompts


def test_warnings_come_before_the_figures(tmp_path):
    page = built(
        tmp_path / "run",
        warnings=["parts were computed with other versions: torch 2.12 -> 2.13"],
        self_check=[
            {
                "name": "branches",
                "passed": False,
                "value": 0.31,
                "tolerance": 1e-4,
                "detail": "edited branches against full passes",
            }
        ],
        prompts=label_tokens(
            fear={"tokens": [" fe", "ar"], "token_ids": [1, 2], "n_tokens": 2},
            sadness={"shares_first_token_with": ["shame"]},
            shame={"shares_first_token_with": ["sadness"]},
        ),
    )
    text = page.text
    box = text[text.rindex("Before you rely on this") : text.rindex("Does the model name")]
    assert "torch 2.12 -> 2.13" in box
    assert "“branches” failed" in box
    assert "0.31" in box
    assert "fear (2)" in box
    assert box.count("sadness and shame") == 1
    assert "shame and sadness" not in box


def test_a_warning_names_a_few_labels_only(tmp_path):
    several = {emotion: {"token_ids": [1, 2], "n_tokens": 2} for emotion in EMOTIONS}
    text = built(tmp_path / "run", {}, prompts=label_tokens(**several)).text
    assert "neutral (2), pride (2), and 5 more, see the label tokens." in text
    assert "relief (2)" not in text


@pytest.mark.parametrize("state", ["running", "interrupted", "failed"])
def test_a_run_that_is_not_complete_says_so(tmp_path, state):
    page = built(tmp_path / "run", state=state, state_detail="the disk is full")
    assert "the disk is full. The page shows what was finished" in page.text


def test_a_failed_run_shows_the_message_in_lines_and_what_to_do(tmp_path):
    error = RunError("No space is left.", expected="2.0 GB", remedy="free some <space>")
    page = built(tmp_path / "run", state="failed", state_detail=str(error))
    (said,) = (text for _, text in page.texts if text.startswith("This run failed"))
    assert said.splitlines() == [
        "This run failed: No space is left.",
        "  expected: 2.0 GB",
        "  to do: free some <space>.",
        "The page shows what was finished. Once what the message names is mended, the same "
        "command tries again from what is stored.",
    ]
    assert "goes on where the run stopped" not in page.text
    assert re.search(r"\.state \{[^}]*white-space: pre-line", page.source)


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_was_stopped_goes_on(tmp_path, state):
    page = built(tmp_path / "run", {}, state=state)
    assert "The same command goes on where the run stopped." in page.text


def test_an_experiment_that_could_not_be_done_says_why(tmp_path):
    why = "could not be done: 1 group of items cannot be split into 5 folds."
    record = synthetic_run.record()
    tables = {"infer": synthetic_run.infer_table()}
    page = built(
        tmp_path / "run",
        tables,
        config={**record["config"], "experiments": ["infer", "probe"]},
        answers={"infer": "An answer.", "probe": why},
        warnings=[f"probe {why}"],
    )
    assert f"probe {why}" in page.text[page.text.index("The answers") :]
    assert f"This experiment {why} It has no estimates and no figures." in page.text
    assert "results/probe.parquet" not in page.text
    assert "No answer yet" not in page.text


def test_values_without_an_interval_are_worded(tmp_path):
    table = synthetic_run.probe_table(4)
    table[["low", "high"]] = float("nan")
    folder = synthetic_run.write_run(tmp_path / "run", {"probe": table})
    (folder / "summary.json").write_text(
        '{"infer.accuracy": {"value": 0.25, "low": null, "high": null, "n": 8}}'
    )
    page = Page(write_report(folder))
    assert "-1 all 0.083 no interval 700" in page.text
    assert "infer.accuracy 0.250 no interval 8" in page.text
    assert all("(no interval)" in image["alt"] for image in page.of("img"))


def test_accuracy_above_chance_is_explained(tmp_path):
    numbers = {"value": -0.021, "low": -0.05, "high": 0.01, "n": 700}
    row = {"metric": "above_chance", "emotion": "", "predicted": "", **numbers}
    table = pd.concat([synthetic_run.infer_table(), pd.DataFrame([row])], ignore_index=True)
    folder = synthetic_run.write_run(tmp_path / "run", {"infer": table})
    (folder / "summary.json").write_text(json.dumps({"infer.above_chance": numbers}))
    page = Page(build_report(folder))
    assert "infer.above_chance -0.021 -0.050 to 0.010 700" in page.text
    captions = [text for where, text in page.texts if where == "caption"]
    explained = [text for text in captions if "above_chance is accuracy minus chance" in text]
    assert len(explained) == 2


def test_one_experiment_asked_and_done(tmp_path):
    record = synthetic_run.record()
    page = built(
        tmp_path / "run",
        {"probe": synthetic_run.probe_table()},
        config={**record["config"], "experiments": ["probe"]},
        answers={"probe": record["answers"]["probe"]},
    )
    assert "Where can the emotion be read off?" in page.text
    assert "Which activations" not in page.text
    assert "has no result" not in page.text


def test_experiments_without_result_are_named(tmp_path):
    page = built(
        tmp_path / "run",
        {"infer": synthetic_run.infer_table()},
        state="interrupted",
        answers={"infer": "An answer."},
    )
    missing = [name for name in EXPERIMENTS if name != "infer"]
    for name in missing:
        assert f"results/{name}.parquet is not there" in page.text
    assert page.text.count("No answer yet.") == len(missing)


def test_figures_that_are_not_drawn_are_named(tmp_path):
    page = built(tmp_path / "run")
    assert page.of("img") == []
    assert "have not been drawn" in page.text
    assert "affectscope report" in page.text


def test_a_broken_picture_counts_as_not_drawn(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run", {"probe": synthetic_run.probe_table()})
    draw_figures(folder)
    picture = folder / "figures" / "probe_layers.svg"
    picture.write_bytes(picture.read_bytes()[:5000])
    page = Page(build_report(folder))
    assert len(page.of("img")) == len(FIGURES["probe"](synthetic_run.probe_table())) - 1
    assert "probe_layers" in page.text[page.text.index("have not been drawn") :]


def test_a_truncated_result_is_told_and_the_rest_is_shown(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run")
    result = folder / "results" / "probe.parquet"
    result.write_bytes(result.read_bytes()[:2000])
    page = Page(build_report(folder))
    assert f"Cannot read {result}" in page.text
    assert "mlp_out is highest" in page.text
    with pytest.raises(RunError, match=r"probe\.parquet"):
        draw_figures(folder)


def test_a_result_without_a_column_is_told(tmp_path):
    page = built(
        tmp_path / "run", {"patch": synthetic_run.patch_table().drop(columns=["span", "low"])}
    )
    assert "The table of patch has no column span, low" in page.text


def test_a_damaged_summary_is_told(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run")
    (folder / "summary.json").write_text('{"infer.acc')
    assert "summary.json" in Page(build_report(folder)).text


def test_no_summary_yet(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run", {})
    (folder / "summary.json").unlink()
    assert "All main numbers" not in Page(build_report(folder)).text


@pytest.mark.parametrize(
    "content", [None, "", "[1, 2]", '{"schema_version": 1}', '{"schema_version": 99}']
)
def test_a_folder_without_a_usable_run_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    for function in (build_report, draw_figures, write_report):
        with pytest.raises(RunFolderError, match=r"run\.json"):
            function(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_run_that_failed_before_it_knew_anything(tmp_path):
    page = built(
        tmp_path / "run",
        {},
        state="failed",
        model={},
        corpus={},
        prompts={},
        self_check=[],
        engine="",
        seeds={},
        timings={},
        answers={},
        settings={},
        versions={},
    )
    assert "smollm2-135m on enVent_gen_Data.csv" in page.text
    assert "not recorded" in page.text


def test_undefined_values_are_dashes(tmp_path):
    table = synthetic_run.patch_table(4)
    table[["value", "low", "high"]] = float("nan")
    page = built(tmp_path / "run", {"patch": table})
    assert "attn_out 0 3 -1 sufficient – – 200" in page.text
    assert "nan" not in page.text.lower().split()


def test_long_tables_are_cut_and_say_so(tmp_path):
    table = synthetic_run.patch_table(200)
    page = built(tmp_path / "run", {"patch": table})
    assert f"The first 2,000 of {len(table):,} rows" in page.text
    assert len(page.of("tr")) < 2200


def test_confusion_is_not_in_the_table_of_estimates(page):
    assert "confusion_raw" not in [" ".join(t.split()) for where, t in page.texts if where == "td"]
    assert "The confusion tables are left out here." in page.text


def test_numbers_as_written():
    assert number(None) == "–"
    assert number(float("inf")) == "–"
    assert number(21) == "21"
    assert number(0.5) == "0.500"
    assert interval(0.3, 0.25, 0.5) == "0.250 to 0.500"
    assert interval(-0.01, -0.05, 0.03) == "-0.050 to 0.030"
    assert interval(0.3, 0.25, None) == "no interval"
    assert interval(None, None, None) == "–"


# --- what a run must not be able to do ---------------------------------------------------------


def hostile(value, bad: str):
    """A copy of a JSON value with every text in it, keys too, made hostile."""
    if isinstance(value, str):
        return f"{bad}{value}"
    if isinstance(value, list):
        return [hostile(each, bad) for each in value]
    if isinstance(value, dict):
        return {key: hostile(each, bad) for key, each in value.items()}
    return value


@pytest.mark.parametrize(
    "bad", [*synthetic_run.HOSTILE, "</style>", "</title>", "{{ 7 * 7 }}", "\x00\u202e"]
)
def test_text_of_the_run_is_never_markup(tmp_path, bad):
    record = synthetic_run.record()
    kept = ("schema_version", "state", "config", "pid")
    changes = {key: hostile(value, bad) for key, value in record.items() if key not in kept}
    changes["config"] = {**record["config"], "model": bad, bad: bad}
    changes["versions"] = {bad: bad}
    changes["timings"] = {bad: 1.5}
    changes["seeds"] = {bad: 0}
    changes["corpus"]["emotions"] = {bad: 3}
    changes["state"] = "failed"
    labels = [bad, "joy", f"{bad}2"]
    tables = {
        "infer": synthetic_run.infer_table(labels),
        "probe": synthetic_run.probe_table(4, [bad, "mlp_out"]),
        "patch": synthetic_run.patch_table(4, [bad, "mlp_out"]),
    }
    folder = synthetic_run.write_run(tmp_path / "run", tables, **changes)
    (folder / "summary.json").write_text(json.dumps({bad: {"value": 1.0}, "note": bad}))
    page = Page(build_report(folder))
    assert not page.of("script")
    assert not page.of("img")
    assert len(page.of("style")) == len(page.of("title")) == 1
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    if bad.isprintable():
        assert bad in page.text
    assert "\x00" not in page.source
    assert "\u202e" not in page.source


def test_the_folder_name_is_text_too(tmp_path):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    page = built(folder, {"probe": synthetic_run.probe_table(4)})
    assert page.of("img") == []


# --- writing -----------------------------------------------------------------------------------


def test_report_is_the_same_each_time(whole):
    before = (whole / "report.html").read_bytes()
    build_report(whole)
    assert (whole / "report.html").read_bytes() == before


def test_full_disk_leaves_the_old_report(whole, monkeypatch):
    before = (whole / "report.html").read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("affectscope.atomic.os.fsync", no_space)
    with pytest.raises(DiskFullError):
        build_report(whole)
    assert (whole / "report.html").read_bytes() == before
    assert not [path for path in whole.iterdir() if path.name.startswith(".")]


def test_figures_of_an_earlier_result_are_not_shown(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run", {"probe": synthetic_run.probe_table(4)})
    draw_figures(folder)
    (folder / "figures" / "probe_old.svg").write_text("<svg></svg>")
    figures = FIGURES["probe"](synthetic_run.probe_table(4))
    assert len(Page(build_report(folder)).of("img")) == len(figures)


def test_draw_figures_returns_what_it_wrote(tmp_path):
    folder = synthetic_run.write_run(tmp_path / "run", {"probe": synthetic_run.probe_table(4)})
    paths = draw_figures(folder)
    assert sorted(paths) == sorted((folder / "figures").iterdir())
    drawn = pd.read_csv(folder / "figures" / "probe_layers.csv")
    assert set(drawn["site"].dropna()) == set(SITES)
