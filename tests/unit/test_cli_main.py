"""The command line as a whole: what it loads, its exit codes, and what it says when it fails."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from affectscope.cli import main
from affectscope.cli.failures import Failures
from affectscope.errors import ColumnError, RunBusyError

HELP = """
import contextlib, io, sys, time
began = time.perf_counter()
from affectscope.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out:
    code = main(sys.argv[1:])
seconds = time.perf_counter() - began
heavy = [m for m in ("torch", "transformers", "pandas", "altair", "sklearn") if m in sys.modules]
print(code, heavy, len(out.getvalue()) > 100, seconds < 5)
"""


@pytest.fixture
def failing(monkeypatch):
    """Make ``affectscope data check x`` end with an exception."""

    def fail_with(error: BaseException):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr("affectscope.data.load_corpus", fail)
        return main(["data", "check", "x"])

    return fail_with


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["infer", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 [] True True\n"


def test_run_folders_are_read_without_a_models_libraries():
    program = "import sys, affectscope.runs.folder; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_version_is_said(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("affectscope 0")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run", "--nonsense"], ["run", "extra"], ["infer"], ["run", "--seed"]],
)
def test_wrong_usage_is_2_and_stdout_stays_clean(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err


@pytest.mark.parametrize(("error", "code"), [(ColumnError, 1), (RunBusyError, 1)])
def test_our_errors_are_told_in_full_without_a_traceback(failing, capsys, error, code):
    assert failing(error("there is no column x", expected="text", remedy="--text-column")) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "affectscope: there is no column x\n  expected: text\n  to do: --text-column\n"
    )


def test_wrong_values_are_2(capsys):
    assert main(["run", "--limit", "0"]) == 2
    assert "limit cannot be '0', from --limit" in capsys.readouterr().err


def test_a_full_disk_is_explained_wherever_it_is_met(failing, capsys):
    assert failing(OSError(errno.ENOSPC, "No space left on device", "/mnt/somewhere")) == 1
    err = capsys.readouterr().err
    assert "the disk is full while writing /mnt/somewhere" in err
    assert "to do: free some space" in err


def test_an_interrupt_is_130(failing, capsys):
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "affectscope: stopped\n"


def test_sigterm_is_an_interrupt(monkeypatch, capsys):
    def ended_by_the_scheduler(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    monkeypatch.setattr("affectscope.data.load_corpus", ended_by_the_scheduler)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["data", "check", "x"]) == 130
    assert capsys.readouterr().err == "affectscope: stopped\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_bug_leaves_its_traceback_in_a_file_and_asks_to_report_it(
    failing, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert failing(ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    (log,) = tmp_path.iterdir()
    assert "ZeroDivisionError: division by zero" in err
    assert str(log) in err
    assert "Traceback" not in err
    text = log.read_text()
    assert text.startswith("affectscope data check x\n")
    assert "Traceback (most recent call last)" in text


def test_a_bug_during_a_run_leaves_its_traceback_with_the_run(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    failures = Failures(["run"])
    with failures:
        failures.run_path = tmp_path
        raise ZeroDivisionError
    assert failures.exit_code == 1
    assert "ZeroDivisionError" in (tmp_path / "crash.log").read_text()


def test_for_developers_the_traceback_is_shown(failing, capsys, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_DEBUG", "1")
    assert failing(ColumnError("there is no column x")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_news():
    with subprocess.Popen(
        [sys.executable, "-m", "affectscope", "data", "check", "vignettes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.skipif(os.name != "posix", reason="closes a file descriptor")
@pytest.mark.parametrize("stream", [1, 2])
def test_a_closed_stream_is_no_failure(stream):
    done = subprocess.run(
        [sys.executable, "-m", "affectscope", "data", "check", "vignettes"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.close(stream),
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("rows used" in done.stdout) == (stream == 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["data", "check", "vignettes"], ["--version"]])
def test_stdout_that_is_full_is_not_taken_for_the_disk_of_a_run(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "affectscope", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("affectscope: stdout cannot be written: No space left on device")
    assert "disk is full" not in done.stderr
    assert "Exception ignored" not in done.stderr


SLOW_IMPORT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background jobs
class Slow:
    def find_spec(self, name, *_):
        if name == "affectscope.cli":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
sys.argv = ["affectscope", "--version"]
from affectscope.__main__ import main
sys.exit(main())
"""

SLOW_EXIT = """
import atexit, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import affectscope.cli
def stop(*_, **__):
    raise KeyboardInterrupt
affectscope.cli.app = stop
@atexit.register
def leave():
    print("leaving", flush=True)
    time.sleep(1)
from affectscope.__main__ import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("program", [SLOW_IMPORT, SLOW_EXIT], ids=["importing", "leaving"])
def test_ctrl_c_while_python_starts_or_leaves_shows_no_traceback(program):
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() in {"importing\n", "leaving\n"}
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "affectscope: stopped\n"
    assert process.returncode == 130
