"""Does the peak stay where it is under another prompt?

The same items under each template: the paper's templates and numbers of examples, the chat format
of a model that has one, and any template of the user's. For each: how often the model names the
emotion, where patching peaks, and how far that is from the run's own template.

Items are shared, so that all templates are resampled by the same draws of groups, and differences
have intervals that know of it. Pairs are drawn from what the model gets right under each template,
so they differ. Whether any template moves the *centre* of the curve
(:mod:`affectscope.analyses.transfer`) is tested for all at once: p is adjusted by the maximum over
templates, so that one template out of ten is not found moved by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.experiment import Result
from affectscope.analyses.nested import Nested, Part, first_items, inner_study
from affectscope.analyses.patch import Patch
from affectscope.analyses.robust_table import robust_answer, robust_estimates
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.analyses.transfer import patch_shares, plain_patch, transfer_hits
from affectscope.analyses.windows import require_count, window
from affectscope.data import Corpus
from affectscope.errors import NotPossibleError, UsageError
from affectscope.figures.robust import robust_charts
from affectscope.prompts import CHAT, TEMPLATES, EmotionTask, Template, in_chat, template_named


class Robust(Nested):
    """Accuracy and patching under several templates.

    Args:
        study: The study.
        templates: Specs of templates (:func:`affectscope.prompts.template_named`); those of the
            paper and the chat format of the run's own, if the model has one, when None. The run's
            own template is always the first.
        items: Most items, from the first.
        pairs: Most patching pairs under each template.
        span: Layers in a patching window.

    Raises:
        PromptError: A template that there is not.
        UsageError: Two different templates have the same name.
    """

    name = "robust"

    def __init__(
        self,
        study: Study,
        *,
        templates: Sequence[str | Template] | None = None,
        items: int = 200,
        pairs: int = 60,
        span: int = 3,
    ) -> None:
        window(0, span, study.lm.n_layers)  # refuse an even span before any work is done
        require_count("pairs", pairs)
        require_count("items", items)
        self.study = study
        self.max_items = items
        self.max_pairs = pairs
        self.span = span
        self.templates = self._all_templates(templates)

    def _all_templates(self, asked: Sequence[str | Template] | None) -> dict[str, Template]:
        """By name, the run's own first."""
        own, tokenizer = self.study.task.template, self.study.lm.tokenizer
        if asked is None:
            is_chat = own.spec == CHAT or own.spec.startswith(f"{CHAT}:")
            chat = getattr(tokenizer, "chat_template", None) and not is_chat
            others = [*TEMPLATES.values(), *([in_chat(own, tokenizer)] if chat else [])]
        else:
            others = [
                one if isinstance(one, Template) else template_named(one, tokenizer)
                for one in asked
            ]
        named: dict[str, Template] = {}
        for template in (own, *others):
            known = named.setdefault(template.name, template)
            if (known.prefix, known.suffix) != (template.prefix, template.suffix):
                raise UsageError(
                    f"two templates are called {template.name!r}",
                    expected="a name of its own for each",
                    remedy="write NAME=TEXT for a template of your own",
                )
        return named

    @property
    def method(self) -> str:
        """What is done, for the report."""
        return (
            f"the same {len(self.corpus)} items under {len(self.templates)} templates "
            f"({', '.join(self.templates)}; the run's own first), without those that any of them "
            f"shows as an example; at most {self.max_pairs} pairs under each (seed "
            f"{self.study.seed}), windows of {self.span} layers. Differences to the run's own by "
            "bootstrap of the groups, the same draws for all templates; p adjusted by the maximum "
            "over templates."
        )

    @cached_property
    def tasks(self) -> dict[str, EmotionTask]:
        """The task under each template."""
        own = self.study.task
        return {
            name: EmotionTask(
                own.lm, template=template, calibration=own.calibration, labels=own.labels
            )
            for name, template in self.templates.items()
        }

    @cached_property
    def corpus(self) -> Corpus:
        """The items, the same under every template."""
        shots = {text for template in self.templates.values() for text in template.shot_texts}
        corpus = self.study.corpus.without_texts(shots)
        limit = f"a prompt is longer than the model's context of {self.study.lm.context_length}"
        long: set[int] = set()
        for task in self.tasks.values():
            long |= set(self.study.lm.too_long(task.prompts(corpus.texts)))
        return first_items(corpus.without(long, f"{limit} tokens"), self.max_items)

    @cached_property
    def studies(self) -> dict[str, Study]:
        """The study under each template."""
        return {
            name: inner_study(self.study, self.name, name, task, self.corpus)
            for name, task in self.tasks.items()
        }

    def make_parts(self) -> list[Part]:
        """Clean passes and patching, template by template."""
        parts = []
        for name, study in self.studies.items():
            settings = {"n_pairs": self.max_pairs, "span": self.span}
            parts += [
                Part(name, CleanExperiment(study)),
                Part(
                    name,
                    plain_patch(study, self.max_pairs, self.span),
                    shares=patch_shares(self.max_pairs),
                    settings=settings,
                ),
            ]
        return parts

    def transfer(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Pairs ``[pair, (source, target)]`` of a template, and their hits ``[pair, site, layer]``.

        Raises:
            NotPossibleError: The model is right on items of fewer than two emotions.
        """
        patch = self._part(name, Patch.name).experiment
        assert isinstance(patch, Patch)
        return patch.pairs, transfer_hits(self.observed(name, Patch.name))

    def result(self, observations: pd.DataFrame) -> Result:
        """Accuracy, peaks, and how far each template moves them."""
        hits, impossible = {}, {}
        for name in self.templates:
            try:
                hits[name] = self.transfer(name)
            except NotPossibleError as error:
                impossible[name] = error.message
        table, summary = robust_estimates(self.corpus, self.studies, hits, self.study.seed)
        answer = robust_answer(summary, list(self.templates), impossible)
        return Result(self.name, table, self.all_observed(), summary, answer, robust_charts)
