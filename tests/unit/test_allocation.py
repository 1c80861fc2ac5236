"""Page faults are counted, not timed: a pass that gets its memory back needs few."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PASSES = """
import resource, sys
import torch
from affectscope.engine.allocation import keep_freed_memory

told = keep_freed_memory() if sys.argv[1] == "keep" else None

def one_pass():
    tensors = [torch.ones(2**21) for _ in range(4)]  # 8 MiB each

for _ in range(2):
    one_pass()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    one_pass()
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str, **environment: str) -> tuple[str, int]:
    ours = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "-c", PASSES, how],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_passes_get_the_memory_back_that_the_last_one_freed():
    told, kept = page_faults("keep")
    _, handed_back = page_faults("as it is")
    assert told == "True"
    assert kept < handed_back / 10


def test_what_the_environment_says_stands():
    told, _ = page_faults("keep", MALLOC_TRIM_THRESHOLD_="131072")
    assert told == "False"
