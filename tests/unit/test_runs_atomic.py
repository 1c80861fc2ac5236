"""Files are there whole or not at all."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from affectscope import atomic
from affectscope.errors import DiskFullError, RunError, RunFolderError

TABLE = pd.DataFrame({"layer": [0, 1, 2], "value": [0.25, np.nan, 1.0], "site": ["a", "b", None]})


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing_with(number: int):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


def test_content_arrives_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    atomic.write_bytes(path, b"one")
    atomic.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert files_of(path.parent) == ["file.txt"]


def test_file_and_folder_are_synced_before_and_after_the_rename(tmp_path, monkeypatch):
    happened = []
    fsync, replace = os.fsync, Path.replace

    def seen_fsync(descriptor):
        happened.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def seen_replace(self, target):
        happened.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_replace)
    atomic.write_bytes(tmp_path / "file", b"x")
    assert happened == ["file", "rename", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    atomic.write_bytes(path, b"old")
    monkeypatch.setattr(os, "fsync", failing_with(number))
    with pytest.raises(DiskFullError) as caught:
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert files_of(tmp_path) == ["file"]
    message = str(caught.value)
    assert str(path) in message
    assert "MiB free" in message
    assert "to do:" in message


def test_a_real_file_size_limit_is_a_full_disk(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from affectscope import atomic
from affectscope.errors import DiskFullError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic.write_bytes(Path(sys.argv[1]), b"x" * 5000)
except DiskFullError as error:
    print("full:", error)
"""
    path = tmp_path / "big"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("full: the disk is full while writing")
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_forbidden_folder_is_named(tmp_path, monkeypatch, number):
    monkeypatch.setattr(Path, "open", failing_with(number))
    with pytest.raises(RunFolderError, match=r"cannot write .*file"):
        atomic.write_bytes(tmp_path / "file", b"")


def test_any_other_failure_is_one_of_ours(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"cannot write .*below"):
        atomic.write_bytes(tmp_path / "file" / "below", b"")


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "file", b"new")
    assert files_of(tmp_path) == []


def test_the_same_table_gives_the_same_bytes(tmp_path):
    atomic.write_table(tmp_path / "a", TABLE, metadata={"key": "value"})
    atomic.write_table(tmp_path / "b", TABLE.copy(deep=True), metadata={"key": "value"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a"), TABLE)
    assert pq.read_schema(tmp_path / "a").metadata[b"key"] == b"value"


def test_a_flipped_byte_in_a_table_is_noticed(tmp_path):
    path = tmp_path / "table"
    atomic.write_table(path, pd.DataFrame({"x": np.random.default_rng(0).normal(size=1000)}))
    content = bytearray(path.read_bytes())
    content[500] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(OSError, match="CRC checksum"):
        pq.read_table(path, page_checksum_verification=True)


def test_arrays_come_back_exactly(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T  # not contiguous
    atomic.write_arrays(tmp_path / "arrays", {"x": array})
    np.testing.assert_array_equal(load_file(tmp_path / "arrays")["x"], array)


def test_json_has_null_for_nan_and_numbers_for_numpy(tmp_path):
    value = {"b": np.float64("nan"), "a": [np.int64(3), float("inf"), Path("x/y"), (1.5, "é")]}
    atomic.write_json(tmp_path / "file.json", value, sort_keys=True)
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [3, None, "x/y", [1.5, "é"]], "b": None}
    assert text.index('"a"') < text.index('"b"')
    assert text.endswith("}\n")


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from affectscope import atomic
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
atomic.write_bytes(Path(sys.argv[1]), b"x")
"""
    path = tmp_path / "units" / "file"
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -9
    assert len(files_of(path.parent)) == 1
    assert not path.exists()
    (path.parent / "kept.tmp").write_bytes(b"")
    assert atomic.remove_leftovers(tmp_path) == 1
    assert files_of(path.parent) == ["kept.tmp"]
