"""Starting a tool's process and asking it things."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from benchmarks.model import ModelSource


def say(line: str) -> None:
    """Tell of progress."""
    print(line, file=sys.stderr, flush=True)


class ToolProcess:
    """One tool in its own process; use as a context manager.

    Args:
        tool: The module's name in :mod:`benchmarks.tools`.
        source: The model.
    """

    def __init__(self, tool: str, source: ModelSource) -> None:
        self.tool = tool
        threads = str(source.threads)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": threads,
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        self.ask("load", tool=tool, source=source.to_json())

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        """The answer to a request; ends the program when the tool failed."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        try:
            pipe_in.write(json.dumps({"do": what, **request}) + "\n")
            pipe_in.flush()
            line = pipe_out.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SystemExit(f"{self.tool}: the process ended ({self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SystemExit(f"{self.tool}, asked to {what}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
