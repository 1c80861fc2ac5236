"""The geometry of emotions and appraisals: planted, of noise, and on a tiny model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from affectscope.analyses import Study
from affectscope.analyses.geometry import Geometry
from affectscope.analyses.geometry_components import (
    affect_correlation,
    components,
    permuted_affect,
    turned_onto,
)
from affectscope.analyses.geometry_fit import KINDS, Halves, people_profiles, place_cosines
from affectscope.analyses.geometry_jackknife import Jackknife, largest
from affectscope.analyses.similarity import (
    deal_names,
    permuted_similarity,
    representational_similarity,
)
from affectscope.data import grouped_folds
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.geometry import geometry_figures
from affectscope.prompts import EmotionTask
from affectscope.stats import maximum_test
from made_study import finished, only_row, study_of

EMOTIONS = ("anger", "fear", "joy", "pride", "sadness", "trust")
NOISE = 0.5
APPRAISALS = ("pleasantness", "unpleasantness", "other_responsblt", "effort")


def made_ratings(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Indicators of emotions [item, emotion] and ratings [item, appraisal] around their means."""
    which = rng.permutation(np.arange(n) % len(EMOTIONS))
    means = 2 * np.random.default_rng(7).standard_normal((len(EMOTIONS), len(APPRAISALS)))
    return np.eye(len(EMOTIONS))[which], means[which] + rng.standard_normal((n, len(APPRAISALS)))


def fitted(X: np.ndarray, has: np.ndarray, ratings: np.ndarray, n_parts: int = 4):
    halves = Halves(np.arange(len(X)) % n_parts)
    names = (*EMOTIONS, *APPRAISALS)
    targets = np.hstack([has, ratings])
    return place_cosines(X.astype(np.float32), targets, names, halves, halves.parts % 2), halves


class TestJackknife:
    def test_the_standard_error_of_a_mean_is_the_textbooks(self):
        """Two halves' means added: the variance is the sum of s² / k over the halves."""
        parts = np.random.default_rng(0).standard_normal((10, 3))
        half = np.arange(10) % 2
        means = [parts[half == h].mean(axis=0) for h in (0, 1)]

        def without(j):
            kept = (np.arange(10) != j) & (half == half[j])
            return parts[kept].mean(axis=0) + means[1 - half[j]]

        found = Jackknife(means[0] + means[1], np.stack([without(j) for j in range(10)]), half)
        truth = np.sqrt(sum(parts[half == h].var(axis=0, ddof=1) / 5 for h in (0, 1)))
        np.testing.assert_allclose(found.standard_error, truth)
        low, high = found.interval((-9, 9))
        np.testing.assert_allclose(high - low, 2 * 2.306004 * truth, rtol=1e-6)  # t of 8 d. f.
        draws = found.draws(seed=1, n_draws=40_000)
        np.testing.assert_allclose(draws.std(axis=0), truth, rtol=0.03)
        np.testing.assert_allclose(draws.mean(axis=0), found.value, atol=0.02)

    def test_the_largest_of_nothing_is_nothing_when_chosen_elsewhere(self):
        """Noise at 20 layers: the maximum is far above 0, the estimate is not."""
        rng = np.random.default_rng(3)
        half = np.arange(10) % 2
        naive, honest, inside = [], [], []
        for _ in range(1500):
            parts = rng.standard_normal((10, 20)) / 10
            sums = np.stack([parts[half == h].mean(axis=0) for h in (0, 1)])
            value = sums.sum(axis=0)
            left = np.stack([value + (sums[half[j]] - parts[j]) / 4 for j in range(10)])
            found = largest(Jackknife(value, left, half), 100)
            naive.append(value.max())
            honest.append(found.estimate.value)
            inside.append(found.estimate.low <= 0 <= found.estimate.high)
        assert np.mean(naive) > 0.08
        assert abs(np.mean(honest)) < 3 * np.std(honest) / np.sqrt(1500)
        assert np.mean(inside) > 0.8

    def test_where_all_parts_choose_the_same_the_estimate_is_the_statistic(self):
        left = np.array([[0.1, 0.8], [0.2, 0.7], [0.1, 0.75], [0.3, 0.9]])
        curve = Jackknife(np.array([0.2, 0.8]), left, np.array([0, 1, 0, 1]))
        found = largest(curve, 9)
        assert found.index == 1
        assert found.estimate == pytest.approx(curve.at(1).estimate(9))

    def test_what_is_not_defined_is_not_chosen(self):
        left = np.array([[np.nan, 0.1]] * 4)
        half = np.array([0, 1, 0, 1])
        assert largest(Jackknife(np.array([0.9, 0.1]), left, half), 1).index == 1
        assert largest(Jackknife(np.array([0.9]), left[:, :1], half), 1) is None


class TestPlanted:
    @pytest.fixture(scope="class")
    def planted(self):
        """Ratings along orthonormal axes, and noise alike in all directions."""
        rng = np.random.default_rng(0)
        has, ratings = made_ratings(rng, 4000)
        B = np.linalg.qr(rng.standard_normal((8, len(APPRAISALS))))[0].T
        X = ratings @ B + NOISE * rng.standard_normal((4000, 8))
        return fitted(X, has, ratings), has, ratings

    def test_cosines_are_the_closed_forms(self, planted):
        """In the basis of the axes, with C the ratings' covariance and m an emotion's contrast.

        Means: C and m. Probes: (C + noise²)^-1 C and (C + noise²)^-1 m.
        """
        (found, _), has, ratings = planted
        C = np.cov(ratings.T)
        m = [ratings[e].mean(axis=0) - ratings[~e].mean(axis=0) for e in has.T == 1]
        unmix = np.linalg.inv(C + NOISE**2 * np.eye(len(C)))
        for kind, mix in {"means": np.eye(len(C)), "probe": unmix}.items():
            emotions, axes = np.array(m) @ mix, C @ mix
            lengths = np.linalg.norm(emotions, axis=1)[:, None] * np.linalg.norm(axes, axis=1)
            truth = emotions @ axes.T / lengths
            cells = found.across[KINDS.index(kind), 0, : len(EMOTIONS), len(EMOTIONS) :]
            np.testing.assert_allclose(cells, truth, atol=0.06)
            assert np.abs(truth).max() > 0.8

    def test_it_is_like_peoples(self, planted):
        (found, halves), has, ratings = planted
        people = people_profiles(ratings, has, halves)
        means = KINDS.index("means")
        profiles = found.across[means][:, : len(EMOTIONS), len(EMOTIONS) :]
        assert representational_similarity(profiles, people).min() > 0.9

    def test_a_part_that_is_left_out_is_left_out_of_its_half_only(self, planted):
        """Directions by hand: emotions from half 0 without part 2, appraisals from half 1."""
        rng = np.random.default_rng(4)
        has, ratings = made_ratings(rng, 120)
        X = ratings @ rng.standard_normal((4, 10)) + rng.standard_normal((120, 10))
        found, halves = fitted(X, has, ratings)
        one = (halves.parts == 0) & (halves.parts != 2)
        other = halves.parts % 2 == 1
        directions = []
        for rows in (one, other):
            Z = X[rows] - X[rows].mean(axis=0)
            of_half = np.hstack([has, ratings])[rows]
            raw = (of_half - of_half.mean(axis=0)).T @ Z
            directions.append(raw / np.linalg.norm(raw, axis=1, keepdims=True))
        cosine = directions[0] @ directions[1].T
        truth = (cosine + cosine.T) / 2
        refit = halves.refits.index(2)
        np.testing.assert_allclose(found.across[KINDS.index("means"), refit], truth, atol=1e-5)

    def test_probes_are_ridge_readouts_of_one_penalty(self):
        rng = np.random.default_rng(6)
        has, ratings = made_ratings(rng, 200)
        X = ratings @ rng.standard_normal((4, 12)) * 3 + rng.standard_normal((200, 12)) + 5
        found, halves = fitted(X, has, ratings)
        vectors = []
        for half in (0, 1):
            rows = halves.parts % 2 == half
            spread = X[rows].std(axis=0)
            Z = (X[rows] - X[rows].mean(axis=0)) / spread
            ridge = Ridge(alpha=found.penalty * rows.sum()).fit(Z, np.hstack([has, ratings])[rows])
            raw = ridge.coef_ / spread
            vectors.append(raw / np.linalg.norm(raw, axis=1, keepdims=True))
        cosine = vectors[0] @ vectors[1].T
        probe = found.across[KINDS.index("probe"), 0]
        np.testing.assert_allclose(probe, (cosine + cosine.T) / 2, atol=1e-4)


class TestNoise:
    def test_activations_without_meaning_have_no_profile(self):
        """The same items on both sides would give cosines near the correlations of the ratings."""
        rng = np.random.default_rng(8)
        cells, same_items = [], []
        for _ in range(8):
            has, ratings = made_ratings(rng, 240)
            X = rng.standard_normal((240, 300))
            (found, _) = fitted(X, has, ratings)
            n = len(EMOTIONS)
            correlation = np.corrcoef(has.T, ratings.T)[:n, n:]
            means = KINDS.index("means")
            cells.append(pearsonr(found.across[means, 0, :n, n:].ravel(), correlation.ravel())[0])
            same = found.within[means, 0, :n, n:]
            same_items.append(pearsonr(same.ravel(), correlation.ravel())[0])
        assert np.min(same_items) > 0.8
        assert abs(np.mean(cells)) < 3.5 * np.std(cells) / np.sqrt(len(cells)) + 1e-9
        assert abs(np.mean(cells)) < 0.3


class TestComponents:
    def test_they_are_those_of_the_vectors(self):
        vectors = np.random.default_rng(0).standard_normal((6, 20))
        found = components(vectors @ vectors.T)
        truth = PCA(2).fit(vectors)
        np.testing.assert_allclose(found.share, truth.explained_variance_ratio_)
        np.testing.assert_allclose(np.abs(found.scores), np.abs(truth.transform(vectors)))

    def test_turning_undoes_a_turn_and_a_reflection(self):
        scores = np.random.default_rng(0).standard_normal((6, 2))
        turn = np.array([[0.6, 0.8], [0.8, -0.6]])
        np.testing.assert_allclose(turned_onto(scores @ turn, scores), scores)

    def test_affect_is_the_larger_correlation_of_the_two(self):
        rng = np.random.default_rng(2)
        scores, values = rng.standard_normal((3, 6, 2)), rng.standard_normal(6)
        values[4] = np.nan
        there = np.isfinite(values)
        truth = [
            max(abs(pearsonr(column[there], values[there])[0]) for column in place.T)
            for place in scores
        ]
        np.testing.assert_allclose(affect_correlation(scores, values), truth)
        permuted = permuted_affect(scores, values, seed=0, n_permutations=500)
        assert permuted.shape == (500, 3)
        assert np.isclose(permuted, truth).any(axis=0).all()  # among 120 orders it comes back
        assert permuted.std() > 0.05

    def test_too_few_values_are_no_correlation(self):
        values = np.array([1.0, 2, 3, np.nan, np.nan, np.nan])
        scores = np.random.default_rng(2).standard_normal((3, 6, 2))
        assert np.isnan(affect_correlation(scores, values)).all()

    def test_missing_products_have_no_components(self):
        products = np.stack([np.eye(5), np.full((5, 5), np.nan)])
        found = components(products)
        assert np.isfinite(found.scores[0]).all()
        assert np.isnan(found.scores[1]).all()
        assert np.isnan(found.share[1]).all()


def rated_study(lm, *, planted: bool, n: int = 192) -> Study:
    """Four emotions in turn, two items a group, with ratings that follow them or do not."""
    study = study_of(lm, EmotionTask(lm, calibration="batch"), n)
    rng = np.random.default_rng(5)
    which = np.arange(n) // 2 % len(EMOTIONS)
    means = rng.uniform(1.5, 4.5, size=(len(EMOTIONS), len(APPRAISALS)))
    ratings = np.clip(means[which] + 0.5 * rng.standard_normal((n, len(APPRAISALS))), 1, 5)
    items = study.corpus.items.assign(emotion=np.array(EMOTIONS)[which])
    for column, name in enumerate(APPRAISALS):
        items[name] = ratings[:, column] if planted else rng.permutation(ratings[:, column])
    return Study(lm, study.task, replace(study.corpus, items=items), seed=3)


class Planted:
    """A study's clean passes, but activations at ``resid_post`` that are the ratings' own."""

    def __init__(self, study: Study, layer: int) -> None:
        self._clean = study.clean
        self._layer = layer
        rng = np.random.default_rng(11)
        ratings = study.corpus.items[list(APPRAISALS)].to_numpy()
        axes = np.linalg.qr(rng.standard_normal((study.lm.d_model, len(APPRAISALS))))[0].T
        noise = rng.standard_normal((len(ratings), study.lm.d_model))
        self._planted = (ratings @ axes + NOISE * noise).astype(np.float32)

    def activations(self, site: str, layer: int, position: int = -1) -> np.ndarray:
        if site == "resid_post" and layer == self._layer:
            return self._planted
        return self._clean.activations(site, layer, position)


class TestExperiment:
    @pytest.fixture(scope="class")
    def geometry(self, lm):
        study = rated_study(lm, planted=True)
        study.__dict__["clean"] = Planted(study, layer=2)
        return Geometry(study, folds=2, parts=8)

    @pytest.fixture(scope="class")
    def result(self, geometry):
        return finished(geometry)

    def test_the_planted_layer_is_found_and_like_peoples(self, result):
        summary = result.summary
        assert summary["geometry.human_similarity_layer"].value == 2
        assert summary["geometry.human_similarity"].value > 0.7
        assert summary["geometry.human_similarity_p"] < 0.05
        assert summary["geometry.human_similarity"].low > 0
        assert "layer 2" in result.answer
        assert "are related by appraisals" in result.answer

    def test_the_table_has_every_estimate_with_its_interval(self, result, lm):
        table = result.table
        places = 2 * 3 * lm.n_layers
        counts = table["metric"].value_counts()
        assert counts["cosine"] == places * len(EMOTIONS) * len(APPRAISALS)
        assert counts["similarity"] == counts["profile_correlation"] == places
        assert counts["people"] == len(EMOTIONS) * len(APPRAISALS)
        estimates = table[~table["metric"].str.endswith("critical")]
        assert estimates[["value", "low", "high"]].notna().all(axis=None)
        assert (estimates["low"] <= estimates["high"]).all()
        assert table.loc[table["metric"].isin(["similarity", "valence_r"]), "p"].between(0, 1).all()
        assert set(table["items"]) == {"all"}

    def test_every_cosine_is_in_its_own_row(self, geometry, result):
        """The whole way through units and table, against the fit itself at two places."""
        study = geometry.study
        has = np.asarray(study.corpus.emotions)[:, None] == np.array(EMOTIONS)
        targets = np.hstack([has, study.corpus.items[list(APPRAISALS)]])
        parts = grouped_folds(study.corpus.emotions, study.corpus.groups, 8, study.seed)
        n = len(EMOTIONS)
        for site, layer in (("resid_post", 2), ("mlp_out", 1)):
            X = study.clean.activations(site, layer)
            fit = place_cosines(X, targets, (*EMOTIONS, *APPRAISALS), Halves(parts), parts % 2)
            table = result.table[(result.table["site"] == site) & (result.table["layer"] == layer)]
            for k, kind in enumerate(KINDS):
                here = table[(table["metric"] == "cosine") & (table["kind"] == kind)]
                wide = here.pivot(index="emotion", columns="appraisal", values="value")
                cells = wide.loc[list(EMOTIONS), list(APPRAISALS)]
                np.testing.assert_allclose(cells, fit.across[k, 0, :n, n:], atol=1e-6)
            agreed = table[table["metric"] == "probe_means"].set_index("appraisal")["value"]
            np.testing.assert_allclose(agreed[list(APPRAISALS)], fit.agreement[0, n:], atol=1e-6)

    def test_examples_of_the_paper_are_those_of_the_table(self, result):
        for emotion in ("anger", "pride"):
            for appraisal in ("pleasantness", "other_responsblt"):
                row = only_row(
                    result.table,
                    metric="cosine",
                    kind="probe",
                    site="resid_post",
                    layer=2,
                    emotion=emotion,
                    appraisal=appraisal,
                )
                found = result.summary[f"geometry.{emotion}.{appraisal}.cosine"]
                assert (found.value, found.low, found.high) == (row.value, row.low, row.high)
        assert {"geometry.probe_means_cosine", "geometry.valence_r"} <= set(result.summary)

    def test_peoples_profiles_are_mean_standardised_ratings(self, lm):
        study = rated_study(lm, planted=True)
        has = np.asarray(study.corpus.emotions)[:, None] == np.array(EMOTIONS)
        ratings = study.corpus.items[list(APPRAISALS)].to_numpy()
        ratings[3, 1] = np.nan
        parts = np.random.default_rng(0).permutation(np.arange(len(ratings)) % 4)
        found = people_profiles(ratings, has.astype(float), Halves(parts))
        by_half = []
        for half in (0, 1):
            rows = pd.DataFrame(ratings[(parts % 2 == half) & (parts != 3)])
            z = (rows - rows.mean()) / rows.std(ddof=0)
            labels = np.asarray(study.corpus.emotions)[(parts % 2 == half) & (parts != 3)]
            by_half.append(z.groupby(labels).mean().to_numpy())
        np.testing.assert_allclose(found[4], np.mean(by_half, axis=0))

    def test_figures_show_the_chosen_place(self, result):
        figures = geometry_figures(result.table)
        assert set(figures) == {"geometry_similarity", "geometry_profiles", "geometry_components"}
        assert set(figures["geometry_profiles"].rows["layer"]) == {2, -1}
        assert "resid_post, layer 2" in figures["geometry_profiles"].caption
        for emotion in EMOTIONS:
            assert emotion in figures["geometry_components"].alt_text
        assert all(figure.chart.to_dict() for figure in figures.values())

    def test_a_tiny_model_end_to_end(self, lm):
        """Ratings without meaning: a result, and the model's own activations behind it."""
        result = finished(Geometry(rated_study(lm, planted=False), folds=2, parts=4))
        assert result.summary["geometry.human_similarity_p"] > 0.001
        assert result.summary["geometry.human_similarity"].low >= -1
        assert result.figure() is not None

    def test_no_ratings_no_geometry(self, lm):
        study = study_of(lm, EmotionTask(lm, calibration="batch"), 40)
        with pytest.raises(NotPossibleError, match="no appraisal"):
            Geometry(study).units()

    def test_too_few_emotions_are_refused(self, lm):
        study = rated_study(lm, planted=True)
        items = study.corpus.items
        few = items[items["emotion"].isin(["joy", "fear", "anger"])].reset_index(drop=True)
        with pytest.raises(NotPossibleError, match="3 emotions and 4 appraisals"):
            Geometry(replace(study, corpus=replace(study.corpus, items=few)), parts=6).units()

    def test_an_appraisal_that_all_of_a_half_rate_alike_is_left_out(self, lm):
        study = rated_study(lm, planted=True)
        parts = Geometry(study, parts=6)._halves.parts
        items = study.corpus.items.copy()
        items["effort"] = np.where(parts == 0, items["effort"], np.where(parts % 2, 2.0, 3.0))
        items["suddenness"] = np.random.default_rng(0).integers(1, 6, len(items)).astype(float)
        odd = replace(study, corpus=replace(study.corpus, items=items))
        assert Geometry(odd, parts=6).names.appraisals == ("suddenness", *APPRAISALS[:3])

    @pytest.mark.parametrize("settings", [{"folds": 1}, {"parts": 3, "folds": 2}, {"parts": 4}])
    def test_settings_that_make_no_halves_are_refused(self, lm, settings):
        with pytest.raises(UsageError, match="parts"):
            Geometry(rated_study(lm, planted=True), **settings)


class TestNull:
    @pytest.mark.parametrize("meaningful", [True, False])
    def test_p_is_uniform_where_activations_mean_nothing(self, meaningful):
        """One place, ratings that follow the emotions or not: p <= 0.2 in a fifth of the cases."""
        rng = np.random.default_rng(9)
        ps = []
        for trial in range(60):
            has, ratings = made_ratings(rng, 240)
            if not meaningful:
                ratings = rng.standard_normal(ratings.shape)
            found, halves = fitted(rng.standard_normal((240, 16)), has, ratings)
            n = len(EMOTIONS)
            profiles = found.across[KINDS.index("means"), :1, :n, n:]
            people = people_profiles(ratings, has, halves)[0]
            dealt = deal_names(n, seed=trial, n_permutations=199)
            observed = representational_similarity(profiles, people)
            ps.append(maximum_test(observed, permuted_similarity(profiles, people, dealt)).p[0])
        below = np.array([np.mean(np.array(ps) <= level) for level in (0.2, 0.5, 0.8)])
        tolerance = 3 * np.sqrt(np.array([0.16, 0.25, 0.16]) / 60)
        assert (np.abs(below - [0.2, 0.5, 0.8]) < tolerance).all()
