"""What the command line writes to stderr: notes, warnings, the log, tables. stdout is for data alone.

The log is the standard library's, under the name "biogpt": its level says how much is wanted. No text of a document
ever goes into it.
"""

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

_LOGGER = logging.getLogger("biogpt")


def configure(verbose: int, is_quiet: bool) -> None:
    """Set how much is written to stderr.

    Args:
        verbose: 0: notes and warnings; 1: what is done, too (INFO); 2: in detail (DEBUG).
        is_quiet: errors only.
    """
    for handler in list(_LOGGER.handlers):
        if isinstance(handler, _StderrHandler):
            _LOGGER.removeHandler(handler)
    _LOGGER.addHandler(_StderrHandler())
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    _LOGGER.setLevel(logging.ERROR if is_quiet else levels[min(verbose, 2)])
    _quieten_libraries()


def is_quiet() -> bool:
    """Whether errors only are wanted."""
    return not _LOGGER.isEnabledFor(logging.WARNING)


def is_verbose() -> bool:
    """Whether what is done is wanted, too."""
    return _LOGGER.isEnabledFor(logging.INFO)


def say(text: object) -> None:
    """Write a note, on one line, unless errors only are wanted."""
    if not is_quiet():
        print("biogpt:", *str(text).split(), file=sys.stderr)


def say_table(title: str, rows: Sequence[tuple[str, object]]) -> None:
    """Write a title and below it a row for each fact, unless errors only are wanted."""
    if is_quiet():
        return
    width = max(len(name) for name, _ in rows)
    print(f"biogpt: {title}", *(f"  {name.ljust(width)}  {value}" for name, value in rows), sep="\n", file=sys.stderr)


def is_watched() -> bool:
    """Whether someone looks at stderr, and wants to see more than errors."""
    return sys.stderr.isatty() and not is_quiet()


def write_utf8() -> None:
    """Write UTF-8 even where the system's own encoding could not express a Greek letter."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class _StderrHandler(logging.Handler):
    """Writes records to what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print("biogpt:", record.getMessage(), file=sys.stderr)


def _quieten_libraries() -> None:
    """Keep the libraries' warnings, and progress bars that no one sees, off stderr, unless the user asked for them.

    Our own warnings are printed, on one line each.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        if not is_quiet():
            warnings.filterwarnings("default", module="biogpt")
        warnings.showwarning = _print_warning  # type: ignore[assignment]
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # read when they are imported
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not is_watched():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _print_warning(message: Warning | str, *_: Any) -> None:
    """One line, without the place in our code."""
    print("biogpt: warning:", *str(message).split(), file=sys.stderr)
