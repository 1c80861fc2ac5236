"""Steering vectors: what they add, and that a file gives back what was put into it."""

from __future__ import annotations

import hashlib
import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load, load_file, save_file
from typer.testing import CliRunner

from affectscope.cli.export import export
from affectscope.errors import (
    AffectscopeError,
    InterventionError,
    LayerError,
    ModelFileError,
    ModelNotFoundError,
    RunFolderError,
    UsageError,
)
from affectscope.vectors import SteeringVector, read_gguf, write_gguf

FILE = "steering_vector.safetensors"
ABOUT = {
    "model": "owner/model",
    "revision": None,
    "seed": 3,
    "effect": {"value": 0.1 + 0.2, "low": 1e-17, "high": 0.5, "n": 12},
    "held": ["pleasantness", "Unsicherheit — ü"],
    "nothing": {},
}


def vector(**changes) -> SteeringVector:
    draw = torch.Generator().manual_seed(0)
    fields = {
        "name": "joy+",
        "site": "resid_post",
        "layers": (1, 2, 5),
        "directions": torch.nn.functional.normalize(torch.randn(3, 8, generator=draw), dim=-1),
        "norms": torch.tensor([2.0, 3.5, 11.0]),
        "coefficient": 0.1 + 0.2,
        "about": ABOUT,
    }
    return SteeringVector(**(fields | changes))


def same(one: SteeringVector, other: SteeringVector) -> bool:
    return (
        (one.name, one.site, one.layers, one.coefficient, one.about)
        == (other.name, other.site, other.layers, other.coefficient, other.about)
        and one.directions.numpy().tobytes() == other.directions.numpy().tobytes()
        and one.norms.numpy().tobytes() == other.norms.numpy().tobytes()
    )


# What is added


def test_what_is_added_at_each_layer():
    v = SteeringVector(
        "v", "resid_post", (4, 6), torch.eye(2, 3), torch.tensor([10.0, 20.0]), coefficient=0.5
    )
    # half of 0.5 mean lengths at each of the two layers
    assert v.added().tolist() == [[2.5, 0, 0], [0, 5.0, 0]]
    assert v.times(-2).added().tolist() == [[-5.0, 0, 0], [0, -10.0, 0]]
    assert v.with_coefficient(1).added().tolist() == [[5.0, 0, 0], [0, 10.0, 0]]
    assert (v.times(-2).name, v.times(-2).coefficient, v.coefficient) == ("v", -1.0, 0.5)
    assert v.d_model == 3


def test_a_vector_is_its_own_copy():
    directions, about = torch.ones(1, 4), {"a": [1]}
    v = SteeringVector("v", "mlp_out", (0,), directions, torch.ones(1), about=about)
    directions.zero_()
    about["a"].append(2)
    assert v.directions.sum() == 4
    assert v.about == {"a": [1]}


def test_values_are_held_as_a_file_holds_them():
    v = SteeringVector(
        "v",
        "attn_out",
        [np.int64(3)],
        torch.ones(1, 4, dtype=torch.float64, requires_grad=True),
        torch.ones(1, dtype=torch.bfloat16),
        coefficient=1,
        about={"layers": (1, 2), "n": np.float32(0.5), "path": Path("a"), "low": float("nan")},
    )
    assert v.layers == (3,)
    assert (v.directions.dtype, v.norms.dtype) == (torch.float32, torch.float32)
    assert not v.directions.requires_grad
    assert v.about == {"layers": [1, 2], "n": 0.5, "path": "a", "low": None}
    assert isinstance(v.coefficient, float)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": " "}, "cannot be shown"),
        ({"name": "joy\n# Harmless"}, "cannot be shown"),
        ({"name": "\ud800"}, "cannot be shown"),
        ({"site": "resid_pre"}, "site 'resid_pre'"),
        ({"site": "head_out[3]"}, "expected: one of attn_out, mlp_out, resid_post"),
        ({"layers": (1, 5, 2)}, r"layers of a steering vector are \[1, 5, 2\]"),
        ({"layers": (1, 2, 2)}, "each once"),
        ({"layers": (-1, 1, 2)}, "counted from 0"),
        ({"layers": (0.5, 1, 2)}, "whole numbers"),
        ({"layers": ()}, "at least one"),
        ({"layers": (1, 2)}, r"directions have shape \[3, 8\]"),
        ({"directions": torch.ones(3)}, r"directions have shape \[3\]"),
        ({"directions": torch.ones(3, 0)}, r"directions have shape \[3, 0\]"),
        ({"norms": torch.ones(2)}, r"norms have shape \[2\]"),
        ({"norms": torch.tensor([1.0, 0.0, 1.0])}, "above 0"),
        ({"norms": torch.tensor([1.0, float("inf"), 1.0])}, "above 0 and finite"),
        ({"directions": torch.full((3, 8), float("nan"))}, "not all finite"),
        ({"directions": torch.full((3, 8), 1e300, dtype=torch.float64)}, "not all finite"),
        ({"coefficient": float("nan")}, "coefficient nan"),
        ({"coefficient": 1e38}, "no finite number"),
        ({"about": {"a": object()}}, "is not JSON"),
        ({"about": {"a": b"bytes"}}, "is not JSON"),
    ],
)
def test_values_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(InterventionError, match=message):
        vector(**changes)


# Files


def test_a_saved_vector_comes_back_to_the_bit(tmp_path):
    v = vector()
    folder = v.save_pretrained(tmp_path / "new" / "joy")
    assert folder == tmp_path / "new" / "joy"
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", FILE]
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")
    for place in (folder, str(folder), folder / FILE):
        assert same(SteeringVector.from_pretrained(place), v)


@pytest.mark.parametrize("coefficient", [0.1, 1 / 3, -5e-324, 1e-300, 123456789.12345679])
def test_a_coefficient_comes_back_to_the_bit(tmp_path, coefficient):
    folder = vector(coefficient=coefficient).save_pretrained(tmp_path)
    assert SteeringVector.from_pretrained(folder).coefficient == coefficient


def test_what_other_programs_find_in_the_file(tmp_path):
    v = vector(name="Freude ü+")
    content = (v.save_pretrained(tmp_path) / FILE).read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    assert metadata_of(content) == {
        "format": "affectscope.steering-vector",
        "version": "1",
        "name": "Freude ü+",
        "site": "resid_post",
        "layers": "[1, 2, 5]",
        "coefficient": "0.30000000000000004",
        "about": json.dumps(ABOUT),
    }
    tensors = load(content)
    assert torch.equal(tensors["directions"], v.directions)
    assert torch.equal(tensors["norms"], v.norms)
    assert (
        hashlib.sha256(content).digest()
        == hashlib.sha256(
            (vector(name="Freude ü+").save_pretrained(tmp_path / "again") / FILE).read_bytes()
        ).digest()
    )


def test_a_vector_replaces_a_vector_but_no_other_card(tmp_path):
    vector().save_pretrained(tmp_path / "a")
    vector(name="fear+").save_pretrained(tmp_path / "a")
    assert SteeringVector.from_pretrained(tmp_path / "a").name == "fear+"
    (tmp_path / "README.md").write_text("somebody's")
    with pytest.raises(RunFolderError, match=r"README\.md that belongs to something else"):
        vector().save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "somebody's"
    assert not (tmp_path / FILE).exists()


def metadata_of(content: bytes) -> dict[str, str]:
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


def rewritten(folder: Path, **changes: str | None) -> Path:
    """A whole safetensors file in which some metadata is other or missing."""
    file = vector().save_pretrained(folder) / FILE
    metadata = metadata_of(file.read_bytes()) | changes
    merged = {key: value for key, value in metadata.items() if value is not None}
    save_file(load_file(file), file, metadata=merged)
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "is not a steering vector: its format is None"),
        ({"format": "pt"}, "is not a steering vector: its format is 'pt'"),
        ({"version": "2"}, "has version 2 of the format[^$]*to do: update affectscope"),
        ({"version": "one"}, "its version is 'one'"),
        ({"version": None}, "its version is ''"),
        ({"name": None}, "lacks 'name'"),
        ({"site": "everywhere"}, "site 'everywhere'"),
        ({"layers": "[1, 2"}, "is broken"),
        ({"layers": "3"}, "is broken"),
        ({"layers": "[1, 2, 5.5]"}, "is broken"),
        ({"layers": "[1, 2]"}, r"shape \[3, 8\]"),
        ({"coefficient": "strong"}, "'strong'"),
        ({"coefficient": "inf"}, "coefficient inf"),
        ({"about": "[]"}, "not a JSON object"),
        ({"about": "{"}, "is broken"),
        ({"about": '{"a":' + "[" * 5000 + "]" * 5000 + "}"}, "is broken"),
    ],
)
def test_a_file_that_says_something_else(tmp_path, changes, message):
    file = rewritten(tmp_path, **changes)
    with pytest.raises(ModelFileError, match=message):
        SteeringVector.from_pretrained(file)


def test_what_a_later_version_adds_is_ignored(tmp_path):
    assert same(SteeringVector.from_pretrained(rewritten(tmp_path, more="1")), vector())


def test_tensors_that_are_something_else(tmp_path):
    file = rewritten(tmp_path)
    metadata = metadata_of(file.read_bytes())
    tensors = load_file(file)
    save_file({"norms": tensors["norms"]}, file, metadata=metadata)
    with pytest.raises(ModelFileError, match="lacks 'directions'"):
        SteeringVector.from_pretrained(file)
    save_file(tensors | {"norms": tensors["norms"].double()}, file, metadata=metadata)
    with pytest.raises(ModelFileError, match=r"not torch\.float32"):
        SteeringVector.from_pretrained(file)


def test_a_truncated_file_is_told_at_every_length(tmp_path):
    whole = (vector().save_pretrained(tmp_path) / FILE).read_bytes()
    for length in range(len(whole)):
        (tmp_path / FILE).write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="fetch or make the vector again"):
            SteeringVector.from_pretrained(tmp_path)


def test_a_damaged_file_gives_one_of_our_errors_or_a_vector(tmp_path):
    whole = (vector().save_pretrained(tmp_path) / FILE).read_bytes()
    draw = random.Random(0)
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (tmp_path / FILE).write_bytes(content)
        with suppress(AffectscopeError):
            SteeringVector.from_pretrained(tmp_path)


@pytest.mark.parametrize("path", ["nothing-here", "a/b/c", "gone.safetensors", "x/gone.gguf", ""])
def test_there_is_no_such_vector(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="steering vector"):
        SteeringVector.from_pretrained(path)


def test_a_folder_has_no_revision(tmp_path):
    with pytest.raises(UsageError, match="has no revision 'main'"):
        SteeringVector.from_pretrained(vector().save_pretrained(tmp_path), revision="main")


# llama.cpp


def test_llama_cpp_gets_what_is_added(tmp_path):
    from gguf import GGMLQuantizationType, GGUFReader

    v = vector()
    path = write_gguf(v, tmp_path / "joy.gguf", model_hint="qwen2")
    reader = GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert values["general.architecture"] == "controlvector"
    assert values["controlvector.model_hint"] == "qwen2"
    assert values["controlvector.layer_count"] == 3
    assert reader.fields["controlvector.layer_count"].types[0].name == "UINT32"
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert list(tensors) == ["direction.1", "direction.2", "direction.5"]
    for row, layer in enumerate(v.layers):
        tensor = tensors[f"direction.{layer}"]
        by_hand = v.coefficient * v.norms[row] / 3 * v.directions[row]
        assert tensor.tensor_type == GGMLQuantizationType.F32
        assert tensor.shape.tolist() == [8]
        assert tensor.data.tobytes() == by_hand.numpy().tobytes()
    read = read_gguf(path)
    assert (read.model_hint, read.layer_count, list(read.directions)) == ("qwen2", 3, [1, 2, 5])
    assert torch.equal(torch.stack(list(read.directions.values())), v.added())


def test_llama_cpp_cannot_have_layer_0_or_another_site(tmp_path):
    with pytest.raises(LayerError, match=r"cannot add joy.* at layer 0[^$]*layers from 1"):
        write_gguf(vector(layers=(0, 1, 2)), tmp_path / "a.gguf")
    for site in ("attn_out", "mlp_out"):
        with pytest.raises(InterventionError, match=f"at the site {site}"):
            write_gguf(vector(site=site), tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_gguf_file(tmp_path):
    whole = write_gguf(vector(), tmp_path / "a.gguf").read_bytes()
    for length in range(0, len(whole) - 32, 7):
        (tmp_path / "b.gguf").write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="truncated or not GGUF"):
            read_gguf(tmp_path / "b.gguf")
    with pytest.raises(ModelNotFoundError):
        read_gguf(tmp_path / "c.gguf")
    (tmp_path / "d.gguf").write_bytes(whole.replace(b"controlvector", b"somethingelse"))
    with pytest.raises(ModelFileError, match="it is a somethingelse"):
        read_gguf(tmp_path / "d.gguf")


# The command


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(export)

    def run(*arguments: object) -> str:
        done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_export_to_a_folder(command, tmp_path):
    v = vector()
    v.save_pretrained(tmp_path / "a")
    out = tmp_path / "b"
    printed = command(
        tmp_path / "a", "--to", "safetensors", "--out", out, "--coefficient", -0.7, "--name", "x-"
    )
    assert printed == f"{out}\n"
    read = SteeringVector.from_pretrained(out)
    assert same(read, replace(v, name="x-", coefficient=-0.7))


def test_export_to_gguf(command, tmp_path):
    v = vector()
    folder, out = v.save_pretrained(tmp_path / "a"), tmp_path / "v.gguf"
    assert command(folder, "--to", "gguf", "--out", out) == f"{out}\n"
    assert read_gguf(out).model_hint == "llama"
    command(folder, "--to", "gguf", "--out", out, "--model-hint", "gemma2", "--coefficient", 2)
    read = read_gguf(out)
    assert read.model_hint == "gemma2"
    assert torch.equal(read.directions[5], v.with_coefficient(2).added()[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "onnx", "--out", "b"), "--to onnx"),
        (("--to", "gguf", "--out", "b", "--public"), "only with --to hub"),
        (("--to", "hub", "--out", "a/b", "--model-hint", "llama"), "only with --to gguf"),
        (("--to", "safetensors", "--out", "b.safetensors"), "give --out b$"),
    ],
)
def test_export_with_options_that_do_not_go_together(command, arguments, message, tmp_path):
    folder = vector().save_pretrained(tmp_path / "a")
    with pytest.raises(UsageError, match=message):
        command(folder, *arguments)
