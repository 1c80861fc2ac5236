"""Does the model name the author's emotion?

In domain, the answer is the largest label score at the last position; in open vocabulary, the
largest logit of all tokens (Tak et al. 2025). Accuracy is reported raw and calibrated, beside a bag
of words trained on the same items and, where people read them, beside those readers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.baselines import bag_of_words
from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.study import Study, estimate_rows
from affectscope.errors import NotPossibleError
from affectscope.figures import infer_charts
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws, plurality_hits, reader_hits

ACCURACIES = (
    *("accuracy_raw", "accuracy", "chance", "above_chance"),
    *("open_accuracy", "open_label_share"),
)
"""What goes into the summary."""

COMPARED = (
    "bag_of_words",
    "read_accuracy",
    "reader_accuracy",
    "plurality_accuracy",
    "above_reader",
)
"""What else does, where there are enough items for a baseline, and readers."""

OPEN_TOKENS = 15
"""How many of the most frequent free answers are listed."""


class Infer(Experiment):
    """Accuracy, confusion and the free answers."""

    name = "infer"

    def __init__(self, study: Study) -> None:
        self.study = study

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"{len(self.study.corpus)} items, {len(self.study.task.labels)} labels, "
            f"{self.study.task.calibration} calibration."
        )

    def planned_cost(self) -> float:
        """Nothing beyond the clean passes."""
        return 0.0

    def units(self) -> list[Unit]:
        """One unit: the predictions of all items."""
        return [Unit(self.name, {"calibration": self.study.task.calibration}, cost=0.0)]

    def compute(self, unit: Unit) -> UnitOutput:
        """Predictions before and after calibration."""
        clean, labels = self.study.clean, np.asarray(self.study.task.labels)
        raw = clean.logits.argmax(dim=-1).numpy()
        scores = clean.offsets.scores(clean.logits)
        return UnitOutput(
            pd.DataFrame(
                {
                    "item": clean.table["item"],
                    "item_id": clean.table["item_id"],
                    "emotion": labels[clean.emotions],
                    "predicted_raw": labels[raw],
                    "predicted": labels[clean.predicted],
                    "probability": scores.softmax(dim=-1).amax(dim=-1).numpy(),
                    "open_id": clean.table["open_id"],
                    "open_token": clean.table["open_token"],
                }
            )
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Estimates with group-bootstrap intervals."""
        draws = self.study.bootstrap(observations["item"].to_numpy())
        parts = [
            self._accuracies(observations, draws),
            *self._baseline(),
            *self._beside_readers(observations),
            *self._confusions(observations, draws),
            self._open_tokens(observations, draws),
        ]
        table = pd.concat(parts, ignore_index=True)
        there = [metric for metric in COMPARED if metric in set(table["metric"])]
        summary = {f"infer.{metric}": _estimate(table, metric) for metric in (*ACCURACIES, *there)}
        return Result(
            self.name, table, observations, summary, self._answer(summary, table), infer_charts
        )

    def _accuracies(self, observations: pd.DataFrame, draws: GroupBootstrap) -> pd.DataFrame:
        emotion = observations["emotion"].to_numpy()
        first = {token.label: token.first_id for token in self.study.task.label_tokens}
        open_id = observations["open_id"].to_numpy()
        columns = {
            "accuracy_raw": observations["predicted_raw"].to_numpy() == emotion,
            "accuracy": observations["predicted"].to_numpy() == emotion,
            "open_accuracy": open_id == np.array([first[label] for label in emotion]),
            "open_label_share": np.isin(open_id, list(first.values())),
        }
        shares = draws.ratio(np.column_stack([each.astype(float) for each in columns.values()]))
        chance = self._chance(observations, draws)
        names = [*columns, "chance", "above_chance"]
        estimates = [
            *shares.estimates(),
            *chance.estimates(),
            *(shares.columns([1]).minus(chance)).estimates(),
        ]
        return _overall(dict(zip(names, estimates, strict=True)))

    def _baseline(self) -> list[pd.DataFrame]:
        """Word counts of the same items, out of fold; nothing where there are too few."""
        try:
            words = bag_of_words(self.study.corpus, seed=self.study.seed)
        except NotPossibleError:
            return []
        return [_overall({"bag_of_words": words.accuracy})]

    def _beside_readers(self, observations: pd.DataFrame) -> list[pd.DataFrame]:
        """Model, one reader and the plurality of all, on the items that were read."""
        read = self.study.read_items
        if read is None:
            return []
        here = observations.set_index("item").loc[read.items]
        emotion = here["emotion"].to_numpy(dtype=str)
        columns = {
            "read_accuracy": (here["predicted"].to_numpy() == emotion).astype(float),
            "reader_accuracy": reader_hits(read, emotion).mean(axis=1),
            "plurality_accuracy": plurality_hits(read, emotion),
        }
        shares = self.study.bootstrap(read.items).ratio(np.column_stack([*columns.values()]))
        above = shares.columns([0]).minus(shares.columns([1])).estimates()
        return [
            _overall(dict(zip(columns, shares.estimates(), strict=True))),
            _overall({"above_reader": above[0]}),
        ]

    def _chance(self, observations: pd.DataFrame, draws: GroupBootstrap) -> RatioDraws:
        """The accuracy expected if the answers had nothing to do with the texts.

        The sum over labels of how often the model gives the label times how often it is right,
        which is the mean accuracy of the same answers shuffled among the items.
        """
        labels = np.array(self.study.task.labels)
        given = draws.ratio(_one_hot(observations["predicted"], labels))
        right = draws.ratio(_one_hot(observations["emotion"], labels))
        return given.dot(right)

    def _confusions(self, observations: pd.DataFrame, draws: GroupBootstrap) -> list[pd.DataFrame]:
        labels = list(self.study.task.labels)
        emotion = _one_hot(observations["emotion"], np.array(labels)) > 0
        parts = []
        for suffix in ("_raw", ""):
            predicted = _one_hot(observations[f"predicted{suffix}"], np.array(labels)) > 0
            pairs = (emotion[:, :, None] & predicted[:, None, :]).reshape(len(observations), -1)
            given = np.repeat(emotion, len(labels), axis=1)
            cells = draws.ratio(pairs.astype(float), given.astype(float)).estimates()
            rows = [label for label in labels for _ in labels]
            columns = labels * len(labels)
            parts.append(
                estimate_rows({"emotion": rows, "predicted": columns}, cells, f"confusion{suffix}")
            )
            diagonal = cells[:: len(labels) + 1]
            none = [""] * len(labels)
            parts.append(
                estimate_rows({"emotion": labels, "predicted": none}, diagonal, f"recall{suffix}")
            )
            shares = draws.ratio(predicted.astype(float)).estimates()
            parts.append(
                estimate_rows(
                    {"emotion": none, "predicted": labels}, shares, f"predicted_share{suffix}"
                )
            )
        return parts

    def _open_tokens(self, observations: pd.DataFrame, draws: GroupBootstrap) -> pd.DataFrame:
        counts = observations["open_token"].value_counts()
        frequent = sorted(counts.index, key=lambda token: (-counts[token], token))[:OPEN_TOKENS]
        said = observations["open_token"].to_numpy()[:, None] == np.array(frequent, dtype=object)
        estimates = draws.ratio(said.astype(float)).estimates()
        none = [""] * len(frequent)
        return estimate_rows({"emotion": none, "predicted": frequent}, estimates, "open_token")

    def _answer(self, summary: dict[str, Estimate], table: pd.DataFrame) -> str:
        accuracy, chance = summary["infer.accuracy"], summary["infer.chance"]
        shares = table[table["metric"] == "predicted_share_raw"]
        favourite = shares.sort_values("value", ascending=False).iloc[0]
        verb = "above" if summary["infer.above_chance"].low > 0 else "not clearly above"
        return (
            f"The model names the author's emotion for {percent(accuracy)} of the "
            f"{accuracy.n} items ({self.study.task.calibration} calibration), {verb} what its "
            f"answers would score by chance ({percent(chance)}); without calibration "
            f"{percent(summary['infer.accuracy_raw'])}, when it says "
            f"“{favourite['predicted']}” for {favourite['value']:.0%} of them."
            f"{_compared(summary)}"
        )


def _overall(estimates: dict[str, Estimate]) -> pd.DataFrame:
    """Rows of estimates over all items, by metric."""
    keys = {"emotion": [""], "predicted": [""]}
    return pd.concat([estimate_rows(keys, [each], metric) for metric, each in estimates.items()])


def _compared(summary: dict[str, Estimate]) -> str:
    """What words and people make of the same items, in sentences; empty where neither is known."""
    said = ""
    if "infer.bag_of_words" in summary:
        said += (
            " A bag of words, trained on the other items, gets "
            f"{percent(summary['infer.bag_of_words'])}."
        )
    if "infer.reader_accuracy" in summary:
        read = summary["infer.read_accuracy"]
        said += (
            f" Of the {read.n:,} items that people read too, the model names the emotion for "
            f"{percent(read)}, one reader for {percent(summary['infer.reader_accuracy'])} and the "
            f"plurality of the readers for {percent(summary['infer.plurality_accuracy'])}."
        )
    return said


def _one_hot(said: pd.Series[str], labels: NDArray[np.str_]) -> NDArray[np.float64]:
    """1 where an item has a label, ``[item, label]``."""
    return (said.to_numpy()[:, None] == labels).astype(float)


def percent(estimate: Estimate) -> str:
    """An estimate of a share, as a percentage with its interval."""
    if np.isnan(estimate.low):
        return f"{estimate.value:.1%} (one author: no interval)"
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _estimate(table: pd.DataFrame, metric: str) -> Estimate:
    row = table[table["metric"] == metric].iloc[0]
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]))
