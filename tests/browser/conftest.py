"""A real Chromium, and runs to look at in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import synthetic_run
from affectscope.report import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[playwright.Browser]:
    """Debian's Chromium, headless."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def plain_run(tmp_path_factory) -> Path:
    """Thirty layers, three sites, thirteen emotions; with warnings, so that all parts are there."""
    folder = synthetic_run.write_run(
        tmp_path_factory.mktemp("browser") / "plain",
        state="interrupted",
        state_detail="stopped by the user",
        warnings=["few items of shame"],
    )
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Path:
    """Long names, many labels and layers, and markup wherever text can come from outside."""
    script, image = synthetic_run.HOSTILE
    labels = [script, image, *(f"a-label-with-a-rather-long-name-{k}" for k in range(38))]
    record = synthetic_run.record()
    tokens = [
        {
            "label": label,
            "tokens": [f" {label}"],
            "token_ids": list(range(12)),
            "n_tokens": 12,
            "shares_first_token_with": labels[:3],
        }
        for label in labels
    ]
    sites = ["attn_out", image, "resid_post"]
    folder = synthetic_run.write_run(
        tmp_path_factory.mktemp("browser") / "hostile",
        {
            "infer": synthetic_run.infer_table(labels),
            "probe": synthetic_run.probe_table(126, sites),
            "patch": synthetic_run.patch_table(126, sites),
        },
        command=f"affectscope run --model {script} --out {'x' * 400}",
        model={**record["model"], "name": image, "path": f"/cache/{'long' * 80}"},
        corpus={**record["corpus"], "name": script, "emotions": dict.fromkeys(labels, 3)},
        prompts={**record["prompts"], "text": script * 3, "label_tokens": tokens},
        answers={"infer": script, "probe": image, "patch": "word" * 60},
        warnings=[script, "y" * 300],
    )
    write_report(folder)
    return folder
