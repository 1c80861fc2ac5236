"""What the value of an option may be: checks that pydantic runs, and words for messages.

Values come as text from flags and the environment, and as numbers, lists or mappings from YAML.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from affectscope.label_map import LABEL_MAPS, parse_label_map
from affectscope.memory_limits import parse_memory_limits
from affectscope.vocabulary import EXPERIMENTS


@dataclass(frozen=True)
class Allowed:
    """What an option may be, for messages and help."""

    text: str


def split_experiments(value: Any) -> Any:
    """Accept ``probe,infer`` as well as a list; keep each once, in the order of the house.

    Nothing means all that apply, which is known when the corpus is there.
    """
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ValueError("not a list of experiments")
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted:
        raise ValueError("no experiment is named")
    for name in wanted:
        if name not in EXPERIMENTS:
            raise ValueError(f"there is no experiment {name!r}{nearest(name, EXPERIMENTS)}")
    return tuple(name for name in EXPERIMENTS if name in wanted)


def split_names(value: Any) -> Any:
    """Accept ``pleasantness,joy`` as well as a list, each once."""
    if value is None:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ValueError("not a list of names")
    wanted = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not wanted:
        raise ValueError("nothing is named")
    return wanted


def _whole_numbers(value: Any) -> list[int]:
    """Accept ``1,3,5`` as well as a list, each once."""
    given = value.split(",") if isinstance(value, str) else value
    given = [given] if isinstance(given, int) and not isinstance(given, bool) else given
    if not isinstance(given, list | tuple) or not given:
        raise ValueError("not a list of whole numbers")
    numbers = {_whole(each.strip() if isinstance(each, str) else each) for each in given}
    if not all(isinstance(number, int) for number in numbers):
        raise ValueError("not a list of whole numbers")
    return sorted(numbers)


def split_spans(value: Any) -> Any:
    """Odd numbers, in order."""
    numbers = _whole_numbers(value)
    if not all(number > 0 and number % 2 for number in numbers):
        raise ValueError("a window is a centre and as many layers on each side")
    return tuple(numbers)


def split_positions(value: Any) -> Any:
    """Positions from the end, the last token first; it is always among them."""
    numbers = _whole_numbers(value)
    if max(numbers) >= 0:
        raise ValueError("positions count from the end: -1 is the last token")
    return tuple(sorted({-1, *numbers}, reverse=True))


def split_templates(value: Any) -> Any:
    """Accept ``shots_1,shots_3`` as well as a list; a text of the user's own may have commas."""
    if value is None:
        return None
    own = isinstance(value, str) and ("{" in value or "@" in value)
    names = [value] if own else value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
        raise ValueError("not a list of templates")
    wanted = tuple(name.strip() if "{" not in name else name for name in names if name.strip())
    if not wanted:
        raise ValueError("no template is named")
    return wanted


def _whole(value: Any) -> Any:
    """Keep ``true`` and ``2.0`` from passing as numbers of things."""
    if isinstance(value, bool | float):
        raise ValueError("not a whole number")
    return int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value) else value


def text_encoding(value: str | None) -> str | None:
    """Keep names of no encoding, and of codecs that give no text (such as hex), from passing."""
    if value is not None:
        try:
            codecs.lookup(value)
            "".encode(value)
        except LookupError as error:
            raise ValueError(str(error)) from error
    return value


def named_path(value: Any) -> Any:
    """Keep the empty path, which would be the working folder, from passing."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("the name is empty")
    return value


def memory_limits(value: Any) -> Any:
    """Accept a mapping, as YAML has it, as well as the text of a flag, and keep it as text."""
    if isinstance(value, Mapping):
        value = ",".join(f"{device}={size}" for device, size in value.items())
    if isinstance(value, str):
        parse_memory_limits(value)
    return value


def labels_by_name(value: Any) -> Any:
    """Accept a mapping, as YAML has it, as well as pairs or a file's path as text."""
    return parse_label_map(value) if isinstance(value, str | Mapping) else value


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name that was probably meant, as the end of a message; empty when none is near."""
    close = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


Whole = BeforeValidator(_whole)
Count = Annotated[int, Field(ge=1)]

AT_LEAST_ONE = Allowed("a whole number, 1 or more")
Column = Annotated[str | None, Allowed("the name of a column")]
LabelMap = Annotated[dict[str, str] | None, BeforeValidator(labels_by_name), Allowed(LABEL_MAPS)]
Switch = Annotated[bool, Allowed("true or false")]
