"""Fine-tune a task from the bundled model with its shipped recipe, and score it on the test split as published.

    python benchmarks/reproduce.py bc5cdr --data DIR --work DIR
    python benchmarks/reproduce.py bc5cdr --data DIR --work DIR --tuned bc5cdr --decodings unconstrained
    python benchmarks/reproduce.py --table
    python benchmarks/reproduce.py --step-table

Runs the public commands: `biogpt finetune`, then `biogpt evaluate` without constraints, as the published figures were
made, and where the model writes its answers once more constrained by the schema. What is done is on record in the work
directory, so that a run that was killed goes on by the same command. `--tuned` evaluates a model that is fine-tuned
already, and adds to the result that its fine-tuning wrote. Writes benchmarks/results/reproduce/TASK.json, or
TASK-VARIANT.json with `--variant`; what stands behind `--` goes to `biogpt finetune`. `--table` prints what is written
so far as Markdown, beside the trivial baselines of baselines.py; `--step-table` what finetune_step.py measured.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from record import RESULTS, describe_run, write_result
from task_data import DIRECTORIES, TRAIN_SPLITS

RUNS = RESULTS / "reproduce"
DECODINGS = {"unconstrained": ["--unconstrained"], "constrained": []}
"""Name of a decoding -> what `biogpt evaluate` is told for it."""

OLD_NAMES = {"free": "unconstrained", "held": "constrained"}
"""What older results call the decodings."""


class Work:
    """The work directory of one task: what is done there, and how long it took."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "stages.json"
        self.stages: dict[str, dict[str, Any]] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def run(self, stage: str, arguments: list[str]) -> None:
        """Run `biogpt` with these arguments, which itself knows what is done already and refuses other settings.

        Seconds of interrupted runs add up; those of a repeated one do not count.
        """
        shown = [Path(one).name if one.startswith("/") else one for one in arguments]
        entry = self.stages.setdefault(stage, {"command": shlex.join(["biogpt", *shown]), "seconds": 0.0})
        print(f"$ {entry['command']}", file=sys.stderr)
        was_done = entry.get("is_done", False)
        begin = time.monotonic()
        try:
            done = subprocess.run([sys.executable, "-m", "biogpt", *arguments], stdout=sys.stderr, check=False)
            entry["is_done"] = was_done or done.returncode == 0
        finally:
            if not was_done:
                entry["seconds"] = round(entry["seconds"] + time.monotonic() - begin, 1)
            self.file.write_text(json.dumps(self.stages, indent=2) + "\n")
        if done.returncode:
            sys.exit(f"It ended with {done.returncode}. The same command goes on; to begin again, delete {self.path}.")


def reproduce(arguments: argparse.Namespace) -> Path:
    """Train, evaluate both ways, write the result."""
    name = f"{arguments.task}-{arguments.variant}" if arguments.variant else arguments.task
    directory = (arguments.work / name).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    work = Work(directory)
    data = (arguments.data / DIRECTORIES[arguments.task]).resolve()
    model = directory / "model"
    common = ["--task", arguments.task, "--data", str(data), "--model"]
    split = ["--train-split", TRAIN_SPLITS[arguments.task]] if arguments.task in TRAIN_SPLITS else []
    work.run("finetune", ["finetune", *common, arguments.model, "--out", str(model), *split, *arguments.rest])
    reports = {}
    for decoding, flags in DECODINGS.items():
        if decoding not in arguments.decodings or (decoding == "constrained" and not writes_answers(model)):
            continue
        output = directory / decoding
        batch = ["--batch-size", "32"]
        work.run(decoding, ["evaluate", *common, str(model), *flags, *batch, "--output", str(output)])
        reports[decoding] = read_report(output / "report.json")
    return write_result(
        name,
        {
            "task": arguments.task,
            "variant": arguments.variant,
            "model": arguments.model,
            "threads": os.environ.get("OMP_NUM_THREADS", ""),
            "stages": work.stages,
            "finetune": read_finetuning(model / "finetune.json"),
            "reports": reports,
        },
        arguments.output / f"{name}.json",
    )


def add_decodings(arguments: argparse.Namespace) -> Path:
    """Evaluate a model that is fine-tuned already, and add its reports to the task's result."""
    path: Path = arguments.output / f"{arguments.task}.json"
    result = json.loads(path.read_text())
    directory = (arguments.work / f"{arguments.task}-tuned").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    work = Work(directory)
    data = (arguments.data / DIRECTORIES[arguments.task]).resolve()
    for decoding in arguments.decodings:
        output = directory / decoding
        common = ["--task", arguments.task, "--data", str(data), "--model", arguments.tuned]
        work.run(decoding, ["evaluate", *common, *DECODINGS[decoding], "--batch-size", "32", "--output", str(output)])
        result["stages"][decoding] = work.stages[decoding] | {"run": describe_run()}
        result["reports"][decoding] = read_report(output / "report.json")
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return path


def writes_answers(model: Path) -> bool:
    """Whether a model generates text, which can be constrained by a schema; a classification head cannot break it."""
    config = model / "config.json"
    return not config.is_file() or json.loads(config.read_text())["architectures"] == ["BioGptForCausalLM"]


def read_finetuning(path: Path) -> dict[str, Any]:
    """The report of the tuning, without the places of this machine."""
    report: dict[str, Any] = json.loads(path.read_text())
    for key in ("data", "model"):
        report["recipe"][key] = Path(report["recipe"][key]).name
    return report


def read_report(path: Path) -> dict[str, Any]:
    """What of an evaluation's report belongs to the result: everything but single problems and settings."""
    report = json.loads(path.read_text())
    kept = ("main", "split", "figures", "intervals", "classes", "outcomes", "published")
    return {key: report[key] for key in kept}


def read_result(path: Path) -> dict[str, Any]:
    """What `reproduce` wrote, with today's names of decodings."""
    result: dict[str, Any] = json.loads(path.read_text())
    for part in ("stages", "reports"):
        result[part] = {OLD_NAMES.get(name, name): entry for name, entry in result[part].items()}
    return result


def print_tables(directory: Path) -> None:
    """All results that are written, as Markdown: scores, then what they took."""
    baselines = json.loads((RESULTS / "baselines.json").read_text())["tasks"]
    results = [read_result(path) for path in sorted(directory.glob("*.json"))]
    results.sort(key=lambda one: (list(DIRECTORIES).index(one["task"]), one["variant"]))
    print(
        "| task | figure | trivial baseline | mini, published protocol | mini, constrained by the schema | published |"
    )
    print("|---|---|---:|---:|---:|---:|")
    for one in results:
        print(f"| {' | '.join(score_cells(one, baselines[one['task']]))} |")
    print()
    print("| task | fine-tuned in | evaluated in | on |")
    print("|---|---:|---:|---|")
    for one in results:
        print(f"| {' | '.join(cost_cells(one))} |")


def print_step_table(files: Iterable[Path]) -> None:
    """What finetune_step.py measured, as Markdown."""
    print("| task | tokens in a step | peak memory | a step | on |")
    print("|---|---:|---:|---:|---|")
    for result in (json.loads(file.read_text()) for file in files):
        machine = result["machine"]
        where = machine.get("gpu") or f"{machine['processor'].split(' (')[0]}, 1 thread"
        for name, one in result["tasks"].items():
            memory = one["peak_gpu_gib"] or one["peak_resident_gib"]
            took = minutes(one["seconds_per_step"])
            print(f"| `{name}` | {one['tokens_in_step']:,} | {memory:.1f} GiB | {took} | {where} |")


def score_cells(result: dict[str, Any], baseline: dict[str, Any]) -> Iterator[str]:
    main = baseline["main"]
    strongest = baseline["baselines"][baseline["strongest"]]
    yield label_of(result)
    yield main
    yield f"{strongest['figures'][main]:.2f} ({baseline['strongest']})"
    for decoding in DECODINGS:
        report = result["reports"].get(decoding)
        if report is None:
            yield "-"
            continue
        low, high = (100 * end for end in report["intervals"][main])
        yield f"{100 * report['figures'][main]:.2f} ({low:.1f} to {high:.1f})"
    model, figure = next(iter(baseline["published"].items()), ("", 0))
    yield f"{figure:.2f}" + (f" ({model})" if model != "BioGPT" else "") if model else "-"


def cost_cells(result: dict[str, Any]) -> Iterator[str]:
    machine = result["machine"]
    seconds = {stage: entry["seconds"] for stage, entry in result["stages"].items()}
    yield label_of(result)
    yield minutes(max(seconds["finetune"], result["finetune"]["training_seconds"]))
    yield ", ".join(minutes(seconds[decoding]) for decoding in DECODINGS if decoding in seconds)
    threads = result["threads"] or machine["cores"]
    yield machine.get("gpu") or f"{machine['processor'].split(' (')[0]}, {threads} thread{'s'[: int(threads) > 1]}"


def label_of(result: dict[str, Any]) -> str:
    return f"`{result['task']}`" + (f", {result['variant']}" if result["variant"] else "")


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def main() -> None:
    """Run a task, or print the tables."""
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=DIRECTORIES)
    parser.add_argument("--data", type=Path, help="where the directories of task_data.py lie")
    parser.add_argument("--work", type=Path, help="where models and predictions are kept, by task")
    parser.add_argument("--model", default="mini", help="the model to start from")
    parser.add_argument("--tuned", default="", help="evaluate this model of the task, bundled or fine-tuned before")
    parser.add_argument("--variant", default="", help="the name of a run that is not the shipped recipe's")
    parser.add_argument("--decodings", nargs="+", choices=DECODINGS, default=list(DECODINGS), help="only these")
    parser.add_argument("--output", type=Path, default=RUNS, help="where to write results, and to read those to print")
    parser.add_argument("--table", action="store_true", help="print the results that are written")
    parser.add_argument("--step-table", action="store_true", help="print what finetune_step.py measured")
    arguments = parser.parse_args(given[:cut])
    arguments.rest = given[cut + 1 :]
    if arguments.table:
        print_tables(arguments.output)
        return
    if arguments.step_table:
        print_step_table(sorted(RESULTS.glob("finetune_step*.json")))
        return
    if not (arguments.task and arguments.data and arguments.work):
        parser.error("Give a task, --data and --work; or --table, or --step-table.")
    if arguments.rest and not arguments.variant:
        parser.error("With arguments for 'biogpt finetune', name the run with --variant.")
    import torch  # noqa: F401  # so that the record of the run names the GPU that the commands used

    print(f"Written to {add_decodings(arguments) if arguments.tuned else reproduce(arguments)}", file=sys.stderr)


if __name__ == "__main__":
    main()
