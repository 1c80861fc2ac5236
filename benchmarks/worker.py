"""One tool in a process of its own: requests on stdin, answers on stdout, a line of JSON each.

A process for each tool is what makes peak memory its own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.answer import Tool
from benchmarks.full_pass import FullPassTool, PassSize
from benchmarks.job import Job
from benchmarks.model import ModelSource
from benchmarks.tools import load_tool


def peak_bytes() -> int:
    """Most resident memory this process has had.

    Linux hands a new process its parent's peak in ``ru_maxrss``, so its own is read from /proc.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Worker:
    """Answers requests with one tool."""

    def __init__(self) -> None:
        self._tool: Tool | None = None
        self._loaded_bytes = 0

    @property
    def tool(self) -> Tool:
        """The loaded tool."""
        assert self._tool is not None, "load comes first"
        return self._tool

    def load(self, tool: str, source: dict[str, Any]) -> dict[str, Any]:
        """Load a tool and its model."""
        where = ModelSource(**source)
        torch.set_num_threads(where.threads)
        self._tool = load_tool(tool, where)
        self._loaded_bytes = peak_bytes()
        return {}

    def warm_up(self, job: dict[str, Any]) -> dict[str, Any]:
        """Warm up on a job."""
        return self.tool.warm_up(Job.from_json(job))

    def run(self, job: dict[str, Any], save: str, single: bool = False) -> dict[str, Any]:
        """Do a job and save its logits; with ``single``, each prompt alone in its passes."""
        if single:
            assert isinstance(self.tool, FullPassTool)
            self.tool.size = PassSize(1)
        answer = self.tool.run(Job.from_json(job))
        np.save(save, answer.logits.numpy())
        return {"clean_seconds": answer.clean_seconds, "patch_seconds": answer.patch_seconds}

    def stream(self, **request: Any) -> dict[str, Any]:
        """Go through a corpus in blocks; affectscope alone can."""
        return {"seconds": self.tool.stream(**request)}  # type: ignore[attr-defined]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a line asks."""
        result = getattr(self, request.pop("do"))(**request)
        memory = {"peak_bytes": peak_bytes(), "loaded_bytes": self._loaded_bytes}
        if torch.cuda.is_available():
            memory["peak_gpu_bytes"] = torch.cuda.max_memory_allocated()
        return {**result, **memory}


def main() -> None:
    """Answer until stdin ends. Whatever libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver has to hear of it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
