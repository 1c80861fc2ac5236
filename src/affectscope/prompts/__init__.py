"""Prompts: templates and shots, label scoring with its audit, calibration, and the task."""

from affectscope.prompts.calibration import CONTENT_FREE_TEXTS, LabelOffsets, fit_offsets
from affectscope.prompts.chat import in_chat_format
from affectscope.prompts.labels import LabelToken, audit_labels, label_warnings
from affectscope.prompts.task import EmotionTask, TaskModel
from affectscope.prompts.templates import (
    CHAT,
    SHOTS,
    TEMPLATES,
    Template,
    in_chat,
    resolved_spec,
    template_named,
    with_examples,
)

__all__ = [
    "CHAT",
    "CONTENT_FREE_TEXTS",
    "SHOTS",
    "TEMPLATES",
    "EmotionTask",
    "LabelOffsets",
    "LabelToken",
    "TaskModel",
    "Template",
    "audit_labels",
    "fit_offsets",
    "in_chat",
    "in_chat_format",
    "label_warnings",
    "resolved_spec",
    "template_named",
    "with_examples",
]
