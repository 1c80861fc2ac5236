"""Options from the environment and from a YAML file, each with where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from affectscope.errors import ConfigError
from affectscope.runs.option_types import nearest

ENVIRONMENT_PREFIX = "AFFECTSCOPE_"

NOT_OPTIONS = frozenset({"CACHE", "OFFLINE", "DEFAULT_MODEL_SOURCE", "SHARED", "DEBUG"})
"""Names after the prefix that other parts of affectscope read."""


def from_environment(
    environment: Mapping[str, str], options: Collection[str]
) -> dict[str, tuple[Any, str]]:
    """The options that variables give, each with where it comes from.

    Args:
        environment: Variables.
        options: The options that there are.

    Raises:
        ConfigError: A variable names no option.
    """
    known = {f"{ENVIRONMENT_PREFIX}{key.upper()}": key for key in options}
    ignored = {f"{ENVIRONMENT_PREFIX}{name}" for name in NOT_OPTIONS}
    given: dict[str, tuple[Any, str]] = {}
    for name, value in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in ignored or not value:
            continue
        if name not in known:
            raise ConfigError(
                f"the environment variable {name} (= {value!r}) is no option of affectscope",
                expected=f"{ENVIRONMENT_PREFIX} and an option in capitals{nearest(name, known)}",
                remedy=f"unset {name}, or correct its name",
            )
        given[known[name]] = (value, f"environment variable {name}")
    return given


def from_file(file: Path, options: Collection[str]) -> dict[str, tuple[Any, str]]:
    """The options that a YAML file gives, each with where it comes from.

    Args:
        file: The file.
        options: The options that there are.

    Raises:
        ConfigError: It cannot be read, is not YAML, or has a key that is no option or stands twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
        found = yaml.safe_load(text)
        _refuse_twice(yaml.compose(text, yaml.SafeLoader), file)
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration file {file}: {error.strerror}",
            expected="a YAML file with options",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the configuration file {file} is not YAML: {error}",
            expected="lines such as 'seed: 0'",
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(
            f"the configuration file {file} holds a {type(found).__name__}",
            expected="options and their values, in lines such as 'seed: 0'",
        )
    for key in found:
        if key not in options:
            raise ConfigError(
                f"{file}: there is no option {key!r}{nearest(str(key), options)}",
                expected=f"one of {', '.join(options)}",
                remedy="correct or remove the line",
            )
    return {key: (value, f"{file}") for key, value in found.items()}


def _refuse_twice(document: yaml.Node | None, file: Path) -> None:
    """Refuse an option that a file gives twice, of which PyYAML would take the last."""
    if not isinstance(document, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, _ in document.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise ConfigError(
                f"{file}: {key.value} is given twice, in lines {lines[key.value]} and {line}",
                expected="each option once",
                remedy="remove one of the lines",
            )
        lines[str(key.value)] = line
