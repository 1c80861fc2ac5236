"""The README's commands and code blocks are executed; every documented option exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from commands import ROOT, affectscope

pytestmark = pytest.mark.integration

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def test_the_first_command_is_the_demo_and_the_second_the_tests():
    assert commands()[:2] == ["make demo", "make test"]


@pytest.mark.parametrize(
    "target", ["install", "demo", "test", "bench", "bench-probes", "bench-planted", "bench-monitor"]
)
def test_make_targets_do_their_own_set_up(target, tmp_path):
    """A dry run in a place without an environment creates it, then does the job."""
    done = subprocess.run(
        ["make", "-n", target, f"VENV={tmp_path / 'fresh'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"-m venv {tmp_path / 'fresh'}" in done.stdout
    assert "--constraint constraints.txt --editable" in done.stdout


def test_the_commands_do_what_they_say(tmp_path):
    outputs = {}
    for command in commands()[2:]:
        program, *arguments = shlex.split(command)
        assert program == "affectscope"
        outputs[command] = affectscope(*arguments, cwd=tmp_path)
    assert (tmp_path / "runs" / "first" / "report.html").is_file()
    text = next(done for command, done in outputs.items() if " infer " in command).stdout
    assert all(label in text for label in ("joy", "relief", "trust"))


def test_the_python_example_runs(tmp_path):
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:__main__"},
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([26, 3, 2, 1, 576])" in done.stdout
    assert "torch.Size([26, 2, 13])" in done.stdout


COMMANDS = (
    *("run", "infer", "report", "data list", "data get", "data check"),
    *("models check", "bench", "doctor", "steer", "export", "monitor"),
)
LLAMA_CPP = "--control-vector --control-vector-scaled"
"""Options of a program that is not ours."""


def test_every_option_in_the_documents_exists(tmp_path):
    helps = {
        command: affectscope(*command.split(), "--help", cwd=tmp_path).stdout
        for command in COMMANDS
    }
    known = " ".join([*helps.values(), LLAMA_CPP])
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)):
            assert option in known, f"{document.name}: {option}"


def test_links_between_documents_lead_somewhere():
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert "://" in target or (document.parent / target).exists(), (document.name, target)


def test_every_dependency_is_justified():
    justified = set(
        re.findall(
            r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE
        )
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = project.split("dependencies = [")[1].split("]")[0]
    names = set(re.findall(r'"([a-zA-Z0-9-]+)>=', needed))
    assert names == justified - {"package"}
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    for name in names:
        spelled = name.replace("-", "[-_]")
        assert re.search(rf"^{spelled}==", pinned, re.MULTILINE), name
