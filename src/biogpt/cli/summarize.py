"""`biogpt summarize`: what a mined collection says."""

from pathlib import Path
from typing import Annotated

import typer

from biogpt.cli import options


def summarize(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What 'biogpt mine --output' made.")],
    output: options.OptionalOutput = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="entities or pairs, for CSV and Parquet; by default pairs, where any were found."
        ),
    ] = None,
    task: options.OptionalTask = None,
    threshold: options.Threshold = None,
    min_documents: Annotated[int, typer.Option(min=1, metavar="N", help="Leave out what fewer documents have.")] = 1,
) -> None:
    """Summarize what was mined: entities and related pairs, with documents, years, scores and examples.

    Writes CSV to stdout, or a .csv, .parquet, .xlsx or .html file with --output. With --task, only of what it found.
    Names are folded by identifier, where there is one. A page (.html) has filters, links to PubMed and a picture of the
    strongest pairs. See docs/mine.md, also for questions in SQL.
    """
    import biogpt

    biogpt.summarize(directory, output, table=table, task=task, threshold=threshold, min_documents=min_documents)
