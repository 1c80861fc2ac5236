"""Running the command line as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def affectscope(*arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """``affectscope ARGUMENTS`` in a folder; a failure shows what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "affectscope", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stderr
    return done
