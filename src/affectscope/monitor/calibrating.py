"""Thresholds from neutral texts, for each way in which a turn can reach the model.

The same text is read differently on its own and in the chat format, so each kind of turn has its
own thresholds. In the chat format a neutral text is the reply to the neutral text before it in the
list, which is the user's turn; so both roles are met in neutral company.

The texts that come with the package are of two sorts, passages that tell how things are and first-
person accounts of uneventful days. Each has its own threshold, and the larger one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from affectscope.models import LanguageModel
from affectscope.monitor.conversation import context_of, has_chat_format
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.reading import Placed, place, read_placed
from affectscope.monitor.statistic import peaks
from affectscope.monitor.thresholds import (
    TURN_KINDS,
    WATCHED,
    Thresholds,
    TurnKind,
    fit_thresholds,
    require_enough,
)
from affectscope.texts import neutral_accounts, neutral_texts


def calibrate(
    lm: LanguageModel,
    probes: MonitorProbes,
    neutral: Sequence[str] | None = None,
    *,
    watched: Sequence[str] | None = None,
    false_alarm_rate: float = 0.05,
    kinds: Sequence[TurnKind] | None = None,
    seed: int = 0,
) -> MonitorProbes:
    """The same probes with thresholds from neutral texts.

    At most the claimed share of neutral turns like these raises any alarm, see
    :mod:`affectscope.monitor.thresholds`; texts of your own domain, as long as the turns that are
    to be watched, make the claim one about your domain.

    Args:
        lm: The model that the probes were fitted to.
        probes: What reads.
        neutral: Neutral texts that the probes were not fitted to; those that come with the package
            when None.
        watched: Emotions and appraisals that can raise an alarm; those of :data:`WATCHED` that the
            probes know when None.
        false_alarm_rate: The claim, for all that is watched together.
        kinds: Kinds of turn; all that the model knows when None.
        seed: Decides which texts make the scale and which the threshold.

    Raises:
        UsageError: Too few texts for the rate, a rate outside its range, or something to watch that
            the probes do not read.
        PromptError: A text without tokens, or longer than the model's context.
    """
    sorts = _shipped() if neutral is None else [list(neutral)]
    if watched is None:
        names = tuple(name for name in WATCHED if name in probes.labels)
    else:
        names = tuple(watched)
    probes.columns(names)
    for texts in sorts:
        require_enough(len(texts), false_alarm_rate)
    if kinds is None:
        kinds = TURN_KINDS if has_chat_format(lm.tokenizer) else ("text",)
    found: dict[TurnKind, Thresholds] = {}
    for kind in kinds:
        placed = [one for texts in sorts for one in _placed(lm, texts, kind)]
        statistic = [
            peaks(probes.scores(read, names)).values for read in read_placed(lm, probes, placed)
        ]
        found[kind] = fit_thresholds(
            np.stack(statistic),
            [len(one.tokens) + 1 for one in placed],
            kind=kind,
            watched=names,
            false_alarm_rate=false_alarm_rate,
            seed=seed,
            sorts=[sort for sort, texts in enumerate(sorts) for _ in texts],
        )
    return replace(probes, thresholds=found)


def _shipped() -> list[list[str]]:
    """The neutral texts that come with the package, by sort."""
    return [table()["text"].tolist() for table in (neutral_texts, neutral_accounts)]


def _placed(lm: LanguageModel, texts: Sequence[str], kind: TurnKind) -> list[Placed]:
    """Every text in the place where such a turn stands."""
    if kind == "text":
        return [place(lm, text, None) for text in texts]
    contexts = [
        context_of(
            lm.tokenizer,
            [] if kind == "user" else [{"role": "user", "content": texts[index - 1]}],
            kind,
        )
        for index in range(len(texts))
    ]
    return [place(lm, text, context) for text, context in zip(texts, contexts, strict=True)]
