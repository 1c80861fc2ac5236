"""Data sets of the library ``datasets``: a folder that it saved, a folder of files, or the Hub's.

No code of a data set is ever run: the library reads files, and refuses scripts.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from affectscope.data.arrow_table import table_from_arrow
from affectscope.data.table_file import Table
from affectscope.errors import AffectscopeError, DataError, UsageError
from affectscope.user_cache import no_network_wanted

_HUB_ID = re.compile(r"(?P<name>[\w][\w.-]*/[\w][\w.-]*)(?::(?P<configuration>[\w.-]+))?")

_FILE_ENDINGS = frozenset(
    ".csv .tsv .tab .txt .json .jsonl .ndjson .parquet .xlsx .xls .gz .zip".split()
)

_SAVED = ("dataset_dict.json", "state.json")
"""Files in a folder that ``save_to_disk`` wrote: of several splits, and of one."""

_USUAL_SPLIT = "train"

_PATIENCE_SECONDS = 10.0
"""How long to wait for the Hub's first answer."""


def is_hub_id(given: str) -> bool:
    """Whether a name that is no file here may be a data set on the Hub."""
    owner = Path(given.partition("/")[0])
    ending = Path(given).suffix.lower()
    return bool(_HUB_ID.fullmatch(given)) and ending not in _FILE_ENDINGS and not owner.exists()


def read_folder(path: Path, *, source: str, split: str | None) -> Table:
    """Read a folder that ``datasets`` saved, or a folder of files that it can read.

    Args:
        path: The folder.
        source: What it is called in messages.
        split: Which of its splits; the only one, or ``train``, when absent.

    Raises:
        UsageError: There is no such split, or none was chosen of several.
        DataError: It cannot be read as a data set.
    """
    saved = any((path / name).is_file() for name in _SAVED)
    _refuse_without_files(path, source)
    datasets = _library(source)
    with _explained(source, _broken_folder), _quiet():
        found = datasets.load_from_disk(path) if saved else datasets.load_dataset(str(path))
    return _table(found, source, split)


def read_hub(given: str, *, split: str | None) -> Table:
    """Read a data set of the Hub, from the library's cache where that has it.

    Args:
        given: ``OWNER/NAME``, or ``OWNER/NAME:CONFIGURATION``.
        split: Which of its splits; the only one, or ``train``, when absent.

    Raises:
        UsageError: There is no such split, or none was chosen of several.
        DataError: There is no such data set, it may not be read, or it cannot be fetched.
    """
    match = _HUB_ID.fullmatch(given)
    assert match is not None, given
    datasets = _library(given)
    away = None if _offline() else _hub_is_away(match["name"])

    def explain(source: str, error: Exception) -> DataError:
        return _not_fetched(source, away or error)

    with _explained(given, explain), _quiet(), _without_network(_offline() or away is not None):
        found = datasets.load_dataset(match["name"], match["configuration"])
    return _table(found, given, split)


def _library(source: str) -> Any:
    """The library; it takes a second to load, which only its user should wait."""
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"{source} cannot be read: the library datasets cannot be loaded ({error})",
            expected="the library datasets, which comes with affectscope",
            remedy="install it: python -m pip install datasets",
        ) from error


def _table(found: Any, source: str, split: str | None) -> Table:
    rows = _chosen(found, source, split)
    names = {
        column: list(feature.names)
        for column, feature in rows.features.items()
        if type(feature).__name__ == "ClassLabel"
    }
    with _explained(source, _broken_folder):
        content = rows.with_format("arrow")[:]
    return table_from_arrow(content, source=source, class_names=names)


def _chosen(found: Any, source: str, split: str | None) -> Any:
    """The split that was asked for, or that goes without saying."""
    splits = found if isinstance(found, dict) else {str(found.split or _USUAL_SPLIT): found}
    wanted = split or (next(iter(splits)) if len(splits) == 1 else _USUAL_SPLIT)
    if wanted not in splits:
        raise UsageError(
            f"{source} has no split {wanted}" if split else f"{source} has several splits",
            expected=f"one of its splits: {', '.join(map(str, splits))}",
            remedy="choose one with --split",
        )
    return splits[wanted]


def _refuse_without_files(path: Path, source: str) -> None:
    if not any(entry.is_file() for entry in path.rglob("*")):
        raise DataError(
            f"{source} is a folder without files",
            expected="a folder that the library datasets saved, or one of data files",
            remedy="check the path, or give that of a file",
        )


@contextmanager
def _explained(source: str, explain: Any) -> Iterator[None]:
    """Turn whatever the library fails with into an error that says what to do.

    It reads files of many formats by many libraries, none of which promises its exceptions.
    """
    try:
        yield
    except AffectscopeError:
        raise
    except Exception as error:
        raise explain(source, error) from error


def _reason(error: BaseException) -> str:
    """The first line of the error, or of the one it was caused by, which says more."""
    cause = error.__cause__ or error
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def _broken_folder(source: str, error: Exception) -> DataError:
    return DataError(
        f"{source} is a folder that cannot be read as a data set: {_reason(error)}",
        expected="a folder that the library datasets saved, or one of data files with the same "
        "columns",
        remedy="give the path of one file in it, which is then read by itself",
    )


def _not_fetched(source: str, error: Exception) -> DataError:
    kind = type(error).__name__
    if kind == "DatasetNotFoundError":
        gated = "gated" in str(error)
        return DataError(
            f"{source} is gated: its owners give access to those who accept their terms"
            if gated
            else f"there is no file {source}, and the Hub has no data set of that name, or it is "
            "private",
            expected="the path of a file, or OWNER/NAME of a data set on the Hub",
            remedy="accept the terms on its page on the Hub, then log in with `hf auth login`"
            if gated
            else "check the spelling; for a private data set, log in with `hf auth login`",
        )
    if _offline():
        return DataError(
            f"there is no file {source}; as a data set of the Hub it is not in the cache, and no "
            "network is to be used",
            expected="the path of a file, or a data set that was fetched before",
            remedy="check the path, or unset AFFECTSCOPE_OFFLINE, HF_HUB_OFFLINE and "
            "HF_DATASETS_OFFLINE",
        )
    if isinstance(error, ConnectionError | TimeoutError):
        return DataError(
            f"there is no file {source}; as a data set of the Hub it cannot be fetched: "
            f"{_reason(error)}",
            expected="the path of a file, or a network",
            remedy="check the path or the network; where there is none, download the data set "
            "elsewhere and give its folder",
        )
    configurations = "config name is missing" in str(error).lower()
    return DataError(
        f"the data set {source} cannot be read: {_reason(error)}",
        expected="a data set of files that the library datasets reads without running code",
        remedy=f"choose a configuration, as in {source}:NAME"
        if configurations
        else "download it and give the path of one of its files",
    )


def _offline() -> bool:
    """Whether no network is wanted: by the house's variable, or by one of the library's."""
    from datasets import config  # noqa: PLC0415

    return no_network_wanted() or bool(config.HF_HUB_OFFLINE)


def _hub_is_away(name: str) -> ConnectionError | None:
    """Why the Hub cannot be reached, if it cannot; the library would try for most of a minute."""
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    # Which library's error it is when nobody answers depends on the version of huggingface_hub;
    # the error of a Hub that did answer inherits from it.
    no_answer = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    try:
        HfApi().dataset_info(name, timeout=_PATIENCE_SECONDS)
    except HfHubHTTPError:
        return None
    except no_answer as error:
        return ConnectionError(_reason(error))
    return None


@contextmanager
def _without_network(wanted: bool) -> Iterator[None]:
    """Keep the library off the network, so that it takes what is in its cache."""
    from datasets import config  # noqa: PLC0415

    usual = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = wanted
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = usual


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars off a terminal, and no notes by the library's logger."""
    from datasets import utils  # noqa: PLC0415

    level = utils.logging.get_verbosity()
    silence = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    if silence:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(level)
        if silence:
            utils.enable_progress_bars()
