"""What is measured of texts that a model wrote, without any outside service."""

from affectscope.texts.echo import appraisal_words, label_echo
from affectscope.texts.fluency import distinct_by_text, distinct_n, repeated_share
from affectscope.texts.judge import Judge, train_judge
from affectscope.texts.meaning import content_recall, kept_meaning
from affectscope.texts.shipped import (
    PROMPT_KINDS,
    PromptKind,
    neutral_accounts,
    neutral_texts,
    questions,
    writing_prompts,
)
from affectscope.texts.valence import valence

__all__ = [
    "PROMPT_KINDS",
    "Judge",
    "PromptKind",
    "appraisal_words",
    "content_recall",
    "distinct_by_text",
    "distinct_n",
    "kept_meaning",
    "label_echo",
    "neutral_accounts",
    "neutral_texts",
    "questions",
    "repeated_share",
    "train_judge",
    "valence",
    "writing_prompts",
]
