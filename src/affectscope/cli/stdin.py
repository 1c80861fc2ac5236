"""What a command is given on stdin."""

from __future__ import annotations

import sys

from affectscope.errors import UsageError


def read_stdin() -> str:
    """All of stdin, as text.

    Raises:
        UsageError: It is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"what stdin gives is not UTF-8 (byte {error.object[error.start]:#04x} at "
            f"{error.start})",
            expected="text in UTF-8",
        ) from error
