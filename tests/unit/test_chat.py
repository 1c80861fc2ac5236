"""Prompts in a model's chat format, held to what the tokenizer itself makes of the chat."""

from __future__ import annotations

import pytest
from tokenizers.processors import TemplateProcessing

from affectscope.errors import PromptError
from affectscope.prompts import EmotionTask, in_chat, resolved_spec, template_named
from affectscope.prompts.chat import cue_of
from affectscope.prompts.tokens import prompt_ids
from tiny import WORDS, loaded, tiny_llama, word_tokenizer

FORMAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] | trim }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture
def chatty():
    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>"]})
    tokenizer.chat_template = FORMAT
    return tokenizer


def test_the_prompt_is_the_tokenizers_own_chat_with_the_cue_after_it(chatty):
    template = template_named("chat", chatty)
    text = "I lost it."
    question = template_named("joy_sadness_0").fill(text).removesuffix(" Answer:")
    chat = chatty.apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    assert template.fill(text) == f"{chat}Answer:"
    assert template.fill(text).count("<|user|>") == 1
    assert template.shot_texts == template_named("joy_sadness_0").shot_texts
    assert template.name == template.spec == "chat"


def test_of_another_template_and_of_the_users_own(chatty):
    three = template_named("chat:shots_3", chatty)
    assert (three.name, three.spec) == ("chat-shots_3", "chat:shots_3")
    own = template_named("chat:mine=Said: {text} What does she feel? She feels", chatty)
    assert own.fill("x") == ("<|user|>\nSaid: x What does she feel?\n<|assistant|>\nShe feels")
    assert template_named(own.spec, chatty) == own


def test_the_labels_follow_the_cue(chatty):
    model = loaded(tiny_llama(len(chatty)), chatty)
    task = EmotionTask(model, template="chat")
    plain = EmotionTask(model)
    assert [t.tokens for t in task.label_tokens] == [t.tokens for t in plain.label_tokens]
    prompt = task.prompts(["I lost it."])[0]
    for token in task.label_tokens:
        whole = prompt_ids(chatty, f"{prompt} {token.label}")
        assert whole == [*prompt_ids(chatty, prompt), *token.token_ids]
    assert len(task.score_texts(["I lost it.", "rain"])) == 2 * 13


def test_the_start_token_is_there_once():
    """Written by the chat format and put in front by the tokenizer, it would be there twice."""
    tokenizer = word_tokenizer(WORDS)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    prompt = template_named("chat", tokenizer).fill("I lost it.")
    assert tokenizer.encode(prompt)[:2] == [tokenizer.bos_token_id] * 2, "the trap is there"
    ids = prompt_ids(tokenizer, prompt)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ids == tokenizer.encode(prompt, add_special_tokens=False)
    assert prompt_ids(tokenizer, "I lost it.")[0] == tokenizer.bos_token_id
    EmotionTask(loaded(tiny_llama(len(tokenizer)), tokenizer), template="chat")


def test_a_date_in_the_format_is_always_the_same(chatty):
    chatty.chat_template = (
        "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %} "
        "{{ date_string }} {{ messages[0]['content'] }}"
    )
    assert template_named("chat", chatty).prefix.startswith("2024 26 Jul 2024 What")


def test_models_without_a_chat_format_are_told_so(lm, chatty):
    with pytest.raises(PromptError, match="no chat template") as caught:
        EmotionTask(lm, template="chat")
    assert "instruct" in str(caught.value)
    with pytest.raises(PromptError, match="no tokenizer was given"):
        template_named("chat")
    with pytest.raises(PromptError, match="chat in a chat"):
        resolved_spec("chat:chat")
    with pytest.raises(PromptError, match="no template 'shots_5'"):
        resolved_spec("chat:shots_5")
    assert resolved_spec("chat:joy_sadness_0") == "chat"


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ("{{ raise_exception('system first') }}", "system first"),
        ("{{ nothing.there }}", "does not take a single user message"),
        ("nothing of the message", "exactly once"),
        ("{{ messages[0]['content'] }}{{ messages[0]['content'] }}", "exactly once"),
    ],
)
def test_chat_formats_that_do_not_fit(chatty, chat, message):
    chatty.chat_template = chat
    with pytest.raises(PromptError, match=message):
        in_chat(template_named("joy_sadness_0"), chatty)


@pytest.mark.parametrize(
    ("suffix", "parts"),
    [
        (" Answer:", ("", "Answer:")),
        ("\nEmotion:", ("", "Emotion:")),
        (" Why?\nThe emotion is", (" Why?", "The emotion is")),
        (" Name it.", (" Name it.", "")),
    ],
)
def test_what_calls_for_the_label_is_the_models_turn(suffix, parts):
    assert cue_of(suffix) == parts
