"""Fetches the files of known corpora over HTTP.

What has arrived is kept under ``NAME.partial``: after a cut connection, an interrupt or a kill the
transfer goes on from there by a ``Range`` request. A server that answers such a request with the
whole file, or with a range of a file of another size, makes it start anew. Only the file's own
address is asked, and no redirect is followed: a pinned address has no reason to move.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import httpx2

from affectscope.data.catalogue import KnownFile, corpus_folder
from affectscope.data.corpus_cache import store, writing_into_cache
from affectscope.errors import DataError
from affectscope.user_cache import OFFLINE_VARIABLE, no_network_wanted

PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""How long to wait before each new try; one that brings something starts the count again."""

_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
# "identity", because a range of a compressed file would be counted in compressed bytes.
_HEADERS = {"User-Agent": "affectscope", "Accept": "*/*", "Accept-Encoding": "identity"}
_PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
_WORTH_ANOTHER_TRY = 1 << 16
"""Bytes after which a try has brought something."""


class Watcher(Protocol):
    """Shows what happens during a transfer."""

    def say(self, text: str) -> None:
        """Take a line."""

    def arrived(self, file: KnownFile, count: int) -> None:
        """Take the number of bytes of a file that are there so far."""


class _PassingError(Exception):
    """A failure that may be gone at the next try."""


class _StartAnewError(Exception):
    """What is there cannot be continued."""


def download(
    corpus: str, file: KnownFile, *, watcher: Watcher, pauses: Sequence[float] = PAUSES_SECONDS
) -> Path:
    """Fetch a file of a known corpus into the user's cache, where it is not there already.

    Args:
        corpus: Name of the corpus.
        file: The file.
        watcher: Shows what happens.
        pauses: Seconds to wait before each new try.

    Returns:
        Its path.

    Raises:
        DataError: It cannot be fetched, the address holds other content, or the cache cannot be
            written.
        DiskFullError: There is too little space.
    """
    target = corpus_folder(corpus) / file.name
    if file.is_at(target):
        return target
    if no_network_wanted():
        raise DataError(
            f"{file.name} is not here, and no network is to be used ({OFFLINE_VARIABLE})",
            remedy=f"unset {OFFLINE_VARIABLE}, or {_by_hand(corpus, file)}",
        )
    # Twice the size: the partial file, and the whole one written from it.
    with (
        _client(corpus, file) as client,
        writing_into_cache(corpus, needed_bytes=2 * file.size, say=watcher.say) as folder,
    ):
        if file.is_at(target):  # another process has fetched it meanwhile
            return target
        partial = folder / f"{file.name}.partial"
        transfer = _Transfer(
            client=client,
            corpus=corpus,
            file=file,
            partial=partial,
            watcher=watcher,
            pauses=pauses,
        )
        content = transfer.content()
        store(folder, file, content)
        partial.unlink()
    return target


def partial_bytes(corpus: str, file: KnownFile) -> int:
    """How much of a file is kept from a transfer that was cut short."""
    return _size(corpus_folder(corpus) / f"{file.name}.partial")


class _Transfer:
    """One file on its way from its address to a partial file."""

    def __init__(
        self,
        *,
        client: httpx2.Client,
        corpus: str,
        file: KnownFile,
        partial: Path,
        watcher: Watcher,
        pauses: Sequence[float],
    ) -> None:
        self._client = client
        self._corpus = corpus
        self._file = file
        self._partial = partial
        self._watcher = watcher
        self._pauses = pauses

    def content(self) -> bytes:
        """The file's bytes, compared with its hash; fetched a second time if they are others."""
        for last_try in (False, True):
            self._complete()
            content = self._partial.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            if sha256 == self._file.sha256:
                return content
            self._partial.unlink()
            if not last_try:
                self._watcher.say(f"{self._file.name} arrived with wrong bytes; once more")
        raise self._other_content(f"sha256 {sha256}", f"sha256 {self._file.sha256}")

    def _complete(self) -> None:
        """Fetch until the partial file has the file's size."""
        if _size(self._partial) > self._file.size:
            self._partial.unlink()
        pauses = iter(self._pauses)
        while (before := _size(self._partial)) < self._file.size:
            try:
                self._receive(before)
            except _StartAnewError:
                self._partial.unlink()
            except (_PassingError, httpx2.RequestError) as error:
                if _size(self._partial) - before >= _WORTH_ANOTHER_TRY:
                    pauses = iter(self._pauses)
                self._wait(error, next(pauses, None))

    def _wait(self, error: Exception, pause: float | None) -> None:
        # "[Errno -2] Name or service not known": the number tells a reader nothing.
        reason = re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        if pause is None:
            raise self._unreachable(reason) from error
        kept = f"{_size(self._partial) / 1e6:.1f} of {self._file.size / 1e6:.1f} MB are here"
        self._watcher.say(f"{self._file.name}: {reason}; {kept}; trying again in {pause:g} s")
        time.sleep(pause)

    def _receive(self, have: int) -> None:
        """Ask once, and append or write what comes."""
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._client.stream("GET", self._file.url, headers=headers) as response:
            goes_on = self._judge(response, have)
            count = have if goes_on else 0
            with self._partial.open("ab" if goes_on else "wb") as stream:
                # As it arrives: chunks of a size would lose what a cut leaves of the last one.
                for chunk in response.iter_bytes():
                    count += len(chunk)
                    if count > self._file.size:
                        self._partial.unlink()
                        raise self._other_content("more than that", f"{self._file.size:,} bytes")
                    stream.write(chunk)
                    self._watcher.arrived(self._file, count)
        if count < self._file.size:
            raise _PassingError("the connection ended early")

    def _judge(self, response: httpx2.Response, have: int) -> bool:
        """Whether an answer goes on where the partial file ends; if not, it is the whole file."""
        status, headers = response.status_code, response.headers
        if status == httpx2.codes.PARTIAL_CONTENT and have:
            found = _RANGE.fullmatch(headers.get("Content-Range", ""))
            asked = (str(have), str(self._file.size))
            if found is None or found.groups() != asked or "Content-Encoding" in headers:
                raise _StartAnewError
            return True
        if status == httpx2.codes.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            raise _StartAnewError
        if status in _PASSING_STATUSES:
            raise _PassingError(f"the server answered {status} {response.reason_phrase}".strip())
        if status != httpx2.codes.OK:
            raise self._refused(response)
        length = headers.get("Content-Length", "")
        encoded = "Content-Encoding" in headers
        if length.isdecimal() and int(length) != self._file.size and not encoded:
            kind = headers.get("Content-Type", "unnamed content")
            raise self._other_content(f"{int(length):,} bytes ({kind})", f"{self._file.size:,}")
        return False

    def _unreachable(self, reason: str) -> DataError:
        have = _size(self._partial)
        kept = f"; {have / 1e6:.1f} MB of it are kept, for the next time" if have else ""
        return DataError(
            f"{self._file.name} cannot be fetched from {self._host}: {reason}{kept}",
            expected=f"a network in which {self._host} answers",
            remedy="check the network (behind a proxy, HTTPS_PROXY) and give the same command "
            f"again; or {_by_hand(self._corpus, self._file)}",
        )

    def _refused(self, response: httpx2.Response) -> DataError:
        answer = f"{response.status_code} {response.reason_phrase}".strip()
        if response.is_redirect:
            answer += f", a redirect to {response.headers['Location']}, which is not followed"
        return DataError(
            f"{self._host} does not give {self._file.name}: it answered {answer}",
            expected=f"the file at {self._file.url}",
            remedy="a network's login page or proxy may have answered instead: check that; if the "
            f"file has moved, {_by_hand(self._corpus, self._file)}",
        )

    def _other_content(self, got: str, known: str) -> DataError:
        return DataError(
            f"{self._host} gave another content than that known as {self._file.name}: {got}",
            expected=known,
            remedy="a network's login page or proxy may have answered instead: check that; if the "
            f"file at the address has changed, {_by_hand(self._corpus, self._file)}",
        )

    @property
    def _host(self) -> str:
        return httpx2.URL(self._file.url).host


def _client(corpus: str, file: KnownFile) -> httpx2.Client:
    try:
        return httpx2.Client(timeout=_TIMEOUT, headers=_HEADERS, follow_redirects=False)
    except (OSError, ValueError, ImportError, httpx2.InvalidURL) as error:
        raise DataError(
            f"the network cannot be used as it is set up here: {error}",
            expected="usable values, or none, in HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE",
            remedy=f"correct them; or {_by_hand(corpus, file)}",
        ) from error


def _by_hand(corpus: str, file: KnownFile) -> str:
    return (
        f"get {file.url} (sha256 {file.sha256}) in another way and give it with: "
        f"affectscope data get {corpus} --from-file {file.name}"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
