"""What a run works on: model and task loaded, the items drawn, and what run.json says of them.

Loads the libraries of models, which takes seconds: whatever can be refused without them comes
before this is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from affectscope.analyses import (
    Experiment,
    Settings,
    Study,
    UnitStore,
    applicable,
    build,
    with_needed,
)
from affectscope.data import Corpus, Readers
from affectscope.models import LanguageModel, load_model
from affectscope.prompts import EmotionTask
from affectscope.runs.config import RunConfig
from affectscope.runs.identity import Identity


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to be worked on."""

    config: RunConfig
    lm: LanguageModel
    task: EmotionTask
    corpus: Corpus
    """All items of the corpus."""
    used: Corpus
    """Those that the run looks at."""
    readers: Readers | None = None
    """What readers made of them."""
    judge: Corpus | None = None
    """What judges of texts are trained on, where that is another corpus."""

    @property
    def identity(self) -> Identity:
        """Everything that decides the numbers."""
        model = self.lm.describe()
        return Identity.of(
            self.config,
            model_sha256=model["sha256"],
            corpus_sha256=self.corpus.sha256,
            device=model["device"].split(" + ")[0],  # the one that computes
            dtype=model["dtype"],
            readers_sha256=self.readers.sha256 if self.readers else None,
            judge_sha256=self.judge.sha256 if self.judge else None,
        )

    @property
    def n_rows(self) -> int:
        """Rows of the corpus, usable or not."""
        return len(self.corpus) + sum(each.count for each in self.corpus.dropped)

    def experiments(self, store: UnitStore) -> list[Experiment]:
        """The experiments that are asked for, the clean passes first."""
        config = self.config
        return build(
            config.experiments,
            Study(
                lm=self.lm,
                task=self.task,
                corpus=self.used,
                store=store,
                seed=config.seed,
                readers=self.readers,
                positions=config.positions,
                judge=self.judge,
            ),
            Settings(**{each.name: getattr(config, each.name) for each in fields(Settings)}),
        )

    def describe(self) -> dict[str, Any]:
        """What ``run.json`` says of model, corpus and prompts."""
        lm, corpus, used = self.lm, self.corpus, self.used
        slow = ["the model failed its self-check and runs on full passes, which are slower"]
        return {
            "model": {**lm.describe(), "requested_revision": self.config.revision},
            "corpus": {
                "name": corpus.name,
                "source": corpus.source,
                "sha256": corpus.sha256,
                "encoding": corpus.encoding,
                "n_rows": self.n_rows,
                "n_used": len(used),
                "dropped": [{"reason": each.reason, "count": each.count} for each in used.dropped],
                "emotions": dict(sorted(Counter(used.emotions).items())),
                **self._describe_readers(),
            },
            "prompts": self.task.describe(),
            "self_check": [asdict(check) for check in lm.checks],
            "engine": lm.engine,
            "seeds": {"seed": self.config.seed},
            "warnings": [*self.task.warnings, *(slow if lm.engine == "full pass" else [])],
        }

    def _describe_readers(self) -> dict[str, Any]:
        if self.readers is None:
            return {}
        keys = ("source", "sha256", "encoding", "n_items", "n_readers")
        return {"readers": {key: getattr(self.readers, key) for key in keys}}

    def left_out(self) -> str:
        """Which rows are not used and why, in a sentence; empty when all can be used.

        Rows that a limit leaves over are not among them.
        """
        count = sum(each.count for each in self.used.dropped)
        if not count:
            return ""
        reasons = ", ".join(f"{each.reason} ({each.count:,})" for each in self.used.dropped)
        verb = "is" if count == 1 else "are"
        return f"{count:,} of {self.n_rows:,} rows {verb} left out: {reasons}"


def prepare(
    config: RunConfig,
    corpus: Corpus,
    say: Callable[[str], None],
    *,
    readers: Readers | None = None,
    judge: Corpus | None = None,
) -> Prepared:
    """Load the model and draw the items.

    Args:
        config: The options.
        corpus: The whole corpus.
        say: Takes each line on what happens.
        readers: What readers made of the corpus, if that is known.
        judge: Another corpus, to train judges of texts on.

    Returns:
        The run, whose options name the experiments: all that apply where none was named.

    Raises:
        DataError: No item is left.
        ModelError: The model cannot be used.
    """
    lm = load_model(config.model, **config.load_options, progress=say)
    task = EmotionTask(
        lm, template=config.template, calibration=config.calibration, labels=corpus.labels
    )
    fitting = corpus.without(
        lm.too_long(task.prompts(corpus.texts)),
        f"the prompt is longer than the model's context of {lm.context_length} tokens",
    )
    used = fitting.sample(config.limit, config.seed, exclude_texts=task.shot_texts)
    names = applicable(used, readers) if config.experiments is None else config.experiments
    config = config.model_copy(update={"experiments": with_needed(names)})
    return Prepared(config, lm, task, corpus, used, readers, judge)
