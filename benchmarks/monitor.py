"""`make bench-monitor`: what monitoring costs per token, and how often it raises a false alarm.

python -m benchmarks.monitor [--quick] [--crowd-envent FOLDER]

Overhead: the same texts are written with and without the monitor, in turn, batch 1, greedy; the
ratio of the two times of each pair, so that the machine's other work falls on both.

False alarms (with crowd-enVENT): its authors are dealt into four folds. Probes are fitted to two,
thresholds come either from the shipped neutral texts or from the neutral items of the third, and
the fourth is tested; in turn, so that every neutral item is tested once, by probes and thresholds
that saw neither it nor its author. The right alarm is one of the item's own emotion.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

import affectscope as afs
from affectscope.data import Corpus, grouped_folds
from affectscope.models import LanguageModel
from affectscope.monitor import WATCHED, Monitor, MonitorProbes, TurnKind, calibrate, fit_monitor
from affectscope.monitor.turn import TurnReading
from affectscope.texts import neutral_texts
from benchmarks.machine import describe_machine
from benchmarks.processes import say
from benchmarks.table import table

SEED, FOLDS = 0, 4
TEXT: tuple[TurnKind, ...] = ("text",)
SHIPPED, OWN = "shipped neutral texts", "neutral items of other authors"


@dataclass
class Tally:
    """What thresholds of one origin did over all folds."""

    limits: list[float] = field(default_factory=list)
    calibrated: list[int] = field(default_factory=list)
    """Texts that made each limit."""
    neutral: list[tuple[int, bool]] = field(default_factory=list)
    """Of every neutral item, its tokens and whether it raised an alarm."""
    emotional: list[tuple[str, bool, bool]] = field(default_factory=list)
    """Of every item with a watched emotion: which, whether any alarm rose, whether its own."""

    def add(self, probes: MonitorProbes, emotions: Sequence[str], turns: list[TurnReading]) -> None:
        """One fold's items."""
        thresholds = probes.thresholds["text"]
        self.limits.append(thresholds.limit)
        self.calibrated.append(thresholds.n_texts)
        for emotion, turn in zip(emotions, turns, strict=True):
            if emotion == "neutral":
                self.neutral.append((len(turn.tokens), bool(turn.alarms)))
            else:
                self.emotional.append((emotion, bool(turn.alarms), emotion in turn.alarms))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--crowd-envent", type=Path, metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="a few minutes: no figures to quote")
    parser.add_argument("--pairs", type=int, default=12, help="with and without, in turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--items", type=int, help="a sample of crowd-enVENT, when in haste")
    parser.add_argument("--rate", type=float, default=0.05, help="claimed false-alarm rate")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    machine = describe_machine(("torch", "transformers"))
    print(
        f"{machine['processor']}, {asked.threads} of {machine['cores']} cores, load "
        f"{machine['load_at_start']:.1f}; {machine['versions']}\n"
    )
    lm = afs.load_model(dtype="float32", device="cpu")
    vignettes = afs.load_corpus("vignettes").sample(80, SEED)
    probes = fit_monitor(lm, vignettes, layer=lm.n_layers // 2, kinds=TEXT, seed=SEED)
    print(overhead(lm, probes, pairs=3 if asked.quick else asked.pairs), flush=True)
    if asked.crowd_envent is not None:
        corpus = afs.load_corpus(asked.crowd_envent / "enVent_gen_Data.csv")
        corpus = corpus.sample(asked.items or (900 if asked.quick else None), SEED)
        print(false_alarms(lm, corpus, asked.rate, quick=asked.quick))


def overhead(lm: LanguageModel, probes: MonitorProbes, *, pairs: int, tokens: int = 64) -> str:
    """Time a token with and without the monitor, as a table."""
    monitor = Monitor(lm, probes)
    prompts = [str(text) for text in neutral_texts()["text"]][: pairs + 1]
    options = {"max_new_tokens": tokens, "min_new_tokens": tokens}

    def timed(prompt: str, monitored: bool) -> tuple[float, tuple[int, ...]]:
        start = time.perf_counter()
        if monitored:
            written = monitor.generate([prompt], **options)[0]
        else:
            written = lm.generate([prompt], **options)
        return time.perf_counter() - start, written.tokens[0]

    plain, read = [], []
    for k, prompt in enumerate(prompts):
        order = (False, True) if k % 2 else (True, False)
        took = {monitored: timed(prompt, monitored) for monitored in order}
        assert took[False][1] == took[True][1], "reading changes nothing of what is written"
        if k:  # the first is for the machine to warm up
            plain.append(took[False][0])
            read.append(took[True][0])
    ratios = [b / a for a, b in zip(plain, read, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    each = [1e3 * statistics.median(times) / tokens for times in (plain, read)]
    return (
        table(
            ["writing", "ms a token", "overhead (median of pairs)", "interquartile range"],
            [
                ["without the monitor", f"{each[0]:.2f}", "", ""],
                [
                    "with the monitor",
                    f"{each[1]:.2f}",
                    f"{statistics.median(ratios) - 1:+.1%}",
                    f"{low - 1:+.1%} to {high - 1:+.1%}",
                ],
            ],
        )
        + f"\n\n{len(ratios)} pairs of {tokens} tokens, batch 1, greedy, {lm.name}.\n"
    )


def false_alarms(lm: LanguageModel, corpus: Corpus, rate: float, *, quick: bool) -> str:
    """Shares of neutral and emotional items with an alarm, as tables."""
    folds = grouped_folds(corpus.emotions, corpus.groups, FOLDS, SEED)
    tallies = {SHIPPED: Tally(), OWN: Tally()}
    layer, said = (lm.n_layers // 2 if quick else None), []
    for fold in range(FOLDS):
        say(f"fold {fold + 1} of {FOLDS}")
        calibrating, test = (folds == (fold + 1) % FOLDS), folds == fold
        training = _part(corpus, ~calibrating & ~test)
        probes = fit_monitor(
            lm, training, layer=layer, false_alarm_rate=rate, kinds=TEXT, seed=SEED
        )
        layer = probes.layer  # chosen on the first fold's training part only; it is no threshold
        quality = probes.about["quality"]
        said.append(f"{quality['accuracy']:.0%} ({quality['chance']:.0%} by chance)")
        own = _part(corpus, calibrating & (corpus.items["emotion"] == "neutral").to_numpy())
        tested = _part(corpus, test & corpus.items["emotion"].isin(["neutral", *WATCHED]))
        by_origin = {
            SHIPPED: probes,
            OWN: calibrate(lm, probes, own.texts, false_alarm_rate=rate, kinds=TEXT, seed=SEED),
        }
        for origin, used in by_origin.items():
            turns = Monitor(lm, used).read(tested.texts)
            tallies[origin].add(used, tested.emotions, turns)
    return "\n\n".join(
        [
            _rates(tallies, rate),
            _by_length(tallies),
            _by_emotion(tallies),
            f"Probes at layer {layer}; emotions named right out of fold: {', '.join(said)}. "
            f"{corpus.name}, {len(corpus):,} items.",
        ]
    )


def _part(corpus: Corpus, chosen: np.ndarray) -> Corpus:
    return replace(corpus, items=corpus.items[chosen].reset_index(drop=True))


def _rates(tallies: dict[str, Tally], rate: float) -> str:
    rows = []
    for origin, tally in tallies.items():
        rows.append(
            [
                origin,
                f"{statistics.mean(tally.calibrated):.0f}",
                f"{rate:.1%}",
                _share([raised for _, raised in tally.neutral]),
                f"{len(tally.neutral)}",
                _share([right for *_, right in tally.emotional]),
                _share([raised for _, raised, _ in tally.emotional]),
                f"{len(tally.emotional):,}",
            ]
        )
    header = [
        "thresholds from",
        "texts for the limit",
        "claimed rate",
        "neutral items with an alarm",
        "neutral items",
        "emotional items with the right alarm",
        "with any alarm",
        "emotional items",
    ]
    return table(header, rows)


def _by_length(tallies: dict[str, Tally]) -> str:
    rows = []
    for origin, tally in tallies.items():
        lengths = np.array([n for n, _ in tally.neutral])
        cuts = np.quantile(lengths, [1 / 3, 2 / 3])
        third = np.searchsorted(cuts, lengths)
        shares = [
            _share(
                [raised for (_, raised), of in zip(tally.neutral, third, strict=True) if of == k]
            )
            for k in range(3)
        ]
        rows.append([origin, *shares])
    names = [f"up to {cuts[0]:.0f} tokens", f"up to {cuts[1]:.0f}", "longer"]
    return table(["neutral items with an alarm", *names], rows)


def _by_emotion(tallies: dict[str, Tally]) -> str:
    rows = [
        [
            origin,
            *(
                _share([right for emotion, _, right in tally.emotional if emotion == name])
                for name in WATCHED
            ),
        ]
        for origin, tally in tallies.items()
    ]
    return table(["items with the right alarm", *WATCHED], rows)


def _share(raised: Sequence[bool]) -> str:
    """A share with its exact 95 % interval (Clopper and Pearson 1934)."""
    if not len(raised):
        return "none"
    found = binomtest(int(np.sum(raised)), len(raised))
    interval = found.proportion_ci(method="exact")
    return f"{found.statistic:.1%} ({interval.low:.1%} to {interval.high:.1%})"


if __name__ == "__main__":
    main()
