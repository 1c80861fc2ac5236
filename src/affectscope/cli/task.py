"""The model and the task that a command's options name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from affectscope.models import LanguageModel
    from affectscope.prompts import EmotionTask
    from affectscope.runs.config import RunConfig


def load_task(config: RunConfig) -> tuple[LanguageModel, EmotionTask]:
    """Load the model and put the task to it; an unknown template is refused before that."""
    from affectscope.runs.template import with_resolved_templates

    config = with_resolved_templates(config)

    from affectscope.models import load_model
    from affectscope.prompts import EmotionTask

    lm = load_model(config.model, **config.load_options)
    return lm, EmotionTask(lm, template=config.template, calibration=config.calibration)
