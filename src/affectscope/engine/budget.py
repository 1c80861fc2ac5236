"""How much goes through the model at once: from free memory, and less when it runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import torch

from affectscope.engine.access import ModelAccess
from affectscope.errors import ModelError

log = logging.getLogger(__name__)

SHARE = 0.25
"""Share of the free memory that one pass may take: the estimate is rough."""

CPU_TOKENS = 4096
"""More tokens in a pass do not make a CPU faster, and leave its caches."""

GPU_TOKENS = 16384
"""The same for a GPU."""


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def bytes_per_token(access: ModelAccess, n_keys: int) -> int:
    """A rough upper estimate of what one token takes while it passes a block.

    Args:
        access: The model.
        n_keys: How many tokens it attends to.
    """
    widest = max(
        (max(weight.shape) for weight in access.blocks[0].parameters() if weight.ndim == 2),
        default=access.d_model,
    )
    activations = (4 * widest + 16 * access.d_model) * max(4, access.dtype.itemsize)
    scores = 3 * access.n_heads * n_keys * 4
    kept = 2 * access.n_layers * access.d_model * access.dtype.itemsize
    return activations + scores + kept


@dataclass
class Budget:
    """How many sequences go through the model in one pass.

    It is lowered, and stays lowered, when memory runs out. Results do not depend on it beyond
    floating-point rounding (1e-4 of a logit in float32).

    Args:
        asked: The most prompts or counterfactuals in a pass, as the user wants it; None to choose
            from free memory.
    """

    asked: int | None = None
    _tokens: int | None = field(default=None, init=False)
    _factor: float = field(default=1.0, init=False)
    _last: int = field(default=1, init=False)
    """What :meth:`rows` said last."""

    def rows(self, access: ModelAccess, *, tokens: int, keys: int) -> int:
        """How many sequences may go through the model together.

        Args:
            access: The model.
            tokens: Tokens in each sequence.
            keys: How many tokens each token attends to at most.
        """
        if self.asked is not None:
            self._last = max(1, int(self.asked * self._factor))
            return self._last
        if self._tokens is None:
            cap = CPU_TOKENS if access.device.type == "cpu" else GPU_TOKENS
            room = SHARE * free_memory(access.device) / bytes_per_token(access, keys)
            self._tokens = max(1, min(cap, int(room)))
        self._last = max(1, int(self._tokens * self._factor) // tokens)
        return self._last

    def lower(self, failed: int) -> None:
        """Allow half as many sequences as failed, and say so.

        Raises:
            ModelError: When a single one did not fit.
        """
        if failed <= 1:
            raise ModelError(
                "memory ran out with a single sequence in the pass",
                expected="room for one prompt and one counterfactual beside the model",
                remedy="close other programs, use shorter prompts, --dtype bfloat16, or a larger "
                "machine",
            )
        self._factor *= (failed // 2) / max(failed, self._last)
        log.warning(
            "memory ran out with %d sequences in a pass: going on with at most %d",
            failed,
            failed // 2,
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "not enough memory")
    )


def evenly(n: int, most: int) -> int:
    """Size of the portions when n are split into as few as possible, of about equal size."""
    return -(-n // -(-n // max(1, most)))


def in_portions(
    budget: Budget,
    n: int,
    most: Callable[[int], int],
    work: Callable[[range], None],
) -> None:
    """Do work on n sequences in portions, in order; in smaller ones once memory ran out.

    Args:
        budget: What a portion may hold.
        n: How many sequences there are.
        most: How many sequences fit in a portion that begins with the given one.
        work: Does one portion; after running out of memory it is called again on a part of it.

    Raises:
        ModelError: When a portion of one does not fit.
    """
    start = 0
    while start < n:
        size = max(1, min(most(start), n - start))
        if _fits(work, range(start, start + size)):
            start += size
        else:
            _release_memory()
            budget.lower(size)


def _fits(work: Callable[[range], None], portion: range) -> bool:
    """Do the work; False when memory ran out. The error's frames are gone when this returns."""
    try:
        work(portion)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _release_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
