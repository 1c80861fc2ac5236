"""The report in a browser: readable at both widths, closed to the network, deaf to scripts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.browser

WIDTHS = (1280, 400)
SVG = "{http://www.w3.org/2000/svg}"


@dataclass
class Opened:
    """A page, and everything it did that a page of ours must not do."""

    page: object
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser) -> Iterator[Callable[[Path, int], Opened]]:
    """Opens a file at a width."""
    pages = []

    def open_page(path: Path, width: int) -> Opened:
        page = browser.new_page(viewport={"width": width, "height": 900})
        pages.append(page)
        seen = Opened(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("console", lambda message: seen.console.append(message.text))
        page.on("pageerror", lambda error: seen.console.append(str(error)))
        page.on("dialog", lambda dialog: (seen.console.append("dialog"), dialog.dismiss()))
        page.goto(path.as_uri())
        page.wait_for_load_state("load")
        return seen

    yield open_page
    for page in pages:
        page.close()


@pytest.fixture(params=["plain_run", "hostile_run"])
def run(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=WIDTHS)
def report(request, run, opened) -> Opened:
    """Each run's report at each width, with everything that folds opened."""
    seen = opened(run / "report.html", request.param)
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    return seen


def test_page_never_scrolls_sideways(report):
    page = report.page
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    assert page.evaluate("document.body.scrollWidth") <= page.evaluate("innerWidth")


def test_nothing_is_cut_off(report):
    """Every element lies inside the page, or in a box that scrolls; no box hides what it holds."""
    outside = report.page.evaluate(
        """() => [...document.querySelectorAll('body *')]
          .filter(e => !e.closest('.scroll') || e.matches('.scroll'))
          .filter(e => {
            const box = e.getBoundingClientRect();
            const clipped = getComputedStyle(e).overflowX !== 'visible' && !e.matches('.scroll')
              && e.scrollWidth > e.clientWidth + 1;
            return box.left < -0.5 || box.right > innerWidth + 0.5 || clipped;
          })
          .map(e => e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 40))"""
    )
    assert outside == []


def test_figures_are_whole_and_loaded(report):
    figures = report.page.evaluate(
        """() => [...document.querySelectorAll('figure img')].map(e => {
          const box = e.getBoundingClientRect();
          return {left: box.left, right: box.right, width: box.width, height: box.height,
                  loaded: e.complete && e.naturalWidth > 0, ratio: e.naturalWidth / e.naturalHeight,
                  inner: innerWidth};
        })"""
    )
    assert len(figures) >= 12
    for figure in figures:
        assert figure["loaded"]
        assert figure["left"] >= 0
        assert figure["right"] <= figure["inner"]
        assert figure["width"] >= 300
        assert figure["width"] / figure["height"] == pytest.approx(figure["ratio"], rel=0.02)


def test_text_in_figures_is_large_enough(report):
    images = report.page.evaluate(
        """() => [...document.querySelectorAll('figure img')].map(
          e => [e.src, e.getBoundingClientRect().width])"""
    )
    sizes = []
    for source, width in images:
        picture = base64.b64decode(source.partition("base64,")[2])
        svg = ElementTree.fromstring(picture)  # noqa: S314 - made by the run above
        scale = width / float(svg.get("width"))
        sizes += [
            scale * float(text.get("font-size").removesuffix("px"))
            for text in svg.iter(f"{SVG}text")
        ]
    assert len(sizes) > 100
    assert min(sizes) >= 8


def test_text_in_figures_stays_inside(report, browser):
    """Laid out by the browser, with its own fonts, no text of a figure leaves the picture."""
    sources = report.page.evaluate(
        "[...document.querySelectorAll('figure img')].map(e => e.src.split('base64,')[1])"
    )
    bench = browser.new_page()
    for source in sources:
        bench.set_content(base64.b64decode(source).decode())
        outside = bench.evaluate(
            """() => {
              const frame = document.querySelector('svg').getBoundingClientRect();
              return [...document.querySelectorAll('svg text')].filter(e => {
                const box = e.getBoundingClientRect();
                return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1
                  || box.top < frame.top - 1 || box.bottom > frame.bottom + 1);
              }).map(e => e.textContent);
            }"""
        )
        assert outside == []
    bench.close()


def test_no_text_of_the_page_is_small(report):
    sizes = report.page.evaluate(
        """() => [...document.querySelectorAll('body *')]
          .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
          .map(e => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 11


def test_nothing_but_the_file_is_requested(report, run):
    outside = [url for url in report.requests if not url.startswith("data:")]
    assert outside == [(run / "report.html").as_uri()]


def test_nothing_is_wrong_and_nothing_runs(report):
    assert report.console == []
    assert report.page.title() != "executed"
    assert report.page.evaluate("document.scripts.length") == 0
    assert report.page.evaluate("document.querySelectorAll('img:not(figure img)').length") == 0


def test_text_contrasts(report):
    """Every text has the 4.5 to 1 that WCAG 2 AA asks for, against the box it stands on."""
    weak = report.page.evaluate(
        """() => {
          const light = c => {
            const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
              .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ground = e => {
            for (; e; e = e.parentElement) {
              const c = getComputedStyle(e).backgroundColor;
              if (!c.endsWith(', 0)') && c !== 'transparent') return c;
            }
            return 'rgb(255, 255, 255)';
          };
          return [...document.querySelectorAll('body *')]
            .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .filter(e => {
              const pair = [light(getComputedStyle(e).color), light(ground(e))];
              return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) < 4.5;
            })
            .map(e => e.tagName + ' ' + e.textContent.slice(0, 30));
        }"""
    )
    assert weak == []


def test_contents_lead_to_the_sections(plain_run, opened):
    page = opened(plain_run / "report.html", 1280).page
    page.click("nav a[href='#patch']")
    top = page.evaluate("document.getElementById('patch').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_figures_stand_side_by_side_on_a_wide_page(plain_run, opened):
    page = opened(plain_run / "report.html", 1280).page
    lefts = page.evaluate(
        "[...new Set([...document.querySelectorAll('figure')].map("
        "e => Math.round(e.getBoundingClientRect().left)))]"
    )
    assert len(lefts) >= 2


def test_prints_without_cutting(plain_run, opened):
    page = opened(plain_run / "report.html", 1280).page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert not page.is_visible("nav")


@pytest.mark.parametrize("name", ["infer_confusion", "patch_layers", "patch_outcomes"])
def test_single_figures_work_alone(hostile_run, opened, name):
    path = hostile_run / "figures" / f"{name}.html"
    seen = opened(path, 1280)
    seen.page.wait_for_selector("#figure svg text")
    assert [url for url in seen.requests if not url.startswith(("data:", "blob:"))] == [
        path.as_uri()
    ]
    assert seen.console == []
    assert seen.page.title() == name
    assert (
        seen.page.evaluate("document.querySelectorAll('#figure img, #figure script').length") == 0
    )
