"""`biogpt bench`: how fast this machine computes a model."""

import json
from typing import Annotated

import typer

from biogpt.cli import console, options


def bench(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A bundled model, a directory, or a Hugging Face hub id.")
    ] = "mini",
    dtype: options.Dtypes = None,
    device: options.Device = "auto",
    num_threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads to compute on; by default all.")
    ] = None,
    num_repeats: Annotated[
        int, typer.Option("--repeats", min=1, metavar="N", help="Time each run N times and take the median.")
    ] = 5,
    output: options.OptionalOutput = None,
    is_json: options.Json = False,
) -> None:
    """Measure how fast this machine computes a model.

    Prints how many tokens a second are decoded, 1, 8 and 32 texts at once, how fast a prompt of 512 tokens is read,
    and how much of the memory's limit is reached, for each type that the processor does well or for each --dtype.
    Nothing else should be running meanwhile. --output writes the same as JSON.
    """
    if output and not output.parent.is_dir():
        raise typer.BadParameter(f"Got --output {output}, expected a file in a directory that there is.")
    from biogpt.files import write_json
    from biogpt.model.checkpoint import resolve_model

    resolve_model(model)  # before the heavy imports: a wrong name is known at once
    from biogpt.progress import progress_bar, status_line

    with status_line(f"Loading {model}", console.is_watched()):
        from biogpt.engine.speed import measure_speed

    names = [str(each) for each in dtype or [options.DtypeChoice.auto]]
    with progress_bar("Measuring", unit="runs", is_wanted=console.is_watched()) as bar:
        speed = measure_speed(
            *(model,),
            dtypes=names,
            device=device,
            num_threads=num_threads,
            num_repeats=num_repeats,
            on_progress=bar.update,
        )
    record = speed.to_dict()
    print(json.dumps(record, indent=2) if is_json else speed.as_text())
    if output:
        write_json(output, record)
