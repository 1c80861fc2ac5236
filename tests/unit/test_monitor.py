"""The monitor reads the states that tokens are written from, and its alarms keep their rate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from safetensors.torch import save_file

from affectscope.cli import monitor as command
from affectscope.cli.failures import Failures
from affectscope.data import Corpus
from affectscope.errors import (
    AffectscopeError,
    InterventionError,
    LayerError,
    ModelFileError,
    ModelNotFoundError,
    PromptError,
    UsageError,
)
from affectscope.monitor import Monitor, MonitorProbes, Thresholds, calibrate, fit_monitor
from affectscope.monitor.conversation import context_of, reply_prompt
from affectscope.monitor.statistic import WINDOW, log_odds, peaks, probabilities
from affectscope.monitor.thresholds import fit_thresholds
from tiny import VARIANTS, WORDS, loaded, tiny_llama, tiny_variant, word_tokenizer

FEELINGS = ("anger", "fear", "joy", "neutral", "sadness")
FILL = "I saw the train and then we waited at home with my friend all day long".split()
CHAT = (
    "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }} ! {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def thresholds(kind="text", watched=("anger", "suddenness"), limit=1.0) -> Thresholds:
    n = len(watched)
    return Thresholds(kind, watched, (0.1,) * n, (0.7,) * n, limit, 0.05, 80, (20, 60))


def random_probes(lm, *, layer=1, seed=0, **options) -> MonitorProbes:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(5, lm.d_model, generator=generator) / lm.d_model**0.5
    bias = torch.randn(5, generator=generator)
    said = {"thresholds": {"text": thresholds()}, "about": {"model_sha256": "0" * 64}} | options
    return MonitorProbes(layer, FEELINGS[:3], ("suddenness", "effort"), weights, bias, **said)


def filled(seed: int, n: int = 24, feeling: str | None = None) -> str:
    """Words at random; with a feeling, it is every word of the second half."""
    rng = np.random.default_rng(seed)
    words = list(rng.choice(FILL, n))
    if feeling is not None:
        words[n // 2 :] = [feeling] * (n - n // 2)
    return " ".join(words)


def made_corpus(n: int = 100) -> Corpus:
    feelings = [FEELINGS[k % len(FEELINGS)] for k in range(n)]
    texts = [filled(k, feeling=one) for k, one in enumerate(feelings)]
    items = pd.DataFrame(
        {
            "item_id": [str(k) for k in range(n)],
            "text": texts,
            "emotion": feelings,
            "group": [f"author {k // 5}" for k in range(n)],
            "pleasantness": [{"joy": 5.0, "neutral": 3.0}.get(one, 1.0) for one in feelings],
        }
    )
    return Corpus("made", items, FEELINGS, "memory", "1" * 64, "utf-8")


@pytest.fixture(scope="module")
def fitted(lm) -> MonitorProbes:
    neutral = [filled(1000 + k) for k in range(60)]
    return fit_monitor(lm, made_corpus(300), neutral=neutral, watched=("anger", "fear", "sadness"))


# --- the statistic ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, WINDOW, WINDOW + 1, 50])
def test_the_peak_is_the_largest_running_mean(n):
    scores = np.random.default_rng(n).normal(size=(n, 3))
    found = peaks(scores)
    width = min(WINDOW, n)
    for column in range(3):
        means = [scores[k : k + width, column].mean() for k in range(n - width + 1)]
        assert found.values[column] == pytest.approx(max(means))
        assert found.tokens[column] == int(np.argmax(means)) + width - 1


def test_log_odds_are_those_of_the_softmax():
    logits = np.random.default_rng(0).normal(size=(6, 4))
    p = torch.from_numpy(logits).softmax(dim=-1).numpy()
    assert np.allclose(probabilities(logits), p)
    assert np.allclose(log_odds(logits), np.log(p) - np.log1p(-p))
    assert np.isfinite(log_odds(np.array([[900.0, 0.0, -900.0]]))).all()


# --- thresholds ------------------------------------------------------------------------------


def test_the_claimed_rate_holds_for_all_that_is_watched_together():
    """Many calibrations on correlated, skewed statistics, each tried on new texts."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))

    def draw(n: int) -> np.ndarray:
        return np.exp(rng.normal(size=(n, 6)) @ mixing / 3)

    for rate, n in ((0.05, 120), (0.2, 45)):
        raised = []
        for repeat in range(400):
            found = fit_thresholds(
                draw(n),
                [40] * n,
                kind="text",
                watched=tuple("abcdef"),
                false_alarm_rate=rate,
                seed=repeat,
            )
            raised.append((found.standardised(draw(200)).max(axis=1) > found.limit).mean())
        error = np.std(raised) / 20
        assert rate - 1 / (found.n_texts + 1) - 3 * error <= np.mean(raised) <= rate + 3 * error


def test_the_limit_leaves_the_claimed_share_of_its_own_texts_above():
    statistic = np.random.default_rng(1).normal(size=(120, 1))
    found = fit_thresholds(
        statistic, range(120), kind="user", watched=["anger"], false_alarm_rate=0.1, seed=0
    )
    excess = found.standardised(statistic)[:, 0]
    assert found.n_texts == 80
    assert found.n_tokens == (0, 119)
    # 81 * 0.9 = 72.9: the 73rd of 80 texts is the limit, of which 7 lie above
    order = np.random.default_rng(0).permutation(120)
    assert (excess[order[40:]] > found.limit).sum() == 7


def test_with_several_sorts_the_claim_holds_for_each_of_them():
    rng = np.random.default_rng(2)
    calm, lively = (rng.normal(size=(n, 2)) + at for n, at in ((90, 0.0), (120, 3.0)))
    options = {"kind": "text", "watched": ["anger", "fear"], "false_alarm_rate": 0.1, "seed": 0}
    pooled = np.concatenate([calm, lively])
    sorts = [0] * 90 + [1] * 120
    found = fit_thresholds(pooled, [9] * 210, sorts=sorts, **options)
    assert found.n_texts == 60 + 80
    new = {0: rng.normal(size=(4000, 2)), 1: rng.normal(size=(4000, 2)) + 3.0}
    raised = [(found.standardised(new[k]).max(axis=1) > found.limit).mean() for k in (0, 1)]
    assert raised[0] < 0.01
    assert 0.02 < raised[1] < 0.2
    mixed = fit_thresholds(pooled, [9] * 210, **options)
    assert (mixed.standardised(new[1]).max(axis=1) > mixed.limit).mean() > raised[1]
    with pytest.raises(UsageError, match="5 neutral texts"):
        fit_thresholds(pooled, [9] * 210, sorts=[0] * 5 + [1] * 205, **options)


def test_both_sorts_of_shipped_texts_make_the_thresholds(lm):
    probes = random_probes(lm, thresholds={})
    shipped = calibrate(lm, probes, watched=["anger"], kinds=("text",)).thresholds["text"]
    assert shipped.n_texts == 80 + 80
    assert shipped.n_tokens[0] < 10
    assert shipped.n_tokens[1] > 60


@pytest.mark.parametrize(("n", "rate"), [(27, 0.05), (120, 0.001), (5, 0.5)])
def test_too_few_texts_for_a_rate_say_how_many_are_needed(n, rate):
    options = {"kind": "text", "watched": ["anger"], "false_alarm_rate": rate, "seed": 0}
    with pytest.raises(UsageError, match=f"{n} neutral texts") as caught:
        fit_thresholds(np.zeros((n, 1)), [1] * n, **options)
    needed = int(caught.value.expected.split()[2])
    fit_thresholds(np.random.default_rng(0).random((needed, 1)), [1] * needed, **options)
    with pytest.raises(UsageError):
        fit_thresholds(np.zeros((needed - 1, 1)), [1] * (needed - 1), **options)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_is_a_share(lm, rate):
    with pytest.raises(UsageError, match="false-alarm rate"):
        calibrate(lm, random_probes(lm), false_alarm_rate=rate)


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["llama", "gpt2", "gemma2", "qwen3, sliding", "gpt_neox"])
def test_what_is_read_later_equals_what_was_read_while_writing(variant, tokenizer):
    assert variant in VARIANTS
    lm = loaded(tiny_variant(variant, len(tokenizer)), tokenizer)
    monitor = Monitor(lm, random_probes(lm, layer=2))
    prompts = ["My dog died", "I saw my friend at home and then we waited . My"]
    written, turns = monitor.generate(prompts, max_new_tokens=14, temperature=1.3, seed=2)
    later = monitor.read(written.tokens, after=written.prompt_tokens)
    for turn, again, ended in zip(turns, later, written.ended, strict=True):
        n = len(turn.tokens)
        assert again.tokens[:n] == turn.tokens
        assert len(again.tokens) == n + (not ended)
        assert np.abs(again.emotions[:n] - turn.emotions).max() < 1e-4
        assert np.abs(again.appraisals[:n] - turn.appraisals).max() < 1e-4
    assert len(turns[0].emotions) > 8


def test_each_token_is_read_from_the_state_before_it(lm):
    """Against Hugging Face's own hidden states."""
    probes = random_probes(lm, layer=2)
    text, context = "a friend came late and found the dog", "My day was long . I"
    ids = lm.encode([f"{context} {text}"])[0]
    with torch.no_grad():
        states = lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[3][0]
    expected = (states @ probes.weights.T + probes.bias).double()
    start = len(lm.encode([context])[0])
    found = Monitor(lm, probes).read([f" {text}"], after=[context])[0]
    assert "".join(found.tokens).split() == text.split()
    assert np.allclose(found.emotions, expected[start - 1 :, :3].softmax(-1), atol=1e-5)
    assert np.allclose(found.appraisals, expected[start - 1 :, 3:], atol=1e-5)
    alone = Monitor(lm, probes).read([f"{context} {text}"])[0]
    assert np.allclose(alone.appraisals, expected[1:, 3:], atol=1e-5)
    assert len(alone.tokens) == len(ids) - 1


def test_a_batch_reads_as_each_text_alone(lm):
    monitor = Monitor(lm, random_probes(lm))
    texts = [filled(k, 3 + 4 * k) for k in range(5)] + ["dog", "My dog"]
    together = monitor.read(texts)
    for text, turn in zip(texts, together, strict=True):
        alone = monitor.read([text])[0]
        assert np.allclose(alone.emotions, turn.emotions, atol=1e-5)
        assert len(turn.tokens) == max(1, len(lm.encode([text])[0]) - 1)


def test_a_turn_without_text_is_refused(lm):
    monitor = Monitor(lm, random_probes(lm))
    with pytest.raises(PromptError):
        monitor.read([""])
    with pytest.raises(PromptError, match="without tokens"):
        monitor.read([""], after=["My dog"])
    with pytest.raises(UsageError, match="2 contexts"):
        monitor.read(["My dog"], after=["a", "b"])


def test_other_readouts_stay_in_the_generation(lm):
    monitor = Monitor(lm, random_probes(lm))
    other = random_probes(lm, layer=0, seed=3).readout
    options = {"max_new_tokens": 5}
    with_ours = monitor.generate(["My dog"], readouts=[other], **options)[0]
    without = lm.generate(["My dog"], readouts=[other], **options)
    assert len(with_ours.readouts) == 1
    assert torch.equal(with_ours.readouts[0][0], without.readouts[0][0])


def test_probes_of_another_model_are_refused(lm):
    with pytest.raises(UsageError, match="fitted to"):
        Monitor(lm, random_probes(lm, about={"model": "other", "model_sha256": "f" * 64}))
    with pytest.raises(LayerError):
        Monitor(lm, random_probes(lm, layer=9))
    other = loaded(tiny_llama(len(lm.tokenizer), hidden_size=64), lm.tokenizer)
    with pytest.raises(InterventionError):
        Monitor(lm, random_probes(other))
    with pytest.raises(UsageError, match="calibrate"):
        Monitor(lm, random_probes(lm, thresholds={})).read(["My dog died"])


# --- fitting ---------------------------------------------------------------------------------


def test_feelings_that_are_there_are_found_and_raise_their_alarm(lm, fitted):
    quality = fitted.about["quality"]
    assert quality["accuracy"] > 0.7
    assert quality["chance"] == pytest.approx(0.2)
    assert quality["r2"]["pleasantness"] > 0.5
    assert str(fitted.layer) in fitted.about["layers_tried"]
    monitor = Monitor(lm, fitted)
    found = []
    for feeling in ("anger", "fear", "sadness"):
        turns = monitor.read([filled(5000 + k, feeling=feeling) for k in range(10)])
        alarmed = [turn for turn in turns if turn.alarms]
        assert all(turn.alarms[0] == feeling for turn in alarmed)
        assert all(turn.peaks[feeling] > 11 for turn in alarmed)
        assert all(turn.stretch(feeling).split().count(feeling) > 3 for turn in alarmed)
        found += [bool(turn.alarms) for turn in turns]
    assert np.mean(found) > 0.7
    quiet = monitor.read([filled(7000 + k) for k in range(100)])
    assert np.mean([bool(turn.alarms) for turn in quiet]) <= 0.15


def test_labels_that_mean_nothing_are_not_found(lm):
    corpus = made_corpus()
    corpus.items["emotion"] = np.random.default_rng(0).permutation(corpus.items["emotion"])
    neutral = [filled(1000 + k) for k in range(40)]
    found = fit_monitor(lm, corpus, layer=2, neutral=neutral, watched=["anger"])
    assert found.about["quality"]["accuracy"] < 0.4
    assert found.about["layers_tried"] == {}


def test_an_appraisal_can_be_watched_and_an_unknown_name_cannot(lm, fitted):
    neutral = [filled(1000 + k) for k in range(40)]
    other = calibrate(lm, fitted, neutral, watched=["pleasantness"], false_alarm_rate=0.1)
    joyful = Monitor(lm, other).read([filled(9000, feeling="joy")])[0]
    assert joyful.alarms == ("pleasantness",)
    assert other.thresholds["text"].false_alarm_rate == 0.1
    with pytest.raises(UsageError, match="boredom"):
        calibrate(lm, fitted, neutral, watched=["boredom"])


def test_a_longer_turn_says_that_the_claim_is_not_for_it(lm, fitted):
    monitor = Monitor(lm, fitted)
    most = fitted.thresholds["text"].n_tokens[1]
    short, long = monitor.read([filled(0, most), filled(0, most + 2)])
    assert short.comparable
    assert not long.comparable


# --- files -----------------------------------------------------------------------------------


def test_saved_probes_come_back_to_the_bit(lm, tmp_path):
    both = {"text": thresholds(), "user": thresholds("user", limit=1 / 3)}
    probes = random_probes(lm, thresholds=both, about={"quality": {"r2": [0.1, 2 / 3]}})
    folder = probes.save_pretrained(tmp_path / "new" / "probes")
    again = MonitorProbes.from_pretrained(folder)
    for name in ("weights", "bias"):
        assert torch.equal(getattr(again, name), getattr(probes, name))
    for name in ("layer", "site", "labels", "appraisals", "thresholds", "about"):
        assert getattr(again, name) == getattr(probes, name)
    again.save_pretrained(tmp_path / "twice")
    one, two = (tmp_path / at / "monitor.safetensors" for at in ("new/probes", "twice"))
    assert one.read_bytes() == two.read_bytes()


def test_a_damaged_file_is_one_clear_error(lm, tmp_path):
    random_probes(lm).save_pretrained(tmp_path)
    file = tmp_path / "monitor.safetensors"
    whole = file.read_bytes()
    for end in (0, 4, 8, 60, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:end])
        with pytest.raises(ModelFileError):
            MonitorProbes.from_pretrained(tmp_path)
    for place in range(9, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            again = MonitorProbes.from_pretrained(tmp_path)
        except ModelFileError:
            continue
        # a changed letter or digit of the description is still a description
        assert torch.equal(again.weights, random_probes(lm).weights)


def test_a_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError):
        MonitorProbes.from_pretrained(tmp_path)
    save_file({"weights": torch.zeros(2, 2)}, tmp_path / "monitor.safetensors")
    with pytest.raises(ModelFileError, match="does not hold"):
        MonitorProbes.from_pretrained(tmp_path)


# --- chats and the command -------------------------------------------------------------------


@pytest.fixture
def chatting(lm, monkeypatch):
    """The tiny model with a chat format, as the one that the command loads."""
    tokenizer = word_tokenizer([*WORDS, "user", "assistant"])
    tokenizer.chat_template = CHAT
    found = loaded(tiny_llama(len(tokenizer)), tokenizer)
    monkeypatch.setattr("affectscope.models.load_model", lambda *_, **__: found)
    return found


@pytest.fixture
def folder(chatting, tmp_path):
    probes = random_probes(chatting, thresholds={}, layer=2)
    neutral = [filled(k) for k in range(30)]
    calibrate(chatting, probes, neutral, watched=["anger"]).save_pretrained(tmp_path / "probes")
    return tmp_path / "probes"


@pytest.fixture
def run(folder, monkeypatch, capsys):
    app = typer.Typer()
    app.command()(command.monitor)

    def run(lines: bytes, *arguments: str) -> tuple[int, list[dict], str]:
        class Stdin:
            buffer = lines.splitlines(keepends=True)

        monkeypatch.setattr("sys.stdin", Stdin())
        failures = Failures(arguments)
        with failures:
            app(["--probes", str(folder), *arguments], prog_name="monitor", obj=failures)
        said = capsys.readouterr()
        return failures.exit_code, [json.loads(line) for line in said.out.splitlines()], said.err

    return run


def lines(*turns: dict) -> bytes:
    return b"".join(json.dumps(turn).encode() + b"\n" for turn in turns)


USER = {"role": "user", "content": "My dog died last week"}
ANSWER = {"role": "assistant", "content": "What was it"}


def test_turns_are_read_in_the_chat_so_far(run, chatting, folder):
    code, said, _ = run(lines(USER, ANSWER, {"text": "We saw the train"}), "--per-token")
    assert code == 0
    assert [turn["turn"] for turn in said] == [1, 2, 3]
    assert [turn["role"] for turn in said] == ["user", "assistant", None]
    assert [turn["kind"] for turn in said] == ["user", "assistant", "text"]
    monitor = Monitor(chatting, MonitorProbes.from_pretrained(folder))
    context = "user : My dog died last week ! assistant : "
    expected = monitor.read([ANSWER["content"]], after=[context], kind="assistant")[0]
    assert said[1]["emotions"] == pytest.approx(expected.as_dict()["emotions"], abs=1e-4)
    assert (
        "".join(token["text"] for token in said[1]["tokens"]).split() == ANSWER["content"].split()
    )


def test_the_model_replies_as_it_is_monitored(run):
    given = lines(USER), "--reply", "--max-new-tokens", "6", "--seed", "3"
    code, said, _ = run(*given)
    assert code == 0
    assert said[1]["role"] == "assistant"
    assert 1 <= said[1]["n_tokens"] <= 7
    assert run(*given)[1] == said
    code, said, error = run(lines(USER, ANSWER), "--reply")
    assert (code, len(said)) == (2, 2)
    assert "nothing to answer" in error


def test_a_long_chat_forgets_its_oldest_turns_and_says_so(run, chatting):
    chatting.model.config.max_position_embeddings = 30  # two turns of each and one more do not fit
    chat = [USER, ANSWER] * 2 + [USER]
    reply = ("--reply", "--max-new-tokens", "4", "--temperature", "0")
    code, said, error = run(lines(*chat), *reply)
    assert code == 0
    assert [turn["forgotten"] for turn in said] == [0, 0, 0, 0, 2, 2]
    assert error.count("has outgrown the model's context of 30 tokens") == 1
    _, short, _ = run(lines(*chat[2:]), *reply)
    assert [turn["forgotten"] for turn in short] == [0] * 4
    for key in ("emotions", "appraisals", "statistic"):
        assert said[4][key] == short[2][key]
        assert said[5][key] == short[3][key]
    needs_room = ("--reply", "--max-new-tokens", "12", "--temperature", "0")
    code, said, _ = run(lines(USER, ANSWER, USER), *needs_room)
    assert (code, [turn["forgotten"] for turn in said]) == (0, [0, 0, 0, 2])
    code, said, error = run(lines(USER, {"role": "assistant", "content": "the train " * 20}))
    assert (code, len(said)) == (1, 1)
    assert "line 2 of stdin" in error
    assert "30, the model's context" in error


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"\xff\xfe",
        b"[1]",
        b'{"role": "system", "content": "x"}',
        b'{"role": "user"}',
        b'{"text": 3}',
        b'{"text": " "}',
        b'{"text": "a", "content": "b"}',
        b"[" * 5000,
    ],
)
def test_a_malformed_line_is_named_and_what_was_printed_holds(run, bad):
    code, said, error = run(lines(USER) + b"\n" + bad + b"\n" + lines(ANSWER))
    assert code == 2
    assert len(said) == 1
    assert "line 3 of stdin" in error
    assert error.count("affectscope:") == 1


def test_options_that_do_not_go_together_are_refused(run):
    for given in (["--data", "vignettes"], ["--false-alarm-rate", "2"], ["--watch", "hunger"]):
        code, said, error = run(lines(USER), *given)
        assert (code, said) == (2, []), error


def test_other_thresholds_can_be_asked_of_saved_probes(run, tmp_path):
    file = tmp_path / "neutral.txt"
    file.write_text("\n\n".join(filled(50 + k) for k in range(20)))
    given = ["--neutral", str(file), "--watch", "fear,effort", "--false-alarm-rate", "0.2"]
    code, said, _ = run(lines(USER), *given, "--save", str(tmp_path / "other"))
    assert code == 0
    assert set(said[0]["statistic"]) == {"fear", "effort"}
    saved = MonitorProbes.from_pretrained(tmp_path / "other").thresholds
    assert {one.false_alarm_rate for one in saved.values()} == {0.2}
    assert set(saved) == {"text", "user", "assistant"}


def test_context_is_what_the_chat_format_puts_before_a_turn(chatting, lm):
    tokenizer = chatting.tokenizer
    assert context_of(tokenizer, [USER], "assistant") == (
        "user : My dog died last week ! assistant : "
    )
    assert reply_prompt(tokenizer, [USER]).endswith("! assistant : ")
    assert context_of(lm.tokenizer, [USER], "assistant") == "My dog died last week\n\n"
    with pytest.raises(AffectscopeError, match="chat template"):
        reply_prompt(lm.tokenizer, [USER])
