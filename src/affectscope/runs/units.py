"""Finished units on disk: a Parquet table each, and a safetensors file where there are arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open

from affectscope.atomic import write_arrays, write_table
from affectscope.errors import RunFolderError
from affectscope.runs.identity import canonical_hash

if TYPE_CHECKING:  # the report reads run folders, and analyses may load a model's libraries
    from affectscope.analyses.experiment import Unit, UnitOutput

_ARRAYS_KEY = "affectscope.arrays"


class StoredArrays(Mapping[str, np.ndarray]):
    """Named arrays in a safetensors file; a model's activations are too many to read at once.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with safe_open(path, framework="np") as arrays:
            self._names = tuple(arrays.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="np") as arrays:
            return np.asarray(arrays.get_tensor(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class UnitFolder:
    """Keeps units in the folder of a run (a ``UnitStore``).

    The arrays of a unit are written before its table, so a unit whose table is there and whole was
    stored whole. A damaged file (a killed disk, half a copy) counts as absent, and is said.

    Args:
        path: The folder of the run.
        identity: Hash of everything that decides the run's numbers; part of every unit's name.
        say: Told about damaged files.
    """

    def __init__(self, path: Path, identity: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._identity = identity
        self._say = say
        self._whole: set[str] = set()

    def has(self, unit: Unit) -> bool:
        """Whether the unit is stored, whole."""
        name = self._name(unit)
        if name in self._whole:
            return True
        if not self._table_path(unit).exists():
            return False
        try:
            names = self._expected_arrays(unit)
            if names and not self._arrays_path(unit).exists():
                return False  # removed when the run was complete
            self._check_arrays(unit, names)
        except (OSError, pa.ArrowException, SafetensorError, ValueError) as error:
            self._say(
                f"a stored piece of {unit.experiment} ({name}) is damaged and is computed again: "
                f"{str(error).splitlines()[0]}"
            )
            return False
        self._whole.add(name)
        return True

    def write(self, unit: Unit, output: UnitOutput) -> None:
        """Store a unit, all of it or nothing."""
        if output.arrays:
            write_arrays(self._arrays_path(unit), output.arrays)
        write_table(
            self._table_path(unit),
            output.table,
            metadata={_ARRAYS_KEY: json.dumps(sorted(output.arrays))},
        )
        self._whole.add(self._name(unit))

    def read(self, unit: Unit) -> pd.DataFrame:
        """The stored table of a unit."""
        path = self._table_path(unit)
        try:
            return pq.read_table(path, page_checksum_verification=True).to_pandas()
        except (OSError, pa.ArrowException) as error:
            raise self._gone(path, error) from error

    def read_arrays(self, unit: Unit) -> Mapping[str, np.ndarray]:
        """The stored arrays of a unit, each read when it is asked for."""
        path = self._arrays_path(unit)
        try:
            return StoredArrays(path) if path.exists() or self._expected_arrays(unit) else {}
        except (OSError, SafetensorError, pa.ArrowException) as error:
            raise self._gone(path, error) from error

    def count(self) -> int:
        """How many units are stored."""
        return sum(1 for _ in self._path.glob("units/*/*.parquet"))

    def _name(self, unit: Unit) -> str:
        return canonical_hash([self._identity, unit.experiment, unit.key])[:24]

    def _table_path(self, unit: Unit) -> Path:
        return self._path / "units" / unit.experiment / f"{self._name(unit)}.parquet"

    def _arrays_path(self, unit: Unit) -> Path:
        return self._path / "activations" / f"{self._name(unit)}.safetensors"

    def _expected_arrays(self, unit: Unit) -> list[str]:
        """Names of the unit's arrays, after checking that its table is whole."""
        table = pq.read_table(self._table_path(unit), page_checksum_verification=True)
        entry = (table.schema.metadata or {}).get(_ARRAYS_KEY.encode())
        if entry is None:
            raise ValueError("it was not written by affectscope")
        return list(json.loads(entry))

    def _check_arrays(self, unit: Unit, names: list[str]) -> None:
        if not names:
            return
        # Opening compares the length of the file with what its header says.
        missing = set(names) - set(StoredArrays(self._arrays_path(unit)))
        if missing:
            raise ValueError(f"arrays {sorted(missing)} are missing")

    @staticmethod
    def _gone(path: Path, error: Exception) -> RunFolderError:
        return RunFolderError(
            f"cannot read {path}: {str(error).splitlines()[0]}",
            expected="the whole file that this run wrote",
            remedy="give the same command again: what is missing is computed again",
        )
