"""The monitor's benchmark, in small: every neutral item is tested once, and shares are shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
from benchmarks import monitor as benchmark

from affectscope.data import Corpus
from affectscope.monitor import WATCHED, fit_monitor
from tiny import WORDS


def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    emotions = ["neutral"] * 160 + [*WATCHED] * 20
    items = pd.DataFrame(
        {
            "item_id": [str(k) for k in range(len(emotions))],
            "text": [
                " ".join([*rng.choice(WORDS[:60], 12), *[emotion] * (9 * (emotion != "neutral"))])
                for emotion in emotions
            ],
            "emotion": emotions,
            "group": [f"author {k // 2}" for k in range(len(emotions))],
        }
    )
    labels = tuple(sorted(set(emotions)))
    return Corpus("made", items, labels, "memory", "1" * 64, "utf-8")


def test_the_tables_count_every_item_once_and_find_what_is_there(lm):
    texts = benchmark.false_alarms(lm, corpus(), 0.1, quick=True)
    rates = next(line for line in texts.splitlines() if line.startswith(f"| {benchmark.OWN}"))
    cells = [cell.strip() for cell in rates.strip("|").split("|")]
    assert cells[2] == "10.0%"
    assert (cells[4], cells[7]) == ("160", "120")
    shares = [float(cells[k].split("%")[0]) / 100 for k in (3, 5, 6)]
    assert shares[0] < 0.2
    assert 0.25 < shares[1] <= shares[2]
    assert f"| {benchmark.SHIPPED}" in texts


def test_the_overhead_is_of_the_same_text(lm):
    probes = fit_monitor(lm, corpus(), layer=1, kinds=("text",))
    text = benchmark.overhead(lm, probes, pairs=2, tokens=4)
    assert "2 pairs of 4 tokens" in text
    assert text.count("%") == 3


def test_a_share_has_an_exact_interval():
    # Clopper and Pearson's 95 % interval for 0 of 10: 1 - 0.025 ** (1 / 10)
    assert benchmark._share([False] * 10) == f"0.0% (0.0% to {1 - 0.025**0.1:.1%})"
