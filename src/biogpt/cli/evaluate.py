"""`biogpt evaluate`: score a model, or predictions."""

from pathlib import Path
from typing import Annotated

import typer

from biogpt.cli import console, options


def evaluate(
    task: options.Task,
    data: options.Data,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSONL, JSON, CSV, PubTator, or one completion per line.")
    ] = None,
    model: options.OptionalModel = None,
    is_unconstrained: options.Unconstrained = False,
    split: Annotated[str, typer.Option(metavar="NAME", help="train, dev or test.")] = "test",
    empty_documents: options.EmptyDocuments = None,
    target_format: options.TargetFormat = None,
    output: options.OptionalOutput = None,
    is_json: options.Json = False,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeChoice.auto,
    revision: options.Revision = None,
    seed: options.Seed = 0,
) -> None:
    """Score a fine-tuned model, or a file of predictions.

    Prints each score with its 95 % interval and the published one, and what could not be parsed. --output names a
    directory for report.json, report.md, report.png and a model's predictions. Published scores are those of
    --unconstrained.
    """
    if (predictions is None) == (model is None):
        raise typer.BadParameter("Give either --model or --predictions.")
    for flag, is_given in (
        ("--unconstrained", is_unconstrained),
        ("--device", device != "auto"),
        ("--dtype", dtype != options.DtypeChoice.auto),
        ("--revision", revision is not None),
    ):
        if is_given and model is None:
            raise typer.BadParameter(f"{flag} is about a model: give it with --model.")
    from biogpt.evaluation.runs import evaluate as evaluate_task
    from biogpt.progress import progress_bar
    from biogpt.tasks.task import load_task

    settings = {"empty_documents": empty_documents, "target_format": target_format}
    loaded = load_task(task, **{key: str(value) for key, value in settings.items() if value is not None})
    with progress_bar("Predicting", unit="examples", is_wanted=model is not None and console.is_watched()) as bar:
        report = evaluate_task(
            *(loaded, data),
            model=options.at_revision(model, revision) if model else None,
            predictions=predictions,
            split=split,
            device=device,
            dtype=str(dtype),
            constrained=not is_unconstrained,
            batch_size=batch_size,
            seed=seed,
            output=output,
            on_progress=bar.update,
        )
    print(report.as_json() if is_json else report.as_text(), end="\n" if is_json else "")
    if output:
        report.write(output)
