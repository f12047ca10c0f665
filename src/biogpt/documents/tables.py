"""Tables, CSV and TSV: a row per document in, a row per item out.

The columns `title` and `abstract`, or else `text`, hold the text, and `id`, `pmid` or `pmcid` the id; others are kept.
In the output all columns of the input come first, a row for each item that was found, one row where there is none. The
columns of items are the task's; without them, `items` holds all as JSON. Where the input has a title and an abstract,
`text` is what the model read, and spans count its characters. A name that the input already has is not overwritten:
ours then begins with `predicted_`. Annotations that a file of another format had are left out.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents.json_lines import article_of_fields, dump, passages_of
from biogpt.documents.types import ABSTRACT, TEXT_FIELDS, TITLE, Document, free_name, items_of, make_document
from biogpt.documents.writing import Writer
from biogpt.errors import DataError, suggest
from biogpt.files import Reading, lines

CSV, TSV = "csv", "tsv"
DELIMITERS = {CSV: ",", TSV: "\t"}
IDS = ("id", "pmid", "pmcid")

_TEXTS = (*TEXT_FIELDS, "text")
_BYTES = re.compile("[\udc80-\udcff]")  # how bytes that are not UTF-8 come through decoding
_MAX_CELL = 64 << 20
_NAME = re.compile(r"\S.{,38}(?<![.?!])|\S")  # what a column may be called; behind the comma of a text stands a blank


def read_csv_records(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The records of a stream of comma-separated values."""
    return _read(stream, reading, CSV)


def read_tsv_records(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The records of a stream of tab-separated values."""
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
    rows = _rows(io.StringIO(head.decode("utf-8-sig", "surrogateescape"), newline="\n"), format)
    _check_columns(path, _read_header(path, rows))


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


def _read_header(path: Path, rows: Any) -> list[str]:
    try:
        header: list[str] = next(rows, [])
    except csv.Error as error:
        raise DataError(f"{path}:1: the names of the columns cannot be read ({error}). Expected a table.") from error
    return header


def _check_columns(path: Path, header: Sequence[str]) -> list[str]:
    """The names of the columns in lower case.

    Raises:
        DataError: they do not say where the text is.
    """
    if _BYTES.search("".join(header)):
        raise DataError(f"{path}:1: bytes that are not UTF-8 in the names of the columns. Convert it to UTF-8 text.")
    names = [name.strip().lower() for name in header]
    if not any(name in _TEXTS for name in names):
        hint = next((hint for name in names if (hint := suggest(name, _TEXTS))), "")
        found = _listed(header) or "nothing"
        raise DataError(f"{path} has no column 'text', 'title' or 'abstract'.{hint} Found: {found}. Rename a column.")
    double = next((name for name in names if names.count(name) > 1 and name in (*_TEXTS, *IDS)), "")
    if double:
        raise DataError(f"{path} has the column '{double}' more than once. Expected it once; rename the others.")
    return names


def _listed(names: Sequence[str]) -> str:
    """Names of columns on one line."""
    return ", ".join(" ".join(name.split()) for name in names)


def _rows(texts: Any, format: str) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    return csv.reader(texts, delimiter=DELIMITERS[format], strict=True)


def read_rows(stream: IO[bytes], reading: Reading, format: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Read a table.

    Args:
        stream: the file's content.
        reading: told of each row that cannot be used.
        format: `CSV` or `TSV`.

    Returns:
        The names of the columns as they are, and the rows, each with the line where it begins. Each row has as many
        cells as there are columns; empty rows are left out.

    Raises:
        DataError: the names of the columns cannot be read.
    """
    rows = _rows((line.decode(errors="surrogateescape") for _, line in lines(stream, reading)), format)
    header = _read_header(reading.path, rows)
    return header, _fitting_rows(rows, header, reading)


def _fitting_rows(rows: Any, header: Sequence[str], reading: Reading) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reading.report(line, f"quotes do not fit ({error}); expected one row, cells with quotes quoted.")
            continue
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(header):
            reading.report(line, f"{len(row)} cells; expected {len(header)}: {_listed(header)}.")
        elif any(_BYTES.search(cell) for cell in row):
            reading.report(line, "bytes that are not UTF-8; expected UTF-8 text.")
        else:
            yield line, row


def _read(stream: IO[bytes], reading: Reading, format: str) -> Iterator[Document]:
    header, rows = read_rows(stream, reading, format)
    names = _check_columns(reading.path, header)
    for line, row in rows:
        try:
            yield _document_of(row, names, header, format, f"{reading.path.name}:{line}")
        except ValueError as error:
            reading.report(line, str(error))


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
                self._header = next(_rows(file, format), [])
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
                f"The document '{document.id}' has the columns {_listed(names)}; the table that is being written has "
                f"{_listed(self._header)}. Write files with different columns to different tables."
            )
        is_whole = document.format in DELIMITERS and not _has_parts(document.native[0])
        items = items_of(document, document.parts[0].offset if is_whole else 0)
        warnings = "; ".join(document.extraction.warnings) if document.extraction else ""
        if self._columns[0] == "items":
            return self._as_row([*head, dump(items), warnings])
        rows = [[_cell(item.get(column)) for column in self._columns[:-1]] for item in items]
        return "".join(self._as_row([*head, *row, warnings]) for row in rows or [[""] * (len(self._columns) - 1)])

    def _as_row(self, cells: Sequence[str]) -> str:
        row = io.StringIO()
        csv.writer(row, delimiter=DELIMITERS[self._format]).writerow(cells)
        return row.getvalue().removesuffix("\r\n") + "\n"  # writing \r\n makes it quote cells with a \r


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
    return [*names, free_name("text", names)], [*cells, document.text]


def _has_parts(header: Sequence[str]) -> bool:
    return any(name.strip().lower() in TEXT_FIELDS for name in header)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ";".join(f"{start}-{end}" for start, end in value)
    return str(value)
