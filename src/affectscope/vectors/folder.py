"""Where a steering vector lies: a folder of two files, one file, or a repository on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from affectscope.atomic import write_bytes
from affectscope.errors import ModelNotFoundError, RunFolderError, UsageError
from affectscope.vectors.hub import fetch_file, is_repo_id

FILE_NAME = "steering_vector.safetensors"
CARD_NAME = "README.md"


def vector_file(
    path: str | Path, *, revision: str | None = None, endpoint: str | None = None
) -> Path:
    """The file of a vector on this machine; one on the Hub is fetched into the Hub's cache.

    Args:
        path: A folder, a file, or ``OWNER/NAME`` on the Hub. What is here goes before the Hub.
        revision: Branch, tag or commit on the Hub.
        endpoint: Address of the Hub, when it is not that of huggingface_hub.

    Raises:
        ModelNotFoundError: There is none.
        ModelAccessError: It may not be read, or the Hub cannot be reached.
        UsageError: A revision is asked of what is on this machine.
    """
    place = Path(path)
    if place.exists():
        if revision is not None:
            raise UsageError(
                f"{place} is on this machine and has no revision {revision!r}",
                expected="a revision only with OWNER/NAME of a repository on the Hub",
                remedy="leave the revision out",
            )
        return _file_in(place) if place.is_dir() else place
    if is_repo_id(str(path)):
        return fetch_file(str(path), FILE_NAME, revision=revision, endpoint=endpoint)
    raise ModelNotFoundError(
        f"there is no steering vector {str(path)!r}",
        expected=f"a folder with {FILE_NAME}, such a file, or OWNER/NAME of a repository on the "
        "Hub",
        remedy="check the spelling",
    )


def _file_in(folder: Path) -> Path:
    file = folder / FILE_NAME
    if not file.is_file():
        raise ModelNotFoundError(
            f"{folder} holds no {FILE_NAME}, so it is not a steering vector",
            expected="a folder that `affectscope steer --save` or save_pretrained wrote",
        )
    return file


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a vector's files, each whole or not at all.

    Raises:
        RunFolderError: The folder has a card and no vector: it is something else's.
        DiskFullError: No space is left.
    """
    if (folder / CARD_NAME).exists() and not (folder / FILE_NAME).exists():
        raise RunFolderError(
            f"{folder} has a {CARD_NAME} that belongs to something else, and would lose it",
            expected="a new folder, or one that holds a steering vector",
            remedy="choose another folder",
        )
    for name, content in files.items():
        write_bytes(folder / name, content)
    return folder
