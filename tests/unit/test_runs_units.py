"""Stored units: whole, or computed again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectscope.analyses.experiment import Unit, UnitOutput
from affectscope.errors import RunFolderError
from affectscope.runs.units import UnitFolder

UNIT = Unit("clean", {"items": (0, 2), "kind": "zero"})
TABLE = pd.DataFrame({"item": [0, 1], "value": [0.5, np.nan]})
ARRAYS = {"resid_post.0": np.eye(3, dtype=np.float32), "attn_out.0": np.ones(2, dtype=np.float32)}


@pytest.fixture
def said():
    return []


@pytest.fixture
def store(tmp_path, said):
    return UnitFolder(tmp_path, "identity", said.append)


def again(store: UnitFolder, said: list[str]) -> UnitFolder:
    """The store as a new process sees it."""
    return UnitFolder(store._path, "identity", said.append)


def only_file(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


def test_a_unit_comes_back(store, tmp_path, said):
    assert not store.has(UNIT)
    store.write(UNIT, UnitOutput(TABLE, ARRAYS))
    later = again(store, said)
    assert later.has(UNIT)
    pd.testing.assert_frame_equal(later.read(UNIT), TABLE)
    arrays = later.read_arrays(UNIT)
    assert sorted(arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
    with pytest.raises(KeyError):
        arrays["resid_post.9"]
    assert later.count() == 1
    assert only_file(tmp_path, "*.parquet").parent == tmp_path / "units" / "clean"


def test_the_name_is_the_hash_of_run_experiment_and_key(store, tmp_path):
    store.write(UNIT, UnitOutput(TABLE))
    assert len(only_file(tmp_path, "*.parquet").stem) == 24
    assert store.has(Unit("clean", {"kind": "zero", "items": [0, 2]}, cost=9.0))
    assert not store.has(Unit("infer", UNIT.key))
    assert not store.has(Unit("clean", {"items": [0, 3], "kind": "zero"}))
    assert not UnitFolder(tmp_path, "another identity", print).has(UNIT)


def test_a_unit_without_arrays_has_none(store, said):
    store.write(UNIT, UnitOutput(TABLE))
    assert dict(again(store, said).read_arrays(UNIT)) == {}


@pytest.mark.parametrize("pattern", ["*.parquet", "*.safetensors"])
@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_unit_is_absent_and_said_and_can_be_written_again(
    store, tmp_path, said, pattern, kept
):
    store.write(UNIT, UnitOutput(TABLE, ARRAYS))
    path = only_file(tmp_path, pattern)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    later = again(store, said)
    assert not later.has(UNIT)
    assert len(said) == 1
    assert "clean" in said[0]
    assert "computed again" in said[0]
    later.write(UNIT, UnitOutput(TABLE, ARRAYS))
    assert path.read_bytes() == whole
    assert again(store, said).has(UNIT)


def test_a_flipped_byte_in_a_table_is_noticed(store, tmp_path, said):
    table = pd.DataFrame({"x": np.random.default_rng(0).normal(size=2000)})
    store.write(UNIT, UnitOutput(table))
    path = only_file(tmp_path, "*.parquet")
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    later = again(store, said)
    assert not later.has(UNIT)
    assert said
    with pytest.raises(RunFolderError, match="give the same command again"):
        later.read(UNIT)


def test_a_table_from_elsewhere_is_no_unit(store, tmp_path, said):
    store.write(UNIT, UnitOutput(TABLE))
    TABLE.to_parquet(only_file(tmp_path, "*.parquet"))
    assert not again(store, said).has(UNIT)


def test_removed_activations_make_the_unit_absent_without_a_word(store, tmp_path, said):
    store.write(UNIT, UnitOutput(TABLE, ARRAYS))
    only_file(tmp_path, "*.safetensors").unlink()
    later = again(store, said)
    assert not later.has(UNIT)
    assert said == []
    with pytest.raises(RunFolderError):
        later.read_arrays(UNIT)


def test_a_unit_that_is_not_there_cannot_be_read(store):
    with pytest.raises(RunFolderError, match="cannot read"):
        store.read(UNIT)
