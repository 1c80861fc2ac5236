"""The summary of where: read off the other experiments, and right where the truth is planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import affectscope.analyses as afa
from affectscope.analyses.localise import Localise, locate
from affectscope.analyses.profiles import (
    mean_rank_correlation,
    peak_difference,
    rank_correlation,
    relative_depth,
)
from affectscope.errors import NotPossibleError
from affectscope.models.planted import planted_corpus, planted_model
from affectscope.prompts import EmotionTask
from affectscope.stats import Estimate, GroupBootstrap, RatioDraws
from affectscope.vocabulary import SITES

LAYER, HEAD, N_LAYERS = 3, 2, 6


@pytest.fixture(scope="module")
def study():
    lm = planted_model(layer=LAYER, head=HEAD, n_layers=N_LAYERS, seed=1).lm
    corpus = planted_corpus(60, seed=1)
    task = EmotionTask(lm, calibration="none", labels=corpus.labels)
    return afa.Study(lm, task, corpus, seed=1, positions=(-1,))


@pytest.fixture(scope="module")
def parts(study):
    made = [
        afa.Probe(study, folds=3),
        afa.Ablate(study, spans=(1,)),
        afa.Patch(study, pairs=40, span=1, spans=(1,)),
    ]
    for part in made:
        for _ in afa.finish_units(part, study.store):
            pass
    return made


@pytest.fixture(scope="module")
def result(study, parts):
    return afa.collect(Localise(study, parts), study.store)


def test_it_finds_the_planted_place(result):
    assert result.summary["localise.site"] == "attn_out"
    assert result.summary["localise.layer"].value == LAYER
    assert result.summary["localise.relative_depth"].value == pytest.approx(LAYER / (N_LAYERS - 1))
    assert result.summary["localise.margin"].low > 0
    for method in ("probe", "ablate.resample", "patch", "patch.necessary"):
        assert result.summary[f"localise.{method}.attn_out.peak_layer"].value == LAYER


def test_peaks_are_those_of_the_experiments(study, parts, result):
    of_patch = afa.collect(parts[2], study.store)
    probe = afa.collect(parts[0], study.store)
    for site in SITES:
        ours = result.summary[f"localise.probe.{site}.peak_layer"]
        assert ours == probe.summary[f"probe.{site}.best_layer"]
    assert result.summary["localise.layer"] == of_patch.summary["patch.attn_out.peak_layer"]
    assert result.summary["localise.transfer"] == of_patch.summary["patch.attn_out.peak_transfer"]


def test_every_estimate_has_an_interval(result):
    assert result.table[["low", "high"]].notna().all(axis=None)
    assert (result.table["low"] <= result.table["high"]).all()


def test_it_needs_patching(study, parts):
    with pytest.raises(NotPossibleError, match="patch"):
        afa.collect(Localise(study, parts[:2]), study.store)


def test_its_figures_can_be_drawn(result):
    assert list(result.charts(result.table)) == [
        "localise_peaks",
        "localise_profiles_attn_out",
        "localise_profiles_mlp_out",
    ]


def curve(values: np.ndarray, seed: int = 0) -> RatioDraws:
    """Means of observations [observation, layer], each a group of its own."""
    groups = tuple(f"g{i}" for i in range(len(values)))
    return GroupBootstrap(groups, seed=seed).ratio(values)


def noisy(means: list[float], seed: int, n: int = 200) -> np.ndarray:
    return np.array(means) + 0.1 * np.random.default_rng(seed).standard_normal((n, len(means)))


def test_the_rank_correlation_is_spearmans():
    one, other = noisy([0, 0.1, 0.3, 0.2, 0.25], 0), noisy([0.3, 0.1, 0.9, 0.5, 0.5], 1)
    found = rank_correlation(curve(one), curve(other, seed=1))
    assert found.value == pytest.approx(spearmanr(one.mean(axis=0), other.mean(axis=0)).statistic)
    assert found.low <= found.value <= found.high


def test_a_curve_agrees_with_itself_and_not_with_its_reverse():
    values = noisy([0, 1, 2, 5, 4], 2)
    assert rank_correlation(curve(values), curve(values)).value == pytest.approx(1)
    reverse = rank_correlation(curve(values), curve(-values))
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-1, -1, -1))


def test_agreement_is_the_mean_over_pairs_of_methods():
    curves = [curve(noisy([0, 1, 2, 5, 4], k), seed=k) for k in range(2)]
    curves.append(curve(-noisy([0, 1, 2, 5, 4], 9), seed=9))
    found = mean_rank_correlation(curves)
    pairs = [(0, 1), (0, 2), (1, 2)]
    each = [rank_correlation(curves[one], curves[other]).value for one, other in pairs]
    assert found.value == pytest.approx(np.mean(each))
    assert found.low <= found.value <= found.high


def test_a_later_peak_is_later_by_so_many_layers():
    early, late = noisy([0, 1, 0, 0, 0], 3), noisy([0, 0, 0, 0, 1], 4)
    assert peak_difference(curve(late), curve(early)) == Estimate(3, 3, 3, 200)


def test_the_site_is_the_one_with_the_higher_peak():
    attention, mlp = noisy([0, 0.4, 0.1], 5), noisy([0.1, 0.2, 0.6], 6)
    curves = {"attn_out": curve(attention), "mlp_out": curve(mlp)}
    place = locate(curves)
    assert (place.site, place.layer.value) == ("mlp_out", 2)
    assert place.margin.value == pytest.approx(mlp[:, 2].mean() - attention[:, 1].mean())
    assert place.margin.low < place.margin.value < place.margin.high


def test_depth_is_a_share():
    assert relative_depth(Estimate(22, 21, 29, 5), 30) == Estimate(22 / 29, 21 / 29, 1, 5)


def test_one_group_has_no_interval():
    values = noisy([0, 1], 7)
    alone = GroupBootstrap(("g",) * len(values), seed=0).ratio(values)
    found = rank_correlation(alone, alone)
    assert found.value == pytest.approx(1)
    assert pd.isna(found.low)
