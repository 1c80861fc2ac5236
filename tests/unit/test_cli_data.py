"""``affectscope data list`` and ``data get``: what is known, what is here, how it gets here."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from affectscope.cli import main
from affectscope.cli.transfer import LINE_EVERY_SECONDS, TransferDisplay
from affectscope.data import catalogue, load_corpus
from affectscope.data.catalogue import KNOWN, corpus_file, corpus_folder
from affectscope.vocabulary import EMOTIONS
from http_server import serving, status, whole

TEXTS = b"text,label\n" + b"It rained.,joy\nIt snowed.,fear\n" * 20_000
RATINGS = b"text_id,annotator_emotion\n1,joy\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AFFECTSCOPE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "data"


@pytest.fixture
def two_files(monkeypatch):
    """Make crowd-enVENT two small files; returns what gives them an address."""
    contents = (TEXTS, RATINGS)

    def at(url):
        files = [
            replace(file, url=url, size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for file, content in zip(KNOWN["crowd-envent"].files, contents, strict=True)
        ]
        corpus = replace(KNOWN["crowd-envent"], files=tuple(files))
        monkeypatch.setattr(catalogue, "KNOWN", {**KNOWN, "crowd-envent": corpus})
        return [file.name for file in files]

    at("http://127.0.0.1:9/file.csv")
    return at


def files_in(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_the_list_tells_everything_about_each_corpus(capsys):
    assert main(["data", "list", "--json"]) == 0
    listed = {corpus["name"]: corpus for corpus in json.loads(capsys.readouterr().out)}
    assert list(listed) == ["vignettes", "crowd-envent", "isear"]
    vignettes, envent, isear = listed.values()
    assert (vignettes["here"], vignettes["files"]) == (True, [])
    assert vignettes["rows"] == len(load_corpus("vignettes"))
    assert (envent["here"], envent["rows"], envent["labels"]) == (False, 6600, list(EMOTIONS))
    assert [file["path"] for file in envent["files"]] == [None, None]
    assert len(isear["labels"]) == 7
    for corpus in listed.values():
        assert corpus["citation"]
        assert corpus["terms"]
        assert corpus["source"]


def test_the_list_for_people(capsys, two_files, tmp_path):
    (tmp_path / "mine.csv").write_bytes(TEXTS)
    assert main(["data", "get", "crowd-envent", "--from-file", str(tmp_path / "mine.csv")]) == 0
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    names = [file.name for file in KNOWN["crowd-envent"].files]
    assert "  6,600 rows, 13 labels: anger, " in out
    assert f"    here: {corpus_folder('crowd-envent') / names[0]}\n" in out
    assert "of 1,200 texts\n    not here: affectscope data get crowd-envent\n" in out
    assert "  isear.csv (1.7 MB): the texts, emotions and answers\n    not here: " in out
    assert "cite: Scherer and Wallbott (1994)" in out


def test_a_file_of_other_content_is_not_here(cache):
    (cache / "isear").mkdir(parents=True)
    (cache / "isear" / "isear.csv").write_bytes(b"x" * KNOWN["isear"].files[0].size)
    assert corpus_file("isear") is None


def test_get_downloads_every_file_and_prints_where(cache, two_files, capsys):
    with serving(whole(TEXTS), whole(RATINGS)) as served:
        names = two_files(served.url)
        assert main(["data", "get", "crowd-envent"]) == 0
    captured = capsys.readouterr()
    folder = cache / "crowd-envent"
    assert captured.out.split() == [str(folder / name) for name in names]
    assert served.url in captured.err
    assert "terms: not stated" in captured.err
    assert [(folder / name).read_bytes() for name in names] == [TEXTS, RATINGS]
    assert corpus_file("crowd-envent") == folder / names[0]
    assert corpus_file("crowd-envent", names[1]) == folder / names[1]
    assert main(["data", "get", "crowd-envent", "--json"]) == 0  # nobody listens there any more
    captured = capsys.readouterr()
    assert "is here already" in captured.err
    found = json.loads(captured.out)
    assert [file["path"] for file in found["files"]] == [str(folder / name) for name in names]


def test_get_that_fails_is_one_message(cache, two_files, capsys):
    with serving(status(404)) as served:
        two_files(served.url)
        assert main(["data", "get", "crowd-envent"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "answered 404" in captured.err
    assert "affectscope data get crowd-envent --from-file" in captured.err
    assert "Traceback" not in captured.err
    assert files_in(cache / "crowd-envent") == []


def test_get_of_what_comes_with_affectscope(capsys):
    assert main(["data", "get", "vignettes"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, "nothing to get" in captured.err) == ("", True)


@pytest.mark.parametrize(
    ("name", "said"), [("crowd-event", 'did you mean "crowd-envent"'), ("mine.csv", "--data")]
)
def test_get_of_an_unknown_name_is_wrong_usage(capsys, name, said):
    assert main(["data", "get", name]) == 2
    assert said in capsys.readouterr().err


def get_in_a_process(tmp_path):
    """The command with the known files of this test, in a process of its own."""
    script = tmp_path / "command.py"
    script.write_text(
        "import signal\nimport sys\n"
        "from dataclasses import replace\nfrom affectscope.data import catalogue\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "from affectscope.data.catalogue import KnownFile\n"
        f"files = {catalogue.KNOWN['crowd-envent'].files!r}\n"
        "envent = replace(catalogue.KNOWN['crowd-envent'], files=files)\n"
        "catalogue.KNOWN = {**catalogue.KNOWN, 'crowd-envent': envent}\n"
        "from affectscope.cli import main\nsys.exit(main(['data', 'get', 'crowd-envent']))\n"
    )
    return subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_do_not_collide(cache, two_files, tmp_path):
    both_run = []

    def slow(handler):
        while not both_run:
            time.sleep(0.01)
        whole(TEXTS)(handler)

    with serving(slow, whole(RATINGS)) as served:
        names = two_files(served.url)
        first, second = get_in_a_process(tmp_path), get_in_a_process(tmp_path)
        told = []
        for process in (first, second):
            # Each tells at once what it is about to fetch.
            told.append(process.stderr.readline())
        both_run.append(True)
        ends = [process.communicate(timeout=60) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], ends
    assert all(served.url in line for line in told)
    assert len(served.requests) == 2  # one for each file
    assert ends[0][0] == ends[1][0]
    assert files_in(cache / "crowd-envent") == names


def test_ctrl_c_keeps_the_partial_file_and_the_same_command_goes_on(cache, two_files, tmp_path):
    """The real command in a process of its own, stopped half-way by the signal of Ctrl-C."""
    half = len(TEXTS) // 2
    held = []

    def stuck(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(TEXTS)))
        handler.end_headers()
        handler.wfile.write(TEXTS[:half])
        while not held:
            time.sleep(0.01)

    with serving(stuck, whole(TEXTS), whole(RATINGS)) as served:
        names = two_files(served.url)
        process = get_in_a_process(tmp_path)
        partial = cache / "crowd-envent" / f"{names[0]}.partial"
        deadline = time.monotonic() + 60
        while not (partial.exists() and partial.stat().st_size):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        held.append(True)
        assert process.returncode == 130
        assert out == ""
        assert "the same command goes on from there" in err
        assert "Traceback" not in err
        kept = partial.stat().st_size
        assert kept
        assert main(["data", "get", "crowd-envent"]) == 0
    assert served.ranges == [None, f"bytes={kept}-", None]
    assert files_in(cache / "crowd-envent") == names


class TestFromFile:
    """``--from-file`` takes what the user already has, if it is the known content."""

    def test_a_folder_with_both_files(self, cache, two_files, tmp_path, capsys):
        names = two_files("http://127.0.0.1:9/")
        mine = tmp_path / "mine"
        mine.mkdir()
        for name, content in zip(names, (TEXTS, RATINGS), strict=True):
            (mine / name).write_bytes(content)
        assert main(["data", "get", "crowd-envent", "--from-file", str(mine)]) == 0
        assert files_in(cache / "crowd-envent") == names
        assert len(capsys.readouterr().out.split()) == 2
        assert len(list(mine.iterdir())) == 2  # copied, not moved

    def test_one_file_under_any_name(self, cache, two_files, tmp_path, capsys):
        names = two_files("http://127.0.0.1:9/")
        mine = tmp_path / "ratings (1).csv"
        mine.write_bytes(RATINGS)
        assert main(["data", "get", "crowd-envent", "--from-file", str(mine)]) == 0
        assert files_in(cache / "crowd-envent") == [names[1]]
        captured = capsys.readouterr()
        assert captured.out.split() == [str(cache / "crowd-envent" / names[1])]
        assert f"{names[0]} (the authors' texts" in captured.err
        assert "was not given and is not here" in captured.err

    def test_both_files_by_name(self, cache, two_files, tmp_path):
        names = two_files("http://127.0.0.1:9/")
        arguments = []
        for name, content in (("b", RATINGS), ("a", TEXTS)):
            (tmp_path / name).write_bytes(content)
            arguments += ["--from-file", str(tmp_path / name)]
        assert main(["data", "get", "crowd-envent", *arguments]) == 0
        assert files_in(cache / "crowd-envent") == names

    def test_a_partial_download_is_not_needed_any_more(self, cache, two_files, tmp_path):
        names = two_files("http://127.0.0.1:9/")
        folder = cache / "crowd-envent"
        folder.mkdir(parents=True)
        (folder / f"{names[0]}.partial").write_bytes(TEXTS[:100])
        (tmp_path / "a").write_bytes(TEXTS)
        assert main(["data", "get", "crowd-envent", "--from-file", str(tmp_path / "a")]) == 0
        assert files_in(folder) == [names[0]]

    def test_other_content_is_refused_with_both_hashes(self, cache, two_files, tmp_path, capsys):
        names = two_files("http://127.0.0.1:9/")
        mine = tmp_path / names[0]
        mine.write_bytes(TEXTS.replace(b"\n", b"\r\n"))
        (tmp_path / "good").write_bytes(RATINGS)
        given = ["--from-file", str(tmp_path / "good"), "--from-file", str(mine)]
        assert main(["data", "get", "crowd-envent", *given]) == 1
        err = capsys.readouterr().err
        assert hashlib.sha256(mine.read_bytes()).hexdigest() in err
        assert hashlib.sha256(TEXTS).hexdigest() in err
        assert hashlib.sha256(RATINGS).hexdigest() not in err  # the file has the other one's name
        assert "line ends" in err
        assert not cache.exists()  # the good one is not copied either

    def test_a_file_of_no_known_name_is_compared_with_all(self, two_files, tmp_path, capsys):
        (tmp_path / "x").write_bytes(b"something else")
        assert main(["data", "get", "crowd-envent", "--from-file", str(tmp_path / "x")]) == 1
        err = capsys.readouterr().err
        assert hashlib.sha256(TEXTS).hexdigest() in err
        assert hashlib.sha256(RATINGS).hexdigest() in err

    @pytest.mark.parametrize("name", ["", "nowhere.csv"])
    def test_what_cannot_be_used_is_told(self, tmp_path, capsys, name):
        assert main(["data", "get", "isear", "--from-file", str(tmp_path / name)]) == 1
        assert "isear.csv" in capsys.readouterr().err


class TestDisplay:
    """Plain lines off a terminal, now and then."""

    def test_lines_are_rare(self):
        stream, seconds = io.StringIO(), [0.0]
        file = KNOWN["isear"].files[0]
        with TransferDisplay(stream, clock=lambda: seconds[0]) as display:
            for step in range(101):
                seconds[0] = step * LINE_EVERY_SECONDS / 25
                display.arrived(file, file.size * step // 100)
        lines = stream.getvalue().splitlines()
        assert len(lines) == 4
        assert lines[0] == "isear.csv: 0.4 of 1.7 MB (25%)"

    def test_a_terminal_gets_a_bar(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)

        class Terminal(io.StringIO):
            def isatty(self):
                return True

        stream = Terminal()
        file = KNOWN["isear"].files[0]
        with TransferDisplay(stream) as display:
            display.arrived(file, file.size // 2)
            display.arrived(file, file.size)
        assert "isear.csv" in stream.getvalue()
        assert "1.7/1.7 MB" in stream.getvalue()
