"""Trivial baselines of every task, beside what was published for BioGPT.

    python benchmarks/baselines.py --data DIR

Counts are taken on the train split, scores on the test split by the task's own metric, with 95 % bootstrap intervals.
KD-DTI has no public train split: dev takes its place. The strongest baseline of a task is the bar for a model.
Writes benchmarks/results/baselines.json and prints a table.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from record import write_result
from rich.console import Console
from rich.table import Table
from task_data import DIRECTORIES, TRAIN_SPLITS
from trivial_baselines import baseline_names, predict_trivially

from biogpt import load_task
from biogpt.evaluation.scores import score_predictions


def measure(name: str, directory: Path) -> dict[str, Any]:
    """All baselines of one task."""
    task = load_task(name)
    train, test = task.read(directory, TRAIN_SPLITS.get(name, "train")), task.read(directory, "test")
    scores = {}
    for baseline in baseline_names(task):
        report = score_predictions(task, predict_trivially(task, baseline, train, test), test)
        scores[baseline] = {
            "figures": {figure: round(100 * value, 2) for figure, value in report.figures.items()},
            "interval": [round(100 * end, 2) for end in report.intervals[report.main]],
            "classes": {label: round(100 * numbers["f1"], 2) for label, numbers in report.classes.items()},
        }
        print(f"{name}: {baseline}: {scores[baseline]['figures'][report.main]}", file=sys.stderr)
    main = task.schema.score.main
    return {
        "num_train": len(train),
        "num_test": len(test),
        "main": main,
        "published": dict(task.schema.score.published),
        "strongest": max(scores, key=lambda baseline: scores[baseline]["figures"][main]),
        "baselines": scores,
    }


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="where the directories of task_data.py lie")
    parser.add_argument("--output", type=Path, help="where to write instead")
    arguments = parser.parse_args()
    tasks = {name: measure(name, arguments.data / directory) for name, directory in DIRECTORIES.items()}
    path = write_result("baselines", {"tasks": tasks}, arguments.output)
    print_table(tasks)
    print(f"Written to {path}", file=sys.stderr)


def print_table(tasks: dict[str, Any]) -> None:
    table = Table(title="Trivial baselines on the test splits, percent")
    for column in ("task", "baseline", "figure", "score", "95 % interval", "BioGPT, published"):
        table.add_column(column, justify="right" if column in ("score", "95 % interval") else "left")
    for name, one in tasks.items():
        for baseline, scores in one["baselines"].items():
            low, high = scores["interval"]
            style = "bold" if baseline == one["strongest"] else None
            score = f"{scores['figures'][one['main']]:.2f}"
            published = str(one["published"].get("BioGPT", "")) if style else ""
            table.add_row(name, baseline, one["main"], score, f"{low:.2f} to {high:.2f}", published, style=style)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
