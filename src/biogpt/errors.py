"""Every error a user can meet.

    BioGptError
    ├── InputError          (ValueError)   what was typed or passed in cannot be used
    ├── ConfigError         (ValueError)   a settings file or a set of settings is impossible
    ├── DataError           (ValueError)   a data file is not what it should be
    ├── CheckpointError     (OSError)      a model's files are missing, damaged or do not fit together
    ├── TrainingError                      a training run cannot go on
    └── MissingExtraError   (ImportError)  an optional part of the package is not installed

Each message says what was got, what was expected and what to do; the command line prints it on one line, exit code 1.
"""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


class BioGptError(Exception):
    """Base of all errors this package raises on purpose.

    Examples:
        >>> try:
        ...     biogpt.load_task("bc5cdt")
        ... except biogpt.BioGptError as error:
        ...     print(error)
        Unknown task 'bc5cdt'. Did you mean 'bc5cdr'? 'biogpt tasks' lists them; your own ends in .toml.
    """


class InputError(BioGptError, ValueError):
    """What was typed or passed in cannot be used."""


class ConfigError(BioGptError, ValueError):
    """A settings file, or a combination of settings, is impossible."""


class DataError(BioGptError, ValueError):
    """A data file is not what it should be."""


class CheckpointError(BioGptError, OSError):
    """A model's files are missing, damaged, or do not fit together."""


class TrainingError(BioGptError):
    """A training run cannot go on; its last checkpoint stays."""


class MissingExtraError(BioGptError, ImportError):
    """An optional part of the package is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        self.missing: tuple[str, str] = (module, extra)
        super().__init__(
            f"This needs the package '{module}', which is not installed. Run: pip install \"biogpt[{extra}]\", "
            f'or in a clone of biogpt: pip install ".[{extra}]"'
        )

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        return type(self), self.missing  # the message alone could not be unpickled when a worker process raises this


def import_extra(module: str, extra: str) -> Any:
    """Import an optional package.

    Raises:
        MissingExtraError: it is not installed; the message names the extra that it belongs to.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(module, extra) from error


_MEMORY_SIGNS = ("out of memory", "allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what Python or PyTorch raises where there is not enough memory, of the machine or of a GPU."""
    name, text = type(error).__name__, str(error).lower()
    return isinstance(error, MemoryError) or name == "OutOfMemoryError" or any(sign in text for sign in _MEMORY_SIGNS)


def suggest(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'x'?"` for the closest of `known`, or an empty string when nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
