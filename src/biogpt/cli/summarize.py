"""`biogpt summarize`: what a mined collection says."""

from pathlib import Path
from typing import Annotated

import typer


def summarize(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What 'biogpt mine --output' made.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .csv, .parquet, .xlsx or .html file; by default CSV on stdout."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="entities or pairs, for CSV and Parquet; by default pairs, where any were found."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", "-t", metavar="TASK", help="Only what this task found.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="X", help="Leave out what has a lower score.")
    ] = None,
    min_documents: Annotated[int, typer.Option(min=1, metavar="N", help="Leave out what fewer documents have.")] = 1,
) -> None:
    """Summarize what was mined: entities and related pairs, with documents, years, scores and examples.

    Names are folded by identifier, where there is one. A page (.html) has filters, links to PubMed and a picture of the
    strongest pairs. See docs/mine.md, also for questions in SQL.
    """
    import biogpt

    biogpt.summarize(directory, output, table=table, task=task, threshold=threshold, min_documents=min_documents)
