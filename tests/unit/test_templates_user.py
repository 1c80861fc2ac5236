"""Templates of the user's own: by hand, from files, and whatever text surrounds the placeholder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectscope.errors import PromptError
from affectscope.prompts import TEMPLATES, EmotionTask, audit_labels, resolved_spec, template_named
from tiny import word_tokenizer

PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_a_text_with_a_placeholder_is_a_template():
    template = template_named("My text: {text} Emotion:")
    assert template.fill(" I fell. ") == "My text: I fell. Emotion:"
    assert template.shot_texts == ()
    assert template.notes == ()


def test_it_can_be_named_and_is_named_by_its_text_otherwise():
    assert template_named("mine=So: {text} Emotion:").name == "mine"
    first, again, other = (
        template_named(text).name for text in ("{text} A:", "{text} A:", "{text} B:")
    )
    assert first == again
    assert first != other


def test_an_equals_sign_may_be_part_of_the_text():
    assert template_named("x = {text} y =").fill("1") == "x = 1 y ="


def test_doubled_braces_are_braces():
    template = template_named("{{situation}}: {text} {{emotion}}:")
    assert template.fill("I fell {hard}.") == "{situation}: I fell {hard}. {emotion}:"


def test_a_space_at_the_end_belongs_to_the_label(lm):
    template = template_named("Context : {text} Answer : ")
    assert template.suffix == " Answer :"
    assert "space" in template.notes[0]
    assert EmotionTask(lm, template="Context : {text} Answer : ").warnings[0] == template.notes[0]


def test_a_line_break_at_the_end_stays_and_the_label_begins_the_line():
    tokenizer = word_tokenizer(["rain", "joy", "fear"])
    spaced = audit_labels(tokenizer, "rain", ["joy", "fear"])
    assert [token.tokens for token in spaced] == [(" joy",), (" fear",)]
    begun = audit_labels(tokenizer, "rain\n", ["joy", "fear"])
    assert [token.tokens for token in begun] == [("joy",), ("fear",)]
    assert template_named("{text}\nEmotion:\n").suffix == "\nEmotion:\n"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("no place {here} for it:", "{here}"),
        ("{text} and {text} again:", "{text}, {text}"),
        ("{text!r} Emotion:", "{text}"),
        ("{text:>9} Emotion:", "{text}"),
        ("{} Emotion:", "{}"),
        ("a = {{}} Emotion:", "no placeholder"),
        ("{text Emotion:", "do not match"),
        ("text} Emotion:", "do not match"),
        ("The emotion of: {text}", "ends with the text"),
        ("The emotion of: {text}  ", "ends with the text"),
        ("joy_sadness_0={text} Emotion:", "cannot be called 'joy_sadness_0'"),
        ("chat={text} Emotion:", "cannot be called 'chat'"),
        ("@no/such/file.txt", "cannot be read"),
    ],
)
def test_what_is_no_template_is_refused_and_said(text, got):
    for read in (template_named, resolved_spec):
        with pytest.raises(PromptError) as caught:
            read(text)
        assert got in caught.value.message
        assert caught.value.expected
        assert caught.value.remedy


def test_a_file_is_read_and_named_by_its_name(tmp_path):
    path = tmp_path / "plain question.txt"
    path.write_bytes("\ufeffText: {text}\nGefühl:\n".encode())
    template = template_named(f"@{path}")
    assert template.name == "plain-question"
    assert template.fill("x") == "Text: x\nGefühl:"
    assert template_named(f"mine=@{path}").name == "mine"
    spec = resolved_spec(f"@{path}")
    path.unlink()
    assert template_named(spec) == template, "a run keeps what the file held"


def test_files_that_are_no_template(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"{text} Gef\xfchl:")
    (tmp_path / "long.txt").write_bytes(b"x" * (2**20 + 1))
    for name, got in (("latin.txt", "cannot be read"), ("long.txt", "1,048,577 bytes")):
        with pytest.raises(PromptError, match=got):
            template_named(f"@{tmp_path / name}")


@given(before=PLAIN, after=PLAIN, text=PLAIN)
def test_any_text_may_surround_the_placeholder(before, after, text):
    def doubled(part):
        return part.replace("{", "{{").replace("}", "}}")

    spec = f"t={doubled(before)}{{text}}{doubled(after)}:"
    template = template_named(spec)
    assert template.fill(text) == f"{before}{text.strip()}{after}:"
    assert template_named(template.spec) == template
    assert resolved_spec(spec) == template.spec


def test_names_mean_what_they_meant():
    for name in TEMPLATES:
        assert template_named(name) is TEMPLATES[name]
        assert resolved_spec(name) == name
    with pytest.raises(PromptError, match="there is no template 'shots_5'") as caught:
        resolved_spec("shots_5")
    assert "did you mean" in str(caught.value)
