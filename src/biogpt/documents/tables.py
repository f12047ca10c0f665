"""Tables, CSV and TSV: a row per document in, a row per item out.

The columns `title` and `abstract`, or else `text`, hold the text, and `id`, `pmid` or `pmcid` the id, under these or
other usual names (`field_names`); others are kept. Cells may be separated by commas, semicolons, tabs or bars: the
names of the columns tell, or a first line `sep=;`. In the output all columns of the input come first, a row for each
item that was found, one row where there is none. The columns of items are the task's; without them, `items` holds all
as JSON. Where the input has a title and an abstract, `text` is what the model read, and spans count its characters. A
name that the input already has is not overwritten: ours then begins with `predicted_`. A document of another format has
columns for its title, abstract and metadata; `annotations` and `relations` hold what its file had, as JSON lines do.

Excel and Parquet (`excel`, `parquet`) are tables, too, and share what stands here.
"""

import csv
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents.field_names import IDS, TEXTS, find_fields, fold, metadata_of
from biogpt.documents.json_lines import (
    NO_TEXT,
    annotations_as_objects,
    article_of_fields,
    passages_of,
    relations_as_objects,
)
from biogpt.documents.types import (
    ABSTRACT,
    TEXT_FIELDS,
    TITLE,
    Document,
    Metadata,
    free_name,
    items_of,
    make_document,
)
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
    read_table,
)

CSV, TSV, EXCEL, PARQUET = "csv", "tsv", "xlsx", "parquet"
DELIMITERS = {CSV: ",", TSV: "\t"}
FORMATS = (CSV, TSV, EXCEL, PARQUET)
"""The formats whose documents are rows."""
METADATA = tuple(field.name for field in fields(Metadata))
ANNOTATED = ("pubtator", "bioc-xml", "bioc-json", "brat", "jsonl", "json", "doccano", "label-studio")
"""Formats whose documents may come with annotations."""
ANNOTATIONS = ("annotations", "relations")
"""The columns of what they came with, as JSON lines have it."""

_SEPARATORS = ",;\t|"
_NUM_SAMPLE = 20  # rows that tell what a column holds
_SEPARATOR_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*", re.IGNORECASE)
_NAME = re.compile(r"\S.{,38}(?<![.?!])|\S")  # what a column may be called; behind the comma of a text stands a space
_LONG = 100  # characters: what is as long on average, and made of words, is a text
_NO_PROSE = re.compile(
    r"author|affiliation|address|reference|keyword|url|link|citation|mesh|^(items|annotations|relations|warnings)$"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A document as its table has it."""

    header: Sequence[str]
    cells: Sequence[Any]
    """Texts; in Excel and Parquet maybe numbers, dates and lists."""
    is_whole: bool
    """The table has the text that is read in one column, so that spans may count its characters."""


def read_csv_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of comma-separated values."""
    return documents_of_rows(*read_csv_rows(stream, reading), reading, CSV)


def read_tsv_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of tab-separated values."""
    return documents_of_rows(*read_tsv_rows(stream, reading), reading, TSV)


def read_csv_rows(stream: IO[bytes], reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The names of the columns, and the rows, each with its line."""
    return _read_rows(stream, reading, CSV)


def read_tsv_rows(stream: IO[bytes], reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The names of the columns, and the rows, each with its line."""
    return _read_rows(stream, reading, TSV)


def _read_rows(stream: IO[bytes], reading: Reading, format: str) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    texts = decoded_lines(stream, reading)
    first: list[str] = []
    for text in texts:  # no more than the names of the columns: the rest may not be there yet
        first.append(text)
        is_separator = len(first) == 1 and _SEPARATOR_LINE.fullmatch(text) is not None
        if not is_separator and sum(line.count('"') for line in first) % 2 == 0:
            break
    delimiter, num_before = find_delimiter(first, format, reading.columns)
    return read_table(chain(first[num_before:], texts), reading, delimiter, num_before)


def find_delimiter(lines: Sequence[str], format: str, columns: Mapping[str, str] | None = None) -> tuple[str, int]:
    """What separates the cells of a table, and how many lines stand before the names of its columns.

    The separator is the one that gives names which are known; where none does, the format's own.

    Args:
        lines: the table's first lines.
        format: `CSV` or `TSV`.
        columns: field -> column, where the user has said it.
    """
    said = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
    if said is not None:
        return said[1], 1

    def rate(delimiter: str) -> tuple[bool, int, bool]:
        try:
            header: list[str] = next(parse_rows(lines, delimiter), [])
        except csv.Error:
            return False, 0, delimiter == DELIMITERS[format]
        found = find_fields(header)
        num_chosen = sum(name in header for name in (columns or {}).values())
        has_text = bool(num_chosen) or any(name in found for name in TEXTS)
        return has_text, num_chosen or len(found), delimiter == DELIMITERS[format]

    return max(_SEPARATORS, key=rate), 0


def check_columns(path: Path, head: bytes, format: str, columns: Mapping[str, str] | None = None) -> None:
    """Make sure that a table has text.

    Args:
        path: the table's name, for the message.
        head: its first bytes.
        format: `CSV` or `TSV`.
        columns: field -> column, where the user has said it.

    Raises:
        DataError: no column holds text.
    """
    lines = list(io.StringIO(head.decode("utf-8-sig", "surrogateescape"), newline="\n"))
    delimiter, num_before = find_delimiter(lines, format, columns)
    try:
        header: list[str] = next(parse_rows(lines[num_before:], delimiter), [])
    except csv.Error as error:
        message = f"the names of the columns cannot be read ({error}). Expected a table."
        raise DataError(f"{path}:{num_before + 1}: {message}") from error
    name_columns(path, header, columns)


def looks_like_table(line: str, needs_text: bool = False) -> str | None:
    """The format of the table whose first line this is, `CSV` or `TSV`; None where it rather is text.

    A table's first line has names, and one of them is that of a text or an id.

    Args:
        line: the line.
        needs_text: one of the names must be that of a text.
    """
    if _SEPARATOR_LINE.fullmatch(line):
        return CSV
    for delimiter in _SEPARATORS:
        try:
            cells = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
        except csv.Error:
            continue
        are_names = len(cells) > 1 and all(_NAME.fullmatch(cell) for cell in cells)
        wanted = TEXTS if needs_text else (*TEXTS, *IDS)
        if are_names and any(field in wanted for field in find_fields(cells)):
            return TSV if delimiter == "\t" else CSV
    return None


def name_columns(path: Path, header: Sequence[str], columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Which column holds which field.

    Args:
        path: the table's name, for the message.
        header: the names of its columns.
        columns: field -> column, where the user has said it.

    Raises:
        DataError: no column holds text, one that was asked for is missing, or one of them is there twice.
    """
    if not is_decoded("".join(header)):
        raise DataError(f"{path}:1: bytes that are not UTF-8 in the names of the columns. Convert it to UTF-8 text.")
    found = list_names(header) or "nothing"
    chosen = {}
    for field, wanted in (columns or {}).items():
        own = next((name for name in header if name == wanted), None)
        own = own or next((name for name in header if fold(name) == fold(wanted)), None)
        if own is None:
            raise DataError(f"{path} has no column '{wanted}'.{suggest(wanted, header)} Found: {found}.")
        chosen[field] = own
    names = find_fields(header, chosen)
    if not any(name in TEXTS for name in names):
        hint = next((hint for name in header if (hint := suggest(name.strip().lower(), TEXTS))), "")
        raise DataError(
            f"{path} has no column 'text', 'title' or 'abstract'.{hint} Found: {found}. Rename a column, or say which "
            "one it is: --text-column."
        )
    folded = [name.strip().lower() for name in header]
    needed = [names[field].strip().lower() for field in (*TEXTS, *IDS) if field in names]
    double = next((name for name in needed if folded.count(name) > 1), "")
    if double:
        raise DataError(f"{path} has the column '{double}' more than once. Expected it once; rename the others.")
    return names


def documents_of_rows(
    header: Sequence[str], rows: Iterator[tuple[int, list[Any]]], reading: Reading, format: str, collection: Any = None
) -> Iterator[Document]:
    """The documents of a table.

    Args:
        header: the names of its columns.
        rows: its rows, each with its line.
        reading: whom to report to.
        format: one of `FORMATS`.
        collection: what a writer of the same format needs to know of the table.

    Raises:
        DataError: no column holds text.
    """
    names = name_columns(reading.path, header, reading.columns)
    sample: list[Sequence[Any]] | None = []
    texts = [field for field in names if field in TEXTS]
    is_whole = len(texts) == 1 and names[texts[0]].strip().lower() == "text"
    chosen = {field: name for field, name in names.items() if field in (reading.columns or {})}
    for line, cells in rows:
        if sample is not None:
            sample.append(cells)
            if len(sample) == _NUM_SAMPLE:
                _warn_of_unread(reading.path, header, sample, names)
                sample = None
        values = {name: as_cell(cell) for name, cell in zip(header, cells, strict=True)}
        try:
            article = article_of_fields(values, f"{reading.path.name}:{line}", chosen)
            passages = passages_of(values, article, chosen)
            document = make_document(
                article.id,
                passages,
                metadata=metadata_of(values, names),
                format=format,
                native=Row(header, cells, is_whole),
                collection=collection,
            )
            if not document.text:
                raise ValueError(NO_TEXT)
        except ValueError as error:
            reading.report(line, str(error))
        else:
            yield document
    if sample:
        _warn_of_unread(reading.path, header, sample, names)


def _warn_of_unread(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], names: Mapping[str, str]) -> None:
    """Name the columns that look like text and are not read."""
    unread = []
    for index, name in enumerate(header):
        cells = [cell for row in rows if isinstance(cell := row[index], str) and cell.strip()]
        is_long = sum(map(len, cells)) >= _LONG * len(cells) > 0
        is_prose = is_long and sum(cell.count(" ") for cell in cells) >= len(cells) * _LONG / 20
        if is_prose and name not in names.values() and not _NO_PROSE.search(fold(name)):
            unread.append(name)
    if unread:
        read = list_names([names[field] for field in TEXTS if field in names])
        message = f"{path}: text that is not read in {list_names(unread)}; read is {read}. Choose with --text-column."
        warnings.warn(message, UserWarning, stacklevel=2)


def as_cell(value: Any) -> str:
    """A value as the cell of a table of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # how Excel keeps an id
    if isinstance(value, list | tuple):
        return "; ".join(as_cell(each) for each in value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


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


def check_own_columns(document: Document, names: Sequence[str], header: Sequence[str], num_item_columns: int) -> None:
    """Make sure that a document has the own columns of the table that is being written.

    Args:
        document: the next one.
        names: its own columns.
        header: those of the table, the last of which are of the items.
        num_item_columns: how many of them.

    Raises:
        DataError: it has others.
    """
    if list(names) != list(header[: len(header) - num_item_columns]):
        raise DataError(
            f"The document '{document.id}' has the columns {list_names(names)}; the table being written has "
            f"{list_names(header)}. Write files with different columns to different tables."
        )


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
        names, _ = own_cells(document)
        for column in self._columns:
            names.append(free_name(column, names))
        self._header = names
        return self._as_row(names)

    def encode(self, document: Document) -> str:
        names, head = own_cells(document)
        check_own_columns(document, names, self._header, len(self._columns))
        rows = rows_of(document, self._columns)
        own = [as_cell(cell) for cell in head]
        return "".join(self._as_row([*own, *map(item_cell, row)]) for row in rows)

    def _as_row(self, cells: Sequence[str]) -> str:
        return format_row(cells, DELIMITERS[self._format])


def rows_of(document: Document, columns: Sequence[str]) -> list[list[Any]]:
    """What was found in a document, a row for each item, one row where there is none.

    Args:
        document: the document.
        columns: those of the items, and `warnings`.
    """
    is_whole = document.format in FORMATS and document.native.is_whole
    items = items_of(document, document.parts[0].offset if is_whole else 0)
    warnings = "; ".join(document.extraction.warnings) if document.extraction else ""
    if columns[0] == "items":
        return [[dump_json(items), warnings]]
    return [[*(item.get(column) for column in columns[:-1]), warnings] for item in items or [{}]]


def own_cells(document: Document) -> tuple[list[str], list[Any]]:
    """A document's own columns, and its text where they have it in pieces."""
    if document.format in FORMATS:
        row = document.native
        if row.is_whole:
            return [*row.header], [*row.cells]
        names, cells = row.header, row.cells
    else:
        names, cells = ["id", TITLE, ABSTRACT, *METADATA], [document.id]
        for type in (TITLE, ABSTRACT):
            cells.append(" ".join(part.passage.text.strip() for part in document.parts if part.passage.type == type))
        cells += [getattr(document.metadata, name, None) for name in METADATA]
        if document.format in ANNOTATED:
            names, cells = [*names, "text", *ANNOTATIONS], [*cells, document.text]
            for objects in (annotations_as_objects(document), relations_as_objects(document)):
                cells.append(dump_json(objects) if objects else "")
            return names, cells
    return [*names, free_name("text", names)], [*cells, document.text]


def has_parts(header: Sequence[str]) -> bool:
    """Whether the text stands in several columns of a table, as title and abstract."""
    return any(field in TEXT_FIELDS for field in find_fields(header))


def item_cell(value: Any) -> str:
    """What an item says, as the cell of a table of text."""
    if isinstance(value, list):
        return ";".join(f"{start}-{end}" for start, end in value)
    return "" if value is None else str(value)
