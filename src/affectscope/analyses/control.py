"""Is what was found special to emotion? Three controls.

``first_word``: the paper's control task (:mod:`affectscope.analyses.first_word`), patched and
probed as the emotion task is. If the emotion is inferred where any answer is formed, both localise
at the same layers.

``no_question``: a prompt that asks for no emotion. What a probe reads there is what the model
gathers of emotions unasked.

``shuffled``: the emotions dealt to the items at random. Whatever is found is an artefact: no layer
may be significant, after correction for all layers and sites.

Whether emotion and first word localise at different layers is tested on the *centre* of their
patching curves (:mod:`affectscope.analyses.transfer`): the difference of both, over bootstrap draws
of the groups, drawn for each task by itself. That assumes that the two curves' errors are
independent; they share items, whose errors, if they are alike, cancel in the difference, so that
the test errs on the side of no difference. It also assumes some dozens of pairs or more, none of
which weighs much. In simulations with two equal curves and 100 pairs it rejects in 2 to 3 % of the
cases at the 5 % level. The peak layers are compared by the pigeonhole draws alone: being whole
numbers, their difference is often exactly 0, and its p is larger than it need be.
"""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from affectscope.analyses.control_labels import labels_by_item
from affectscope.analyses.control_table import control_answer, control_estimates
from affectscope.analyses.experiment import Result
from affectscope.analyses.first_word import first_word_template, first_words, with_first_words
from affectscope.analyses.nested import Nested, Part, first_items, inner_study
from affectscope.analyses.readout import Readable, ReadOut
from affectscope.analyses.study import CleanExperiment, Study
from affectscope.analyses.transfer import patch_shares, plain_patch
from affectscope.analyses.windows import require_count, window
from affectscope.errors import NotPossibleError
from affectscope.figures.control import control_charts
from affectscope.prompts import EmotionTask, Template

ITEMS = 300
"""Items of the inner studies: a probe of 13 labels is seen above chance with far fewer."""

NO_QUESTION = Template("no_question", "Context: ", " Continue:", spec="no_question")
"""Asks for nothing; its last token is the same for every text."""


class Control(Nested):
    """The controls: another task, no question, and labels without meaning.

    Args:
        study: The study.
        items: Most items of the controls, from the first; 300 when None.
        pairs: Patching pairs of either task.
        span: Layers in a patching window.
    """

    name = "control"

    def __init__(
        self, study: Study, *, items: int | None = None, pairs: int = 100, span: int = 3
    ) -> None:
        window(0, span, study.lm.n_layers)  # refuse an even span before any work is done
        require_count("pairs", pairs)
        require_count("items", items)
        self.study = study
        self.max_pairs = pairs
        self.span = span
        self.n_items = min(ITEMS if items is None else items, len(study.corpus))

    @property
    def method(self) -> str:
        """What is done, for the report."""
        words = ", ".join(self.first_word.task.labels) if self.first_word else "none"
        return (
            f"{self.n_items} items. First word: one of {words} in front of each text. No question: "
            f"{NO_QUESTION.fill('...')!r}. Shuffled: the emotions dealt to the items at random "
            f"(seed {self.study.seed}). At most {self.max_pairs} patching pairs of each task, "
            f"windows of {self.span} layers; linear probes at the last token. The difference of "
            "the curves' centres and peaks by bootstrap of the groups, drawn for each task alone."
        )

    @cached_property
    def _words(self) -> tuple[list[str], str]:
        """The words of the first-word task, or why it has none."""
        try:
            return first_words(self.study.task), ""
        except NotPossibleError as error:
            return [], error.message

    @cached_property
    def first_word(self) -> Study | None:
        """The study of the first-word task; None where the tokenizer has no words for it."""
        study, (words, _) = self.study, self._words
        if not words:
            return None
        template = first_word_template(study.task.template, words)
        task = EmotionTask(
            study.lm,
            template=template,
            calibration=study.task.calibration,
            labels=sorted(words),
        )
        corpus = first_items(study.corpus, self.n_items).without_texts(task.shot_texts)
        return inner_study(
            study,
            self.name,
            "first_word",
            task,
            with_first_words(corpus, words, study.seed),
        )

    @cached_property
    def no_question(self) -> Study:
        """The study of the prompt without a question."""
        study = self.study
        task = EmotionTask(
            study.lm,
            template=NO_QUESTION,
            calibration="none",
            labels=study.task.labels,
        )
        corpus = first_items(study.corpus, self.n_items)
        return inner_study(study, self.name, "no_question", task, corpus)

    def make_parts(self) -> list[Part]:
        """The inner experiments."""
        study, bare, first = self.study, self.no_question, self.first_word
        emotions = study.corpus.emotions[: self.n_items]
        shuffled = labels_by_item(emotions, study.seed)
        parts = [
            Part("no_question", CleanExperiment(bare)),
            Part("no_question", ReadOut(bare, {"emotion": emotions})),
            Part("no_question", Readable(bare, emotions)),
            Part("shuffled", ReadOut(study, {"shuffled": shuffled}, items=self.n_items)),
            Part("shuffled", Readable(study, shuffled, items=self.n_items)),
            self._patching("emotion", study),
        ]
        if first is not None:
            words = first.corpus.emotions
            parts += [
                Part("first_word", CleanExperiment(first)),
                Part("first_word", ReadOut(first, {"first_word": words})),
                self._patching("first_word", first),
            ]
        return parts

    def _patching(self, name: str, study: Study) -> Part:
        return Part(
            name,
            plain_patch(study, self.max_pairs, self.span),
            shares=patch_shares(self.max_pairs),
            settings={"n_pairs": self.max_pairs, "span": self.span},
        )

    def result(self, observations: pd.DataFrame) -> Result:
        """What each control shows, and whether emotion and first word localise differently."""
        table, summary, impossible = control_estimates(self)
        _, why_no_words = self._words
        if why_no_words:
            impossible = {"first_word": why_no_words} | impossible
        return Result(
            self.name,
            table,
            self.all_observed(without=("readable",)),
            summary,
            control_answer(summary, impossible),
            control_charts,
        )
