"""Clean passes kept from one call to the next, up to so many bytes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Pass = TypeVar("Pass")
Beginning = TypeVar("Beginning")

PREFIXES = 4
"""Shared beginnings kept: a run has one or two templates."""


class PassMemory(Generic[Pass, Beginning]):
    """Keeps what was read, until it is full.

    A pass is found again only for the same prompts read together after the same prefix, so that a
    result does not depend on what was read before, not even by a rounding. What comes when it is
    full is not kept: experiments go over the same items in the same order, and dropping the oldest
    would always drop what is needed next.

    Args:
        limit: Most bytes of keys, values and states.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_bytes = 0
        self._passes: dict[Hashable, tuple[Pass, int]] = {}
        self._prefixes: dict[Hashable, Beginning] = {}

    def find(self, key: Hashable) -> Pass | None:
        """The pass kept under a key, if there is one."""
        found = self._passes.get(key)
        return None if found is None else found[0]

    def keep(self, key: Hashable, clean: Pass, n_bytes: int) -> None:
        """Keep a pass in place of the one of that key, when there is room."""
        _, old = self._passes.pop(key, (None, 0))
        self.n_bytes -= old
        if self.n_bytes + n_bytes <= self.limit:
            self._passes[key] = (clean, n_bytes)
            self.n_bytes += n_bytes

    def prefix(self, ids: Hashable) -> Beginning | None:
        """The prefix of these tokens, if it was read."""
        return self._prefixes.get(ids)

    def keep_prefix(self, ids: Hashable, prefix: Beginning) -> None:
        """Keep a prefix; the oldest goes when there are too many."""
        self._prefixes[ids] = prefix
        if len(self._prefixes) > PREFIXES:
            del self._prefixes[next(iter(self._prefixes))]
