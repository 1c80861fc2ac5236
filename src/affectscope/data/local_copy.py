"""Takes the files of known corpora from files that the user already has."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affectscope.data.catalogue import KnownCorpus, KnownFile, corpus_folder
from affectscope.data.corpus_cache import Say, store, writing_into_cache
from affectscope.errors import DataError


@dataclass(frozen=True)
class _Found:
    path: Path
    file: KnownFile
    content: bytes


def copy_files(corpus: KnownCorpus, given: Sequence[Path], *, say: Say) -> list[KnownFile]:
    """Copy files into the user's cache; all are compared with their hashes before any is copied.

    A file is known by its content, whatever it is called; a folder is searched for the names that
    the files have at their source.

    Args:
        corpus: A known corpus that has files.
        given: Files or folders.
        say: Takes each line on what happens.

    Returns:
        The known files that were given, in the corpus's order.

    Raises:
        DataError: Something cannot be read, or has other content than any file of the corpus.
        DiskFullError: There is too little space.
    """
    paths = [path for entry in given for path in _files_at(entry, corpus)]
    found = {each.file: each for each in (_identify(path, corpus) for path in paths)}
    needed = sum(file.size for file in found)
    with writing_into_cache(corpus.name, needed_bytes=needed, say=say) as folder:
        for file, each in found.items():
            if not file.is_at(corpus_folder(corpus.name) / file.name):
                store(folder, file, each.content)
            (folder / f"{file.name}.partial").unlink(missing_ok=True)
    return [file for file in corpus.files if file in found]


def _files_at(given: Path, corpus: KnownCorpus) -> list[Path]:
    if not given.is_dir():
        return [given]
    names = [file.name for file in corpus.files]
    paths = [given / name for name in names if (given / name).is_file()]
    if not paths:
        raise DataError(
            f"the folder {given} has no file of {corpus.name}",
            expected=f"a file named {' or '.join(names)} in it",
            remedy="give the path of the file itself, whatever it is called, or another folder",
        )
    return paths


def _identify(path: Path, corpus: KnownCorpus) -> _Found:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}",
            expected=f"a copy of {_named(corpus)}",
            remedy="check the path and its permissions",
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    for file in corpus.files:
        if file.sha256 == sha256:
            return _Found(path, file, content)
    meant = [file for file in corpus.files if file.name == path.name] or corpus.files
    raise DataError(
        f"{path} is not a file of {corpus.name} as it is known: it has sha256 {sha256} "
        f"({len(content):,} bytes)",
        expected=" or ".join(f"sha256 {f.sha256} ({f.size:,} bytes), {f.name}" for f in meant),
        remedy=f"get it from {meant[0].url} without changing it (an editor may change line ends or "
        "the encoding); or give this file's path to --data, which takes any table of texts",
    )


def _named(corpus: KnownCorpus) -> str:
    return " or ".join(file.name for file in corpus.files)
