"""The controls: against full passes made by hand, planted curves and planted labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_analyses import corpus_of, random_texts
from test_nested import done
from test_robust import PEAKED

import affectscope.analyses as afa
import reference
from affectscope.analyses import control_table
from affectscope.analyses.control import Control
from affectscope.analyses.control_table import LEAST_PAIRS
from affectscope.analyses.first_word import OPENERS, first_words, with_first_words
from affectscope.analyses.transfer import centre_of, curve_draws, peak_of, two_sided_p, two_way
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.control import control_figures
from affectscope.prompts import EmotionTask
from affectscope.stats import GroupBootstrap
from affectscope.vocabulary import SITES
from reference import log_softmax
from tiny import WORDS, loaded, tiny_llama, word_tokenizer


@pytest.fixture(scope="module")
def opening_lm():
    """A model whose tokenizer has the words of the control task."""
    tokenizer = word_tokenizer([*WORDS, *OPENERS[:15], "word", "Continue"])
    return loaded(tiny_llama(len(tokenizer)), tokenizer)


@pytest.fixture(scope="module")
def control(opening_lm) -> Control:
    texts = random_texts(60)
    task = EmotionTask(opening_lm)
    scores = task.score_texts(texts)
    answers = scores.loc[scores.groupby("text")["p"].idxmax(), "label"].tolist()
    study = afa.Study(opening_lm, task, corpus_of(texts, answers), seed=3)
    return Control(study, items=50, pairs=12, span=3)


@pytest.fixture(scope="module")
def result(control):
    return done(control)


class TestFirstWords:
    def test_thirteen_words_of_one_token(self, opening_lm):
        words = first_words(EmotionTask(opening_lm))
        assert words == list(OPENERS[:13])
        assert all(len(opening_lm.tokenizer.encode(f" {word}")) == 1 for word in words)

    def test_a_tokenizer_without_them(self, lm):
        with pytest.raises(NotPossibleError, match="1 of the words whole"):
            first_words(EmotionTask(lm))

    def test_words_are_as_frequent_as_each_other_and_say_nothing_of_the_emotion(self, control):
        corpus = control.study.corpus
        dealt = with_first_words(corpus, ["So", "Now", "Once"], seed=1)
        assert [dealt.emotions.count(word) for word in ("So", "Now", "Once")] == [20, 20, 20]
        for word, text, was in zip(dealt.emotions, dealt.texts, corpus.texts, strict=True):
            assert text == f"{word}, {was}"
        assert dealt.groups == corpus.groups
        again = with_first_words(corpus, ["So", "Now", "Once"], seed=2)
        assert again.emotions != dealt.emotions

    def test_the_prompt_has_the_emotion_tasks_shape(self, control):
        prompt = control.first_word.prompts[0]
        text = control.first_word.corpus.texts[0]
        assert prompt == (
            "What is the first word of the following contexts? Context: Today, My first child was "
            "born. Answer: Today Context: Once, My dog died last week. Answer: Once "
            f"Context: {text} Answer:"
        )


def test_patches_of_the_control_task_are_those_of_full_passes(control, result, opening_lm):
    study = control.first_word
    seen = control.observed("first_word", "patch")
    seen = seen[seen["direction"] == "sufficient"]
    number = {item: k for k, item in enumerate(study.corpus.items["item_id"])}
    ids = [opening_lm.tokenizer.encode(prompt) for prompt in study.prompts]
    logits = np.stack(
        [opening_lm.model(input_ids=torch.tensor([each])).logits[0, -1].numpy() for each in ids]
    )[:, study.task.label_ids].astype(float)
    offsets = log_softmax(logits).mean(axis=0)
    labels = np.array(study.task.labels)
    right = labels[(log_softmax(logits) - offsets).argmax(axis=1)] == study.corpus.emotions
    assert result.summary["control.first_word.accuracy"].value == pytest.approx(right.mean())
    for row in seen.sample(12, random_state=0).itertuples():
        source, target = number[row.source_id], number[row.target_id]
        layers = [at for at in (row.layer - 1, row.layer, row.layer + 1) if 0 <= at < 4]
        edits = [
            (row.site, at, -1, reference.replace(
                reference.activation(opening_lm.model, ids[source], row.site, at)
            ))
            for at in layers
        ]  # fmt: skip
        patched = reference.full_pass(
            opening_lm.model, ids[target], edits, study.task.label_ids
        ).numpy()
        scores = log_softmax(patched.astype(float)) - offsets
        answer = labels[scores.argmax()]
        expected = {
            study.corpus.emotions[source]: "source",
            study.corpus.emotions[target]: "target",
        }
        assert row.outcome == expected.get(answer, "neither")


class TestResult:
    def test_transfer_is_the_share_of_pairs(self, control, result):
        for part in ("emotion", "first_word"):
            seen = control.observed(part, "patch")
            seen = seen[(seen["direction"] == "sufficient") & (seen["site"] == "mlp_out")]
            shares = (seen["outcome"] == "source").groupby(seen["layer"]).mean().to_numpy()
            rows = result.table.query("part == @part and metric == 'transfer'")
            rows = rows[rows["site"] == "mlp_out"].sort_values("layer")
            assert np.allclose(rows["value"], shares)
            name = "control" if part == "first_word" else "control.emotion"
            assert result.summary[f"{name}.mlp_out.peak_layer"].value == shares.argmax()
            assert result.summary[f"{name}.mlp_out.peak_transfer"].value == shares.max()

    def test_probes_of_every_control(self, control, result):
        for part, name in (
            ("first_word", "control.probe"),
            ("no_question", "control.no_question"),
            ("shuffled", "control.shuffled"),
        ):
            seen = control.observed(part, "readout")
            assert seen["item"].nunique() == 50
            for site in SITES:
                here = seen[seen["site"] == site]
                rates = (here["predicted"] == here["label"]).groupby(here["layer"]).mean()
                assert result.summary[f"{name}.{site}.best_layer"].value == rates.idxmax()
                assert result.summary[f"{name}.{site}.accuracy"].value == pytest.approx(rates.max())

    def test_labels_of_the_controls(self, control):
        def labels(part):
            seen = control.observed(part, "readout").drop_duplicates("item").sort_values("item")
            return seen["label"].tolist()

        emotions = control.study.corpus.emotions[:50]
        assert labels("no_question") == emotions
        assert labels("shuffled") != emotions
        assert sorted(labels("shuffled")) == sorted(emotions)
        assert labels("first_word") == control.first_word.corpus.emotions

    def test_shuffled_labels_are_tested_over_all_layers_and_sites(self, control, result):
        rows = result.table.query("part == 'shuffled' and metric == 'probe'")
        assert len(rows) == 12
        assert rows["p"].between(0, 1).all()
        assert result.summary["control.shuffled.significant_layers"] == (rows["p"] <= 0.05).sum()
        assert result.summary["control.shuffled.significant_layers"] == 0

    def test_the_differences_are_those_of_the_places(self, result):
        table = result.table

        def value(part, metric):
            rows = table[(table.part == part) & (table.metric == metric)]
            return rows[rows.site == "attn_out"]["value"].item()

        for metric in ("centre", "peak"):
            expected = value("emotion", metric) - value("first_word", metric)
            assert value("difference", f"{metric}_difference") == pytest.approx(expected)

    def test_a_difference_of_few_pairs_is_not_tested(self, result):
        table = result.table.query("part == 'difference'")
        assert table["n"].max() < LEAST_PAIRS
        assert table["value"].notna().any()
        assert table["p"].isna().all()
        assert not [name for name in result.summary if "differs" in name]
        assert "a test of the difference, it takes 30 pairs; got 12 of emotion" in result.answer

    def test_a_difference_of_enough_pairs_is(self, control, result, monkeypatch):
        monkeypatch.setattr(control_table, "LEAST_PAIRS", 2)
        table, summary, impossible = control_table.control_estimates(control)
        expected = table.query("metric == 'centre_difference' and site == 'attn_out'")
        assert summary["control.differs"].value == expected["value"].item()
        assert summary["control.differs_p"] == expected["p"].item()
        assert 0 < summary["control.differs_p"] <= 1
        assert not impossible

    def test_columns_that_the_replication_card_reads(self, result):
        rows = result.table.query("part == 'first_word'").set_index("metric")
        assert set(rows.loc["transfer", "span"]) == {3}
        assert set(rows.loc["transfer", "items"]) == {"right"}
        assert set(rows.loc["probe", "items"]) == {"all"}

    def test_a_model_without_the_words_says_so(self, lm):
        texts = random_texts(40)
        emotions = [("joy", "fear", "anger")[i % 3] for i in range(40)]
        control = Control(afa.Study(lm, EmotionTask(lm), corpus_of(texts, emotions)), pairs=4)
        answer = done(control).answer
        assert "Not possible: first_word, this tokenizer has 1 of the words whole" in answer

    def test_figures(self, result):
        figures = control_figures(result.table)
        assert list(figures) == [
            *("control_patch", "control_probe_first_word", "control_probe_no_question"),
            "control_probe_shuffled",
        ]
        assert "0 of 12 places are significant" in figures["control_probe_shuffled"].alt_text


def test_bad_numbers_are_refused(control):
    for options in ({"pairs": 0}, {"items": 0}, {"span": 2}):
        with pytest.raises(UsageError):
            Control(control.study, **options)


class TestDifference:
    """The test of two curves, on planted ones."""

    def p_of(self, rng, *curves) -> float:
        centres = []
        for curve in curves:
            pairs = np.stack([rng.choice(90, size=2, replace=False) for _ in range(100)])
            hits = (rng.random((100, len(curve))) < curve).astype(float)
            groups = np.arange(90).astype(str)
            draws = curve_draws(hits, pairs, groups, seed=int(rng.integers(2**31)))
            centres.append(two_way([centre_of(each) for each in draws]))
        return two_sided_p(centres[0].minus(centres[1]))

    def test_equal_curves_differ_in_at_most_one_case_of_twenty(self):
        rng = np.random.default_rng(0)
        p = np.array([self.p_of(rng, PEAKED, PEAKED) for _ in range(100)])
        assert (p <= 0.05).mean() <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 100)
        assert (p <= 0.2).mean() >= 0.08, "no test that never finds anything"

    def test_height_alone_is_no_difference(self):
        """Both peak at the same layer, one half as high, over the same floor."""
        rng = np.random.default_rng(1)
        low = 0.03 + (PEAKED - 0.03) / 2
        rejected = np.mean([self.p_of(rng, PEAKED, low) <= 0.05 for _ in range(60)])
        assert rejected <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 60)

    def test_different_curves_are_told_apart(self):
        rng = np.random.default_rng(2)
        found = [self.p_of(rng, PEAKED, np.roll(PEAKED, 1)) <= 0.05 for _ in range(30)]
        assert np.mean(found) > 0.95

    def test_the_two_way_variance_is_that_of_means_of_pairs(self):
        """Of a mean over pairs it is known: sigma² (1/pairs + ...) with effects of both items."""
        rng = np.random.default_rng(5)
        means, variances = [], []
        for _ in range(100):
            source, target = rng.normal(size=(2, 40))
            pairs = np.stack([rng.permutation(np.repeat(np.arange(40), 3)) for _ in range(2)], 1)
            values = source[pairs[:, 0]] + target[pairs[:, 1]] + rng.normal(size=120)
            groups = np.arange(40).astype(str)
            scaled = two_way(curve_draws(values[:, None], pairs, groups, seed=0))
            means.append(scaled.value[0])
            variances.append(scaled.draws.var())
        assert np.mean(variances) == pytest.approx(1 / 40 + 1 / 40 + 1 / 120, rel=0.15)
        assert np.var(means) == pytest.approx(1 / 40 + 1 / 40 + 1 / 120, rel=0.4)

    def test_the_centre_by_hand(self):
        hits = np.array([[0.0, 1, 1, 0, 0], [0, 0, 1, 0, 0]])
        curve = GroupBootstrap(("a", "b"), seed=0).ratio(hits)  # 0, .5, 1, 0, 0: median 0
        assert centre_of(curve).value[0] == pytest.approx((0.5 * 1 + 1 * 2) / 1.5)
        assert peak_of(curve).value[0] == 2
        flat = GroupBootstrap(("a", "b"), seed=0).ratio(np.ones((2, 5)))
        assert np.isnan(centre_of(flat).value[0])
        assert np.isnan(two_sided_p(centre_of(flat).minus(centre_of(curve))))
