"""What ``generate`` lets a model write: prompts, ways of steering, and how hard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from affectscope.analyses.windows import window
from affectscope.errors import UsageError
from affectscope.texts import PROMPT_KINDS, writing_prompts
from affectscope.vocabulary import APPRAISAL_NAMES, APPRAISALS

Method = Literal["none", "prompt", "random", "means", "probe", "held"]
"""How a text is steered.

- ``none``: not at all;
- ``prompt``: the prompt asks for it in words;
- ``random``: a direction that stands for nothing, drawn as activations vary, of equal length;
- ``means``: the difference of means;
- ``probe``: the weights of a probe;
- ``held``: the weights of a probe, with the other appraisals' projected out (appraisal surgery).
"""

DIRECTED: tuple[Method, ...] = ("held", "probe", "means")
"""Ways that steer by a direction of what is meant."""

METHODS: tuple[Method, ...] = get_args(Method)

TARGETS = ("pleasantness", "other_responsblt", "self_responsblt")
"""What is moved unless it is said: the appraisals that the paper's surgery is about."""


@dataclass(frozen=True)
class Condition:
    """One way to let the model write."""

    method: Method
    target: str = ""
    """The appraisal or emotion that is meant; empty for ``none`` and ``random``."""
    sign: int = 0
    """+1 for more of it, -1 for less."""
    layer: int = -1
    """The centre of the layers at which a vector is added; -1 where none is."""
    coefficient: float = 0.0
    """Its length, in mean lengths of the residual stream."""
    draw: int = -1
    """Which random direction."""


@dataclass(frozen=True)
class Opening:
    """A prompt that a model writes from."""

    id: str
    kind: str
    text: str
    required: tuple[str, ...]
    """Words of what it fixes to be said; none where nothing is fixed."""

    def asking(self, wish: str, *, chat: bool) -> str:
        """The prompt with a wish put into words."""
        if not wish:
            return self.text
        if chat and self.in_chat:
            return f"{self.text} {wish}"
        return f"({wish})\n\n{self.text}"

    @property
    def in_chat(self) -> bool:
        """Whether it is a message to be answered, not a text to go on with."""
        return self.kind != "continue"


@dataclass(frozen=True)
class Plan:
    """All that is written."""

    targets: tuple[str, ...]
    centres: tuple[int, ...]
    """Centres of the windows of layers, ascending."""
    span: int
    n_layers: int
    coefficients: tuple[float, ...]
    """Ascending."""
    methods: tuple[Method, ...]
    """Ways that steer by a direction."""
    n_random: int
    n_openings: int
    """Prompts of each kind."""
    repeats: int
    """Texts for each prompt."""
    max_new_tokens: int
    temperature: float

    @property
    def openings(self) -> list[Opening]:
        """The prompts, kinds in turn."""
        table = writing_prompts()
        chosen = []
        for rank in range(self.n_openings):
            for kind in PROMPT_KINDS:
                of_kind = table[table["kind"] == kind]
                if rank < len(of_kind):
                    row = of_kind.iloc[rank]
                    words = tuple(str(row["required"]).split())
                    chosen.append(Opening(str(row["id"]), kind, str(row["prompt"]), words))
        return chosen

    def layers(self, centre: int) -> list[int]:
        """The layers that share a vector."""
        return window(centre, self.span, self.n_layers)

    @property
    def blocks(self) -> list[list[Condition]]:
        """Conditions that are written together.

        Without steering; asked for in words; by each direction, and by random ones, at each centre.
        """
        asked = [Condition("prompt", target, s) for target in self.targets for s in (1, -1)]
        blocks = [[Condition("none")], asked]
        for centre in self.centres:
            blocks += [
                [
                    Condition(method, target, sign, centre, c)
                    for sign in (1, -1)
                    for c in self.coefficients
                ]
                for method in self.methods
                for target in self.targets
            ]
            blocks += [
                [Condition("random", "", 0, centre, c, draw) for draw in range(self.n_random)]
                for c in self.coefficients
            ]
        return blocks


def wish(target: str, sign: int) -> str:
    """What a prompt says to ask for more or less of an appraisal or emotion.

    Examples:
        >>> wish("pleasantness", 1)
        'Make it clear that the following is true: the event was pleasant.'
        >>> wish("joy", -1)
        'Make it clear that nobody feels any joy.'
    """
    if target in APPRAISAL_NAMES:
        said = next(a.question for a in APPRAISALS if a.name == target)
        return f"Make it clear that the following is {'true' if sign > 0 else 'not true'}: {said}."
    if sign > 0:
        return f"Make it clear that the person feels {target}."
    return f"Make it clear that nobody feels any {target}."


def require_plan(plan: Plan) -> Plan:
    """The plan, if it can be carried out.

    Raises:
        UsageError: No target, no coefficient above 0 or a count below 1.
    """
    ascending = list(plan.coefficients) == sorted(set(plan.coefficients))
    fine = plan.coefficients and ascending and plan.coefficients[0] > 0
    if not fine or not np.isfinite(plan.coefficients).all():
        raise UsageError(
            f"coefficients {list(plan.coefficients)}",
            expected="one or more numbers above 0, ascending, in lengths of the residual stream",
            remedy="leave them out, or give some such as 0.1,0.3",
        )
    if not plan.targets:
        raise UsageError(
            "nothing is to be steered",
            expected="appraisals or emotions, such as pleasantness,joy",
            remedy="name some with --steer",
        )
    for name in ("n_openings", "repeats", "n_random", "max_new_tokens"):
        if getattr(plan, name) < 1:
            raise UsageError(f"{name} is {getattr(plan, name)}", expected="1 or more")
    return plan


def directions_of(targets: Sequence[str]) -> list[tuple[str, str, int]]:
    """Each target both ways: name, target and sign."""
    return [(f"{target}{'+' if s > 0 else '-'}", target, s) for target in targets for s in (1, -1)]
