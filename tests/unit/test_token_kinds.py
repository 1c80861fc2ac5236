"""Kinds of tokens: examples cut by hand, and that kinds partition any prompt."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from affectscope.errors import NotPossibleError, PromptError
from affectscope.prompts import TEMPLATES
from affectscope.prompts.token_kinds import (
    TOKEN_KINDS,
    kinds_of_characters,
    prompt_parts,
    token_kinds,
)
from affectscope.prompts.tokens import prompt_ids
from tiny import WORDS, word_tokenizer

TOKENIZER = word_tokenizer(WORDS)


def byte_tokenizer(merges=(), *, bos: bool = False) -> PreTrainedTokenizerFast:
    """Bytes, and some merges of them; with a special token at the start if asked for."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", *alphabet, *(a + b for a, b in merges)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocabulary, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            "<s> $A", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")


def named(template, text: str, tokenizer=TOKENIZER) -> list[tuple[str, str]]:
    prompt = template.fill(text)
    offsets = tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    kinds = token_kinds(tokenizer, template, text)
    return [(prompt[a:b], kind) for (a, b), kind in zip(offsets, kinds, strict=True)]


def test_the_papers_template_token_by_token():
    found = named(TEMPLATES["joy_sadness_0"], "I lost the train, and then I didn't work!")
    expected = [
        ("What", "special"),
        *((f" {w}", "instruction") for w in "are the inferred emotions in the following".split()),
        (" contexts", "instruction"),
        ("?", "instruction"),
        (" Context", "frame"),
        (":", "frame"),
        *((f" {word}", "shot_text") for word in "My first child was born".split()),
        (".", "shot_text"),
        (" Answer", "frame"),
        (":", "frame"),
        (" joy", "shot_label"),
        (" Context", "frame"),
        (":", "frame"),
        *((f" {word}", "shot_text") for word in "My dog died last week".split()),
        (".", "shot_text"),
        (" Answer", "frame"),
        (":", "frame"),
        (" sadness", "shot_label"),
        (" Context", "frame"),
        (":", "frame"),
        (" I", "function"),
        (" lost", "content"),
        (" the", "function"),
        (" train", "content"),
        (",", "function"),
        (" and", "function"),
        (" then", "function"),
        (" I", "function"),
        (" didn", "content"),
        ("'", "content"),
        ("t", "content"),
        (" work", "content"),
        ("!", "function"),
        (" Answer", "frame"),
        (":", "frame"),
    ]
    assert found == expected


def test_labels_in_the_instruction_are_instruction():
    """Template 1 names all emotions first; only the examples' own labels are labels of shots."""
    found = named(TEMPLATES["joy_sadness_1"], "I lost it.")
    assert [written for written, kind in found if kind == "shot_label"] == [" joy", " sadness"]
    assert [kind for written, kind in found if "joy" in written] == ["instruction", "shot_label"]


def test_a_template_without_instruction():
    found = named(TEMPLATES["joy_sadness_2"], "rain")
    assert found[:3] == [("Context", "special"), (":", "frame"), (" My", "shot_text")]
    assert "instruction" not in {kind for _, kind in found}
    assert (" rain", "content") in found


def test_words_of_the_situation():
    function = "I we his was not the again they've it's cannot can't".split()
    content = "Lost dog 3 mam doctor's weren joyful".split()
    template = TEMPLATES["shots_1"]
    for word in function + content:
        parts = prompt_parts(template, word)
        kinds = {kind for start, _, kind in parts if start >= len(template.prefix)}
        assert kinds == {"function" if word in function else "content", "frame"}, word


def test_a_situation_that_repeats_the_template():
    """Its place is where the template puts it, not where its words are found first."""
    found = named(TEMPLATES["joy_sadness_0"], "My dog died last week. Answer: joy")
    assert [written for written, kind in found if kind == "shot_label"] == [" joy", " sadness"]
    assert [w for w, kind in found if kind == "content"] == [
        " dog",
        " died",
        " week",
        " Answer",
        " joy",
    ]


def test_a_token_that_straddles_parts_goes_to_the_larger():
    merges = [(":", "Ġ"), (":Ġ", "l"), (":Ġl", "o"), (":Ġlo", "s")]
    tokenizer = byte_tokenizer(merges)
    of_frame = named(TEMPLATES["joy_sadness_2"], "lost", byte_tokenizer(merges[:2]))
    of_text = named(TEMPLATES["joy_sadness_2"], "lost", tokenizer)
    assert (": l", "frame") in of_frame  # one character each: the first
    assert (": los", "content") in of_text
    assert (": los", "frame") not in of_text


def test_special_tokens_and_pieces_of_characters():
    tokenizer = byte_tokenizer(bos=True)
    template, text = TEMPLATES["joy_sadness_2"], "é 😀 rain"
    kinds = token_kinds(tokenizer, template, text)
    assert len(kinds) == len(prompt_ids(tokenizer, template.fill(text)))
    assert kinds[0] == "special"
    assert kinds[1] == "frame"  # the prompt's own first letter
    assert kinds.count("special") == 1
    end = len(" Answer:")
    # é is a word of two bytes; the emoji, of four bytes, and the spaces are none
    assert kinds[-end - 12 : -end] == [
        *["content"] * 2, "function", *["function"] * 4, "function", *["content"] * 4
    ]  # fmt: skip


@dataclass(frozen=True)
class Chat:
    """A template that says nothing of its parts."""

    prefix: str = "<user> Which emotion is it? "
    end: str = " <assistant> Answer:"

    def fill(self, text: str) -> str:
        return f"{self.prefix}{text.strip()}{self.end}"


@dataclass(frozen=True)
class Pairs(Chat):
    """A template with examples of its own."""

    prefix: str = "Which emotion is it? The rain came. = sadness I found money! = joy Then: "
    instruction: str = "Which emotion is it?"
    shots: tuple = (("The rain came.", "sadness"), ("I found money!", "joy"))


def test_a_prefix_that_cannot_be_taken_apart_is_instruction():
    parts = prompt_parts(Chat(), " the dog ")
    written = [(Chat().fill("the dog")[a:b], kind) for a, b, kind in parts]
    assert written == [
        (Chat().prefix, "instruction"),
        ("the ", "function"),
        ("dog", "content"),
        (Chat().end, "frame"),
    ]
    Wrong = type("Wrong", (Chat,), {"instruction": "Something else", "shots": ("joy",)})
    assert prompt_parts(Wrong(), "the dog") == parts


def test_examples_of_ones_own():
    written = [(Pairs().fill("dog")[a:b], kind) for a, b, kind in prompt_parts(Pairs(), "dog")]
    assert written == [
        ("Which emotion is it?", "instruction"),
        (" ", "frame"),
        ("The rain came.", "shot_text"),
        (" = ", "frame"),
        ("sadness", "shot_label"),
        (" ", "frame"),
        ("I found money!", "shot_text"),
        (" = ", "frame"),
        ("joy", "shot_label"),
        (" Then: ", "frame"),
        ("dog", "content"),
        (Pairs().end, "frame"),
    ]


def test_a_text_that_the_template_changes_is_refused():
    class Loud(Chat):
        def fill(self, text: str) -> str:
            return super().fill(text.upper())

    with pytest.raises(PromptError, match="does not hold the text"):
        prompt_parts(Loud(), "the dog")


def test_a_slow_tokenizer_is_refused():
    slow = type("Slow", (), {"is_fast": False})()
    with pytest.raises(NotPossibleError, match="Slow does not say"):
        token_kinds(slow, TEMPLATES["joy_sadness_0"], "rain")


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40) | st.lists(
    st.sampled_from(["I", "lost", "Answer:", "joy", "Context:", "—", "it's"])
).map(" ".join)


@given(text=TEXTS, name=st.sampled_from(sorted(TEMPLATES)))
def test_kinds_partition_the_tokens(text, name):
    template = TEMPLATES[name]
    prompt = template.fill(text)
    parts = prompt_parts(template, text)
    assert "".join(prompt[a:b] for a, b, _ in parts) == prompt
    assert len(kinds_of_characters(parts, len(prompt))) == len(prompt)
    situation = [prompt[a:b] for a, b, kind in parts if kind in ("content", "function")]
    assert "".join(situation) == text.strip()
    for tokenizer in (TOKENIZER, BYTES):
        kinds = token_kinds(tokenizer, template, text)
        assert len(kinds) == len(prompt_ids(tokenizer, prompt))
        assert set(kinds) <= set(TOKEN_KINDS)
        assert kinds[0] == "special"
        assert kinds[-1] == "frame"
        # the prompt outside the situation is cut the same whatever the situation says
        other = token_kinds(tokenizer, template, "rain")
        for kind in ("instruction", "shot_text", "shot_label"):
            assert kinds.count(kind) == other.count(kind)


BYTES = byte_tokenizer()
