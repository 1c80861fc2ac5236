"""From a name to a model that has passed its self-check, or says how it has not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectscope.engine import Budget, PromptReader, keep_freed_memory
from affectscope.errors import SelfCheckError
from affectscope.models.architectures import access_for
from affectscope.models.language_model import BatchSize, LanguageModel
from affectscope.models.loading import Pretrained, load_pretrained
from affectscope.models.self_check import self_check

log = logging.getLogger(__name__)


def from_pretrained(
    pretrained: Pretrained, *, batch_size: BatchSize = "auto", strict: bool = False
) -> LanguageModel:
    """Put a loaded Hugging Face model under the house's vocabulary and check it.

    A model whose scores depend on how prompts are batched, or on the branching of interventions,
    runs on plain full passes, with a warning that says so. One whose sites or edits are not what
    they are said to be, or that gives no numbers, is refused: slower passes would not mend that.

    Args:
        pretrained: The model and tokenizer.
        batch_size: Most prompts or counterfactuals in one pass.
        strict: Make a failed check an error.

    Raises:
        UnsupportedArchitectureError: For a family that is not in the map of sites.
        SelfCheckError: A failed check that full passes do not mend; any failed check, when
            ``strict``.
    """
    access = access_for(pretrained.model)
    if access.device.type == "cpu":
        keep_freed_memory()
    checks = self_check(access, pretrained.tokenizer)
    failed = [check for check in checks if not check.passed]
    fatal = [check for check in failed if not check.mended_by_full_passes]
    if fatal or (failed and strict):
        raise SelfCheckError(
            "the model failed its self-check: " + "; ".join(map(str, fatal or failed)),
            expected="every check to pass",
            remedy="correct the family's entry in the map of sites, or the model's files"
            if fatal
            else "run without --strict to use full passes, which are slower",
        )
    for check in failed:
        log.warning("self-check failed, falling back to full passes: %s", check)
    return LanguageModel(
        pretrained,
        PromptReader(
            access,
            plain=bool(failed),
            budget=Budget(None if batch_size == "auto" else batch_size),
        ),
        tuple(checks),
    )


def load_model(
    name: str = "smollm2-135m",
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    max_memory: str | Mapping[Any, Any] | None = None,
    offload_folder: str | Path | None = None,
    batch_size: BatchSize = "auto",
    strict: bool = False,
    trust_remote_code: bool = False,
    **options: Any,
) -> LanguageModel:
    """Load a model and check that the engine can read and edit it.

    Args:
        name: ``smollm2-135m`` (the default model), a Hugging Face Hub id, or a local folder.
        revision: Branch, tag or commit on the Hub.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``auto``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... or ``auto``.
        device_map: ``auto`` spreads the model over all devices, main memory and the disk.
        max_memory: Most bytes on each device, such as ``{"cpu": "8GiB", 0: "20GiB"}``.
        offload_folder: Where weights that have to be converted lie, of those left on the disk.
        batch_size: Most prompts or counterfactuals in one pass.
        strict: Make a failed self-check an error.
        trust_remote_code: Run code that comes with the model.
        options: Passed on to :func:`load_pretrained`.

    Raises:
        ModelError: A model that cannot be found, fetched, read or used; each with its reason.
    """
    pretrained = load_pretrained(
        name,
        revision=revision,
        dtype=dtype,
        device=device,
        device_map=device_map,
        max_memory=max_memory,
        offload_folder=offload_folder,
        trust_remote_code=trust_remote_code,
        **options,
    )
    return from_pretrained(pretrained, batch_size=batch_size, strict=strict)
