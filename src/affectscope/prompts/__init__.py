"""Prompts: templates and shots, label scoring with its audit, calibration, and the task."""

from affectscope.prompts.calibration import CONTENT_FREE_TEXTS, LabelOffsets, fit_offsets
from affectscope.prompts.labels import LabelToken, audit_labels, label_warnings
from affectscope.prompts.task import EmotionTask, TaskModel
from affectscope.prompts.templates import SHOTS, TEMPLATES, Template, template_named

__all__ = [
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
    "label_warnings",
    "template_named",
]
