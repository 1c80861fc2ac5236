"""Steering vectors on the Hub, against a stand-in of its HTTP interface on this machine."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator

import pytest
import torch
import typer
import yaml
from huggingface_hub import constants
from typer.testing import CliRunner

from affectscope.cli.export import export
from affectscope.errors import ModelAccessError, ModelFileError, ModelNotFoundError
from affectscope.user_cache import OFFLINE_VARIABLE
from affectscope.vectors import SteeringVector, read_gguf
from affectscope.vectors.hub import is_repo_id
from affectscope.vectors.safetensors_file import file_content

NAME = "owner/joy"
FILE = "steering_vector.safetensors"
TOKEN = "hf_good"


def vector() -> SteeringVector:
    draw = torch.Generator().manual_seed(0)
    directions = torch.randn(2, 16, generator=draw)
    return SteeringVector(
        "joy+", "resid_post", (1, 2), directions, torch.tensor([3.0, 4.0]), 0.1 + 0.2, {"seed": 3}
    )


class Hub(http.server.BaseHTTPRequestHandler):
    """Repositories that only those with the token may write, or see when they are private."""

    repositories: dict[str, dict]
    """By name: whether private, and the files of each commit by its hash; ``main`` is the last."""
    objects: dict[str, bytes]
    requests: list[str]
    failing = False

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_PUT(self) -> None:
        self.do_POST()

    def answer(self, sent: bytes) -> None:
        path = self.path.partition("?")[0]
        self.requests.append(f"{self.command} {path}")
        written = self.command in ("POST", "PUT") and not path.startswith("/lfs/")
        if self.failing:
            self.send(503)
        elif written and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send(401)
        elif path == "/api/repos/create":
            self.create(json.loads(sent))
        elif path == "/api/validate-yaml":
            self.validate(json.loads(sent)["content"])
        elif path.startswith("/lfs/"):
            self.objects[path.removeprefix("/lfs/")] = sent
            self.send(200)
        else:
            self.answer_of_repository(path, sent)

    def create(self, wanted: dict) -> None:
        if wanted["organization"] != "owner":
            self.send(403)
            return
        name = f"{wanted['organization']}/{wanted['name']}"
        private = wanted.get("private", False) or wanted.get("visibility") == "private"
        self.repositories[name] = {"private": private, "commits": {}}
        self.json({"url": f"{self.address}/{name}"})

    def validate(self, card: str) -> None:
        yaml.safe_load(card.split("---\n")[1])
        self.json({"warnings": [], "errors": []})

    def answer_of_repository(self, path: str, sent: bytes) -> None:
        name = next((n for n in self.repositories if f"/{n}" in path), "")
        repository = self.repositories.get(name)
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository["private"] and not allowed):
            self.send(404, {"X-Error-Code": "RepoNotFound"})
            return
        rest = path.partition(f"/{name}")[2]
        match rest.strip("/").split("/"):
            case ["preupload", _]:
                self.json({"files": [self.mode(file) for file in json.loads(sent)["files"]]})
            case ["commit", _]:
                self.commit(name, [json.loads(line) for line in sent.splitlines()])
            case [".git", "info", "lfs", "objects", "batch"]:
                objects = [self.upload(entry) for entry in json.loads(sent)["objects"]]
                self.json({"transfer": "basic", "objects": objects})
            case ["resolve", revision, file]:
                self.file(repository["commits"], revision, file)
            case ["revision", revision] if revision not in repository["commits"]:
                self.send(404, {"X-Error-Code": "RevisionNotFound"})
            case [""] | ["revision", _]:
                self.json({"id": name, "private": repository["private"], "siblings": []})
            case _:
                raise AssertionError(path)

    @staticmethod
    def mode(file: dict) -> dict:
        large = file["path"].endswith(".safetensors")
        return {
            "path": file["path"],
            "uploadMode": "lfs" if large else "regular",
            "shouldIgnore": False,
        }

    def upload(self, entry: dict) -> dict:
        return entry | {"actions": {"upload": {"href": f"{self.address}/lfs/{entry['oid']}"}}}

    def commit(self, name: str, operations: list[dict]) -> None:
        commits = self.repositories[name]["commits"]
        files = dict(commits.get("main", {}))
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                content = self.objects[value["oid"]]
                assert hashlib.sha256(content).hexdigest() == value["oid"]
                files[value["path"]] = content
        commit = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:40]
        commits[commit] = commits["main"] = files
        self.json({"commitUrl": f"{self.address}/{name}/commit/{commit}", "commitOid": commit})

    def file(self, commits: dict, revision: str, file: str) -> None:
        if revision not in commits:
            self.send(404, {"X-Error-Code": "RevisionNotFound"})
        elif file not in commits[revision]:
            self.send(404, {"X-Error-Code": "EntryNotFound"})
        else:
            content = commits[revision][file]
            commit = next(key for key, files in commits.items() if files is commits[revision])
            etag = hashlib.sha256(content).hexdigest()
            self.send(200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, content)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def json(self, content: object) -> None:
        self.send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def send(self, status: int, headers: dict | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"repositories": {}, "objects": {}, "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    handler.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # the stand-in takes large files the older way, which huggingface_hub uses without Xet
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", OFFLINE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def push(hub: type[Hub], name: str = NAME, *, token: str | None = TOKEN, private: bool = True):
    return vector().push_to_hub(name, token=token, private=private, endpoint=hub.url)


def fetch(hub: type[Hub], name: str = NAME, revision: str | None = None) -> SteeringVector:
    return SteeringVector.from_pretrained(name, revision=revision, endpoint=hub.url)


def test_a_vector_goes_to_the_hub_and_comes_back_to_the_bit(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert push(hub, token=None) == f"{hub.url}/{NAME}"
    repository = hub.repositories[NAME]
    assert repository["private"] is True
    assert sorted(repository["commits"]["main"]) == ["README.md", FILE]
    assert repository["commits"]["main"][FILE] == file_content(vector())
    assert file_content(fetch(hub)) == file_content(vector())


def test_only_the_vector_is_fetched(hub):
    push(hub, private=False)
    hub.requests.clear()
    fetch(hub)
    assert {line for line in hub.requests if "resolve" in line} == {
        f"HEAD /{NAME}/resolve/main/{FILE}",
        f"GET /{NAME}/resolve/main/{FILE}",
    }


def test_a_second_version_and_the_first(hub):
    push(hub, private=False)
    first = next(key for key in hub.repositories[NAME]["commits"] if key != "main")
    vector().times(2).push_to_hub(NAME, token=TOKEN, private=False, endpoint=hub.url)
    assert fetch(hub).coefficient == 0.6000000000000001
    assert fetch(hub, revision=first).coefficient == 0.30000000000000004


def test_what_was_fetched_is_there_when_the_hub_is_not(hub, monkeypatch):
    push(hub, private=False)
    fetch(hub)
    hub.requests.clear()
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    assert file_content(fetch(hub)) == file_content(vector())
    assert hub.requests == []
    with pytest.raises(ModelAccessError, match="no network is to be used"):
        fetch(hub, "owner/other")
    with pytest.raises(ModelAccessError, match="no network is to be used"):
        push(hub)
    assert hub.requests == []


def test_a_folder_here_goes_before_the_hub(hub, tmp_path):
    push(hub, private=False)
    vector().times(3).save_pretrained(tmp_path / "owner" / "joy")
    hub.requests.clear()
    assert fetch(hub).coefficient == vector().times(3).coefficient
    assert hub.requests == []


def test_a_public_repository_gets_no_private_vector(hub):
    push(hub, private=False)
    before = dict(hub.repositories[NAME]["commits"])
    with pytest.raises(ModelAccessError, match=r"exists and is public[^$]*--public"):
        push(hub)
    assert hub.repositories[NAME]["commits"] == before
    push(hub, private=False)


def test_export_to_the_hub_and_from_there(hub, tmp_path, monkeypatch):
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    app = typer.Typer()
    app.command()(export)

    def command(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        return done.stdout

    folder = str(vector().save_pretrained(tmp_path / "v"))
    assert command(folder, "--to", "hub", "--out", NAME) == f"{hub.url}/{NAME}\n"
    assert command(folder, "--to", "hub", "--out", "owner/all", "--public").endswith("owner/all\n")
    assert [hub.repositories[name]["private"] for name in (NAME, "owner/all")] == [True, False]
    assert command(NAME, "--to", "gguf", "--out", "v.gguf", "--revision", "main") == "v.gguf\n"
    assert torch.equal(read_gguf("v.gguf").directions[2], vector().added()[1])


def test_no_token(hub):
    with pytest.raises(ModelAccessError, match=r"no token of the Hub[^$]*hf auth login"):
        push(hub, token=None)
    assert hub.requests == []


def test_a_token_that_may_not_write(hub):
    with pytest.raises(ModelAccessError, match=r"this token may not \(401\)"):
        push(hub, token="hf_bad")
    with pytest.raises(ModelAccessError, match=r"somebody/joy cannot be written.*\(403\)"):
        push(hub, "somebody/joy")
    assert hub.repositories == {}


def test_what_the_hub_does_not_have(hub):
    with pytest.raises(ModelNotFoundError, match=r"no folder owner/none here, and the Hub has no"):
        fetch(hub, "owner/none")
    push(hub)
    with pytest.raises(ModelNotFoundError, match="or it is private"):
        fetch(hub)
    push(hub, "owner/seen", private=False)
    with pytest.raises(ModelNotFoundError, match="has no revision 'v9'"):
        fetch(hub, "owner/seen", "v9")
    del hub.repositories["owner/seen"]["commits"]["main"][FILE]
    with pytest.raises(ModelNotFoundError, match=f"holds no {FILE}"):
        fetch(hub, "owner/seen")


def test_a_broken_file_on_the_hub(hub):
    push(hub, private=False)
    files = hub.repositories[NAME]["commits"]["main"]
    files[FILE] = files[FILE][:-4]
    with pytest.raises(ModelFileError, match="truncated or not safetensors"):
        fetch(hub)


def test_the_hub_is_down(hub):
    hub.failing = True
    with pytest.raises(ModelAccessError, match=r"cannot be written to the Hub[^$]*try again"):
        push(hub)
    with pytest.raises(ModelAccessError, match=r"cannot be fetched from the Hub"):
        fetch(hub)


def test_there_is_no_network(hub):
    hub.url = "http://127.0.0.1:9"
    with pytest.raises(ModelAccessError, match="check the network and try again"):
        push(hub)
    with pytest.raises(ModelAccessError, match="check the network and try again"):
        fetch(hub)


@pytest.mark.parametrize("name", ["joy", "a/b/c", "owner/jo y", "../joy", "owner/..", "o/x.gguf"])
def test_names_that_the_hub_could_not_have(hub, name):
    with pytest.raises(ModelNotFoundError, match="is no name that a repository"):
        push(hub, name)
    assert not is_repo_id(name)
    assert hub.requests == []


@pytest.mark.parametrize("name", ["owner/a..b", "owner/a--b"])
def test_names_that_only_the_hub_itself_refuses(hub, name):
    for ask in (push, fetch):
        with pytest.raises(ModelNotFoundError, match="is no name that a repository"):
            ask(hub, name)
