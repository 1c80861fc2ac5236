"""Does the model name the author's emotion?

In domain, the answer is the largest label score at the last position; in open vocabulary, the
largest logit of all tokens (Tak et al. 2025). Accuracy is reported raw and calibrated.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.study import Study, estimate_rows
from affectscope.figures import infer_charts
from affectscope.stats import Estimate, GroupBootstrap

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
            *self._confusions(observations, draws),
            self._open_tokens(observations, draws),
        ]
        table = pd.concat(parts, ignore_index=True)
        summary = {
            f"infer.{metric}": _estimate(table, metric)
            for metric in (
                "accuracy_raw",
                "accuracy",
                "chance",
                "open_accuracy",
                "open_label_share",
            )
        }
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
            "chance": self._chance(observations),
            "open_accuracy": open_id == np.array([first[label] for label in emotion]),
            "open_label_share": np.isin(open_id, list(first.values())),
        }
        values = np.column_stack([column.astype(float) for column in columns.values()])
        estimates = draws.ratio(values).estimates()
        return pd.concat(
            [
                estimate_rows({"emotion": [""], "predicted": [""]}, [estimate], metric)
                for metric, estimate in zip(columns, estimates, strict=True)
            ]
        )

    def _chance(self, observations: pd.DataFrame) -> NDArray[np.float64]:
        """Each item's chance of being right if the answers had nothing to do with the texts.

        That is how often the model gives the item's label over all items, so that the mean is the
        accuracy expected when predictions are shuffled among items.
        """
        shares = observations["predicted"].value_counts(normalize=True)
        return np.array([float(shares.get(label, 0.0)) for label in observations["emotion"]])

    def _confusions(self, observations: pd.DataFrame, draws: GroupBootstrap) -> list[pd.DataFrame]:
        labels = list(self.study.task.labels)
        emotion = observations["emotion"].to_numpy()[:, None] == np.array(labels)
        parts = []
        for suffix in ("_raw", ""):
            predicted = observations[f"predicted{suffix}"].to_numpy()[:, None] == np.array(labels)
            pairs = (emotion[:, :, None] & predicted[:, None, :]).reshape(len(observations), -1)
            given = np.repeat(emotion, len(labels), axis=1)
            cells = draws.ratio(pairs.astype(float), given.astype(float)).estimates()
            cells = [
                Estimate(cell.value, cell.low, cell.high, int(n))
                for cell, n in zip(cells, given.sum(axis=0), strict=True)
            ]
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
        verb = "above" if accuracy.low > chance.high else "not clearly above"
        return (
            f"The model names the author's emotion for {percent(accuracy)} of the "
            f"{accuracy.n} items ({self.study.task.calibration} calibration), {verb} what its "
            f"answers would score by chance ({percent(chance)}); without calibration "
            f"{percent(summary['infer.accuracy_raw'])}, when it says "
            f"“{favourite['predicted']}” for {favourite['value']:.0%} of them."
        )


def percent(estimate: Estimate) -> str:
    """An estimate of a share, as a percentage with its interval."""
    return f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _estimate(table: pd.DataFrame, metric: str) -> Estimate:
    row = table[table["metric"] == metric].iloc[0]
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]))
