"""``affectscope data``: which corpora are known, how to get them, and what is in one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectscope.cli import options as o
from affectscope.cli.output import print_json

if TYPE_CHECKING:
    from affectscope.data.catalogue import KnownCorpus, KnownFile
    from affectscope.data.check import CorpusCheck
    from affectscope.data.check_readers import ReadersCheck
    from affectscope.runs.config import RunConfig

data_app = typer.Typer(no_args_is_help=True)

FromFile = Annotated[
    list[Path] | None,
    typer.Option(
        "--from-file",
        metavar="FILE",
        help="Copy this file, or the files in this folder, instead of downloading; "
        "may be given once for each file.",
    ),
]


@data_app.callback()
def _data() -> None:
    """List, get and check corpora."""


@data_app.command("list")
def data_list(*, as_json: o.AsJson = False) -> None:
    """Tell which corpora are known by name, where they come from and whether they are here."""
    from affectscope.data.catalogue import KNOWN

    described = [_described(corpus) for corpus in KNOWN.values()]
    if as_json:
        print_json(described)
    else:
        typer.echo("\n\n".join("\n".join(_corpus_lines(corpus)) for corpus in described))


@data_app.command("get")
def data_get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known corpus; see data list.")],
    *,
    from_file: FromFile = None,
    as_json: o.AsJson = False,
) -> None:
    """Get a known corpus into the user's cache, compared with its known hash."""
    corpus = _known(name)
    if not corpus.files:
        typer.echo(f"{name} comes with affectscope: there is nothing to get", err=True)
        files: list[KnownFile] = []
    elif from_file:
        files = _copied(corpus, from_file)
    else:
        files = _downloaded(corpus)
    if as_json:
        print_json({"name": name, "files": [_file_described(name, file) for file in files]})
        return
    from affectscope.data.catalogue import corpus_folder

    for file in files:
        typer.echo(str(corpus_folder(name) / file.name))


@data_app.command("check")
def data_check(
    context: typer.Context,
    corpus: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A corpus.")],
    *,
    text_column: o.TextColumn = None,
    label_column: o.LabelColumn = None,
    group_column: o.GroupColumn = None,
    label_map: o.LabelMap = None,
    encoding: o.Encoding = None,
    split: o.Split = None,
    as_json: o.AsJson = False,
) -> None:
    """Tell what is in a corpus, what is questionable about it, and what would be left out.

    crowd-enVENT's file of readers' ratings is recognised and described too.
    """
    from affectscope.runs.config import resolve_config

    check = _check(resolve_config({**o.given_flags(context), "data": corpus}))
    if as_json:
        print_json(check.as_dict())
    else:
        typer.echo("\n".join(check.lines()))


def _check(config: RunConfig) -> CorpusCheck | ReadersCheck:
    from affectscope.data import check_corpus, load_corpus
    from affectscope.data.sources import read_source
    from affectscope.errors import DataError

    try:
        corpus = load_corpus(config.data, **config.corpus_options)
    except DataError:
        if readers := _readers_check(config):
            return readers
        raise
    found = read_source(config.data, encoding=config.encoding, split=config.split)
    return check_corpus(corpus, columns=found.table.columns)


def _readers_check(config: RunConfig) -> ReadersCheck | None:
    """What is in the file if it is that of crowd-enVENT's readers, which is no corpus."""
    from affectscope.data import load_readers
    from affectscope.data.check_readers import check_readers, is_readers_file
    from affectscope.data.sources import read_source
    from affectscope.errors import DataError

    try:
        columns = read_source(config.data, encoding=config.encoding).table.columns
    except DataError:
        return None
    if config.text_column is not None or not is_readers_file(columns):
        return None
    return check_readers(load_readers(config.data, encoding=config.encoding), columns=columns)


def _known(name: str) -> KnownCorpus:
    from affectscope.data.catalogue import KNOWN
    from affectscope.data.columns import nearest
    from affectscope.errors import UsageError

    if name in KNOWN:
        return KNOWN[name]
    suggestion = nearest(name, tuple(KNOWN))
    raise UsageError(
        f'there is no known corpus called "{name}"',
        expected=" or ".join(KNOWN),
        remedy=f'did you mean "{suggestion}"?'
        if suggestion
        else "a file of your own needs no getting: give its path to --data",
    )


def _copied(corpus: KnownCorpus, given: list[Path]) -> list[KnownFile]:
    from affectscope.cli.transfer import TransferDisplay
    from affectscope.data.catalogue import corpus_file
    from affectscope.data.local_copy import copy_files

    with TransferDisplay() as display:
        files = copy_files(corpus, given, say=display.say)
        for file in corpus.files:
            if corpus_file(corpus.name, file.name) is None:
                display.say(f"{file.name} ({file.holds}) was not given and is not here")
    return files


def _downloaded(corpus: KnownCorpus) -> list[KnownFile]:
    from affectscope.cli.transfer import TransferDisplay
    from affectscope.data.catalogue import corpus_file
    from affectscope.data.download import download, partial_bytes

    with TransferDisplay() as display:
        for file in corpus.files:
            if corpus_file(corpus.name, file.name):
                display.say(f"{file.name} is here already")
                continue
            display.say(f"{file.name} ({file.size / 1e6:.1f} MB) from {file.url} ...")
            try:
                download(corpus.name, file, watcher=display)
            except KeyboardInterrupt:
                if kept := partial_bytes(corpus.name, file):
                    display.say(
                        f"{kept / 1e6:.1f} MB of {file.name} are kept: the same command goes on "
                        "from there"
                    )
                raise
            display.say("  complete, with the hash that is known")
        display.say(f"terms: {corpus.terms}\ncite: {corpus.citation}")
    return list(corpus.files)


def _described(corpus: KnownCorpus) -> dict[str, Any]:
    """A corpus as JSON values."""
    files = [_file_described(corpus.name, file) for file in corpus.files]
    return {
        "name": corpus.name,
        "holds": corpus.holds,
        "rows": _rows(corpus),
        "labels": list(corpus.labels),
        "here": all(file["path"] for file in files),
        "files": files,
        "source": corpus.source,
        "terms": corpus.terms,
        "citation": corpus.citation,
    }


def _rows(corpus: KnownCorpus) -> int:
    if corpus.rows is not None:
        return corpus.rows
    from affectscope.data import load_corpus

    return len(load_corpus(corpus.name))


def _file_described(corpus: str, file: KnownFile) -> dict[str, Any]:
    from affectscope.data.catalogue import corpus_file

    path = corpus_file(corpus, file.name)
    return {
        "name": file.name,
        "holds": file.holds,
        "url": file.url,
        "bytes": file.size,
        "sha256": file.sha256,
        "path": None if path is None else str(path),
    }


def _corpus_lines(corpus: dict[str, Any]) -> list[str]:
    return [
        f"{corpus['name']}: {corpus['holds']}",
        f"  {corpus['rows']:,} rows, {len(corpus['labels'])} labels: {', '.join(corpus['labels'])}",
        *(line for file in corpus["files"] for line in _file_lines(corpus["name"], file)),
        f"  source: {corpus['source']}",
        f"  terms: {corpus['terms']}",
        f"  cite: {corpus['citation']}",
    ]


def _file_lines(corpus: str, file: dict[str, Any]) -> list[str]:
    where = f"here: {file['path']}" if file["path"] else f"not here: affectscope data get {corpus}"
    return [f"  {file['name']} ({file['bytes'] / 1e6:.1f} MB): {file['holds']}", f"    {where}"]
