"""The way in, for the console script and ``python -m affectscope``: Ctrl-C counts from here on."""

from __future__ import annotations

import signal
import sys

EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        # Inside, since even these imports take long enough to be interrupted.
        from affectscope.cli import main as run_command_line  # noqa: PLC0415

        code = run_command_line()
    except KeyboardInterrupt:
        _ignore_interrupts()
        if sys.stderr is not None:  # closed by the caller
            sys.stderr.write("affectscope: stopped\n")
        return EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        _ignore_interrupts()
    return code


def _ignore_interrupts() -> None:
    """All is said: one more Ctrl-C must not put a traceback below it while Python exits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
