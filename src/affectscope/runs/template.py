"""A prompt template that there is not is wrong usage, and said before a model is loaded."""

from __future__ import annotations

from affectscope.errors import PromptError, UsageError
from affectscope.prompts import resolved_spec
from affectscope.runs.config import RunConfig


def with_resolved_templates(config: RunConfig) -> RunConfig:
    """The options with every template spelled out: what a file holds stands in its place.

    So the text of a template is part of what identifies a run. Templates are not among the checks
    of :class:`affectscope.runs.config.RunConfig`, since their package loads torch, which ``--help``
    and the report do without.

    Raises:
        UsageError: There is no such template.
    """
    try:
        others = config.templates
        changes = {
            "template": resolved_spec(config.template),
            "templates": None if others is None else tuple(map(resolved_spec, others)),
        }
    except PromptError as error:
        raise UsageError(error.message, expected=error.expected, remedy=error.remedy) from error
    return config.model_copy(update=changes)
