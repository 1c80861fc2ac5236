"""The exception tree: everything a user can cause, with what was got, expected and to do next.

```
AffectscopeError
├── UsageError            a wrong option or combination of options; exit code 2
│   └── ConfigError       a wrong or unknown key in a configuration file or the environment
├── DataError             a corpus that cannot be read or used
│   ├── ColumnError       a column that is not there
│   ├── LabelError        a label outside the label set
│   ├── EncodingError     bytes that are not the text they were said to be
│   └── NotPossibleError  an experiment that this corpus and model cannot answer
├── PromptError           a prompt that cannot be built or scored
├── ModelError            a model that cannot be used
│   ├── ModelNotFoundError
│   ├── ModelAccessError  a gated model, or no network
│   ├── ModelFileError    a broken or partial file
│   ├── UnsupportedArchitectureError
│   └── SelfCheckError    the model does not behave as the engine needs
├── InterventionError     an edit that cannot be applied
│   ├── LayerError        a layer the model does not have
│   └── EditNeverFiredError
└── RunError              a run that cannot start or go on
    ├── RunFolderError    the folder holds something else
    ├── RunBusyError      another process works in the folder
    └── DiskFullError
```
"""

from __future__ import annotations


class AffectscopeError(Exception):
    """A failure with a message for the user: what was got, what was expected, what to do.

    Args:
        message: What went wrong, naming the value that was got.
        expected: What would have been right.
        remedy: What the user can do next.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, expected: str | None = None, remedy: str | None = None
    ) -> None:
        self.message = message
        self.expected = expected
        self.remedy = remedy
        super().__init__(message, expected, remedy)

    def __str__(self) -> str:
        lines = [self.message]
        if self.expected:
            lines.append(f"  expected: {self.expected}")
        if self.remedy:
            lines.append(f"  to do: {self.remedy}")
        return "\n".join(lines)


class UsageError(AffectscopeError):
    """A wrong option, or options that do not go together."""

    exit_code = 2


class ConfigError(UsageError):
    """A wrong or unknown key in a configuration file or the environment."""


class DataError(AffectscopeError):
    """A corpus that cannot be read or used."""


class ColumnError(DataError):
    """A column that the corpus does not have."""


class LabelError(DataError):
    """A label outside the label set."""


class EncodingError(DataError):
    """Bytes that are not text in the encoding they were said to be in."""


class NotPossibleError(DataError):
    """An experiment that this corpus and model cannot answer; others may still be done."""


class PromptError(AffectscopeError):
    """A prompt that cannot be built or scored."""


class ModelError(AffectscopeError):
    """A model that cannot be used."""


class ModelNotFoundError(ModelError):
    """No model of that name or path."""


class ModelAccessError(ModelError):
    """A model that exists and may not, or cannot, be fetched."""


class ModelFileError(ModelError):
    """A broken or partial model file."""


class UnsupportedArchitectureError(ModelError):
    """A model family that is not in the map of sites."""


class SelfCheckError(ModelError):
    """The model does not behave as the engine needs."""


class InterventionError(AffectscopeError):
    """An edit that cannot be applied."""


class LayerError(InterventionError):
    """A layer that the model does not have."""


class EditNeverFiredError(InterventionError):
    """An edit that was asked for and never reached an activation."""


class RunError(AffectscopeError):
    """A run that cannot start or go on."""


class RunFolderError(RunError):
    """The output folder holds something other than this run."""


class RunBusyError(RunError):
    """Another process is working in the output folder."""


class DiskFullError(RunError):
    """No space is left where the run is written."""
