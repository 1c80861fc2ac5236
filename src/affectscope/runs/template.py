"""A prompt template that there is not is wrong usage, and said before a model is loaded."""

from __future__ import annotations

from affectscope.errors import PromptError, UsageError
from affectscope.prompts import template_named


def require_template(name: str) -> None:
    """Refuse a template that there is not.

    It is not among the checks of :class:`affectscope.runs.config.RunConfig`, since the package of
    the templates loads torch, which ``--help`` and the report do without.

    Raises:
        UsageError: There is no such template.
    """
    try:
        template_named(name)
    except PromptError as error:
        raise UsageError(error.message, expected=error.expected, remedy=error.remedy) from error
