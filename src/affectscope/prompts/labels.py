"""Which token stands for which label, and an audit of what that leaves out.

A label is scored by the first token it adds to the prompt. Labels that need several tokens, or
share their first token with another label, are reported, never cut silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from affectscope.errors import PromptError
from affectscope.prompts.tokens import Tokenizer, prompt_ids


@dataclass(frozen=True)
class LabelToken:
    """How a label is written in tokens after a prompt."""

    label: str
    tokens: tuple[str, ...]
    """The tokens the label adds to the prompt, as text."""
    token_ids: tuple[int, ...]
    shares_first_token_with: tuple[str, ...]
    """Labels that cannot be told from this one by the first token."""

    @property
    def first_id(self) -> int:
        """The token that is scored."""
        return self.token_ids[0]

    def as_dict(self) -> dict[str, Any]:
        """The row of the audit table."""
        return {**asdict(self), "n_tokens": len(self.token_ids)}


def audit_labels(tokenizer: Tokenizer, prompt: str, labels: Sequence[str]) -> list[LabelToken]:
    """Tokens of every label after a prompt.

    A space comes between the two, unless the prompt ends in a line break: then the label begins
    the line.

    Args:
        tokenizer: The model's tokenizer.
        prompt: A whole prompt, ending where the label goes.
        labels: The label words.

    Raises:
        PromptError: When a label changes how the prompt itself is tokenised, so that the prompt's
            last position does not predict it; for fewer than two labels, an empty or a repeated
            one.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(map(str.strip, labels)):
        raise PromptError(
            f"these labels cannot be told apart: {', '.join(map(repr, labels)) or 'none'}",
            expected="two or more different labels, none of them empty",
            remedy="give each label once",
        )
    start = prompt_ids(tokenizer, prompt)
    between = "" if prompt[-1:].isspace() else " "
    written: dict[str, tuple[int, ...]] = {}
    for label in labels:
        whole = prompt_ids(tokenizer, f"{prompt}{between}{label}")
        ids = whole[len(start) :]
        if whole[: len(start)] != start or not ids:
            raise PromptError(
                f"the label {label!r} changes the tokens at the end of the prompt "
                f"({prompt[-20:]!r})",
                expected="a label that begins with a token of its own",
                remedy="use another label word, or a template whose prompts end in a colon",
            )
        written[label] = tuple(ids)
    return [
        LabelToken(
            label=label,
            tokens=tuple(tokenizer.decode([token]) for token in ids),
            token_ids=ids,
            shares_first_token_with=tuple(
                other for other in labels if other != label and written[other][0] == ids[0]
            ),
        )
        for label, ids in written.items()
    ]


def label_warnings(tokens: Sequence[LabelToken]) -> list[str]:
    """What a reader has to know of the audit, in sentences; nothing when all is well."""
    warnings = []
    shared = {
        token.first_id: [token.label, *token.shares_first_token_with]
        for token in reversed(tokens)
        if token.shares_first_token_with
    }
    several = [token for token in tokens if len(token.token_ids) > 1]
    if shared:
        names = "; ".join(", ".join(labels) for labels in reversed(shared.values()))
        warnings.append(
            f"labels that share a first token cannot be told apart by this model's scores: {names}"
        )
    if several:
        names = ", ".join(f"{token.label} ({len(token.token_ids)})" for token in several)
        warnings.append(f"labels of several tokens are scored by their first token only: {names}")
    return warnings
