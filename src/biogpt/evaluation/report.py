"""Reports: scores as a table for the terminal, JSON, Markdown and a picture.

All four show the same numbers: figures with their intervals beside what was published, classes, and what went wrong.
Knows how numbers look, not how they are made.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from biogpt.errors import InputError, MissingExtraError

FORMAT_VERSION = 1
"""Of a report as JSON. It rises when a field is renamed, removed or changes its meaning."""

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Report:
    """Everything that one evaluation says. Figures run from 0 to 1, published ones are percentages."""

    task: str
    title: str
    split: str
    main: str
    """The figure that stands for the task."""
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """95 % intervals."""
    classes: dict[str, dict[str, float]]
    outcomes: dict[str, float]
    """How many predictions there were, and how many were missing, unknown, failed."""
    published: dict[str, float]
    published_source: str
    caveats: Sequence[str]
    problems: list[tuple[str, str]]
    """(example id, what could not be read)."""
    settings: dict[str, str | int]

    def as_json(self) -> str:
        """All of it, as one JSON object."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, ensure_ascii=False, indent=2)

    def as_text(self) -> str:
        """A table for the terminal."""
        lines = [f"{self.task} ({self.split}): {self.title}", ""]
        lines += _align(self._figure_rows())
        if self.published:
            lines += ["", f"Published {self.main}: {self._published_line()}."]
        if self.classes:
            lines += ["", *_align(self._class_rows())]
        lines += ["", self._outcome_line()]
        lines += [f"  {id}: {problem}" for id, problem in self.problems[:_SHOWN_PROBLEMS]]
        if len(self.problems) > _SHOWN_PROBLEMS:
            lines.append(f"  ... and {len(self.problems) - _SHOWN_PROBLEMS} more problems")
        if self.caveats:
            lines += ["", "About the data:", *(f"  - {caveat}" for caveat in self.caveats)]
        return "\n".join(lines) + "\n"

    def as_markdown(self) -> str:
        """The same tables for a document."""
        parts = [f"# {self.task} ({self.split})", self.title, _as_markdown_table(self._figure_rows())]
        if self.published:
            parts.append(f"Published {self.main}: {self._published_line()} ({self.published_source}).")
        if self.classes:
            parts += ["## Classes", _as_markdown_table(self._class_rows())]
        parts += ["## Predictions", self._outcome_line()]
        if self.problems:
            parts.append("\n".join(f"- `{id}`: {problem}" for id, problem in self.problems[:_SHOWN_PROBLEMS]))
        if self.caveats:
            parts += ["## About the data", "\n".join(f"- {caveat}" for caveat in self.caveats)]
        parts += ["## Settings", "\n".join(f"- {key}: `{value}`" for key, value in self.settings.items())]
        return "\n\n".join(parts) + "\n"

    def draw(self, path: Path) -> None:
        """The figures with their intervals as a picture, and the published ones as marks.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError("matplotlib", "train") from error
        names = [name for name in self.intervals if name not in _COUNTS]
        rows = [*names, *(f"{name} (F1)" for name in self.classes)]
        values = [100 * self.figures[name] for name in names]
        below = [max(0.0, value - 100 * self.intervals[name][0]) for name, value in zip(names, values, strict=True)]
        above = [max(0.0, 100 * self.intervals[name][1] - value) for name, value in zip(names, values, strict=True)]
        figure = Figure(figsize=(8, 1.6 + 0.3 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(names, values, xerr=[below, above], color="#4c78a8", ecolor="#222222", capsize=3)
        axes.barh(rows[len(names) :], [100 * numbers["f1"] for numbers in self.classes.values()], color="#9ecae9")
        if self.main in names:
            for index, (model, value) in enumerate(self.published.items()):
                label = f"{model}, published {self.main}: {value:.1f}"
                axes.plot([value], [self.main], "D", color=f"C{index + 1}", markeredgecolor="white", label=label)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("percent, with 95 % intervals")
        axes.set_title(f"{self.task} ({self.split})")
        if self.published:
            figure.legend(loc="outside lower center", ncols=2, fontsize="small")
        figure.savefig(path, dpi=120)

    def write(self, directory: Path) -> None:
        """Write `report.json`, `report.md` and `report.png` into a directory, which is made where it is missing.

        Raises:
            InputError: the directory cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "report.md").write_text(self.as_markdown(), encoding="utf-8")
            (directory / "report.json").write_text(self.as_json() + "\n", encoding="utf-8")
            self.draw(directory / "report.png")  # last: it is the one that may want an extra
        except OSError as error:
            raise InputError(f"Cannot write {directory}: {error.strerror}. Expected a writable directory.") from error

    def _figure_rows(self) -> list[list[str]]:
        rows = [["figure", "score", "95 % interval"]]
        for name, value in self.figures.items():
            interval = self.intervals.get(name)
            rows.append(
                [
                    f"{name} (main)" if name == self.main else name,
                    _number(name, value),
                    f"{_number(name, interval[0])} to {_number(name, interval[1])}" if interval else "",
                ]
            )
        if self.published:
            model, published = next(iter(self.published.items()))
            for row, name in zip(rows, ["", *self.figures], strict=True):
                row.append(f"{published:.2f}" if name == self.main else "")
            rows[0][-1] = f"{model}, published"
        return rows

    def _class_rows(self) -> list[list[str]]:
        rows = [["class", "precision", "recall", "f1", "support"]]
        for name, numbers in self.classes.items():
            parts = [f"{100 * numbers[key]:.2f}" for key in ("precision", "recall", "f1")]
            rows.append([name, *parts, f"{numbers['support']:.0f}"])
        return rows

    def _published_line(self) -> str:
        return ", ".join(f"{model} {value:.2f}" for model, value in self.published.items())

    def _outcome_line(self) -> str:
        counts = {key: f"{value:.0f}" for key, value in self.outcomes.items()}
        return (
            f"{counts['num_examples']} examples; predictions: {counts['num_missing']} missing, "
            f"{counts['num_duplicate']} repeated, {counts['num_unknown']} for unknown ids, "
            f"{counts['num_with_problems']} with problems, {counts['num_failed']} unreadable "
            f"({100 * self.outcomes['failure_rate']:.1f} %)."
        )


_COUNTS = ("mean_words",)
"""Figures that are no shares."""


def _number(name: str, value: float) -> str:
    return f"{value:.1f}" if name in _COUNTS else f"{100 * value:.2f}"


def _align(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Rows as lines: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def _as_markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join(lines)
