"""Tables, CSV and TSV: a row per document in, a row per item out.

The columns `title` and `abstract`, or else `text`, hold the text, and `id`, `pmid` or `pmcid` the id; others are kept.
In the output all columns of the input come first, a row for each item that was found, one row where there is none. The
columns of items are the task's; without them, `items` holds all as JSON. Where the input has a title and an abstract,
`text` is what the model read, and spans count its characters. A name that the input already has is not overwritten:
ours then begins with `predicted_`. What a document of another format came with stands in the columns `annotations` and
`relations`, in JSON as JSON lines have it.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents.json_lines import annotations_as_objects, article_of_fields, passages_of, relations_as_objects
from biogpt.documents.types import ABSTRACT, TEXT_FIELDS, TITLE, Document, free_name, items_of, make_document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError, suggest
from biogpt.files import (
    Reading,
    decoded_lines,
    dump_json,
    format_row,
    is_decoded,
    list_names,
    parse_rows,
    read_header,
    read_table,
)

CSV, TSV = "csv", "tsv"
DELIMITERS = {CSV: ",", TSV: "\t"}
IDS = ("id", "pmid", "pmcid")
ANNOTATED = ("pubtator", "bioc-xml", "bioc-json", "brat", "jsonl")
"""Formats whose documents may come with annotations."""
ANNOTATIONS = ("annotations", "relations")
"""The columns of what they came with, as JSON lines have it."""

_TEXTS = (*TEXT_FIELDS, "text")
_NAME = re.compile(r"\S.{,38}(?<![.?!])|\S")  # what a column may be called; behind the comma of a text stands a space


def read_csv_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of comma-separated values."""
    return _read(stream, reading, CSV)


def read_tsv_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of tab-separated values."""
    return _read(stream, reading, TSV)


def check_columns(path: Path, head: bytes, format: str) -> None:
    """Make sure that a table has text.

    Args:
        path: the table's name, for the message.
        head: its first bytes.
        format: `CSV` or `TSV`.

    Raises:
        DataError: no column holds text.
    """
    texts = io.StringIO(head.decode("utf-8-sig", "surrogateescape"), newline="\n")
    _check_columns(path, read_header(path, parse_rows(texts, DELIMITERS[format])))


def looks_like_table(line: str) -> str | None:
    """The format of the table whose first line this is, `CSV` or `TSV`; None where it rather is text.

    A table's first line has names, and one of them is that of a text or an id.
    """
    for format, delimiter in DELIMITERS.items():
        try:
            cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
        except csv.Error:
            continue
        are_names = len(cells) > 1 and all(_NAME.fullmatch(cell) for cell in cells)
        if are_names and any(cell.strip().lower() in (*_TEXTS, *IDS) for cell in cells):
            return format
    return None


def _check_columns(path: Path, header: Sequence[str]) -> list[str]:
    """The names of a table's columns, lower-cased."""
    if not is_decoded("".join(header)):
        raise DataError(f"{path}:1: bytes that are not UTF-8 in the names of the columns. Convert it to UTF-8 text.")
    names = [name.strip().lower() for name in header]
    if not any(name in _TEXTS for name in names):
        hint = next((hint for name in names if (hint := suggest(name, _TEXTS))), "")
        found = list_names(header) or "nothing"
        raise DataError(f"{path} has no column 'text', 'title' or 'abstract'.{hint} Found: {found}. Rename a column.")
    double = next((name for name in names if names.count(name) > 1 and name in (*_TEXTS, *IDS)), "")
    if double:
        raise DataError(f"{path} has the column '{double}' more than once. Expected it once; rename the others.")
    return names


def _read(stream: IO[bytes], reading: Reading, format: str) -> Iterator[Document]:
    header, rows = read_table(decoded_lines(stream, reading), reading, DELIMITERS[format])
    names = _check_columns(reading.path, header)
    for line, row in rows:
        try:
            document = _document_of(row, names, header, format, f"{reading.path.name}:{line}")
        except ValueError as error:
            reading.report(line, str(error))
        else:
            yield document


def _document_of(row: list[str], names: Sequence[str], header: list[str], format: str, id: str) -> Document:
    fields: dict[str, Any] = dict(zip(names, row, strict=True))
    article = article_of_fields(fields, id)
    document = make_document(article.id, passages_of(fields, article), format=format, native=(header, row))
    if not document.text:
        raise ValueError("no text; expected some in title, abstract or text.")
    return document


def item_columns(roles: Sequence[str] = (), values: Sequence[str] = (), has_mentions: bool = False) -> tuple[str, ...]:
    """The columns that a task's items need (see `items_of`).

    Args:
        roles: the entities of a relation.
        values: what else a relation says, or the slots of labels and answers.
        has_mentions: items are mentions of names.
    """
    named = [f"{role}{ending}" for role in roles for ending in ("", "_id", "_spans")]
    mentions = ["mention", "mention_id", "label", "start", "end"] if has_mentions else []
    return (*named, *mentions, *values, "score")


class TableWriter(Writer):
    """Writes a row per item.

    Args:
        target: as for `Writer`.
        position: as for `Writer`.
        format: `CSV` or `TSV`.
        columns: those of the items, see `item_columns`.
    """

    def __init__(
        self, target: str | Path | BinaryIO, position: int = 0, *, format: str = CSV, columns: Sequence[str] = ()
    ) -> None:
        self._format = format
        self._columns = (*(columns or ("items",)), "warnings")
        self._header: list[str] = []
        if position and isinstance(target, str | Path) and Path(target).exists():
            with Path(target).open(encoding="utf-8", newline="") as file:
                self._header = next(parse_rows(file, DELIMITERS[format]), [])
        super().__init__(target, position)

    def opening(self, document: Document) -> str:
        names, _ = _own_cells(document)
        for column in self._columns:
            names.append(free_name(column, names))
        self._header = names
        return self._as_row(names)

    def encode(self, document: Document) -> str:
        names, head = _own_cells(document)
        if names != self._header[: len(self._header) - len(self._columns)]:
            raise DataError(
                f"The document '{document.id}' has the columns {list_names(names)}; the table being written "
                f"has {list_names(self._header)}. Write files with different columns to different tables."
            )
        is_whole = document.format in DELIMITERS and not _has_parts(document.native[0])
        items = items_of(document, document.parts[0].offset if is_whole else 0)
        warnings = "; ".join(document.extraction.warnings) if document.extraction else ""
        if self._columns[0] == "items":
            return self._as_row([*head, dump_json(items), warnings])
        rows = [[_cell(item.get(column)) for column in self._columns[:-1]] for item in items]
        return "".join(self._as_row([*head, *row, warnings]) for row in rows or [[""] * (len(self._columns) - 1)])

    def _as_row(self, cells: Sequence[str]) -> str:
        return format_row(cells, DELIMITERS[self._format])


def _own_cells(document: Document) -> tuple[list[str], list[str]]:
    """A document's own columns, and its text where they have it in pieces."""
    if document.format in DELIMITERS:
        names, cells = document.native
        if not _has_parts(names):
            return [*names], [*cells]
    else:
        names, cells = ["id", TITLE, ABSTRACT], [document.id]
        for type in (TITLE, ABSTRACT):
            cells.append(" ".join(part.passage.text.strip() for part in document.parts if part.passage.type == type))
        if document.format in ANNOTATED:
            names, cells = [*names, "text", *ANNOTATIONS], [*cells, document.text]
            for objects in (annotations_as_objects(document), relations_as_objects(document)):
                cells.append(dump_json(objects) if objects else "")
            return names, cells
    return [*names, free_name("text", names)], [*cells, document.text]


def _has_parts(header: Sequence[str]) -> bool:
    return any(name.strip().lower() in TEXT_FIELDS for name in header)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(f"{start}-{end}" for start, end in value)
    return str(value)
