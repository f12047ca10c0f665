"""`biogpt finetune`: teach a model a task."""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from biogpt.cli import console, options

_OPTIONS = frozenset(
    {
        "task", "data", "output", "model", "recipe", "train_split", "dev_fraction", "seed", "target_format",
        "empty_documents", "revision", "device",
    }
)  # fmt: skip
"""What has an option of its own and is no setting of a recipe."""


def finetune(
    task: options.Task,
    data: options.Data,
    output: options.Output,
    model: options.Model = "mini",
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the data.")] = None,
    learning_rate: Annotated[float | None, typer.Option(metavar="X", help="The peak learning rate.")] = None,
    head: Annotated[options.HeadChoice | None, typer.Option(help="Write the answers, or classify.")] = None,
    peft: Annotated[options.PeftChoice | None, typer.Option(help="Train a small adapter only.")] = None,
    patience: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after N evaluations on dev without a new best score.")
    ] = None,
    settings: options.Set = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file with any setting; see docs/finetuning.md.")
    ] = None,
    train_split: Annotated[str, typer.Option(metavar="NAME", help="The split to train on.")] = "train",
    dev_fraction: Annotated[
        float | None, typer.Option(metavar="X", help="Hold out this fraction of it instead of using the dev split.")
    ] = None,
    empty_documents: options.EmptyDocuments = None,
    target_format: options.TargetFormat = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    revision: options.Revision = None,
    is_json: options.Json = False,
) -> None:
    """Fine-tune a model for a task.

    Settings that are not given come from the recipe of the task for the size of the model (biogpt/tasks/recipes), which
    recipe.json names. The same command resumes a run that was killed. It can run under torchrun:
    torchrun --nproc-per-node 8 -m biogpt finetune ... At the end it prints the scores on dev.
    """
    named = {"epochs": epochs, "learning_rate": learning_rate, "head": head, "peft": peft, "patience": patience}
    chosen: dict[str, Any] = {
        key: str(value) if isinstance(value, StrEnum) else value for key, value in named.items() if value is not None
    }
    others = options.parse_settings(settings)
    for key in others:
        if key in chosen or key in _OPTIONS:
            raise typer.BadParameter(f"Got --set {key}, expected --{key.replace('_', '-')}, once.")
    chosen |= others
    from biogpt.tasks.task import load_task
    from biogpt.training.public import finetune as finetune_model

    start = options.at_revision(model, revision)
    report = finetune_model(
        task,
        data,
        output,
        model=start,
        recipe=recipe,
        train_split=train_split,
        dev_fraction=dev_fraction,
        seed=seed,
        device=device,
        target_format=target_format,
        empty_documents=empty_documents and str(empty_documents),
        **chosen,
    )
    if os.environ.get("RANK", "0") != "0":
        return
    main = load_task(task).schema.score.main
    console.say_table(f"fine-tuned {start} for {report['task']}", _rows(report, main, output))
    if is_json:
        print(json.dumps(report))


def _rows(report: dict[str, Any], main: str, output: Path) -> list[tuple[str, object]]:
    """What there is to know in the end, and what to do next."""
    split = "dev, which is the test split" if report["dev_is_test"] else "dev"
    rows: list[tuple[str, object]] = [("split", f"{split} ({report['dev_examples']:,} examples)")]
    # `constrained_scores` are those with the probability threshold, as `biogpt predict` works, where there is one.
    for kind, scores in (("", report["constrained_scores"]), (", unconstrained", report["scores"])):
        shown = {name: value for name, value in scores.items() if not name.startswith("num_")}
        for name in sorted(shown, key=lambda name: name != main):
            rows.append((f"{name}{kind if report['constrained_scores'] else ''}", f"{100 * shown[name]:.1f}"))
    if report["dev_loss"] is not None:
        rows.append(("loss", f"{report['dev_loss']:.4f}"))
    stopped = ", stopped early" if report["stopped_early"] else ""
    rows += [
        ("steps", f"{report['steps']:,} ({report['epochs']:,} epochs{stopped})"),
        ("seconds", f"{report['training_seconds']:,}"),
        ("model", output),
        ("next", f"biogpt predict -m {output} FILE"),
    ]
    return rows if report["dev_examples"] else rows[1:]
