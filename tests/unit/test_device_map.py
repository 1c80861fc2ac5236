"""A model spread over main memory and disk gives the numbers of the model in one place."""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM, PreTrainedModel

import affectscope.engine as eng
from affectscope.cli import main
from affectscope.errors import DiskFullError, ModelError, ModelFileError, UsageError
from affectscope.memory_limits import parse_memory_limits
from affectscope.models import LanguageModel, load_model, load_pretrained, spread
from tiny import tiny_llama, tiny_variant

PREFIX = "What are the inferred emotions in the following contexts? Context:"
PROMPTS = [
    f"{PREFIX} I lost it. Answer:",
    f"{PREFIX} My friend came home late, and the train went early again. Answer:",
    f"{PREFIX} rain. Answer:",
]
LABELS = [4, 9, 17, 30, 31]
ROUNDING = {"rtol": 0.0, "atol": 1e-5}  # logits and activations here are of the order of 1 to 10


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(folder))
    return folder


def saved(folder: Path, model: PreTrainedModel, tokenizer) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def llama(tmp_path: Path, tokenizer) -> str:
    return saved(tmp_path / "llama", tiny_llama(len(tokenizer), n_layers=6), tokenizer)


def load(name: str, **options) -> LanguageModel:
    return load_model(name, **{"device_map": "auto", "progress": lambda _line: None, **options})


def size_of(model: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def on_disk(model: PreTrainedModel, part: nn.Module) -> bool:
    """Whether a part's weights lie on the disk; accelerate leaves meta tensors in their place."""
    (weight, *_rest) = part.parameters()
    return weight.is_meta


# The numbers


def some_interventions(d_model: int) -> list[eng.Intervention]:
    vector = torch.linspace(-1, 1, d_model)
    basis = torch.randn(2, d_model, generator=torch.Generator().manual_seed(0))
    edits = [
        eng.Zero("attn_out", 0),
        eng.Noise("mlp_out", 3, seed=1),
        eng.Replace("resid_post", 2, value=vector),
        eng.Add("attn_out", 3, vector=vector, coefficient=2.0),
        eng.ProjectOut("resid_post", 1, basis=basis),
        eng.Zero("head_out[1]", 0),
        eng.Zero("head_out[3]", 3),
        eng.Replace("mlp_out", 1, value=vector, position=-2),
        eng.Zero("attn_out", 2, position="all"),
    ]
    return [*(eng.Intervention([edit]) for edit in edits), eng.Intervention(edits[:4])]


def assert_same(ours: LanguageModel, whole: LanguageModel) -> None:
    ids = torch.tensor([ours.encode(PROMPTS)[1]])
    torch.testing.assert_close(ours.model(ids).logits, whole.model(ids).logits, **ROUNDING)
    torch.testing.assert_close(ours.score(PROMPTS), whole.score(PROMPTS), **ROUNDING)
    sites = (*ours.reader.access.sites, "head_out[2]")
    read, expected = (lm.capture(PROMPTS, sites=sites, positions=(-1, -3)) for lm in (ours, whole))
    torch.testing.assert_close(read.tensor, expected.tensor, **ROUNDING)
    torch.testing.assert_close(read.final, expected.final, **ROUNDING)
    interventions = some_interventions(ours.d_model)
    swept, expected = (
        lm.intervene(PROMPTS, interventions, label_ids=LABELS) for lm in (ours, whole)
    )
    torch.testing.assert_close(swept.logits, expected.logits, **ROUNDING)
    torch.testing.assert_close(swept.clean, expected.clean, **ROUNDING)
    assert torch.equal(swept.hits, expected.hits)
    moved = (swept.logits - swept.clean[:, None]).abs().amax(dim=(0, 2))
    assert bool((moved > 1e-2).all()), "every intervention matters here"


def room_for_one_block(access: eng.ModelAccess) -> int:
    """Bytes for the embeddings and a block, and for the largest part on its way in."""
    embeddings = [part for part in access.backbone.children() if isinstance(part, nn.Embedding)]
    resident = [*embeddings, access.blocks[0]]
    return sum(map(size_of, resident)) + max(map(size_of, resident)) + 100


@pytest.mark.parametrize("variant", ["llama", "gemma2", "phi3", "gpt_neox", "gpt2"])
def test_a_model_partly_on_disk(variant: str, tmp_path: Path, tokenizer) -> None:
    name = saved(tmp_path / "tiny", tiny_variant(variant, len(tokenizer)), tokenizer)
    whole = load_model(name, device="cpu", progress=lambda _line: None)
    assert whole.engine == "sweep", whole.checks
    tied = whole.model.get_output_embeddings().weight is whole.reader.access.embedding.weight
    ours = load(name, max_memory={"cpu": room_for_one_block(whole.reader.access)})
    assert ours.pretrained.device == "cpu + disk"
    access = ours.reader.access
    assert not on_disk(ours.model, access.embedding)
    assert on_disk(ours.model, access.blocks[-1])
    assert on_disk(ours.model, access.unembedding) is not tied
    assert ours.engine == "sweep", ours.checks
    assert_same(ours, whole)


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_wholly_on_disk(tied: bool, tmp_path: Path, tokenizer) -> None:
    model = tiny_llama(len(tokenizer), tie_word_embeddings=tied)
    name = saved(tmp_path / "tiny", model, tokenizer)
    ours = load(name, max_memory="cpu=0MiB", strict=True)
    assert ours.pretrained.device == "cpu + disk"
    access = ours.reader.access
    assert on_disk(ours.model, access.embedding)
    assert on_disk(ours.model, access.unembedding)
    assert str(access.device) == "cpu"
    assert_same(ours, load_model(name, device="cpu", progress=lambda _line: None))
    # and what was brought in is gone again, and was never to be trained
    assert all(weight.is_meta for weight in ours.model.parameters())
    assert not any(weight.requires_grad for weight in ours.model.parameters())


def test_shards_are_read_from_where_they_lie(tmp_path: Path, tokenizer, cache: Path) -> None:
    model = tiny_llama(len(tokenizer))
    model.save_pretrained(tmp_path / "tiny", max_shard_size="20KB")
    tokenizer.save_pretrained(tmp_path / "tiny")
    assert len(list((tmp_path / "tiny").glob("model-*.safetensors"))) > 2
    ours = load(str(tmp_path / "tiny"), max_memory={"cpu": 0})
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(ours.model(ids).logits, model(ids).logits, **ROUNDING)
    assert list((cache / "offload").iterdir()) == []


def test_weights_on_disk_in_another_dtype_are_converted_at_each_pass(
    tmp_path: Path, tokenizer
) -> None:
    model = tiny_llama(len(tokenizer)).to(torch.bfloat16)
    name = saved(tmp_path / "tiny", model, tokenizer)
    ours = load(name, max_memory={"cpu": 0}, dtype="float32")
    assert ours.pretrained.dtype == "float32"
    whole = load_model(name, device="cpu", dtype="float32", progress=lambda _line: None)
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(ours.model(ids).logits, whole.model(ids).logits, **ROUNDING)


def test_what_fits_is_loaded_as_ever(llama: str) -> None:
    ours = load(llama, max_memory="cpu=1GiB")
    plain = load_model(llama, device="cpu", progress=lambda _line: None)
    assert ours.describe() == plain.describe()
    assert ours.describe()["device"] == "cpu"
    assert not any(hasattr(module, "_hf_hook") for module in ours.model.modules())
    assert not any(weight.requires_grad for weight in ours.model.parameters())


def test_where_it_lies_is_told_and_described(
    llama: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "available_devices", lambda: ["cpu"])
    ours = load_model(llama, device_map="auto", max_memory={"cpu": 0})
    out, err = capfd.readouterr()
    assert not caplog.records, "accelerate's warning would come to what was asked for"
    plain = load_model(llama, device="cpu")
    assert out == ""
    n_bytes = size_of(plain.model)
    assert err.splitlines() == [
        f"loading {llama} over several devices in float32",
        f"{llama} lies on cpu + disk ({n_bytes / 1e9:.3g} GB), which every pass reads",
    ]
    assert ours.describe() == {**plain.describe(), "device": "cpu + disk"}


def test_places_are_named_fastest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A map as accelerate makes it on a machine with GPUs, which this one may not be."""
    monkeypatch.setattr(spread, "available_devices", lambda: ["cuda:0", "cuda:1", "cpu"])
    model = tiny_llama(50, n_layers=3)
    model.hf_device_map = {
        "lm_head": "disk",
        "model.layers.2": "cpu",
        "model.norm": "cpu",
        "model.embed_tokens": 1,
        "model.layers.0": 0,
        "model.layers.1": 0,
    }
    held = spread.places(model)
    assert list(held) == ["cuda:0", "cuda:1", "cpu", "disk"]
    assert sum(held.values()) == size_of(model)
    assert held["disk"] == size_of(model.lm_head)


# Weights that are converted at load, so that the model's files do not hold them


@pytest.fixture
def mixture(tmp_path: Path, tokenizer) -> str:
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        initializer_range=0.4,
    )
    return saved(tmp_path / "mixture", MixtralForCausalLM(config), tokenizer)


def read_mixture(name: str, **options):
    options = {"max_memory": {"cpu": 0}, "device_map": "auto"} | options
    return load_pretrained(name, progress=lambda _line: None, **options)


def test_converted_weights_are_written_out_and_removed_with_the_model(
    mixture: str, cache: Path
) -> None:
    whole = load_pretrained(mixture, device="cpu", progress=lambda _line: None)
    ours = read_mixture(mixture)
    (written,) = [path for path in (cache / "offload").iterdir() if path.is_dir()]
    assert any("experts" in path.name for path in written.iterdir())
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(ours.model(ids).logits, whole.model(ids).logits, **ROUNDING)
    del ours
    gc.collect()
    assert list((cache / "offload").iterdir()) == []


def test_the_users_own_folder_is_used_and_what_lies_in_it_is_left(
    mixture: str, tmp_path: Path, cache: Path
) -> None:
    chosen = tmp_path / "large disk"
    chosen.mkdir()
    (chosen / "model.layers.0.mlp.experts.down_proj.safetensors").write_bytes(b"mine")
    first, second = (read_mixture(mixture, offload_folder=chosen) for _ in range(2))
    assert len([path for path in chosen.iterdir() if path.is_dir()]) == 2
    assert not cache.exists()
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(first.model(ids).logits, second.model(ids).logits)
    del first, second
    gc.collect()
    (left,) = chosen.iterdir()
    assert left.read_bytes() == b"mine"


LOAD_AND_LEAVE = """
import os, sys
from affectscope.models import load_pretrained
loaded = load_pretrained(
    sys.argv[1], device_map="auto", max_memory={"cpu": 0}, progress=lambda _line: None
)
if sys.argv[2] == "killed":
    os._exit(9)
"""


def test_nothing_is_left_at_exit_and_little_by_a_killed_process(mixture: str, cache: Path) -> None:
    def leave(how: str) -> list[Path]:
        command = [sys.executable, "-c", LOAD_AND_LEAVE, mixture, how]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == (9 if how == "killed" else 0), done.stderr
        return [path for path in (cache / "offload").iterdir() if path.is_dir()]

    assert leave("exits") == []
    assert len(leave("killed")) == 1
    mine = read_mixture(mixture)  # removes that, and keeps its own from the next
    (folder,) = [path for path in (cache / "offload").iterdir() if path.is_dir()]
    assert leave("exits") == [folder]
    assert mine.model(torch.tensor([[5, 6, 7]])).logits.isfinite().all()


@contextmanager
def no_file_over(n_bytes: int) -> Iterator[None]:
    """A disk on which no larger file has room: the system refuses the write itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_nothing_is_left(mixture: str, cache: Path) -> None:
    with no_file_over(10_000), pytest.raises(DiskFullError, match="the disk is full") as caught:
        read_mixture(mixture)
    assert str(cache / "offload") in caught.value.message
    assert "--offload-folder" in str(caught.value.remedy)
    assert list((cache / "offload").iterdir()) == []


def test_a_cache_that_cannot_be_written(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be written"):
        load(llama, max_memory={"cpu": 0})


# What cannot be


def test_weights_on_disk_that_do_not_fit_the_configuration(llama: str) -> None:
    config = Path(llama) / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "vocab_size": settings["vocab_size"] + 8}))
    with pytest.raises(ModelFileError, match=r"do not fit its config.*lm_head.weight"):
        load(llama, max_memory={"cpu": 0})


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ("cpu", "'cpu' is not DEVICE=SIZE"),
        ("cpu=20", "'20' is no size"),
        ("cpu=20gb", "'20gb' is no size"),
        ("cpu=-1GiB", "'-1GiB' is no size"),
        ("disk=1GiB", "'disk' is no device"),
        ("gpu=1GiB", "'gpu' is no device"),
        ("0=1GiB,cuda:0=2GiB", "'cuda:0' is given twice"),
        (" , ", "no device is named"),
        ({}, "no device is named"),
        ({"cpu": -1}, "-1 is no size"),
        ({"cpu": 1.5}, "1.5 is no size"),
        ({True: "1GiB"}, "True is no device"),
        ("cuda:7=1GiB", "there is no device cuda:7 here"),
        ("mps=1GiB", "there is no device mps here"),
    ],
)
def test_wrong_memory_limits(limits: object, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "available_devices", lambda: ["cuda:0", "cpu"])
    with pytest.raises(UsageError, match=reason) as caught:
        load("anything", max_memory=limits)
    assert caught.value.expected


def test_memory_limits_in_bytes() -> None:
    text = " cpu=200MiB, 0=1.5GB ,cuda:1=2KiB"
    assert parse_memory_limits(text) == {"cpu": 200 * 2**20, 0: 1_500_000_000, 1: 2048}
    assert parse_memory_limits({"cpu": 7, 0: "1TiB", "1": "3 MB"}) == {
        "cpu": 7,
        0: 2**40,
        1: 3_000_000,
    }


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'cpu' was given, and a device map") as caught:
        load("anything", device="cpu")
    assert "leave the device out" in str(caught.value.remedy)
    for option in ({"max_memory": "cpu=1GiB"}, {"offload_folder": tmp_path}):
        with pytest.raises(UsageError, match=f"{next(iter(option))} was given") as caught:
            load("anything", device_map=None, **option)
        assert "device map" in str(caught.value.remedy)
    with pytest.raises(UsageError, match="'balanced' is not known"):
        load("anything", device_map="balanced")


def test_an_offload_folder_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for path, reason in (("nowhere", "is not there"), ("file", "is no folder")):
        with pytest.raises(UsageError, match=reason) as caught:
            load("anything", offload_folder=tmp_path / path)
        assert "--offload-folder" in str(caught.value.remedy)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="may not be written"):
        load("anything", offload_folder=tmp_path)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), None])
def test_memory_that_does_not_suffice(
    llama: str, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def load_too_much(*_args: object, **_options: object) -> object:
        if error is not None:
            raise error
        return torch.empty(2**62, dtype=torch.uint8)  # torch's own message for main memory

    monkeypatch.setattr("affectscope.models.reading.AutoModelForCausalLM", load_too_much)
    monkeypatch.setattr(load_too_much, "from_pretrained", load_too_much, raising=False)
    with pytest.raises(ModelError, match="does not fit into memory") as caught:
        load(llama)
    assert "--max-memory" in str(caught.value.remedy)


# The command line


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(list(arguments)) == 0
    return json.loads(capsys.readouterr().out)


def test_infer_gives_the_same_answer(llama: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("infer", "--json", "--model", llama, "I lost my dog.")
    whole = answer(capsys, *command, "--device", "cpu")
    spread_out = answer(capsys, *command, "--device-map", "auto", "--max-memory", "cpu=1KiB")
    assert spread_out["model"] == {**whole["model"], "device": "cpu + disk"}
    (ours,), (expected,) = spread_out["texts"], whole["texts"]
    assert [label["label"] for label in ours["labels"]] == [
        label["label"] for label in expected["labels"]
    ]
    for mine, theirs in zip(ours["labels"], expected["labels"], strict=True):
        assert mine["p"] == pytest.approx(theirs["p"], abs=1e-5)


def test_models_check_on_a_spread_model(llama: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--device-map", "auto", "--max-memory", "cpu=1KiB", "--strict", "--json")
    found = answer(capsys, "models", "check", llama, *options)
    assert found["model"]["device"] == "cpu + disk"
    assert found["engine"] == "sweep"
    assert all(check["passed"] for check in found["self_check"])


def test_a_run_on_a_spread_model_records_how(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTSCOPE_MAX_MEMORY", "cpu=1KiB")
    (tmp_path / "large disk").mkdir()
    config = tmp_path / "study.yaml"
    config.write_text("device_map: auto\nexperiments: infer\nlimit: 26\n")
    command = ["run", "--model", llama, "--config", str(config), "--out", str(tmp_path / "run")]
    command += ["--offload-folder", str(tmp_path / "large disk")]
    assert main(command) == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["model"]["device"] == "cpu + disk"
    given = {key: record["config"][key] for key in ("device_map", "max_memory", "offload_folder")}
    assert given == {
        "device_map": "auto",
        "max_memory": "cpu=1KiB",
        "offload_folder": str(tmp_path / "large disk"),
    }
    assert record["identity_of"]["device"] == "cpu"


def test_a_run_goes_on_wherever_the_weights_lie(
    llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--model", llama, "--experiments", "infer", "--limit", "26"]
    command += ["--out", str(tmp_path / "run")]
    assert main([*command, "--device-map", "auto", "--max-memory", "cpu=1KiB"]) == 0
    for options in (["--device-map", "auto", "--max-memory", "cpu=1GiB"], ["--device", "cpu"]):
        capsys.readouterr()
        assert main([*command, *options]) == 0, capsys.readouterr().err
        assert "all of it was done before" in capsys.readouterr().err
