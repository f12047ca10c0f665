"""Excel: the first sheet of a workbook that has text; see `tables`, of which this is one.

Cells may be numbers and dates. In the output a text is a text, never a formula; what a cell cannot hold (control
characters, more than 32,767 characters) is replaced or cut, and `warnings` says so. More rows than a sheet can have go
on in the next sheet.
"""

import contextlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents.field_names import TEXTS, find_fields
from biogpt.documents.spooled import SpooledWriter
from biogpt.documents.tables import EXCEL, as_cell, check_own_columns, documents_of_rows, item_cell, own_cells, rows_of
from biogpt.documents.types import Document, free_name
from biogpt.errors import DataError, import_extra
from biogpt.files import Reading, dump_json, list_names, seekable

NAME = EXCEL
MOST_CHARACTERS = 32_767
"""What a cell of Excel can hold."""
MOST_ROWS = 1_048_576
"""What a sheet of Excel can hold."""

_HEAD = 4096  # bytes of a part of a workbook, where a DTD would stand
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CUT = f"a text is cut at {MOST_CHARACTERS:,} characters, the most that a cell of Excel holds"


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a workbook."""
    yield from documents_of_rows(*read_rows(stream, reading), reading, NAME)


def read_rows(stream: IO[bytes], reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The names of the columns, and the rows, each with its number in the sheet.

    Raises:
        DataError: it is no workbook, or has no rows.
        MissingExtraError: openpyxl is not installed.
    """
    openpyxl = import_extra("openpyxl", "files")
    content = seekable(stream)
    with _stopping_at_damage(reading.path):
        _check_safe(reading.path, content)
        workbook = openpyxl.load_workbook(content, read_only=True, data_only=True)
        return _find_sheet(workbook, reading)


@contextlib.contextmanager
def _stopping_at_damage(path: Path) -> Iterator[None]:
    """Turn whatever is wrong with a workbook into one `DataError`."""
    try:
        yield
    except DataError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is no workbook of Excel ({reason}). Save it as .xlsx, or as CSV.") from error


def _check_safe(path: Path, content: IO[bytes]) -> None:
    """Refuse a workbook with entities of its own: they could multiply, or name other files. Excel writes none."""
    with zipfile.ZipFile(content) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                if b"<!DOCTYPE" in file.read(_HEAD):
                    raise DataError(f"{path} has a DTD in {member.filename}, as no workbook has. Leave it out.")


def _find_sheet(workbook: Any, reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The first sheet that has text, or else the first."""
    first: tuple[list[str], Iterator[tuple[int, list[Any]]]] | None = None
    for sheet in workbook.worksheets:
        rows = ((number, [_value(cell) for cell in row]) for number, row in enumerate(sheet.values, 1))
        header = next((row for _, row in rows if any(cell is not None for cell in row)), None)
        if header is None:
            continue
        names = [as_cell(cell).strip() for cell in header]
        while not names[-1]:
            names.pop()
        found = names, _fit(rows, len(names), reading, names)
        wanted = [name for name in (reading.columns or {}).values() if name in names]
        if wanted or any(field in TEXTS for field in find_fields(names)):
            return found
        first = first or found
    if first is None:
        raise DataError(f"{reading.path} has no rows. Expected a sheet with the names of its columns first.")
    return first


def _fit(
    rows: Iterator[tuple[int, list[Any]]], width: int, reading: Reading, names: Sequence[str]
) -> Iterator[tuple[int, list[Any]]]:
    while True:
        with _stopping_at_damage(reading.path):
            number, row = next(rows, (0, []))
        if not number:
            return
        if any(cell is not None for cell in row[width:]):
            reading.report(number, f"{len(row)} cells; expected {width}: {list_names(names)}.")
        elif any(cell is not None for cell in row):
            yield number, [*row[:width], *[None] * (width - len(row))]


def _value(cell: Any) -> Any:
    return cell if isinstance(cell, str | int | float | bool | datetime | date | None) else str(cell)


class ExcelWriter(SpooledWriter):
    """Writes a workbook with a row per item.

    Args:
        target: as for `Writer`.
        position: as for `Writer`.
        columns: those of the items, see `biogpt.documents.tables.item_columns`.
    """

    def __init__(self, target: str | Path | BinaryIO, position: int = 0, *, columns: Sequence[str] = ()) -> None:
        import_extra("openpyxl", "files")
        self._columns = (*(columns or ("items",)), "warnings")
        self._header: list[str] = []
        super().__init__(target, position)
        if position and self.is_owner and not self._is_finished:
            with self._rows_path.open("rb") as rows:
                self._header = json.loads(rows.readline())

    def opening(self, document: Document) -> str:
        names, _ = own_cells(document)
        for column in self._columns:
            names.append(free_name(column, names))
        self._header = names
        return dump_json(names) + "\n"

    def encode(self, document: Document) -> str:
        names, head = own_cells(document)
        check_own_columns(document, names, self._header, len(self._columns))
        own = [_plain(cell) for cell in head]
        rows = ([*own, *(_plain_item(cell) for cell in row)] for row in rows_of(document, self._columns))
        return "".join(dump_json(row) + "\n" for row in rows)

    def finish(self, rows: BinaryIO, target: BinaryIO) -> None:
        openpyxl = import_extra("openpyxl", "files")
        from openpyxl.cell import WriteOnlyCell

        workbook = openpyxl.Workbook(write_only=True)
        header = json.loads(rows.readline() or b'["id"]')
        sheet, num_rows = None, 0
        for line in rows:
            if sheet is None or num_rows >= MOST_ROWS:
                sheet = workbook.create_sheet()
                sheet.freeze_panes = "A2"
                sheet.append(_cells(header, sheet, WriteOnlyCell))
                num_rows = 1
            sheet.append(_cells(json.loads(line), sheet, WriteOnlyCell))
            num_rows += 1
        if sheet is None:
            workbook.create_sheet().append(header)
        with tempfile.TemporaryFile() as file:
            workbook.save(file)
            _copy_without_times(file, target)


def _copy_without_times(source: IO[bytes], target: BinaryIO) -> None:
    """A workbook without the time at which it was written: the same rows give the same bytes."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            named = zipfile.ZipInfo(member.filename)  # of 1980
            named.compress_type = zipfile.ZIP_DEFLATED
            if member.filename == "docProps/core.xml":
                new.writestr(named, _TIME.sub(b"2000-01-01T00:00:00Z", old.read(member)))
                continue
            with old.open(member) as content, new.open(named, "w", force_zip64=True) as copy:
                shutil.copyfileobj(content, copy)


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    return value if isinstance(value, str | int | float | bool | None) else as_cell(value)


def _plain_item(value: Any) -> Any:
    return item_cell(value) if isinstance(value, list) else value


def _cells(values: list[Any], sheet: Any, make_cell: Any) -> list[Any]:
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if any(isinstance(value, str) and len(value) > MOST_CHARACTERS for value in values):
        values = [value[:MOST_CHARACTERS] if isinstance(value, str) else value for value in values]
        values[-1] = "; ".join(filter(None, (values[-1], _CUT)))
    cells = []
    for value in values:
        cell = make_cell(sheet, ILLEGAL_CHARACTERS_RE.sub("\ufffd", value) if isinstance(value, str) else value)
        if isinstance(value, str):
            cell.data_type = "s"  # what begins with = is no formula
        cells.append(cell)
    return cells
