"""Summary tables: what a mined collection says: entities, and pairs of entities that are related.

Mentions are folded by identifier (`MESH:D1` is `D1`), or by name (case aside) where there is none; each row counts
documents and names the best ones. DuckDB does it over the Parquet files, and writes them as CSV, Parquet or sheets of a
workbook.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from biogpt.errors import InputError, MissingExtraError, suggest
from biogpt.files import replacing
from biogpt.mining.dataset import EXTRA, Collection, quote, require_extra

ENTITIES, PAIRS = "entities", "pairs"
SUMMARIES = (ENTITIES, PAIRS)
NUM_EXAMPLES = 5
MAX_SHEET_ROWS = 1_000_000

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")

_TABLES = """
CREATE TEMP MACRO bare(identifier) AS regexp_replace(identifier, '^mesh:', '', 'i');
CREATE TEMP TABLE dated AS SELECT document_id, coalesce(pmid, id) AS example, year FROM documents;
CREATE TEMP TABLE mentioned AS
    SELECT document_id, type, name, bare(identifier) AS identifier, score FROM entities WHERE {filter};
CREATE TEMP TABLE related AS
    SELECT * REPLACE (bare(head_identifier) AS head_identifier, bare(tail_identifier) AS tail_identifier)
    FROM relations WHERE {filter};
CREATE TEMP TABLE named AS
    SELECT type, key, arg_max(name, (n, name)) AS name, max(identifier) AS identifier FROM (
        SELECT type, coalesce(identifier, lower(name)) AS key, name, max(identifier) AS identifier, count(*) AS n
        FROM mentioned GROUP BY ALL
    ) GROUP BY type, key;
CREATE TEMP TABLE entities_summary AS
    SELECT type, name, identifier, count(*) AS documents, sum(mentions)::BIGINT AS mentions, min(year) AS first_year,
        max(year) AS last_year, max(score) AS best_score,
        arg_max(example, (coalesce(score, 0), example), {examples}) AS examples
    FROM (
        SELECT type, coalesce(identifier, lower(name)) AS key, document_id, max(score) AS score, count(*) AS mentions
        FROM mentioned GROUP BY ALL
    ) JOIN dated USING (document_id) JOIN named USING (type, key)
    GROUP BY type, key, name, identifier HAVING count(*) >= {least};
CREATE TEMP TABLE pairs_summary AS
    SELECT f.type AS relation, f.detail, h.type AS head_type, h.name AS head, h.identifier AS head_identifier,
        t.type AS tail_type, t.name AS tail, t.identifier AS tail_identifier, count(*) AS documents,
        min(year) AS first_year, max(year) AS last_year, max(score) AS best_score,
        arg_max(example, (coalesce(score, 0), example), {examples}) AS examples
    FROM (
        SELECT type, head_type, coalesce(head_identifier, lower(head_name)) AS head_key, tail_type,
            coalesce(tail_identifier, lower(tail_name)) AS tail_key, array_to_string(list_sort(list_transform(
            map_entries(values), lambda e: e.key || ': ' || e.value)), '; ') AS detail, document_id, max(score) AS score
        FROM related WHERE tail_name IS NOT NULL GROUP BY ALL
    ) AS f JOIN dated USING (document_id)
    JOIN named AS h ON h.type = f.head_type AND h.key = f.head_key
    JOIN named AS t ON t.type = f.tail_type AND t.key = f.tail_key
    GROUP BY f.type, f.detail, h.type, h.key, h.name, h.identifier, t.type, t.key, t.name, t.identifier
    HAVING count(*) >= {least};
"""
_ORDER = {
    ENTITIES: "ORDER BY documents DESC, best_score DESC NULLS LAST, type, name",
    PAIRS: "ORDER BY documents DESC, best_score DESC NULLS LAST, relation, head, tail, detail",
}


@dataclass(frozen=True)
class Table:
    """A part of a summary: the names of its columns, and its rows, those with most documents first."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    num_rows: int
    """How many there are in all; `rows` may be fewer."""

    def dicts(self) -> Iterator[dict[str, Any]]:
        """The rows by column."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


class Summary:
    """The summary of a collection.

    Args:
        directory: of the collection.
        task: only what this task found; by default all.
        threshold: leave out what has a lower score.
        min_documents: leave out what fewer documents have.

    Raises:
        InputError: this is no collection, it has no such task, or a number is impossible.
        MissingExtraError: the extra `mine` is not installed.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        task: str | None = None,
        threshold: float | None = None,
        min_documents: int = 1,
    ) -> None:
        require_extra()
        collection = Collection(directory)
        collection.check()
        self.settings: dict[str, Any] = collection.read_run()["settings"]
        tasks = [one["task"] for one in self.settings["annotators"]]
        if task is not None and task not in tasks:
            raise InputError(
                f"{directory} has no task '{task}'.{suggest(task, tasks)} Expected one of {', '.join(tasks)}."
            )
        if threshold is not None and not 0 <= threshold <= 1:
            raise InputError(f"Got threshold {threshold}, expected a probability from 0 to 1.")
        wanted = [] if task is None else [f"task = {quote(task)}"]
        wanted += [] if threshold is None else [f"coalesce(score, 1) >= {threshold}"]
        condition = " AND ".join(wanted) or "true"
        self.connection: Any = collection.connect()
        self.connection.execute(_TABLES.format(filter=condition, examples=NUM_EXAMPLES, least=max(1, min_documents)))
        self.num_documents: int = self.connection.execute("SELECT count(*) FROM dated").fetchone()[0]

    def table(self, name: str, limit: int | None = None) -> Table:
        """One of `SUMMARIES`, or its first rows."""
        query = f"SELECT * FROM {name}_summary {_ORDER[name]}"
        result = self.connection.execute(query + (f" LIMIT {limit:d}" if limit is not None else ""))
        columns = tuple(column[0] for column in result.description)
        rows = result.fetchall()
        count = self.connection.execute(f"SELECT count(*) FROM {name}_summary").fetchone()[0]
        return Table(name, columns, rows, count)

    def main_table(self) -> str:
        """Which table there is to see first: pairs where any were found."""
        has_pairs = self.connection.execute("SELECT count(*) FROM pairs_summary").fetchone()[0]
        return PAIRS if has_pairs else ENTITIES

    def write_csv(self, name: str, stream: TextIO) -> None:
        """Write a table as CSV; examples are joined by a space."""
        result = self.connection.execute(f"SELECT * FROM {name}_summary {_ORDER[name]}")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(column[0] for column in result.description)
        while rows := result.fetchmany(10_000):
            writer.writerows([_cell(value) for value in row] for row in rows)

    def write_parquet(self, name: str, path: Path) -> None:
        """Write a table as Parquet."""
        with replacing(path) as partial:
            query = f"SELECT * FROM {name}_summary {_ORDER[name]}"
            self.connection.execute(f"COPY ({query}) TO {quote(str(partial))} (FORMAT parquet, COMPRESSION zstd)")

    def write_excel(self, path: Path) -> None:
        """Write both tables as sheets of a workbook.

        Raises:
            InputError: a table has more rows than a sheet.
            MissingExtraError: openpyxl is not installed.
        """
        try:
            from openpyxl import Workbook
            from openpyxl.cell import WriteOnlyCell
            from openpyxl.styles import Font
        except ImportError as error:
            raise MissingExtraError("openpyxl", EXTRA) from error
        book = Workbook(write_only=True)
        for name in SUMMARIES:
            table = self.table(name, MAX_SHEET_ROWS)
            if table.num_rows > MAX_SHEET_ROWS:
                raise InputError(
                    f"{table.num_rows:,} {name}, expected at most {MAX_SHEET_ROWS:,} rows in a sheet. Give "
                    "--min-documents, or write Parquet."
                )
            sheet = book.create_sheet(name)
            sheet.freeze_panes = "A2"
            for number, width in enumerate(_WIDTHS[name]):
                sheet.column_dimensions[chr(ord("A") + number)].width = width
            header = [WriteOnlyCell(sheet, column) for column in table.columns]
            for cell in header:
                cell.font = Font(bold=True)
            sheet.append(header)
            for row in table.rows:
                cells = []
                for value in row:
                    text = _cell(value)
                    cell = WriteOnlyCell(sheet, _ILLEGAL.sub("", text) if isinstance(text, str) else text)
                    if isinstance(text, str):
                        cell.data_type = "s"  # a name that begins with = is no formula
                    cells.append(cell)
                sheet.append(cells)
        with replacing(path) as partial:
            book.save(partial)


_WIDTHS = {ENTITIES: (14, 40, 18, 12, 12, 12, 12, 12, 50), PAIRS: (20, 20, 14, 32, 18, 14, 32, 18, 12, 12, 12, 12, 50)}


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    if isinstance(value, float):
        return round(value, 4)
    return "" if value is None else value


def strongest(rows: Sequence[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The pairs for a picture: those with most documents, of two different entities."""
    return [row for row in rows if (row["head_type"], row["head"]) != (row["tail_type"], row["tail"])][:limit]
