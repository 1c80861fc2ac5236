"""A model's snapshot in the Hub's cache, and what the Hub's errors mean for the user."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from huggingface_hub import HfApi, constants, is_offline_mode, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from affectscope.atomic import is_disk_full
from affectscope.errors import ModelAccessError, ModelError, ModelNotFoundError
from affectscope.models.disk import disk_full
from affectscope.models.weights import weight_names
from affectscope.user_cache import OFFLINE_VARIABLE, no_network_wanted

_DESCRIPTIONS = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
# The HTTP client's own base error is no OSError, and which client that is depends on the version
# of huggingface_hub; the Hub's error inherits from both.
_HUB_ERRORS: tuple[type[Exception], ...] = (
    *cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__),
    HFValidationError,
)


def offline() -> bool:
    """Whether the user wants no network (``AFFECTSCOPE_OFFLINE=1`` or ``HF_HUB_OFFLINE=1``)."""
    return no_network_wanted() or is_offline_mode()


def hub_snapshot(
    repo_id: str,
    *,
    revision: str | None = None,
    code: bool = False,
    cached_only: bool = False,
    timeout_seconds: float = 10.0,
) -> Path:
    """A model's folder in the Hub's cache, named for its commit; what it lacks is downloaded.

    Only descriptions, the tokenizer and safetensors weights are fetched.

    Args:
        repo_id: The model's name on the Hub.
        revision: Branch, tag or commit; the main branch when absent.
        code: Fetch Python files too.
        cached_only: Use no network.
        timeout_seconds: How long to wait for the Hub's first answer.

    Raises:
        ModelNotFoundError: There is no such model or revision.
        ModelAccessError: It may not be read, or the Hub cannot be reached.
    """
    cached_only = cached_only or offline()
    unreachable: Exception | None = None
    if not cached_only:
        try:
            # snapshot_download would wait for the first answer without a limit
            HfApi().model_info(repo_id, revision=revision, timeout=timeout_seconds)
        except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
            raise _explain(error, repo_id, revision) from error
        except _HUB_ERRORS as error:  # no network: an earlier download will do
            unreachable = error
    try:
        return _snapshot(repo_id, revision, code=code, cached_only=bool(cached_only or unreachable))
    except _HUB_ERRORS as error:
        if isinstance(error, OSError) and is_disk_full(error):
            raise disk_full(Path(constants.HF_HUB_CACHE)) from error
        raise _explain(unreachable or error, repo_id, revision) from error


def _snapshot(repo_id: str, revision: str | None, *, code: bool, cached_only: bool) -> Path:
    with _bars_only_on_a_terminal():
        folder = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=[*_DESCRIPTIONS, "*.py"] if code else [*_DESCRIPTIONS],
                ignore_patterns=["*/*"],
                local_files_only=cached_only,
            )
        )
        snapshot_download(
            repo_id,
            revision=folder.name,
            allow_patterns=weight_names(folder),
            local_files_only=cached_only,
        )
    return folder


@contextmanager
def _bars_only_on_a_terminal() -> Iterator[None]:
    silence = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if silence:
        disable_progress_bars()
    try:
        yield
    finally:
        if silence:
            enable_progress_bars()


def _explain(error: Exception, repo_id: str, revision: str | None) -> ModelError:
    """What an error of the Hub or of the network means for the user."""
    no_folder = "there is no folder of that name here"
    like_folder = "/" not in repo_id  # hardly any model on the Hub has a name without an owner
    called = f"{repo_id} ({no_folder})" if like_folder else repo_id
    match error:
        case HFValidationError():
            return ModelNotFoundError(
                f"{repo_id!r} is neither a folder here nor a name that the Hub could have",
                expected="the default model's name, a folder, or OWNER/NAME of a model on the Hub",
            )
        case GatedRepoError():
            return ModelAccessError(
                f"{repo_id} is gated: its owners give access to those who accept their terms",
                remedy="accept the terms on the model's page on the Hub, then log in with "
                "`hf auth login` or set HF_TOKEN",
            )
        case RepositoryNotFoundError():
            return ModelNotFoundError(
                f"the Hub has no model {repo_id!r}, or it is private"
                + (f"; {no_folder} either" if like_folder else ""),
                remedy="check the spelling; for a private model, log in with `hf auth login`",
            )
        case RevisionNotFoundError():
            return ModelNotFoundError(
                f"{repo_id} has no revision {revision!r}",
                expected="a branch, a tag or a commit of it",
            )
    elsewhere = "or download the model where there is a network and give its folder as the model"
    if offline():
        return ModelAccessError(
            f"{called} is not, or not wholly, in the Hub's cache, and no network is to be used",
            remedy=f"unset {OFFLINE_VARIABLE} and HF_HUB_OFFLINE, {elsewhere}",
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ModelAccessError(
        f"{called} cannot be fetched from the Hub: {reason}",
        remedy=f"check the network and try again, {elsewhere}",
    )
