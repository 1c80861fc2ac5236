"""A file of a known corpus arrives whole, with its known content, or not at all."""

import errno
import hashlib
import os
import shutil
import threading
from dataclasses import replace

import pytest
from filelock import FileLock

from affectscope.data import corpus_cache
from affectscope.data.catalogue import KNOWN, KnownFile, corpus_folder
from affectscope.data.download import download, partial_bytes
from affectscope.errors import DataError, DiskFullError
from http_server import serving, status, whole, without_ranges

CONTENT = bytes(range(256)) * 4000  # 1.02 MB
HALF = len(CONTENT) // 2
QUICK = (0.0, 0.0, 0.0)


class Watcher:
    def __init__(self):
        self.lines = []
        self.counts = []

    def say(self, text):
        self.lines.append(text)

    def arrived(self, file, count):
        self.counts.append(count)


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "cache"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "AFFECTSCOPE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "data" / "some"


@pytest.fixture
def partial(cache):
    cache.mkdir(parents=True)
    return cache / "file.csv.partial"


def known(url, content=CONTENT):
    return KnownFile("file.csv", "texts", url, len(content), hashlib.sha256(content).hexdigest())


def get(served, watcher, *, content=CONTENT, pauses=QUICK):
    return download("some", known(served.url, content), watcher=watcher, pauses=pauses)


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_file_arrives_and_only_it_is_asked_for(cache, watcher):
    with serving(whole(CONTENT)) as served:
        path = get(served, watcher)
        assert path == cache / "file.csv"
        assert path.read_bytes() == CONTENT
        assert get(served, watcher) == path
    assert left(cache) == ["file.csv"]
    assert len(served.requests) == 1  # the second time it was there
    sent = served.requests[0]
    assert set(sent) == {"path", "Host", "Accept", "Accept-Encoding", "Connection", "User-Agent"}
    assert (sent["path"], sent["User-Agent"]) == ("/file.csv", "affectscope")
    assert watcher.counts[-1] == len(CONTENT)
    assert watcher.counts == sorted(watcher.counts)


def test_a_damaged_file_is_fetched_again(cache, watcher):
    cache.mkdir(parents=True)
    (cache / "file.csv").write_bytes(CONTENT[:-1] + b"x")
    with serving(whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [True, False], ids=["announced", "unannounced"])
def test_a_cut_connection_goes_on_from_there(watcher, length):
    with serving(whole(CONTENT, cut_at=HALF, length=length), whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [None, f"bytes={HALF}-"]
    assert any("0.5 of 1.0 MB are here; trying again" in line for line in watcher.lines)


def test_cuts_that_bring_something_do_not_use_up_the_tries(watcher):
    cuts = [whole(CONTENT, cut_at=n) for n in range(100_000, 1_000_000, 100_000)]
    with serving(*cuts, whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert len(served.requests) == len(cuts) + 1


def test_cuts_that_bring_nothing_end(cache, watcher):
    with (
        serving(whole(CONTENT, cut_at=HALF), whole(CONTENT, cut_at=HALF)) as served,
        pytest.raises(DataError) as caught,
    ):
        get(served, watcher)
    assert len(served.requests) == 1 + len(QUICK)
    assert "0.5 MB of it are kept" in caught.value.message
    assert "--from-file" in caught.value.remedy
    assert left(cache) == ["file.csv.partial"]


def test_an_earlier_partial_file_is_continued(partial, watcher):
    partial.write_bytes(CONTENT[:HALF])
    with serving(whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [f"bytes={HALF}-"]
    assert watcher.counts[0] > HALF


def test_a_partial_file_that_is_all_there_needs_no_request(partial, watcher):
    partial.write_bytes(CONTENT)
    with serving(whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.requests == []


def test_a_server_that_ignores_ranges_starts_anew(partial, watcher):
    partial.write_bytes(b"?" * HALF)
    with serving(without_ranges(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [f"bytes={HALF}-"]


def test_a_range_of_a_file_of_another_size_starts_anew(partial, watcher):
    partial.write_bytes(b"?" * HALF)
    with serving(whole(CONTENT, total=len(CONTENT) + 7), whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [f"bytes={HALF}-", None]


def test_another_range_than_asked_for_starts_anew(partial, watcher):
    partial.write_bytes(CONTENT[:HALF])
    other = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}", "Content-Length": "0"}
    with serving(status(206, other), whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [f"bytes={HALF}-", None]


def test_a_range_that_cannot_be_had_starts_anew(partial, watcher):
    partial.write_bytes(b"?" * HALF)
    with serving(status(416), whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT


def test_a_partial_file_that_is_too_long_is_not_used(partial, watcher):
    partial.write_bytes(CONTENT + b"more")
    with serving(whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [None]


def test_a_partial_file_of_other_content_is_found_out(partial, watcher):
    partial.write_bytes(b"?" * HALF)
    with serving(whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [f"bytes={HALF}-", None]
    assert any("wrong bytes" in line for line in watcher.lines)


def test_wrong_bytes_are_refused_with_both_hashes(cache, watcher):
    wrong = CONTENT[:-1] + b"x"
    with serving(whole(wrong)) as served, pytest.raises(DataError) as caught:
        get(served, watcher)
    assert len(served.requests) == 2
    assert hashlib.sha256(wrong).hexdigest() in caught.value.message
    assert hashlib.sha256(CONTENT).hexdigest() in caught.value.expected
    assert left(cache) == []


def test_a_page_instead_of_the_file_is_refused_and_costs_nothing(partial, watcher):
    partial.write_bytes(CONTENT[:HALF])
    page = without_ranges(b"<html>log in", headers={"Content-Type": "text/html"})
    with serving(page) as served, pytest.raises(DataError, match=r"12 bytes \(text/html\)") as got:
        get(served, watcher)
    assert "login page" in got.value.remedy
    assert partial.read_bytes() == CONTENT[:HALF]
    assert len(served.requests) == 1


def test_more_than_the_known_size_is_refused(cache, watcher):
    with (
        serving(whole(CONTENT + b"more", length=False)) as served,
        pytest.raises(DataError, match="more than that"),
    ):
        get(served, watcher)
    assert left(cache) == []


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_passing_failure_is_tried_again(watcher, code):
    with serving(status(code), status(code), whole(CONTENT)) as served:
        assert get(served, watcher).read_bytes() == CONTENT
    assert len(served.requests) == 3
    assert any(f"answered {code}" in line for line in watcher.lines)


def test_a_lasting_failure_is_told(cache, watcher):
    with serving(status(500)) as served, pytest.raises(DataError, match="answered 500"):
        get(served, watcher)
    assert len(served.requests) == 1 + len(QUICK)
    assert left(cache) == []


@pytest.mark.parametrize("code", [404, 403, 410])
def test_a_refusal_is_told_at_once(watcher, code):
    with serving(status(code)) as served, pytest.raises(DataError) as caught:
        get(served, watcher)
    assert len(served.requests) == 1
    assert f"answered {code}" in caught.value.message
    assert known("").sha256 in caught.value.remedy


def test_a_redirect_is_not_followed(watcher):
    with serving(whole(CONTENT)) as other:
        redirect = status(302, {"Location": other.url})
        with serving(redirect) as served, pytest.raises(DataError, match="not followed"):
            get(served, watcher)
    assert other.requests == []


def test_no_network(watcher):
    with serving(whole(CONTENT)) as served:
        pass  # nobody listens there any more
    with pytest.raises(DataError) as caught:
        get(served, watcher)
    assert "127.0.0.1" in caught.value.message
    assert "--from-file" in caught.value.remedy
    assert len(watcher.lines) == len(QUICK)


def test_no_network_is_asked_for_when_none_is_wanted(watcher, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_OFFLINE", "1")
    with serving(whole(CONTENT)) as served, pytest.raises(DataError, match="AFFECTSCOPE_OFFLINE"):
        get(served, watcher)
    assert served.requests == []


def test_a_proxy_that_is_none_is_told(watcher, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    with pytest.raises(DataError, match="nonsense") as caught:
        download("some", known("https://127.0.0.1/file.csv"), watcher=watcher, pauses=QUICK)
    assert "HTTPS_PROXY" in caught.value.expected


def test_an_interrupt_keeps_what_has_arrived(partial, watcher):
    class Interrupting(Watcher):
        def arrived(self, file, count):
            if count >= HALF:
                raise KeyboardInterrupt

    with serving(whole(CONTENT)) as served:
        with pytest.raises(KeyboardInterrupt):
            get(served, Interrupting())
        kept = partial_bytes("some", known(served.url))
        assert HALF <= kept < len(CONTENT)
        assert get(served, watcher).read_bytes() == CONTENT
    assert served.ranges == [None, f"bytes={kept}-"]


def test_too_little_space_is_found_before_anything_is_fetched(watcher, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(
        corpus_cache.shutil, "disk_usage", lambda _: usage._replace(free=len(CONTENT))
    )
    with serving(whole(CONTENT)) as served, pytest.raises(DiskFullError) as caught:
        get(served, watcher)
    assert served.requests == []
    assert "1.0 MB free" in caught.value.message
    assert "AFFECTSCOPE_CACHE" in caught.value.remedy


def test_a_disk_that_fills_up_keeps_what_has_arrived(partial, watcher):
    class Filling(Watcher):
        def arrived(self, file, count):
            if count >= HALF:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with serving(whole(CONTENT)) as served:
        with pytest.raises(DiskFullError):
            get(served, Filling())
        assert partial.stat().st_size >= HALF
        assert get(served, watcher).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_made_is_told(watcher, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AFFECTSCOPE_CACHE", str(tmp_path / "file"))
    with serving(whole(CONTENT)) as served, pytest.raises(DataError, match="written") as caught:
        get(served, watcher)
    assert "AFFECTSCOPE_CACHE" in caught.value.remedy


def test_a_second_process_waits_and_finds_the_file(cache, watcher):
    cache.mkdir(parents=True)
    with serving(whole(CONTENT)) as served:
        lock = FileLock(cache / ".lock")
        lock.acquire()
        second = threading.Thread(target=get, args=(served, watcher))
        second.start()
        while not any("another process" in line for line in watcher.lines):
            second.join(0.01)
            assert second.is_alive()
        (cache / "file.csv").write_bytes(CONTENT)  # as the first one would
        lock.release()
        second.join(10)
    assert not second.is_alive()
    assert served.requests == []


def test_several_at_once_fetch_the_file_once(cache):
    with serving(whole(CONTENT)) as served:
        watchers = [Watcher() for _ in range(4)]
        threads = [threading.Thread(target=get, args=(served, each)) for each in watchers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(served.requests) == 1
    assert (cache / "file.csv").read_bytes() == CONTENT
    assert left(cache) == ["file.csv"]


def test_known_addresses_are_https_and_name_a_commit():
    files = [file for corpus in KNOWN.values() for file in corpus.files]
    assert len(files) == 3
    for file in files:
        scheme, _, host, *path = file.url.split("/")
        assert (scheme, host) == ("https:", "raw.githubusercontent.com")
        assert len(path[2]) == 40
        assert set(path[2]) <= set("0123456789abcdef")
        assert path[-1] == file.name


def test_where_files_lie(tmp_path):
    file = replace(known(""), name="a.csv")
    assert not file.is_at(corpus_folder("some") / "a.csv")
    assert corpus_folder("some") == tmp_path / "cache" / "data" / "some"
