"""`biogpt predict`: find things in documents."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from biogpt.cli import console, options

_logger = logging.getLogger(__name__)


def predict(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Documents: files, directories, or - for stdin, the default."),
    ] = None,
    task: options.Tasks = None,
    model: options.OptionalModel = None,
    output: options.OptionalOutput = None,
    format: Annotated[
        options.OutputFormat | None,
        typer.Option(help="The format of the output; by default that of the input if possible."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Also write a web page with the results highlighted.")
    ] = None,
    input_format: options.InputFormatChoice = None,
    text_column: options.TextColumn = None,
    title_column: options.TitleColumn = None,
    id_column: options.IdColumn = None,
    threshold: options.Threshold = None,
    passages: Annotated[
        str | None,
        typer.Option(
            metavar="TYPES",
            help="What is read of each document: all, for full texts, or title,abstract, or one of both; by default "
            "title and abstract, or all text where there is no abstract.",
        ),
    ] = None,
    is_fixing_offsets: Annotated[
        bool,
        typer.Option(
            "--fix-offsets",
            help="Put annotations whose offsets count bytes, or from the start of their passage, where their text is.",
        ),
    ] = False,
    is_recursive: options.Recursive = False,
    is_linked: options.Link = False,
    lexicon: options.Lexicon = None,
    is_unconstrained: options.Unconstrained = False,
    batch_size: options.BatchSize = 8,
    workers: options.Workers = None,
    device: options.Device = "auto",
    dtype: options.Dtype = options.DtypeChoice.auto,
    revision: options.Revision = None,
) -> None:
    """Extract entities, relations, labels or answers from documents.

    --task uses the model that is bundled for a task, --model any other. With several tasks (-t bc5cdr -t ncbi_disease)
    the output has the results of all. Reads text, JSON, PubMed and PMC XML, exports of reference managers, PubTator,
    BioC, brat and tables, and writes the same documents with their results: entities with their spans, relations,
    answers, each with a score. See docs/predict.md.
    """
    from biogpt.extraction.task_models import default_task, find_task_model

    tasks = list(dict.fromkeys(task or ()))
    if not tasks and model is None:
        default = default_task()
        if default is None:
            raise typer.BadParameter("Give --task or --model.")
        tasks = [default]
    if len(tasks) > 1 and model is not None:
        raise typer.BadParameter("Got --model with several tasks, expected one task: each has a model of its own.")
    if revision is not None and model is None:
        raise typer.BadParameter("--revision is of a hub model. Give it with --model.")
    if not files and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("Give files, a directory, or documents on stdin.")
    chosen = _parse_passages(passages)
    from biogpt.mining.inputs import find_inputs
    from biogpt.mining.local import Target, choose_format, predict_files

    name = options.at_revision(model, revision) if model else None
    found = [find_task_model(name, wanted) for wanted in (tasks or (None,))]
    given = {"text": text_column, "title": title_column, "id": id_column}
    inputs = find_inputs(
        *(files or ["-"], sys.stdin.buffer, input_format and str(input_format), _say_skipped),
        columns={field: name for field, name in given.items() if name},
        is_recursive=is_recursive,
    )
    _logger.info("%d input%s", len(inputs), "" if len(inputs) == 1 else "s")
    linker = None
    if is_linked or lexicon is not None:
        from biogpt.extraction.linking import DEFAULT_LEXICON, load_linker

        linker = load_linker(lexicon or DEFAULT_LEXICON)
    stream = None if output else sys.stdout.buffer
    target = Target(
        choose_format([one.task for one in found], format and str(format), output, inputs), output, stream, html
    )
    if console.is_watched():
        for one in found:
            console.say(f"{one.label}, a model for {one.task.name}: {one.quality() or 'no score on record'}")
    from biogpt.progress import status_line

    # Where results are printed they show themselves how far it is.
    is_wanted = console.is_watched() and (output is not None or not sys.stdout.isatty())
    try:
        with status_line("Loading the model", is_wanted) as status:
            summary = predict_files(
                *(found, inputs, target),
                device=device,
                dtype=str(dtype),
                constrained=not is_unconstrained,
                threshold=threshold,
                batch_size=batch_size,
                workers=workers,
                passages=chosen,
                is_fixing_offsets=is_fixing_offsets,
                linker=linker,
                on_problem=lambda problem: status.print(_skipped(problem)),
                on_progress=lambda summary: status.update(str(summary)),
            )
    except KeyboardInterrupt:
        if output:
            console.say(f"stopped; the same command goes on with {output}.")
        raise
    for line in summary.losses.lines():
        console.say(line)
    console.say(summary)
    summary.check()


def _parse_passages(text: str | None) -> str | tuple[str, ...] | None:
    """What --passages says.

    Raises:
        BadParameter: it is neither "all" nor title, abstract or both.
    """
    if text is None or text == "all":
        return text
    types = tuple(part.strip() for part in text.split(","))
    if not all(types) or not set(types) <= {"title", "abstract"}:
        raise typer.BadParameter(f"Got --passages {text}, expected all, or title,abstract, or one of both.")
    return types


def _skipped(problem: object) -> str:
    return " ".join(["biogpt: skipped", *str(problem).split()])


def _say_skipped(problem: object) -> None:
    console.say(f"skipped {problem}")
