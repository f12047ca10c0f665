"""Summary: a mined collection as CSV, Parquet, a workbook or a page; what `biogpt summarize` calls."""

import sys
from pathlib import Path

from biogpt.errors import InputError, suggest
from biogpt.files import replacing, write_atomically
from biogpt.mining.summary_page import render_page
from biogpt.mining.summary_tables import SUMMARIES, Summary

FORMATS = {".csv": "csv", ".parquet": "parquet", ".xlsx": "xlsx", ".html": "html"}
"""By the ending of the output's name."""
PAGE_ROWS = 2_000
"""Rows of each table on a page: what a browser filters at once."""


def summarize(
    directory: str | Path,
    output: str | Path | None = None,
    *,
    table: str | None = None,
    task: str | None = None,
    threshold: float | None = None,
    min_documents: int = 1,
) -> None:
    """Summarize what was mined: entities and related pairs, with documents, years, best score and examples.

    Examples:
        >>> biogpt.summarize("mined", "summary.html")  # doctest: +SKIP

    Args:
        directory: that `mine` made.
        output: a `.csv`, `.parquet`, `.xlsx` or `.html` file; by default CSV on stdout. A workbook and a page have
            both tables.
        table: `entities` or `pairs`, for CSV and Parquet; by default pairs, where any were found.
        task: only what this task found.
        threshold: leave out what has a lower score.
        min_documents: leave out what fewer documents have.

    Raises:
        InputError: this is no collection, or an argument is impossible.
        MissingExtraError: the extra `mine` is not installed.
    """
    path = None if output is None else Path(output)
    format = "csv" if path is None else FORMATS.get(path.suffix.lower())
    if format is None:
        raise InputError(f"Cannot write {path}. Expected a name ending in {', '.join(FORMATS)}.")
    if table is not None and table not in SUMMARIES:
        raise InputError(f"Unknown table '{table}'.{suggest(table, SUMMARIES)} Expected one of {', '.join(SUMMARIES)}.")
    if min_documents < 1:
        raise InputError(f"Got min_documents {min_documents}, expected at least 1.")
    summary = Summary(directory, task=task, threshold=threshold, min_documents=min_documents)
    name = table or summary.main_table()
    if path is None:
        summary.write_csv(name, sys.stdout)
    elif format == "csv":
        with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
            summary.write_csv(name, stream)
    elif format == "parquet":
        summary.write_parquet(name, path)
    elif format == "xlsx":
        summary.write_excel(path)
    else:
        tables = [summary.table(one, PAGE_ROWS) for one in SUMMARIES]
        write_atomically(path, render_page(summary.settings, summary.num_documents, tables))
