"""Loading: every way in which a model can be missing, broken or unfit has its own message."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedTokenizerFast,
    Starcoder2Config,
    Starcoder2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from affectscope.errors import (
    DiskFullError,
    ModelAccessError,
    ModelError,
    ModelFileError,
    ModelNotFoundError,
    UnsupportedArchitectureError,
    UsageError,
)
from affectscope.models import devices, load_model, loading
from affectscope.models.hub import OFFLINE_VARIABLE
from affectscope.models.loading import load_pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def quiet(_line: str) -> None:
    pass


def save_tokenizer(folder: Path) -> None:
    unknown = "<unk>"
    words = {unknown: 0, "joy": 1, "fear": 2, "Answer": 3, ":": 4}
    backend = Tokenizer(models.WordLevel(words, unk_token=unknown))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=unknown).save_pretrained(folder)


def tiny_model(seed: int = 0) -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


@pytest.fixture(scope="module")
def original() -> LlamaForCausalLM:
    return tiny_model().eval()


@pytest.fixture
def folder(tmp_path: Path, original: LlamaForCausalLM) -> Path:
    path = tmp_path / "tiny"
    original.save_pretrained(path)
    save_tokenizer(path)
    return path


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


# What comes back


def test_a_folder_gives_the_model_that_was_saved(folder: Path, original: LlamaForCausalLM) -> None:
    lines: list[str] = []
    loaded = load_pretrained(str(folder), device="cpu", progress=lines.append)
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(loaded.model(ids).logits, original(ids).logits)
    assert loaded.tokenizer("Answer: joy").input_ids == [3, 4, 1]
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert (loaded.name, loaded.path, loaded.revision) == (str(folder), str(folder), None)
    assert (loaded.dtype, loaded.device, loaded.attn_implementation) == ("float32", "cpu", "sdpa")
    assert lines == [f"loading {folder} on cpu in float32"]


def test_the_hash_is_that_of_the_weight_files(folder: Path, original: LlamaForCausalLM) -> None:
    def expected(names: list[str]) -> str:
        lines = [f"{n} {hashlib.sha256((folder / n).read_bytes()).hexdigest()}\n" for n in names]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    whole = load_pretrained(str(folder), progress=quiet).sha256
    assert whole == expected(["model.safetensors"])
    (folder / "model.safetensors").unlink()
    original.save_pretrained(folder, max_shard_size="20KB")
    shards = sorted(path.name for path in folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert load_pretrained(str(folder), progress=quiet).sha256 == expected(shards)


def test_the_choice_of_device_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    lines: list[str] = []
    load_pretrained(str(folder), progress=lines.append)
    assert lines == [f"loading {folder} on cpu (chosen: no GPU found) in float32"]


def test_without_a_hook_the_lines_go_to_stderr_only(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_pretrained(str(folder), device="cpu")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [f"loading {folder} on cpu in float32"]


@pytest.mark.parametrize(
    ("asked", "got"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("bfloat16", torch.bfloat16)],
)
def test_an_explicit_dtype_is_used(folder: Path, asked: str, got: torch.dtype) -> None:
    loaded = load_pretrained(str(folder), dtype=asked, device="cpu", progress=quiet)
    assert loaded.model.dtype == got
    assert f"torch.{loaded.dtype}" == str(got)


def test_float16_on_a_cpu_is_accepted_with_a_warning(folder: Path) -> None:
    with pytest.warns(UserWarning, match="float16 on a CPU"):
        loaded = load_pretrained(str(folder), dtype="fp16", device="cpu", progress=quiet)
    assert loaded.model.dtype == torch.float16


def test_a_half_precision_checkpoint_is_float32_on_a_cpu(tmp_path: Path) -> None:
    tiny_model().to(torch.bfloat16).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    loaded = load_pretrained(str(tmp_path), device="cpu", progress=quiet)
    assert loaded.model.dtype == torch.float32


@pytest.mark.parametrize(
    ("supported", "checkpoint", "expected"),
    [
        (True, torch.float16, torch.bfloat16),
        (False, torch.float16, torch.float16),
        (False, torch.bfloat16, torch.float32),
        (False, torch.float32, torch.float32),
    ],
)
def test_the_dtype_on_a_cuda_device(
    monkeypatch: pytest.MonkeyPatch,
    supported: bool,
    checkpoint: torch.dtype,
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert devices._auto_dtype(torch.device("cuda:0"), checkpoint) == expected


def test_capped_attention_runs_in_the_eager_implementation(tmp_path: Path) -> None:
    config = Gemma2Config(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        vocab_size=32,
    )
    assert config.attn_logit_softcapping is not None
    Gemma2ForCausalLM(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    loaded = load_pretrained(str(tmp_path), progress=quiet)
    assert loaded.attn_implementation == "eager"
    assert loaded.model.config._attn_implementation == "eager"


def test_eager_is_taken_where_the_family_has_no_sdpa(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    assert load_pretrained(str(folder), progress=quiet).attn_implementation == "eager"


# Options


@pytest.mark.parametrize("device", ["cuda:7", "gpu", "", "cpu:3", "meta"])
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match="no device") as caught:
        load_pretrained("anything", device=device, progress=quiet)
    assert str(caught.value.expected).startswith("auto, cuda:0, cuda:1")


def test_devices_by_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(devices.choose_device("auto")) == "cuda:0"
    assert str(devices.choose_device("cuda")) == "cuda:0"
    assert str(devices.choose_device("cuda:1")) == "cuda:1"
    assert str(devices.choose_device("cpu")) == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert str(devices.choose_device("auto")) == "mps"


def test_an_unknown_dtype() -> None:
    with pytest.raises(UsageError, match="'int8' is not known") as caught:
        load_pretrained("anything", dtype="int8", progress=quiet)
    assert "bf16" in str(caught.value)


def test_a_revision_of_a_folder_or_of_the_default_model(folder: Path) -> None:
    for name in (str(folder), "smollm2-135m"):
        with pytest.raises(UsageError, match="not read from the Hub"):
            load_pretrained(name, revision="main", progress=quiet)


def test_a_model_larger_than_the_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: torch.nn.Module, device: torch.device) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(LlamaForCausalLM, "to", full)
    with pytest.raises(
        ModelError, match=r"does not fit on cpu: its weights take 0\.0 GB"
    ) as caught:
        load_pretrained(str(folder), device="cpu", progress=quiet)
    assert "--device-map auto" in str(caught.value.remedy)


# Folders


@pytest.mark.parametrize("name", ["./nowhere", "~/nowhere/at/all", "/nowhere", "a/b/c", "a/"])
def test_a_path_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "hub_snapshot", lambda *_a, **_k: pytest.fail("asked the Hub"))
    with pytest.raises(ModelNotFoundError, match="taken as a path") as caught:
        load_pretrained(name, progress=quiet)
    assert str(Path(name).expanduser().absolute()) in str(caught.value.remedy)


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"holds no config\.json"):
        load_pretrained(str(tmp_path), progress=quiet)


def test_a_single_file(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="single file") as caught:
        load_pretrained(str(folder / "model.safetensors"), progress=quiet)
    assert "folder" in str(caught.value.remedy)


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_a_broken_configuration(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelFileError, match=r"config\.json is broken"):
        load_pretrained(str(folder), progress=quiet)


def test_a_configuration_with_a_wrong_value(folder: Path) -> None:
    edit_config(folder, hidden_size="wide")
    with pytest.raises(ModelFileError, match=r"config\.json is broken.*hidden_size"):
        load_pretrained(str(folder), progress=quiet)


def test_a_configuration_without_a_model_type(folder: Path) -> None:
    edit_config(folder, model_type=None)
    with pytest.raises(ModelFileError, match="names no model_type"):
        load_pretrained(str(folder), progress=quiet)


def test_a_model_type_that_transformers_does_not_know(folder: Path) -> None:
    edit_config(folder, model_type="quokka")
    with pytest.raises(UnsupportedArchitectureError, match="knows no model type 'quokka'"):
        load_pretrained(str(folder), progress=quiet)


def test_code_that_comes_with_a_model_is_not_run(folder: Path, tmp_path: Path) -> None:
    edit_config(folder, model_type="quokka", auto_map={"AutoConfig": "quokka.QuokkaConfig"})
    (folder / "quokka.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="needs Python code") as caught:
        load_pretrained(str(folder), progress=quiet)
    assert "--trust-remote-code" in str(caught.value.remedy)
    assert not (tmp_path / "ran").exists()


def test_code_that_comes_with_a_known_family_is_left_alone(folder: Path, tmp_path: Path) -> None:
    edit_config(folder, auto_map={"AutoModelForCausalLM": "quokka.Quokka"})
    (folder / "quokka.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert type(load_pretrained(str(folder), progress=quiet).model) is LlamaForCausalLM
    assert not (tmp_path / "ran").exists()


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError) as caught:
        load_pretrained(str(folder), progress=quiet)
    assert caught.value.message == f"{folder} holds no safetensors weights"


def test_pickled_weights_are_refused_unread(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(tmp_path / "ran"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"weight": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match=r"only pytorch_model\.bin, which is not read") as got:
        load_pretrained(str(folder), progress=quiet)
    assert "can run code" in str(got.value.expected)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 4, 100, -100])
def test_truncated_weights(folder: Path, kept: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match=r"model\.safetensors is broken: truncated"):
        load_pretrained(str(folder), progress=quiet)


def test_weights_with_a_garbled_header(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[8:20] = b"\x00" * 12
    weights.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.safetensors is broken"):
        load_pretrained(str(folder), progress=quiet)


def sharded(folder: Path, original: LlamaForCausalLM) -> list[Path]:
    (folder / "model.safetensors").unlink()
    original.save_pretrained(folder, max_shard_size="20KB")
    return sorted(folder.glob("model-*.safetensors"))


def test_a_missing_shard(folder: Path, original: LlamaForCausalLM) -> None:
    lost = sharded(folder, original)[1]
    lost.unlink()
    with pytest.raises(ModelFileError, match=f"lacks 1 of its weight files: {lost.name}"):
        load_pretrained(str(folder), progress=quiet)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": 3}', "{}"])
def test_a_broken_index(folder: Path, original: LlamaForCausalLM, content: str) -> None:
    sharded(folder, original)
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelFileError, match=r"index\.json is broken"):
        load_pretrained(str(folder), progress=quiet)


@pytest.mark.parametrize(
    ("change", "tensor"),
    [
        ({"num_hidden_layers": 3}, "model.layers.2."),
        ({"vocab_size": 256}, "lm_head.weight|model.embed_tokens.weight"),
    ],
)
def test_weights_of_another_configuration(
    folder: Path, change: dict[str, int], tensor: str
) -> None:
    edit_config(folder, **change)
    with pytest.raises(ModelFileError, match=f"do not fit its config.*({tensor})"):
        load_pretrained(str(folder), progress=quiet)


def test_a_quantised_model_whose_package_is_absent(folder: Path) -> None:
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(ModelError, match=r"needs a package that is not installed.*optimum"):
        load_pretrained(str(folder), progress=quiet)


def test_no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelFileError, match="holds no tokenizer"):
        load_pretrained(str(folder), progress=quiet)


@pytest.mark.parametrize("content", ["", '{"version": "1.0", "mod', "{}"])
def test_a_broken_tokenizer(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelFileError, match="tokenizer"):
        load_pretrained(str(folder), progress=quiet)


def test_models_that_do_not_predict_the_next_token(tmp_path: Path) -> None:
    narrow = {"hidden_size": 16, "intermediate_size": 32, "vocab_size": 32}
    unfit = {
        "bert": BertForMaskedLM(BertConfig(num_hidden_layers=1, num_attention_heads=2, **narrow)),
        "t5": T5ForConditionalGeneration(
            T5Config(d_model=16, d_ff=32, d_kv=8, num_layers=1, num_heads=2, vocab_size=32)
        ),
        "headless": LlamaModel(LlamaConfig(num_hidden_layers=1, num_attention_heads=2, **narrow)),
    }
    for name, model in unfit.items():
        model.save_pretrained(tmp_path / name)
        save_tokenizer(tmp_path / name)
        with pytest.raises(UnsupportedArchitectureError, match="not a causal language model"):
            load_pretrained(str(tmp_path / name), progress=quiet)


def test_a_family_that_is_not_in_the_map_of_sites(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "vocab_size": 32}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
    special = {"bos_token_id": None, "eos_token_id": 1}
    Starcoder2ForCausalLM(Starcoder2Config(**sizes, **heads, **special)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(UnsupportedArchitectureError, match="'starcoder2'") as caught:
        load_model(str(tmp_path), progress=quiet)
    assert "architectures.py" in str(caught.value.remedy)


# The Hub, played by a server on this machine


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves one model, ``owner/tiny``, the way the Hub does; others are gated or not there."""

    folder: Path
    requests: list[str]
    failing = False

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.requests.append(f"{self.command} {self.path}")
        api, _, rest = self.path.partition("owner/tiny")
        if self.failing:
            self.fail(503, "")
        elif "owner/gated" in self.path:
            self.fail(403, "GatedRepo")
        elif "owner/tiny" not in self.path:
            self.fail(404, "RepoNotFound")
        elif "v9" in rest:
            self.fail(404, "RevisionNotFound")
        elif api == "/api/models/" and rest.startswith("/tree/"):
            self.json([self.entry(path) for path in sorted(self.folder.iterdir())], body=body)
        elif api == "/api/models/":
            self.json({"id": "owner/tiny", "sha": COMMIT, "siblings": []}, body=body)
        else:
            self.file(self.folder / rest.rpartition("/")[2], body=body)

    @staticmethod
    def digest(path: Path) -> str:
        large = path.suffix == ".safetensors"
        return (hashlib.sha256 if large else hashlib.sha1)(path.read_bytes()).hexdigest()

    def entry(self, path: Path) -> dict[str, object]:
        size = path.stat().st_size
        entry = {"type": "file", "path": path.name, "size": size, "oid": self.digest(path)}
        if path.suffix == ".safetensors":
            entry["lfs"] = {"oid": self.digest(path), "size": size, "pointerSize": 1}
        return entry

    def json(self, content: object, *, body: bool) -> None:
        self.send(200, {"Content-Type": "application/json"}, json.dumps(content).encode(), body)

    def file(self, path: Path, *, body: bool) -> None:
        headers = {"ETag": f'"{self.digest(path)}"', "X-Repo-Commit": COMMIT}
        self.send(200, headers, path.read_bytes(), body)

    def fail(self, status: int, code: str) -> None:
        self.send(status, {"X-Error-Code": code}, b"", body=False)

    def send(self, status: int, headers: dict[str, str], content: bytes, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    handler = type("ThisHub", (Hub,), {"folder": folder, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv(OFFLINE_VARIABLE, raising=False)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_from_the_hub(hub: type[Hub], original: LlamaForCausalLM) -> None:
    (hub.folder / "pytorch_model.bin").write_bytes(b"not wanted")
    loaded = load_pretrained("owner/tiny", device="cpu", progress=quiet)
    ids = torch.tensor([[1, 2, 3, 4]])
    assert torch.equal(loaded.model(ids).logits, original(ids).logits)
    assert (loaded.name, loaded.revision) == ("owner/tiny", COMMIT)
    assert loaded.sha256 == load_pretrained(str(hub.folder), progress=quiet).sha256
    assert not [line for line in hub.requests if "pytorch_model.bin" in line]


def test_shards_from_the_hub(hub: type[Hub], original: LlamaForCausalLM) -> None:
    names = {path.name for path in sharded(hub.folder, original)}
    loaded = load_pretrained("owner/tiny", device="cpu", progress=quiet)
    assert {path.name for path in Path(loaded.path).glob("*.safetensors")} == names


def test_a_model_from_the_hub_is_there_when_the_hub_is_not(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_pretrained("owner/tiny", progress=quiet)
    hub.failing = True
    assert load_pretrained("owner/tiny", progress=quiet).sha256 == first.sha256
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    hub.requests.clear()
    assert load_pretrained("owner/tiny", progress=quiet).sha256 == first.sha256
    assert hub.requests == []


def test_a_half_downloaded_model_without_the_hub(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_pretrained("owner/tiny", progress=quiet)
    (Path(first.path) / "model.safetensors").unlink()
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(ModelError, match=r"not wholly|no safetensors weights"):
        load_pretrained("owner/tiny", progress=quiet)


def test_a_model_that_the_hub_does_not_have(hub: type[Hub]) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'owner/nothing', or it is private"):
        load_pretrained("owner/nothing", progress=quiet)


def test_a_word_that_is_neither_a_folder_nor_on_the_hub(
    hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'nonexist'.*no folder of that name"):
        load_pretrained("nonexist", progress=quiet)
    hub.failing = True
    with pytest.raises(ModelAccessError, match=r"nonexist \(there is no folder of that name here"):
        load_pretrained("nonexist", progress=quiet)
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(ModelAccessError, match=r"no folder of that name here.*no network"):
        load_pretrained("nonexist", progress=quiet)


def test_a_gated_model(hub: type[Hub]) -> None:
    with pytest.raises(ModelAccessError, match="owner/gated is gated") as caught:
        load_pretrained("owner/gated", progress=quiet)
    assert "hf auth login" in str(caught.value.remedy)


def test_a_revision_that_the_hub_does_not_have(hub: type[Hub]) -> None:
    with pytest.raises(ModelNotFoundError, match="owner/tiny has no revision 'v9'"):
        load_pretrained("owner/tiny", revision="v9", progress=quiet)


def test_a_hub_that_fails(hub: type[Hub]) -> None:
    hub.failing = True
    with pytest.raises(ModelAccessError, match=r"cannot be fetched from the Hub.*503"):
        load_pretrained("owner/tiny", progress=quiet)


def test_no_network(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelAccessError, match="cannot be fetched from the Hub") as caught:
        load_pretrained("owner/tiny", progress=quiet)
    assert "give its folder" in str(caught.value.remedy)


def test_offline_with_nothing_in_the_cache(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(ModelAccessError, match="no network is to be used") as caught:
        load_pretrained("owner/tiny", progress=quiet)
    assert "unset AFFECTSCOPE_OFFLINE" in str(caught.value.remedy)
    assert hub.requests == []


def test_a_full_disk_while_fetching(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("affectscope.models.hub.snapshot_download", full)
    with pytest.raises(DiskFullError, match="MB free"):
        load_pretrained("owner/tiny", progress=quiet)


def test_a_name_that_the_hub_could_not_have() -> None:
    with pytest.raises(ModelNotFoundError, match="neither a folder here nor a name"):
        load_pretrained("a model", progress=quiet)
