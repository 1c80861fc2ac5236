"""A few small files to the Hub, one file from it, and what its errors mean for the user.

huggingface_hub is imported where it is used, since that takes a while.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from affectscope.atomic import disk_full, is_disk_full
from affectscope.errors import ModelAccessError, ModelError, ModelNotFoundError
from affectscope.user_cache import OFFLINE_VARIABLE, no_network_wanted

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT_SECONDS = 10.0
"""How long the Hub's first answer may take."""

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w", re.ASCII)
_FILE_ENDINGS = (".safetensors", ".gguf")


def is_repo_id(text: str) -> bool:
    """Whether a text could be ``OWNER/NAME`` on the Hub, and is not the name of a file."""
    return bool(_REPO_ID.fullmatch(text)) and not text.lower().endswith(_FILE_ENDINGS)


def push_files(
    files: Mapping[str, bytes],
    repo_id: str,
    *,
    message: str,
    private: bool = True,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Put files into a model repository in one commit; the repository is made if needed.

    Args:
        files: Contents by name.
        repo_id: ``OWNER/NAME``.
        message: The commit's message.
        private: Only the owners may see it; a public repository that exists is then refused.
        token: The user's; the one that is stored when absent.
        endpoint: Address of the Hub, when it is not that of huggingface_hub.

    Returns:
        The repository's address.

    Raises:
        ModelAccessError: No token, no right to write, no network, or public where private was
            asked for.
        ModelNotFoundError: The Hub could not have a repository of that name.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token  # noqa: PLC0415

    if not is_repo_id(repo_id):
        raise _no_such_name(repo_id)
    _refuse_offline(repo_id)
    token = token or get_token()
    if not token:
        raise ModelAccessError(
            f"{repo_id} cannot be written: no token of the Hub is known",
            remedy="log in with `hf auth login`, or set HF_TOKEN to a token that may write",
        )
    api = HfApi(endpoint=endpoint, token=token)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    try:
        with _no_progress_bars():
            _make_repository(api, repo_id, private=private)
            api.create_commit(repo_id, operations, commit_message=message)
    except _hub_errors() as error:
        raise _explain(error, repo_id, None, writing=True) from error
    return f"{api.endpoint}/{repo_id}"


def _make_repository(api: HfApi, repo_id: str, *, private: bool) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

    try:
        # also tells within a time limit, which other calls lack, whether the Hub is there
        found = api.model_info(repo_id, timeout=TIMEOUT_SECONDS)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return
    if private and not found.private:
        raise ModelAccessError(
            f"{repo_id} exists and is public, and the vector was to be private",
            remedy="give --public (in Python private=False), or another name",
        )


def fetch_file(
    repo_id: str, name: str, *, revision: str | None = None, endpoint: str | None = None
) -> Path:
    """One file of a model repository, in the Hub's cache; no other file is fetched.

    Args:
        repo_id: ``OWNER/NAME``.
        name: The file's.
        revision: Branch, tag or commit; the main branch when absent.
        endpoint: Address of the Hub, when it is not that of huggingface_hub.

    Raises:
        ModelNotFoundError: There is no such repository, revision or file.
        ModelAccessError: It may not be read, or the Hub cannot be reached.
        DiskFullError: No space is left for it.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415

    cached_only, unreachable = no_network_wanted(), None
    if not cached_only:
        unreachable = _unreachable(repo_id, revision, endpoint)
    try:
        with _no_progress_bars():
            found = hf_hub_download(
                repo_id,
                name,
                revision=revision,
                endpoint=endpoint,
                local_files_only=cached_only or unreachable is not None,
            )
        return Path(found)
    except _hub_errors() as error:
        if isinstance(error, OSError) and is_disk_full(error):
            raise disk_full(error, None) from error
        raise _explain(unreachable or error, repo_id, revision, name=name) from error


def _unreachable(repo_id: str, revision: str | None, endpoint: str | None) -> Exception | None:
    """Why the Hub cannot be asked, told soon: hf_hub_download would try for half a minute."""
    from huggingface_hub import HfApi, errors  # noqa: PLC0415

    try:
        HfApi(endpoint=endpoint).model_info(repo_id, revision=revision, timeout=TIMEOUT_SECONDS)
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise _explain(error, repo_id, revision) from error
    except _hub_errors() as error:  # an earlier download will do
        return error
    return None


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """The files are small, and what huggingface_hub draws is more lines than they are."""
    from huggingface_hub.utils.tqdm import (  # noqa: PLC0415
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    silence = not are_progress_bars_disabled()
    if silence:
        disable_progress_bars()
    try:
        yield
    finally:
        if silence:
            enable_progress_bars()


def _hub_errors() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import (  # noqa: PLC0415
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
    )

    # The HTTP client's own base error is no OSError, and which client that is depends on the
    # version of huggingface_hub; the Hub's error inherits from both.
    bases = cast("tuple[type[Exception], ...]", HfHubHTTPError.__bases__)
    return (*bases, HFValidationError, EntryNotFoundError)


def _explain(
    error: Exception, repo_id: str, revision: str | None, *, name: str = "", writing: bool = False
) -> ModelError:
    """What an error of the Hub or of the network means for the user."""
    from huggingface_hub import errors  # noqa: PLC0415

    match error:
        case errors.HFValidationError():
            return _no_such_name(repo_id)
        case errors.GatedRepoError():
            return ModelAccessError(
                f"{repo_id} is gated: its owners give access to those who accept their terms",
                remedy="accept the terms on its page on the Hub, then log in with `hf auth login`",
            )
        case errors.RepositoryNotFoundError() if not writing:
            return ModelNotFoundError(
                f"there is no folder {repo_id} here, and the Hub has no {repo_id}, or it is "
                "private",
                remedy="check the spelling; for a private one, log in with `hf auth login`",
            )
        case errors.RevisionNotFoundError():
            return ModelNotFoundError(
                f"{repo_id} has no revision {revision!r}",
                expected="a branch, a tag or a commit of it",
            )
        case errors.RemoteEntryNotFoundError():
            return ModelNotFoundError(
                f"{repo_id} on the Hub holds no {name}, so it is not a steering vector",
                expected="a repository that push_to_hub or `affectscope export --to hub` wrote",
            )
    return _no_access(error, repo_id, writing=writing)


def _no_access(error: Exception, repo_id: str, *, writing: bool) -> ModelAccessError:
    from huggingface_hub import is_offline_mode  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if writing and status in (401, 403, 404):
        return ModelAccessError(
            f"{repo_id} cannot be written: the Hub says that this token may not ({status})",
            remedy="use a token that may write there, and check the owner's name",
        )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    if not writing and (no_network_wanted() or is_offline_mode()):
        return ModelAccessError(
            f"there is no folder {repo_id} here, it is not in the Hub's cache, and no network is "
            "to be used",
            remedy=f"unset {OFFLINE_VARIABLE} and HF_HUB_OFFLINE, or give a folder",
        )
    return ModelAccessError(
        f"{repo_id} cannot be {'written to' if writing else 'fetched from'} the Hub: {reason}",
        remedy="check the network and try again",
    )


def _refuse_offline(repo_id: str) -> None:
    from huggingface_hub import is_offline_mode  # noqa: PLC0415

    if no_network_wanted() or is_offline_mode():
        raise ModelAccessError(
            f"{repo_id} cannot be written: no network is to be used",
            remedy=f"unset {OFFLINE_VARIABLE} and HF_HUB_OFFLINE",
        )


def _no_such_name(repo_id: str) -> ModelNotFoundError:
    return ModelNotFoundError(
        f"{repo_id!r} is no name that a repository on the Hub could have",
        expected="OWNER/NAME, of letters, digits, '-', '_' and '.'",
    )
