"""The monitor on the real default model: an angry turn stands out, a dull one does not."""

from __future__ import annotations

import numpy as np
import pytest

import affectscope as afs
from affectscope.monitor import Monitor, MonitorProbes, fit_monitor
from affectscope.monitor.conversation import context_of

pytestmark = pytest.mark.integration

ANGRY = (
    "You ruined everything. I am furious with you, how dare you lie to me like that again!",
    "My boss shouted at me in front of everybody and blamed me for his own mistake. I was so mad.",
)
GRIEVING = (
    "My grandmother died last night and I cannot stop crying.",
    "We buried our old dog in the garden today, and the house is so empty without him.",
)
DULL = (
    "The bus stops at the corner twice an hour, and the last one leaves at eleven.",
    "The library opens at nine and closes at five. Books can be kept for four weeks.",
    "A sheet of paper is folded twice and put into an envelope.",
)


@pytest.fixture(scope="module")
def probes(smollm) -> MonitorProbes:
    corpus = afs.load_corpus("vignettes")
    return fit_monitor(smollm, corpus, layer=smollm.n_layers // 2, seed=0)


@pytest.fixture(scope="module")
def monitor(smollm, probes) -> Monitor:
    return Monitor(smollm, probes)


def test_feelings_are_told_apart_from_dull_texts(monitor, probes):
    quality = probes.about["quality"]
    assert quality["accuracy"] > 2 * quality["chance"]
    angry, grieving, dull = (monitor.read(texts) for texts in (ANGRY, GRIEVING, DULL))
    means = [np.mean([turn.statistic["anger"] for turn in turns]) for turns in (angry, dull)]
    assert means[0] > means[1]
    means = [np.mean([turn.statistic["sadness"] for turn in turns]) for turns in (grieving, dull)]
    assert means[0] > means[1]
    assert not any(turn.alarms for turn in dull)


def test_reading_a_reply_gives_what_was_read_while_it_was_written(smollm, monitor):
    written, turns = monitor.generate([ANGRY[0]], chat=True, max_new_tokens=30)
    assert turns[0].kind == "assistant"
    again = monitor.read(written.tokens, after=written.prompt_tokens, kind="assistant")[0]
    n = len(turns[0].tokens)
    assert "".join(turns[0].tokens).strip() == written.texts[0].strip()
    assert np.abs(again.emotions[:n] - turns[0].emotions).max() < 1e-4
    assert np.abs(again.appraisals[:n] - turns[0].appraisals).max() < 1e-3
    assert context_of(smollm.tokenizer, [{"role": "user", "content": ANGRY[0]}], "assistant") == (
        str(smollm.tokenizer.decode(list(written.prompt_tokens[0])))
    )
