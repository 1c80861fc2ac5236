"""Does the answer move as a changed appraisal predicts? Appraisal minimal pairs.

The versions of a scenario share their wording; each differs from the base in one appraisal, and its
emotion is the one that appraisal theory predicts. With B the base's emotion and V the version's, a
pair is *moved* when

    score(V) - score(B) at the version's text  >  score(V) - score(B) at the base's text:

changing the appraisal brings the answer nearer to the predicted emotion, whatever the model
preferred before. A model that does not read the change moves half of the pairs. Scores are
calibrated label logits; one offset a label cancels in the comparison, so that it does not depend
on the calibration. Intervals are bootstrapped by scenario.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd

from affectscope.analyses.experiment import Experiment, Result, Unit, UnitOutput
from affectscope.analyses.infer import percent
from affectscope.analyses.study import Study, estimate_rows
from affectscope.data.vignettes import BASE_VERSION
from affectscope.errors import NotPossibleError
from affectscope.figures import pairs_charts
from affectscope.stats import Estimate, GroupBootstrap

METRICS = ("moved", "shift", "base_right", "version_right", "both_right", "followed")
"""What is estimated of the pairs, in all and for each flipped appraisal."""


class Pairs(Experiment):
    """Minimal pairs of a corpus that has scenarios in versions.

    Args:
        study: The study.
    """

    name = "pairs"

    def __init__(self, study: Study) -> None:
        self.study = study

    @property
    def method(self) -> str:
        """What is done, for the report."""
        n_scenarios = self.pairs["scenario"].nunique()
        return (
            f"{len(self.pairs)} pairs of a base and a version of it, from {n_scenarios} "
            "scenarios; intervals by scenario."
        )

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row a pair: the two items, the scenario, and the flipped appraisal.

        Raises:
            NotPossibleError: No version stands beside its base.
        """
        items = self.study.corpus.items
        if not self.study.corpus.has_pairs:
            raise NotPossibleError(
                f"the corpus {self.study.corpus.name} has no scenarios in versions",
                expected="columns scenario, version and flipped, as the vignettes have",
                remedy="leave the experiment pairs out, or use --data vignettes",
            )
        numbered = items.assign(item=np.arange(len(items)))
        base = numbered[numbered["version"] == BASE_VERSION]
        versions = numbered[numbered["version"] != BASE_VERSION]
        pairs = versions.merge(base[["scenario", "item"]], on="scenario", suffixes=("", "_base"))
        if pairs.empty:
            raise NotPossibleError(
                f"none of the {len(items)} items is a version whose base is among them",
                expected="version 1 and another version of a scenario",
                remedy="use more items (a larger --limit)",
            )
        columns = ["scenario", "version", "flipped", "item", "item_base"]
        return pairs.sort_values("item", ignore_index=True)[columns]

    def planned_cost(self) -> float:
        """Nothing beyond the clean passes."""
        return 0.0

    def units(self) -> list[Unit]:
        """One unit: all pairs."""
        key = {"calibration": self.study.task.calibration, "pairs": len(self.pairs)}
        return [Unit(self.name, key, cost=0.0)]

    def compute(self, unit: Unit) -> UnitOutput:
        """Scores and answers at both texts of every pair."""
        clean, pairs = self.study.clean, self.pairs
        scores = clean.offsets.scores(clean.logits).numpy().astype(np.float64)
        items, bases = pairs["item"].to_numpy(), pairs["item_base"].to_numpy()
        emotion, base_emotion = clean.emotions[items], clean.emotions[bases]

        def preference(rows: np.ndarray) -> np.ndarray:
            """Score of the version's emotion over that of the base's, in nats."""
            return scores[rows, emotion] - scores[rows, base_emotion]

        labels = np.asarray(self.study.task.labels)
        return UnitOutput(
            pd.DataFrame(
                {
                    "pair": np.arange(len(pairs)),
                    "scenario": pairs["scenario"],
                    "version": pairs["version"],
                    "flipped": pairs["flipped"],
                    "base_emotion": labels[base_emotion],
                    "emotion": labels[emotion],
                    "base_predicted": labels[clean.predicted[bases]],
                    "predicted": labels[clean.predicted[items]],
                    "before": preference(bases),
                    "after": preference(items),
                }
            )
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """Shares of pairs, in all and by flipped appraisal, with intervals by scenario."""
        shift = observations["after"] - observations["before"]
        base_right = observations["base_predicted"] == observations["base_emotion"]
        version_right = observations["predicted"] == observations["emotion"]
        values = pd.DataFrame(
            {
                "moved": np.where(shift == 0, 0.5, shift > 0),
                "shift": shift,
                "base_right": base_right,
                "version_right": version_right,
                "both_right": base_right & version_right,
                # of the pairs whose base is read rightly, those whose answer goes along
                "followed": np.where(base_right, version_right, np.nan),
            }
        ).astype(float)
        draws = GroupBootstrap(tuple(observations["scenario"].astype(str)), seed=self.study.seed)
        parts = [_rows(draws, values, "")]
        for appraisal in sorted(set(observations["flipped"])):
            elsewhere = observations["flipped"] != appraisal
            here = values.copy()
            here.loc[elsewhere] = np.nan
            parts.append(_rows(draws, here, appraisal))
        table = pd.concat(parts, ignore_index=True)
        summary = {f"pairs.{metric}": _estimate(table, metric, "") for metric in METRICS} | {
            f"pairs.moved.{appraisal}": _estimate(table, "moved", appraisal)
            for appraisal in sorted(set(observations["flipped"]))
        }
        return Result(self.name, table, observations, summary, self._answer(summary), pairs_charts)

    def _answer(self, summary: dict[str, Estimate]) -> str:
        moved, both = summary["pairs.moved"], summary["pairs.both_right"]
        sure = "more" if moved.low > 0.5 else "less" if moved.high < 0.5 else "no clearer"
        return (
            f"When one appraisal in the text is changed, the answer moves towards the emotion that "
            f"theory predicts in {percent(moved)} of {moved.n} pairs, {sure} than the half that "
            f"would come by chance; both texts of a pair are named right in {percent(both)}."
        )


def _rows(draws: GroupBootstrap, values: pd.DataFrame, appraisal: str) -> pd.DataFrame:
    estimates = draws.ratio(values[list(METRICS)].to_numpy()).estimates()
    return pd.concat(
        [
            estimate_rows({"flipped": [appraisal]}, [estimate], metric)
            for metric, estimate in zip(METRICS, estimates, strict=True)
        ]
    )


def _estimate(table: pd.DataFrame, metric: str, appraisal: str) -> Estimate:
    row = table[(table["metric"] == metric) & (table["flipped"] == appraisal)].iloc[0]
    return Estimate(float(row["value"]), float(row["low"]), float(row["high"]), int(row["n"]))
