"""Attention by kind of token and its knock-out, against counts and masked full passes by hand."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch

import affectscope.analyses as afa
import reference
from affectscope.analyses.attend import ALL_LAYERS, Attend, most_attended
from affectscope.analyses.windows import window
from affectscope.data import Corpus
from affectscope.errors import UsageError
from affectscope.figures.attend import attend_figures
from affectscope.models import LanguageModel
from affectscope.prompts import EmotionTask
from affectscope.prompts.token_kinds import token_kinds
from affectscope.vocabulary import EMOTIONS
from reference import log_softmax
from tiny import WORDS, loaded, tiny_variant, word_tokenizer

N, LAYERS, HEADS, SPAN = 40, 4, 4, 3
SAID = "I lost found saw told rain money train house friend school work late early home".split()


def made_corpus(texts: list[str], emotions: list[str]) -> Corpus:
    items = pd.DataFrame(
        {
            "item_id": [f"t{i}" for i in range(len(texts))],
            "text": texts,
            "emotion": emotions,
            "group": [f"g{i // 2}" for i in range(len(texts))],
        }
    )
    return Corpus("made", items, EMOTIONS, "memory", "0" * 64, "utf-8", ())


def random_texts() -> list[str]:
    """The last two have no word of content."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(SAID, size=rng.integers(2, 9))) + " and." for _ in range(N - 2)]
    return [*texts, "I and then.", "He and she."]


def study_of(lm: LanguageModel, template: str = "joy_sadness_0") -> afa.Study:
    task, texts = EmotionTask(lm, template=template), random_texts()
    study = afa.Study(lm, task, made_corpus(texts, [EMOTIONS[0]] * N), seed=3)
    answers = study.clean.predicted
    emotions = [EMOTIONS[(a + (i % 3 == 0)) % 13] for i, a in enumerate(answers)]
    return afa.Study(lm, task, made_corpus(texts, emotions), seed=3)


def run(experiment):
    store = experiment.study.store
    for _ in afa.finish_units(experiment, store):
        pass
    return afa.collect(experiment, store)


@pytest.fixture(scope="module")
def study(lm):
    return study_of(lm)


@pytest.fixture(scope="module")
def experiment(study):
    return Attend(study, span=SPAN)


@pytest.fixture(scope="module")
def result(experiment):
    return run(experiment)


def kinds_of(study, item: int) -> list[str]:
    return token_kinds(study.lm.tokenizer, study.task.template, study.corpus.texts[item])


@functools.cache
def weights_of(study, item: int) -> np.ndarray:
    """[layer, head, token] of the last token, from one eager pass."""
    ids = study.lm.tokenizer.encode(study.task.template.fill(study.corpus.texts[item]))
    return reference.attention_weights(study.lm.model, ids)[:, :, -1].numpy()


def blocked_tokens(experiment, row) -> list[int]:
    item, kinds = row.item, kinds_of(experiment.study, row.item)
    if row.blocked == "kind":
        return [at for at, kind in enumerate(kinds[:-1]) if kind == row.kind]
    return experiment._at_random(item, row.kind).nonzero()[:, 0].tolist()


def test_attention_is_summed_by_kind(study, result):
    seen = result.observations[result.observations["measure"] == "attention"]
    assert len(seen) == N * LAYERS * 7
    for row in seen.sample(60, random_state=0).to_dict("records"):
        mine = np.array(kinds_of(study, row["item"])) == row["kind"]
        shares = weights_of(study, row["item"])[row["layer"]][:, mine].sum(axis=1)
        assert row["n_tokens"] == mine.sum()
        assert row["weight"] == pytest.approx(shares.mean(), abs=1e-5)
        assert row["weight_max"] == pytest.approx(shares.max(), abs=1e-5)
        for head in range(HEADS):
            assert row[f"head.{head}"] == pytest.approx(shares[head], abs=1e-5)
    assert seen.groupby(["item", "layer"])["weight"].sum().to_numpy() == pytest.approx(1, abs=1e-4)


def test_the_most_attended_token_leaves_the_first_out():
    weights = torch.zeros(3, 2, 4)
    weights[0, 1, 2] = 0.6  # of one head only
    weights[0, 0, 1] = 0.5
    weights[1, 0, 0] = 0.9  # the first token, which does not count
    weights[1, 1, 3] = 0.1
    weights[2, 0, 1] = weights[2, 1, 1] = 0.3
    weights[2, 0, 2] = 0.4
    kinds = ["special", "content", "shot_label", "frame"]
    assert most_attended(weights, kinds) == ["shot_label", "frame", "shot_label"]


def test_the_most_attended_kind_of_every_item(study, result):
    seen = result.observations[result.observations["measure"] == "attention"]
    for item in range(0, N, 7):
        for layer in range(LAYERS):
            strongest = weights_of(study, item)[layer].max(axis=0)
            kinds = kinds_of(study, item)
            strongest[[at for at, kind in enumerate(kinds) if kind == "special"]] = -1
            here = seen[(seen["item"] == item) & (seen["layer"] == layer)]
            assert here["most_attended"].sum() == 1
            top = here.loc[here["most_attended"] == 1, "kind"].iloc[0]
            assert top == kinds[int(strongest.argmax())]


def test_answers_are_those_of_full_passes_with_another_mask(study, experiment, result):
    lm, task = study.lm, study.task
    logits = np.stack(
        [
            reference.full_pass(lm.model, lm.tokenizer.encode(prompt), [], task.label_ids).numpy()
            for prompt in study.prompts
        ]
    ).astype(float)
    offsets = log_softmax(logits).mean(axis=0)
    seen = result.observations[result.observations["measure"] == "knockout"]
    for row in seen.sample(60, random_state=1).itertuples():
        ids = lm.tokenizer.encode(study.prompts[row.item])
        everywhere = row.layer == ALL_LAYERS
        layers = range(LAYERS) if everywhere else window(row.layer, SPAN, LAYERS)
        tokens = blocked_tokens(experiment, row)
        assert row.n_tokens == len(tokens)
        assert row.span == (LAYERS if everywhere else SPAN)
        changed = reference.blocked_pass(
            lm.model, ids, [(at, len(ids) - 1, tokens, None) for at in layers], task.label_ids
        ).numpy()
        scores = log_softmax(changed.astype(float)) - offsets
        assert row.predicted == EMOTIONS[int(scores.argmax())]
        clean = log_softmax(logits[row.item]) - offsets
        p, q = (np.exp(log_softmax(values)) for values in (clean, scores))
        assert row.kl == pytest.approx((p * np.log(p / q)).sum(), abs=1e-4)
        assert row.clean == EMOTIONS[int(clean.argmax())]


def test_every_case_is_there_where_an_item_has_such_tokens(study, result):
    seen = result.observations[result.observations["measure"] == "knockout"]
    with_content = N - 2
    expected = (6 * N + with_content) * 2 * (LAYERS + 1)
    assert len(seen) == expected
    assert not seen.duplicated(["item", "kind", "blocked", "layer"]).any()
    assert set(seen.loc[seen["kind"] == "content", "item"]) == set(range(with_content))


def test_the_control_blocks_as_many_other_tokens(study, experiment):
    shared = []
    for item in range(N):
        kinds = kinds_of(study, item)
        for kind in set(kinds):
            tokens = experiment._at_random(item, kind)
            assert int(tokens.sum()) == kinds[:-1].count(kind)
            assert not tokens[-1]
            assert not tokens[0]
            assert torch.equal(tokens, Attend(study)._at_random(item, kind))
            if kind == "shot_label":
                shared.append(tuple(tokens.nonzero()[:, 0].tolist()))
    assert len(set(shared)) > N / 2  # drawn anew for every item


def test_estimates_are_the_means_of_the_observations(result):
    seen = result.observations
    right = seen[seen["clean"] == seen["emotion"]]
    assert 0 < right["item"].nunique() < N
    columns = {"weight": "weight", "weight_max": "weight_max", "most_attended": "most_attended"}
    for items, chosen in {"all": seen, "right": right}.items():
        rows = chosen.assign(
            agreement=(chosen["predicted"] == chosen["clean"]).astype(float),
            accuracy=(chosen["predicted"] == chosen["emotion"]).astype(float),
            weight_per_token=chosen["weight"] / chosen["n_tokens"].replace(0, np.nan),
        )
        table = result.table[result.table["items"] == items]
        attention = rows[rows["measure"] == "attention"]
        for metric in (*columns, "weight_per_token"):
            means = attention.groupby(["kind", "layer"])[metric].mean()
            found = table[table["metric"] == metric].set_index(["kind", "layer"])["value"]
            pd.testing.assert_series_equal(
                found.sort_index(),
                means.sort_index(),
                check_names=False,
                check_dtype=False,
                rtol=1e-5,
            )
        knocked = rows[rows["measure"] == "knockout"]
        for metric in ("agreement", "accuracy", "kl"):
            keys = ["kind", "layer", "blocked"]
            means = knocked.groupby(keys)[metric].mean()
            found = table[table["metric"] == metric].set_index(keys)
            pd.testing.assert_series_equal(
                found["value"].sort_index(),
                means.sort_index(),
                check_names=False,
                check_dtype=False,
            )
            counts = knocked.groupby(keys)[metric].count()
            assert (found["n"].sort_index() == counts.sort_index()).all()
        kl = knocked.pivot_table(index=["item", "kind", "layer"], columns="blocked", values="kl")
        differences = (kl["kind"] - kl["random"]).groupby(["kind", "layer"]).mean()
        found = table[table["metric"] == "kl_difference"].set_index(["kind", "layer"])
        pd.testing.assert_series_equal(
            found["value"].sort_index(),
            differences.sort_index(),
            check_names=False,
            check_dtype=False,
        )
        assert found["p"].between(0, 1).all()
    heads = result.table[result.table["metric"] == "head_weight"]
    assert set(heads["items"]) == {"all"}
    assert len(heads) == 7 * LAYERS * HEADS
    of_head = seen[seen["measure"] == "attention"].groupby(["kind", "layer"])["head.2"].mean()
    found = heads[heads["head"] == 2].set_index(["kind", "layer"])["value"]
    pd.testing.assert_series_equal(
        found.sort_index(),
        of_head.sort_index(),
        check_names=False,
        check_dtype=False,
        rtol=1e-5,
    )


def test_every_estimate_has_an_interval_around_it(result):
    table = result.table
    assert table[["value", "low", "high"]].notna().all(axis=None)
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["high"] + 1e-9).all()
    assert not table.duplicated(["metric", "items", "kind", "blocked", "layer", "head"]).any()


def test_the_summary_is_read_off_the_table(result):
    table = result.table[result.table["items"] == "all"]
    for kind in ("content", "shot_label", "special"):
        weight = table[(table["metric"] == "weight") & (table["kind"] == kind)]
        best = weight.loc[weight["value"].idxmax()]
        assert result.summary[f"attend.{kind}.peak_layer"].value == best["layer"]
        assert result.summary[f"attend.{kind}.weight"].value == best["value"]
        kept = table[
            (table["metric"] == "agreement")
            & (table["kind"] == kind)
            & (table["blocked"] == "kind")
        ].set_index("layer")["value"]
        everywhere = kept.pop(ALL_LAYERS)
        assert result.summary[f"attend.{kind}.knockout_layer"].value == kept.idxmin()
        assert result.summary[f"attend.{kind}.knockout_agreement"].value == kept.min()
        assert result.summary[f"attend.all_layers.{kind}.agreement"].value == everywhere
        p = table[(table["metric"] == "kl_difference") & (table["kind"] == kind)]
        significant = ((p["p"] <= 0.05) & (p["layer"] >= 0)).sum()
        assert result.summary[f"attend.{kind}.significant_layers"] == significant
    assert f"{result.summary['attend.content.weight'].value:.1%}" in result.answer
    everywhere = result.summary["attend.all_layers.content.agreement"]
    assert f"content words {everywhere.value:.1%}" in result.answer
    assert "attend.content.peak_layer_right" in result.summary


def test_the_layer_that_looks_is_found():
    """A model in which only layer 2 moves anything between tokens, looking at all evenly."""
    tokenizer = word_tokenizer(WORDS)
    lm = loaded(tiny_variant("llama", len(tokenizer)), tokenizer)
    layers = lm.model.model.layers
    with torch.no_grad():
        for layer in (0, 1, 3):
            layers[layer].self_attn.o_proj.weight.zero_()
        layers[2].self_attn.q_proj.weight.zero_()
        layers[2].self_attn.q_proj.bias.zero_()
    found = run(Attend(study_of(lm), span=1))
    table = found.table[(found.table["items"] == "all") & (found.table["blocked"] != "")]
    kl = table[table["metric"] == "kl"]
    elsewhere = kl[~kl["layer"].isin([2, ALL_LAYERS])]
    assert elsewhere["value"].max() < 1e-6
    here = kl[(kl["layer"] == 2) & (kl["kind"] != "special")]
    assert here["value"].min() > 1e-4
    # all layers together are the one that matters
    wide = kl.pivot_table(index=["kind", "blocked"], columns="layer", values="value")
    assert np.allclose(wide[ALL_LAYERS], wide[2], atol=1e-6)
    weights = found.table[(found.table["metric"] == "weight") & (found.table["layer"] == 2)]
    seen = found.observations.query("measure == 'attention' and layer == 2")
    evenly = seen["n_tokens"] / seen.groupby("item")["n_tokens"].transform("sum")
    shares = weights[weights["items"] == "all"].set_index("kind")["value"].sort_index()
    assert shares.to_numpy() == pytest.approx(evenly.groupby(seen["kind"]).mean().to_numpy())


def test_tokens_outside_every_window_change_nothing():
    """The first token is never within the sliding window of the last."""
    tokenizer = word_tokenizer(WORDS)
    lm = loaded(tiny_variant("mistral, sliding", len(tokenizer)), tokenizer)
    found = run(Attend(study_of(lm), span=1, items=8))
    seen = found.observations[found.observations["measure"] == "knockout"]
    special = seen[(seen["kind"] == "special") & (seen["blocked"] == "kind")]
    assert len(special) == 8 * (LAYERS + 1)
    assert (special["kl"] < 1e-6).all()
    assert (special["predicted"] == special["clean"]).all()
    frame = seen[(seen["kind"] == "frame") & (seen["blocked"] == "kind")]
    assert frame["kl"].max() > 1e-3


def test_a_template_without_instruction_has_no_such_kind(lm):
    found = run(Attend(study_of(lm, "joy_sadness_2"), span=1, items=5))
    assert "instruction" not in set(found.table["kind"])
    assert "instruction" not in found.answer
    assert "attend.instruction.weight" not in found.summary


def test_units_hold_what_decides_them(study):
    keys = [unit.key for unit in Attend(study, items=35, span=1).units()]
    assert [key["items"] for key in keys] == [[0, 32], [32, 35]]
    assert all(key["span"] == 1 for key in keys)
    assert sum(unit.cost for unit in Attend(study).units()) == pytest.approx(
        Attend(study).planned_cost()
    )


def test_what_cannot_be_asked(study):
    with pytest.raises(UsageError, match="span 2 layers"):
        Attend(study, span=2)
    with pytest.raises(UsageError, match="0 items"):
        Attend(study, items=0)


def test_figures(result):
    figures = attend_figures(result.table)
    assert list(figures) == [
        "attend_layers",
        "attend_most",
        "attend_heads_content",
        "attend_heads_shot_label",
        "attend_knockout_kl",
        "attend_knockout_agreement",
        "attend_all_layers",
    ]
    table = result.table[result.table["items"] == "all"]
    weight = table[(table["metric"] == "weight") & (table["kind"] == "frame")]
    best = weight.loc[weight["value"].idxmax()]
    assert f"highest at layer {best['layer']}" in figures["attend_layers"].alt_text
    heads = table[(table["metric"] == "head_weight") & (table["kind"] == "content")]
    best = heads.loc[heads["value"].idxmax()]
    said = figures["attend_heads_content"].alt_text
    assert f"layer {best['layer']}, head {best['head']}, with {100 * best['value']:.1f}" in said
    for name, figure in figures.items():
        assert set(figure.rows["items"]) == {"all"}, name
        assert figure.chart.to_dict()["title"]["text"]
