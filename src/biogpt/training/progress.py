"""What a training run shows and leaves while it goes on: a progress line, and its curve as CSV and PNG.

Reads the Trainer's log; it changes nothing of the run.
"""

import csv
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

# Names in the Trainer's log -> columns of the curve.
COLUMNS = {
    "step": "step",
    "tokens": "tokens",
    "seconds": "seconds",
    "tokens_per_second": "tokens_per_second",
    "learning_rate": "learning_rate",
    "loss": "loss",
    "eval_loss": "heldout_loss",
    "eval_bits_per_byte": "heldout_bits_per_byte",
}


class TrainingProgress(TrainerCallback):
    """Shows progress on stderr (a bar on a terminal, else a line per log) and keeps `curve.csv` and `curve.png`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self.console,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.started_at = (0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.started_at = (state.global_step, time.monotonic())
        if state.is_world_process_zero:
            self.bar.start()
            self.task = self.bar.add_task("train", total=state.max_steps, completed=state.global_step, state="")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        if not state.is_world_process_zero:
            return
        if "eval_bits_per_byte" in logs:
            write_curve(state.log_history, self.directory)
            draw_curve(state.log_history, self.directory)
            self.console.print(f"held out: {logs['eval_bits_per_byte']:.4f} bits per byte at step {state.global_step}")
        elif "loss" in logs:
            write_curve(state.log_history, self.directory)
            shown = f"loss {logs['loss']:.3f}  {logs['tokens_per_second']:,.0f} tokens/s"
            if self.task is not None:
                self.bar.update(self.task, completed=state.global_step, state=shown)
            if not self.console.is_terminal:
                first_step, first_time = self.started_at
                per_step = (time.monotonic() - first_time) / max(1, state.global_step - first_step)
                minutes = per_step * (state.max_steps - state.global_step) / 60
                print(
                    f"step {state.global_step}/{state.max_steps}  {shown}  {minutes:.0f} min left",
                    file=sys.stderr,
                    flush=True,
                )

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.stop()


def curve_rows(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log, one row per step: training loss and, where it was evaluated, the held-out figures."""
    rows: dict[int, dict[str, Any]] = {}
    for entry in log_history:
        if "loss" in entry or "eval_loss" in entry:
            row = rows.setdefault(entry["step"], {})
            row.update({column: entry[name] for name, column in COLUMNS.items() if name in entry})
    return [rows[step] for step in sorted(rows)]


def write_curve(log_history: list[dict[str, Any]], directory: Path) -> None:
    """Write `curve.csv` in one move, so that a reader never sees half of it."""
    partial = directory / "curve.csv.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(COLUMNS.values()))
        writer.writeheader()
        writer.writerows(curve_rows(log_history))
    partial.replace(directory / "curve.csv")


def draw_curve(log_history: list[dict[str, Any]], directory: Path) -> None:
    """Draw `curve.png`: training loss, and held-out bits per byte, over tokens."""
    from matplotlib.figure import Figure

    rows = curve_rows(log_history)
    trained = [(row["tokens"] / 1e6, row["loss"]) for row in rows if "loss" in row]
    held_out = [(row["tokens"] / 1e6, row["heldout_bits_per_byte"]) for row in rows if "heldout_bits_per_byte" in row]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("million tokens")
    axes.set_ylabel("training loss (nats per token)")
    if trained:
        axes.plot(*zip(*trained, strict=True), color="tab:blue", linewidth=1, label="training loss")
    if held_out:
        right = axes.twinx()
        right.set_ylabel("held-out bits per byte")
        right.plot(*zip(*held_out, strict=True), color="tab:orange", marker="o", markersize=3)
        right.annotate(f"{held_out[-1][1]:.3f}", held_out[-1], textcoords="offset points", xytext=(-8, 8), ha="right")
        axes.plot([], [], color="tab:orange", marker="o", markersize=3, label="held-out bits per byte")
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
    figure.savefig(directory / "curve.png", dpi=120)
