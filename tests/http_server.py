"""A server on this machine that serves one file, well or badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does, one entry of ``answers`` a request and the last one for all others."""

    answers: list[Callable[[BaseHTTPRequestHandler], None]]
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that were asked for, one a request."""
        return [headers.get("Range") for headers in self.requests]


@contextmanager
def serving(*answers: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Served]:
    """A server that gives these answers in turn."""
    served = Served(list(answers))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            with lock:
                served.requests.append({"path": self.path, **dict(self.headers)})
                last = len(served.answers) == 1
                answer = served.answers[0] if last else served.answers.pop(0)
            answer(self)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/file.csv"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _head(handler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def _cut(handler) -> None:
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def whole(content: bytes, *, cut_at: int | None = None, total: int | None = None, length=True):
    """Answers with ranges where asked for; ``cut_at`` cuts the connection at that byte."""

    def answer(handler):
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        size = total or len(content)
        if start >= size:
            _head(handler, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        headers = {"Content-Length": str(size - start)} if length else {"Connection": "close"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        _head(handler, 206 if start else 200, headers)
        handler.wfile.write(content[start:cut_at])
        if cut_at is not None or not length:
            _cut(handler)

    return answer


def without_ranges(content: bytes, *, headers: dict[str, str] | None = None):
    """Answers with the whole file, whatever is asked for."""

    def answer(handler):
        _head(handler, 200, {"Content-Length": str(len(content)), **(headers or {})})
        handler.wfile.write(content)

    return answer


def status(code: int, headers: dict[str, str] | None = None):
    """Answers with a status and no content."""

    def answer(handler):
        _head(handler, code, {"Content-Length": "0", **(headers or {})})

    return answer
