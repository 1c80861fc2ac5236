"""The load-time self-check: does the engine see this model as it is?

Run on the user's own model, on a few short prompts. Each check compares the engine with the plain
Hugging Face model, or an identity of the residual stream. The tolerance depends on the dtype, and
in 16 bits is raised to what rounding alone does to the plain model (:func:`own_difference`): that
grows with depth, and is no fault of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from affectscope.engine import ModelAccess, encode_all, has_heads
from affectscope.errors import ModelError
from affectscope.models.measures import (
    branch_difference,
    clean_difference,
    edit_difference,
    heads_difference,
    own_difference,
    plain_logits,
    residual_difference,
)

TEXTS = (
    "How does the writer see it? I missed the last bus home. Answer:",
    "How does the writer see it? The parcel came two days early and nothing was broken. Answer:",
    "How does the writer see it? We waited. Then the doctor, who had not slept, came out "
    "and said that all the tests were clear. Answer:",
)
"""Unequal lengths and a shared beginning: what the engine has to get right."""

TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest logit difference relative to the logits' standard deviation, by dtype."""


@dataclass(frozen=True)
class Check:
    """One question of the self-check."""

    name: str
    passed: bool
    value: float
    """The largest relative difference found."""
    tolerance: float
    """The largest that passes."""
    detail: str
    """What was compared."""
    mended_by_full_passes: bool = True
    """Whether plain full passes would be right all the same."""

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.detail}: difference {self.value:.2g}, "
            f"tolerance {self.tolerance:.2g}"
        )


def self_check(access: ModelAccess, tokenizer: PreTrainedTokenizerBase) -> list[Check]:
    """Check that the engine reads and edits the model as plain full passes do.

    Args:
        access: The model.
        tokenizer: Its tokenizer.

    Returns:
        The checks, passed or not; a difference that is not a number does not pass.
    """
    return check_encoded(access, encode_all(tokenizer, TEXTS))


def check_encoded(access: ModelAccess, encoded: Sequence[tuple[int, ...]]) -> list[Check]:
    """The self-check on given prompts (token ids)."""
    base = TOLERANCES.get(access.dtype, 1e-1)
    questions: list[tuple[str, str, bool, Callable[[], float]]] = [
        (
            "residual stream",
            "each block's input plus attn_out plus mlp_out against resid_post",
            False,
            lambda: residual_difference(access, encoded),
        ),
        (
            "heads",
            "the sum of head_out over the heads, plus the bias, against the output projection",
            False,
            lambda: heads_difference(access, encoded),
        ),
        (
            "edits",
            "zeroing and replacing each site, the engine's full pass against plain hooks",
            False,
            lambda: edit_difference(access, encoded),
        ),
        (
            "clean scores",
            "prompts after a shared prefix, end to end, against one plain pass per prompt",
            True,
            lambda: clean_difference(access, encoded),
        ),
        (
            "branched scores",
            "branches of the last tokens against a full pass for each intervention",
            True,
            lambda: branch_difference(access, encoded),
        ),
    ]
    if not has_heads(access):
        questions = [question for question in questions if question[0] != "heads"]
    plain = torch.stack([plain_logits(access, ids) for ids in encoded])
    if not bool(plain.isfinite().all()):
        detail = f"the plain model's logits in {access.dtype} are finite numbers"
        return [Check("plain scores", False, float("nan"), base, detail, False)]
    tolerance = max(base, own_difference(access, encoded, plain))
    sums = max(1e-4, 8 * torch.finfo(access.dtype).eps)
    checks = []
    for name, detail, mended, measure in questions:
        value, reason = _measured(measure)
        what = f"{detail} ({reason})" if reason else detail
        most = sums if name in {"residual stream", "heads"} else tolerance
        checks.append(Check(name, value <= most, value, most, what, mended))
    return checks


_FAMILY_ERRORS = (
    AttributeError,
    AssertionError,
    IndexError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a family's own code may raise when it is run in a way that it does not support."""


def _measured(measure: Callable[[], float]) -> tuple[float, str]:
    """What a check measures; not a number, with the reason, where the model cannot be run so."""
    try:
        return measure(), ""
    except ModelError as error:
        return float("nan"), error.message
    except _FAMILY_ERRORS as error:
        return float("nan"), f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
