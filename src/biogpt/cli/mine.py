"""`biogpt mine`: a whole collection, on all cores or on a cluster."""

import os
from typing import Annotated

import typer

from biogpt.cli import console, options


def mine(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Files, folders, or URLs such as s3://bucket/pubmed/.")
    ],
    output: options.Output,
    task: options.Tasks = None,
    model: options.OptionalModel = None,
    workers: options.Workers = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of a Ray cluster; by default RAY_ADDRESS, or else Ray is started on this machine."
        ),
    ] = None,
    is_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many documents, hours and bytes it would be.")
    ] = False,
    input_format: options.InputFormatChoice = None,
    is_recursive: options.Recursive = False,
    threshold: options.Threshold = None,
    is_linked: options.Link = False,
    lexicon: options.Lexicon = None,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeChoice.auto,
) -> None:
    """Mine a collection of literature into Parquet tables, on all cores of this machine or on a Ray cluster.

    Of PubMed's baseline and update files the newest version of each article counts. The same command goes on after an
    interruption, and reads only new files when there are some. Needs the extra 'mine'. See docs/mine.md.
    """
    tasks = list(dict.fromkeys(task or ()))
    if not tasks and model is None:
        raise typer.BadParameter("Give --task or --model.")
    if len(tasks) > 1 and model is not None:
        raise typer.BadParameter("Got --model with several tasks, expected one task: each has a model of its own.")
    from biogpt.mining.collection import estimate, make_annotators, mine_with
    from biogpt.mining.dataset import require_extra

    require_extra()
    annotators = make_annotators(
        tasks,
        [] if model is None else [model],
        device=device,
        dtype=str(dtype),
        batch_size=batch_size,
        threshold=threshold,
        link=lexicon or is_linked,
    )
    format = input_format and str(input_format)
    if is_dry_run:
        count = workers or os.cpu_count() or 1
        console.say("trying some documents")
        print(
            estimate(
                annotators, inputs, workers=count, format=format, is_recursive=is_recursive, on_problem=_say_skipped
            )
        )
        return
    try:
        summary = mine_with(
            annotators,
            inputs,
            output,
            workers=workers,
            ray_address=ray_address,
            device=device,
            format=format,
            is_recursive=is_recursive,
            on_problem=_say_skipped,
            is_watched=console.is_watched(),
            is_verbose=console.is_verbose(),
        )
    except KeyboardInterrupt:
        console.say(f"stopped; the same command goes on with {output}.")
        raise
    console.say(summary)
    console.say(f"see what was found: biogpt summarize {output} -o summary.html")


def _say_skipped(problem: object) -> None:
    console.say(f"skipped {problem}")
