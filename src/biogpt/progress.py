"""Progress on stderr: bars with rate and time left. Nothing is ever written to stdout, which carries data.

Bars are drawn only where stderr is a terminal; elsewhere every call does nothing, so a caller need not ask. Nothing at
all is written where the logger "biogpt" is set to errors only (`biogpt --quiet`).

    with progress_bar("Predicting", total=len(texts), unit="texts") as bar:
        for number, text in enumerate(texts, 1):
            ...
            bar.update(number)                       # or bar.update(number, total=..., note="3 skipped")

    for text in track(texts, "Reading"):             # a bar around a loop
        ...

    with ProgressBars(unit="bytes") as bars:         # several bars, one below the other
        first = bars.add("Reading", total=2_000_000)
        first.update(65_536, note="12 documents")
        bars.print("skipped one file")               # a line above the bars; printed without a terminal, too

    with status_line("Loading the model") as status:  # a spinner with a text, where nothing can be counted
        status.update("12 documents, 3 skipped")
        status.print("skipped one file")

It imports rich: a verb of the command line imports it when it runs. It knows nothing of what is counted.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

Element = TypeVar("Element")


class Bar:
    """One bar of `ProgressBars`."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def update(self, completed: int, total: int | None = None, note: str | None = None) -> None:
        """Show how far the work is.

        Args:
            completed: how much is done in all, in the bars' unit.
            total: how much there is to do; None leaves what was said before.
            note: a short text behind the numbers; None leaves what was said before.
        """
        changes: dict[str, str] = {} if note is None else {"note": note}
        self._progress.update(self._task, completed=completed, total=total, **changes)  # type: ignore[arg-type]

    def advance(self, amount: int = 1) -> None:
        """Add to how much is done."""
        self._progress.advance(self._task, amount)


class ProgressBars(AbstractContextManager["ProgressBars"]):
    """Bars on stderr, one below the other, each with rate and time left. The bars are taken down at the end.

    Args:
        unit: what is counted, for the rate: `"steps"`, `"documents"`; `"bytes"` are shown as kB, MB, GB.
        is_wanted: False shows nothing, as if stderr were no terminal.
    """

    def __init__(self, unit: str = "", is_wanted: bool = True) -> None:
        self.console: Console = Console(stderr=True)
        self.is_shown: bool = is_wanted and self.console.is_terminal and not _is_quiet()
        """Whether anyone sees the bars."""
        # rich would otherwise take stdout over and print the data beside the bar.
        self._progress = Progress(
            *_columns(unit),
            console=self.console,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self.is_shown,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def add(self, description: str, total: int | None = None, completed: int = 0) -> Bar:
        """A further bar.

        Args:
            description: the text in front of it.
            total: how much there is to do; None where that is not known.
            completed: how much is done already, for instance before a resume. It does not count for the rate.
        """
        return Bar(self._progress, self._progress.add_task(description, total=total, completed=completed, note=""))

    def print(self, line: str) -> None:
        """Write a line to stderr, above the bars; without a terminal, too."""
        _print_line(self.console, line)


class StatusLine:
    """A text that changes in place; see `status_line`."""

    def __init__(self, console: Console, show: Callable[[Text], None] | None) -> None:
        self._console = console
        self._show = show

    def update(self, text: str) -> None:
        """Show another text."""
        if self._show is not None:
            self._show(Text(text))

    def print(self, line: str) -> None:
        """Write a line to stderr, above the text; without a terminal, too."""
        _print_line(self._console, line)


@contextmanager
def progress_bar(
    description: str, total: int | None = None, *, unit: str = "", completed: int = 0, is_wanted: bool = True
) -> Iterator[Bar]:
    """One bar on stderr; the arguments are those of `ProgressBars` and `ProgressBars.add`."""
    with ProgressBars(unit, is_wanted) as bars:
        yield bars.add(description, total, completed)


def track(
    items: Iterable[Element], description: str, total: int | None = None, *, unit: str = "", is_wanted: bool = True
) -> Iterator[Element]:
    """Hand over what comes, with a bar on stderr.

    Args:
        items: what to go through.
        description: the text in front of the bar.
        total: how many there are; by default their length, where they have one.
        unit: what is counted.
        is_wanted: False shows nothing.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(description, total, unit=unit, is_wanted=is_wanted) as bar:
        for item in items:
            yield item
            bar.advance()


@contextmanager
def status_line(text: str, is_wanted: bool = True) -> Iterator[StatusLine]:
    """A spinner with a text on stderr, for work that cannot be counted; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    if not is_wanted or not console.is_terminal or _is_quiet():
        yield StatusLine(console, None)
        return
    with console.status(Text(text)) as status:
        yield StatusLine(console, status.update)


def _is_quiet() -> bool:
    """Whether the log of the package says errors only, as `biogpt --quiet` sets it."""
    return not logging.getLogger("biogpt").isEnabledFor(logging.WARNING)


def _print_line(console: Console, line: str) -> None:
    if _is_quiet():
        return
    if console.is_terminal:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        print(line, file=sys.stderr, flush=True)


def _columns(unit: str) -> list[ProgressColumn]:
    is_bytes = unit == "bytes"
    return [
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),  # whatever the others leave of the line
        DownloadColumn() if is_bytes else _CountColumn(unit),
        TransferSpeedColumn() if is_bytes else _RateColumn(unit),
        TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True)),
        TimeRemainingColumn(),
    ]


class _CountColumn(ProgressColumn):
    """How many of how many."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total} {self.unit}".rstrip())


class _RateColumn(ProgressColumn):
    """How many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__(Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        return Text(f"{speed:,.{0 if speed >= 10 else 2}f} {self.unit}/s" if self.unit else f"{speed:,.2f}/s")
