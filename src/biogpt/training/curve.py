"""What a training run shows and leaves while it goes on: a progress line, and its curve as CSV and PNG.

Reads the Trainer's log; it changes nothing of the run.
"""

import contextlib
import csv
import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from biogpt.files import write_atomically
from biogpt.progress import Bar, ProgressBars
from biogpt.training.run_directory import is_main_process


@dataclass(frozen=True)
class Curve:
    """What a kind of run records."""

    columns: Mapping[str, str]
    """Names in the Trainer's log -> columns of the curve."""
    measure: str
    """The column that is drawn beside the training loss."""
    label: str
    """How it is called in the picture and on the terminal."""
    is_own_scale: bool = True
    """Whether the measure has an axis of its own, or is a loss, too."""


_TRAINING_COLUMNS = {name: name for name in ("step", "tokens", "seconds", "tokens_per_second", "learning_rate", "loss")}
PRETRAINING = Curve(
    {**_TRAINING_COLUMNS, "eval_loss": "heldout_loss", "eval_bits_per_byte": "heldout_bits_per_byte"},
    "heldout_bits_per_byte",
    "held-out bits per byte",
)


class TrainingProgress(TrainerCallback):
    """Shows progress on stderr (a bar on a terminal, else a line per log) and keeps `curve.csv` and `curve.png`."""

    def __init__(self, directory: Path, curve: Curve = PRETRAINING) -> None:
        self.directory = directory
        self.curve = curve
        self.bars: ProgressBars = ProgressBars("steps", is_wanted=is_main_process())
        self.bar: Bar | None = None
        self.started_at: tuple[int, float] = (0, 0.0)
        self.last_line_at: float = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bar while training goes on; training outside of it shows lines only."""
        with self.bars:
            yield

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started_at = (state.global_step, time.monotonic())
        if state.is_world_process_zero:
            self.bar = self.bars.add("training", total=state.max_steps, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        if not state.is_world_process_zero:
            return
        if "eval_loss" in logs:
            write_curve(state.log_history, self.directory, self.curve)
            draw_curve(state.log_history, self.directory, self.curve)
            name = next(name for name, column in self.curve.columns.items() if column == self.curve.measure)
            if name in logs:
                self.bars.print(f"{self.curve.label}: {logs[name]:.4f} at step {state.global_step}")
        elif "loss" in logs:
            write_curve(state.log_history, self.directory, self.curve)
            shown = f"loss {logs['loss']:.3f}  {logs['tokens_per_second']:,.0f} tokens/s"
            if self.bar is not None:
                self.bar.update(state.global_step, note=shown)
            if not self.bars.is_shown:
                self._print_line(state, shown)

    def _print_line(self, state: Any, shown: str) -> None:
        """A line for a log file; not more than one a second, for steps can be short."""
        now = time.monotonic()
        if now - self.last_line_at < 1 and state.global_step < state.max_steps:
            return
        self.last_line_at = now
        first_step, first_time = self.started_at
        per_step = (now - first_time) / max(1, state.global_step - first_step)
        minutes = per_step * (state.max_steps - state.global_step) / 60
        self.bars.print(f"step {state.global_step}/{state.max_steps}  {shown}  {minutes:.0f} min left")


def curve_rows(log_history: list[dict[str, Any]], curve: Curve = PRETRAINING) -> list[dict[str, Any]]:
    """The log, one row per step: training loss and, where it was evaluated, the figures on other data."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in log_history:
        if "loss" in entry or "eval_loss" in entry:
            row = rows.setdefault(entry["step"], {})
            row.update({column: entry[name] for name, column in curve.columns.items() if name in entry})
    return [rows[step] for step in sorted(rows)]


def write_curve(log_history: list[dict[str, Any]], directory: Path, curve: Curve = PRETRAINING) -> None:
    """Write `curve.csv` in one move, so that a reader never sees half of it."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(curve.columns.values()))
    writer.writeheader()
    writer.writerows(curve_rows(log_history, curve))
    write_atomically(directory / "curve.csv", table.getvalue())


def draw_curve(log_history: list[dict[str, Any]], directory: Path, curve: Curve = PRETRAINING) -> None:
    """Draw `curve.png`: training loss, and the run's measure on other data, over tokens."""
    from matplotlib.figure import Figure

    rows = curve_rows(log_history, curve)
    trained = [(row["tokens"] / 1e6, row["loss"]) for row in rows if "loss" in row]
    measured = [(row["tokens"] / 1e6, row[curve.measure]) for row in rows if curve.measure in row]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("million tokens")
    axes.set_ylabel("training loss (nats per token)")
    if trained:
        axes.plot(*zip(*trained, strict=True), color="tab:blue", linewidth=1, label="training loss")
    if measured:
        right = axes.twinx() if curve.is_own_scale else axes
        if curve.is_own_scale:
            right.set_ylabel(curve.label)
        right.plot(*zip(*measured, strict=True), color="tab:orange", marker="o", markersize=3)
        right.annotate(f"{measured[-1][1]:.3f}", measured[-1], textcoords="offset points", xytext=(-8, 8), ha="right")
        axes.plot([], [], color="tab:orange", marker="o", markersize=3, label=curve.label)
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
    figure.savefig(directory / "curve.png", dpi=120)
