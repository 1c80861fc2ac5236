"""The estimates of ``appraise``: r² by place, the best place without optimism, and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.black_box import answers_from_ratings, coefficients
from affectscope.analyses.experiment import SummaryValue
from affectscope.analyses.infer import percent
from affectscope.analyses.layers import ALL, RIGHT, item_sets
from affectscope.stats import Estimate, RatioDraws, estimate_rows, maximum_test
from affectscope.stats.correlation import squared_correlation

if TYPE_CHECKING:
    from affectscope.analyses.appraise import Appraise

MEAN = "mean"
"""What stands for the mean over appraisals, in the column ``appraisal``."""

COLUMNS = (
    *("metric", "items", "appraisal", "site", "layer", "source", "target", "emotion"),
    *("value", "low", "high", "n", "p"),
)
"""Of the table; empty or NaN where a metric has no such key."""

_TEXTS = ("items", "appraisal", "site", "source", "target", "emotion")

Errors = NDArray[np.float64]
Place = tuple[str, int]


def appraise_estimates(
    appraise: Appraise, observations: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    """Everything that is estimated, and the few numbers of the summary."""
    read = _Readings(appraise, observations[observations["part"] == "read"])
    p = _significance(appraise, observations[observations["part"] == "dealt"])
    tables = []
    for items, chosen in item_sets(appraise.study).items():
        tables.append(read.r2_table(chosen, items, p if items == ALL else None))
    best = read.best_places()
    nested, summary = _nested(appraise, read, best)
    ceiling, more = _ceiling(appraise, read, best)
    tables += [nested, *ceiling]
    summary |= more
    summary["appraise.significant"] = int((p["p"] <= 0.05).sum())
    boxes, more = _black_box(appraise, read.decoded(best))
    tables += boxes
    summary |= more
    table = pd.concat(tables, ignore_index=True)
    for column in COLUMNS:
        if column not in table.columns:
            table[column] = "" if column in _TEXTS else np.nan
    table[list(_TEXTS)] = table[list(_TEXTS)].fillna("")
    return table[list(COLUMNS)], summary


class _Readings:
    """What was read at every place.

    Args:
        appraise: The experiment.
        rows: Columns item, site, layer, and the readings.
    """

    def __init__(self, appraise: Appraise, rows: pd.DataFrame) -> None:
        self.appraise = appraise
        self.names = appraise.ratings.names
        self.by_place: dict[Place, pd.DataFrame] = {
            (str(part["site"].iloc[0]), int(part["layer"].iloc[0])): part.sort_values("item")
            for _, part in rows.groupby(["site", "layer"], sort=False)
        }
        self.places = list(self.by_place)

    def predicted(self, place: Place, prefix: str = "") -> Errors:
        """Readings ``[item, appraisal]``."""
        columns = [f"{prefix}{name}" for name in self.names]
        return self.by_place[place][columns].to_numpy(dtype=np.float64)

    def baseline(self, targets: Errors) -> Errors:
        """Mean of each item's training items, ``[item, appraisal]``."""
        folds = self.appraise.folds
        means = {fold: np.nanmean(targets[folds != fold], axis=0) for fold in np.unique(folds)}
        return np.stack([means[fold] for fold in folds])

    def r2(self, place: Place, kind: str, items: NDArray[np.int64]) -> RatioDraws:
        """r² of each appraisal, then of their mean, over some items."""
        prefix = {"read": "", "by_word": "word.", "by_item": "item."}[kind]
        targets = self.appraise.targets[kind]
        error = (targets - self.predicted(place, prefix)) ** 2
        deviation = (targets - self.baseline(targets)) ** 2
        return one_minus(self.appraise.study.bootstrap(items).ratio(error[items], deviation[items]))

    def r2_table(self, items: NDArray[np.int64], name: str, p: pd.DataFrame | None) -> pd.DataFrame:
        """r² of every appraisal at every place; their mean, the controls', and selectivity."""
        tables = []
        for place in self.places:
            real = self.r2(place, "read", items)
            keys: dict[str, list[Any]] = {
                "appraisal": list(self.names),
                "site": [place[0]] * len(self.names),
                "layer": [place[1]] * len(self.names),
            }
            rows = estimate_rows(keys, real.estimates(), "r2")
            if p is not None:
                rows["p"] = p["p"].loc[place].loc[list(self.names)].to_numpy()
            tables.append(rows)
            where: dict[str, list[Any]] = {
                "appraisal": [MEAN],
                "site": [place[0]],
                "layer": [place[1]],
            }
            word = mean_of(self.r2(place, "by_word", items))
            item = mean_of(self.r2(place, "by_item", items))
            whole = mean_of(real)
            for metric, found in (
                ("r2", whole),
                ("control_word", word),
                ("control_item", item),
                ("selectivity", whole.minus(word)),
            ):
                tables.append(estimate_rows(where, found.estimates(), metric))
        return pd.concat(tables, ignore_index=True).assign(items=name)

    def best_places(self) -> NDArray[np.int64]:
        """For each fold and appraisal the place that reads best on the other folds."""
        targets, folds = self.appraise.targets["read"], self.appraise.folds
        errors = np.stack([(targets - self.predicted(place)) ** 2 for place in self.places])
        return np.stack(
            [
                np.nansum(errors[:, folds != fold], axis=1).argmin(axis=0)
                for fold in np.unique(folds)
            ]
        )

    def decoded(self, best: NDArray[np.int64]) -> Errors:
        """Readings of every item at the place that was chosen without its fold."""
        folds = np.unique(self.appraise.folds, return_inverse=True)[1]
        stacked = np.stack([self.predicted(place) for place in self.places])
        items, names = np.arange(len(folds))[:, None], np.arange(len(self.names))[None]
        return np.asarray(stacked[best[folds], items, names])


def one_minus(draws: RatioDraws) -> RatioDraws:
    """1 less each statistic."""
    return RatioDraws(
        1 - draws.value, 1 - draws.draws, draws.n, draws.n_groups, np.zeros_like(draws.share)
    )


def mean_of(draws: RatioDraws) -> RatioDraws:
    """The mean over statistics, draw by draw; one that is not defined does not count."""
    with np.errstate(invalid="ignore"):
        return RatioDraws(
            np.nanmean(draws.value, keepdims=True),
            np.nanmean(draws.draws, axis=1, keepdims=True),
            draws.n[:1],
            draws.n_groups[:1],
            np.zeros(1, dtype=bool),
        )


def _significance(appraise: Appraise, rows: pd.DataFrame) -> pd.DataFrame:
    """P of every appraisal at every place, over all of them; indexed by site, layer, appraisal."""
    names = list(appraise.ratings.names)
    observed = rows[rows["item"] == 0].set_index(["site", "layer"])[names].stack()
    dealt = rows[rows["item"] > 0].pivot_table(
        index="item", columns=["site", "layer"], values="largest"
    )
    largest = dealt.to_numpy(dtype=np.float64).max(axis=1)
    values = observed.to_numpy(dtype=np.float64)
    test = maximum_test(values, np.repeat(largest[:, None], len(values), axis=1))
    return pd.DataFrame({"p": test.p}, index=observed.index)


def _nested(
    appraise: Appraise, read: _Readings, best: NDArray[np.int64]
) -> tuple[pd.DataFrame, dict[str, SummaryValue]]:
    """r² where the place was chosen on other items than it is measured on."""
    study, names = appraise.study, read.names
    targets = appraise.targets["read"]
    error = (targets - read.decoded(best)) ** 2
    deviation = (targets - read.baseline(targets)) ** 2
    tables: list[pd.DataFrame] = []
    summary: dict[str, SummaryValue] = {}
    for items, chosen in item_sets(study).items():
        draws = one_minus(study.bootstrap(chosen).ratio(error[chosen], deviation[chosen]))
        rows = estimate_rows({"appraisal": list(names)}, draws.estimates(), "r2_nested")
        mean = mean_of(draws).estimates()
        tables += [
            rows.assign(items=items),
            estimate_rows({"appraisal": [MEAN]}, mean, "r2_nested").assign(items=items),
        ]
        suffix = "" if items == ALL else f"_{RIGHT}"
        summary[f"appraise.mean_r2{suffix}"] = mean[0]
        for name, estimate in zip(names, draws.estimates(), strict=True):
            summary[f"appraise.{name}.r2{suffix}"] = estimate
    for k, name in enumerate(names):
        votes = np.bincount(best[:, k])
        site, layer = read.places[int(votes.argmax())]
        summary[f"appraise.{name}.site"], summary[f"appraise.{name}.layer"] = site, layer
    return pd.concat(tables, ignore_index=True), summary


def _ceiling(
    appraise: Appraise, read: _Readings, best: NDArray[np.int64]
) -> tuple[list[pd.DataFrame], dict[str, SummaryValue]]:
    """Squared correlations with the author's rating, the model's and people's, and their ratio."""
    people = appraise.study.read_items
    if people is None:
        return [], {}
    names = [name for name in read.names if name in people.ratings]
    columns = [read.names.index(name) for name in names]
    author = appraise.ratings.values[people.items][:, columns]
    means = np.column_stack([people.ratings[name].mean(axis=1) for name in names])
    decoded = read.decoded(best)[people.items][:, columns]
    draws = appraise.study.bootstrap(people.items)
    human = squared_correlation(draws, means, author)
    model = squared_correlation(draws, decoded, author)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = RatioDraws(
            model.value / human.value,
            model.draws / human.draws,
            human.n,
            human.n_groups,
            np.zeros_like(human.share),
        )
    found = {"human_r2": human, "model_r2": model, "ceiling_share": share}
    tables = [
        estimate_rows({"appraisal": names}, each.estimates(), metric).assign(items=ALL)
        for metric, each in found.items()
    ]
    summary: dict[str, SummaryValue] = {}
    for name, of_people, of_share in zip(names, human.estimates(), share.estimates(), strict=True):
        summary[f"appraise.{name}.human_r2"] = of_people
        summary[f"appraise.{name}.ceiling_share"] = of_share
    return tables, summary


def _black_box(
    appraise: Appraise, decoded: Errors
) -> tuple[list[pd.DataFrame], dict[str, SummaryValue]]:
    """Emotions predicted from ratings alone, and what each rating counts for."""
    study, labels = appraise.study, np.asarray(appraise.study.task.labels)
    emotions = {
        "author": labels[study.clean.emotions].tolist(),
        "model": labels[study.clean.predicted].tolist(),
    }
    sources = {"people": appraise.ratings.values, "decoded": decoded}
    draws = study.bootstrap(np.arange(len(study.corpus)))
    tables: list[pd.DataFrame] = []
    summary: dict[str, SummaryValue] = {}
    for source, ratings in sources.items():
        answers = answers_from_ratings(ratings, emotions, appraise.folds)
        for target, wanted in emotions.items():
            right = (answers[target] == np.asarray(wanted)).astype(float)
            [estimate] = draws.ratio(right[:, None]).estimates()
            keys = {"source": [source], "target": [target]}
            tables.append(estimate_rows(keys, [estimate], "black_box").assign(items=ALL))
            summary[f"appraise.black_box.{source}.{target}"] = estimate
    for source, target in (("people", "author"), ("decoded", "model")):
        named, values = coefficients(
            sources[source], emotions[target], study.corpus.groups, seed=study.seed
        )
        for emotion, row in zip(named, values, strict=True):
            n = len(row)
            keys = {
                "appraisal": list(appraise.ratings.names),
                "emotion": [emotion] * n,
                "source": [source] * n,
                "target": [target] * n,
            }
            tables.append(estimate_rows(keys, row, "coefficient").assign(items=ALL))
    return tables, summary


def appraise_answer(appraise: Appraise, summary: dict[str, SummaryValue]) -> str:
    """What was found, in some sentences."""

    def of(name: str) -> Estimate:
        found = summary[f"appraise.{name}"]
        assert isinstance(found, Estimate)
        return found

    names = appraise.ratings.names
    best = max(names, key=lambda name: of(f"{name}.r2").value)
    mean, top = of("mean_r2"), of(f"{best}.r2")
    answer = (
        f"Read best is {best}, with r² {top} at {summary[f'appraise.{best}.site']}, layer "
        f"{summary[f'appraise.{best}.layer']}; the mean over {len(names)} appraisals is {mean}"
    )
    if f"appraise.{best}.ceiling_share" in summary:
        share = of(f"{best}.ceiling_share")
        answer += (
            f". People who read the text reach {of(f'{best}.human_r2')} for {best}, of which the "
            f"probe has {percent(share)}"
        )
    people, decoded = of("black_box.people.author"), of("black_box.decoded.author")
    return (
        f"{answer}. The authors' own ratings alone predict the emotion they named for "
        f"{percent(people)} of items, the ratings decoded from the model for {percent(decoded)}."
    )
