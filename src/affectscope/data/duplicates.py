"""Which texts are the same text, and which items therefore belong together."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from functools import cache


@cache
def _plain(character: str) -> str:
    """A space for punctuation, spacing and control characters; anything else as it is."""
    return " " if unicodedata.category(character)[0] in "PZC" else character


def text_key(text: str) -> str:
    """What is left of a text when case, punctuation and spacing are ignored.

    Two texts with the same key count as the same text. Symbols such as emoji stay, because they
    carry meaning; a text of punctuation alone is its own key, so that "?" and "!" differ.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
    words = "".join(map(_plain, folded)).split()
    return " ".join(words) or text.strip()


def merge_groups(groups: Sequence[str], clusters: Sequence[Hashable]) -> list[str]:
    """Groups joined wherever they share a cluster, by union-find.

    Args:
        groups: Group of every item.
        clusters: Cluster of every item, such as its text.

    Returns:
        The group of every item: the alphabetically first of the groups joined, whatever the order
        of the items.
    """
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first_in: dict[Hashable, str] = {}
    for group, cluster in zip(groups, clusters, strict=True):
        one, other = root(group), root(first_in.setdefault(cluster, group))
        parent[max(one, other)] = min(one, other)
    return [root(group) for group in groups]
