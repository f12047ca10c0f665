"""Parquet: a table with types; see `tables`, of which this is one.

Columns of Parquet keep their types. Of a document of another format, `year` is a number, `is_retracted` a truth value,
`mesh_headings` and `publication_types` are lists; of an item, `start` and `end` are numbers, `score` is a number with a
point, and spans are lists of [start, end]. All is compressed with zstd.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents.spooled import SpooledWriter
from biogpt.documents.tables import PARQUET, as_cell, check_own_columns, documents_of_rows, own_cells, rows_of
from biogpt.documents.types import Document, free_name
from biogpt.errors import DataError, import_extra
from biogpt.files import Reading, seekable

NAME = PARQUET

_TYPED = ("year", "is_retracted", "mesh_headings", "publication_types")
_BATCH = 512  # rows that are read at once
_GROUP = 20_000  # rows of a row group


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of Parquet."""
    file = _open(stream, reading)
    yield from documents_of_rows(*_rows(file, reading), reading, NAME, collection=file.schema_arrow)


def read_rows(stream: IO[bytes], reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """The names of the columns, and the rows, each with its number.

    Raises:
        DataError: it is no Parquet.
        MissingExtraError: pyarrow is not installed.
    """
    return _rows(_open(stream, reading), reading)


def _open(stream: IO[bytes], reading: Reading) -> Any:
    pyarrow = import_extra("pyarrow", "files")
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(seekable(stream))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{reading.path} is no Parquet, or is cut off ({error}). Fetch the file again.") from error


def _rows(file: Any, reading: Reading) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    names = list(file.schema_arrow.names)

    def rows() -> Iterator[tuple[int, list[Any]]]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    number += 1
                    yield number, list(row)
        except OSError as error:
            raise DataError(f"{reading.path} is damaged behind row {number} ({error}). Fetch it again.") from error

    return names, rows()


class ParquetWriter(SpooledWriter):
    """Writes a row per item.

    Args:
        target: as for `Writer`.
        position: as for `Writer`.
        columns: those of the items, see `biogpt.documents.tables.item_columns`.
    """

    def __init__(self, target: str | Path | BinaryIO, position: int = 0, *, columns: Sequence[str] = ()) -> None:
        self._arrow = import_extra("pyarrow", "files")
        self._columns = (*(columns or ("items",)), "warnings")
        self._schema: Any = None
        super().__init__(target, position)
        if position and self.is_owner and not self._is_finished:
            with self._rows_path.open("rb") as rows:
                self._schema = self._arrow.ipc.read_schema(rows)

    def write(self, document: Document) -> None:
        if self._is_finished or self._schema is None:
            self._open_rows(document)
        names, head = own_cells(document)
        check_own_columns(document, names, self._schema.names, len(self._columns))
        if document.format != NAME:
            head = [_typed(document, name, cell) for name, cell in zip(names, head, strict=True)]
        rows = [[*head, *row] for row in rows_of(document, self._columns)]
        try:
            columns = [
                self._arrow.array([_fit(row[place], field.type) for row in rows], type=field.type)
                for place, field in enumerate(self._schema)
            ]
        except (self._arrow.ArrowException, ValueError, TypeError) as error:
            message = f"The document '{document.id}' does not fit the columns of the table being written ({error})."
            raise DataError(f"{message} Write files with different columns to different tables.") from error
        self._append(self._arrow.RecordBatch.from_arrays(columns, schema=self._schema).serialize())

    def _open_rows(self, document: Document) -> None:
        if self._is_finished:
            raise DataError(f"{self._target} is finished; nothing can be added. Name another output.")
        self._schema = _schema(self._arrow, document, self._columns)
        self._append(self._schema.serialize())

    def _append(self, data: Any) -> None:
        self.stream.write(data)
        self.position: int = self.position + data.size

    def finish(self, rows: BinaryIO, target: BinaryIO) -> None:
        from pyarrow import parquet

        schema = self._schema or self._arrow.schema([("id", self._arrow.string())])
        with parquet.ParquetWriter(target, schema, compression="zstd") as file:
            if self._schema is None:
                return
            group: list[Any] = []
            for batch in self._arrow.ipc.open_stream(rows):
                group.append(batch)
                if sum(map(len, group)) >= _GROUP:
                    file.write_table(self._arrow.Table.from_batches(group, schema))
                    group.clear()
            file.write_table(self._arrow.Table.from_batches(group, schema))


def _schema(arrow: Any, document: Document, columns: Sequence[str]) -> Any:
    text, number = arrow.string(), arrow.int64()
    listed = arrow.list_(text)
    own_types = dict(zip(_TYPED, (arrow.int32(), arrow.bool_(), listed, listed), strict=True))
    item_types = {"start": number, "end": number, "score": arrow.float64()}
    names, _ = own_cells(document)
    if document.format == NAME:
        types = {field.name: field.type for field in document.collection}
        fields = [arrow.field(name, types.get(name, text)) for name in names]
    else:
        fields = [arrow.field(name, own_types.get(name, text)) for name in names]
    for column in columns:
        type = arrow.list_(arrow.list_(number)) if column.endswith("_spans") else item_types.get(column, text)
        fields.append(arrow.field(free_name(column, [field.name for field in fields]), type))
    return arrow.schema(fields)


def _typed(document: Document, name: str, cell: Any) -> Any:
    """A cell of a document of another format: metadata with its type, also where a table of text had it."""
    return getattr(document.metadata, name, None) if name in _TYPED else cell


def _fit(value: Any, type: Any) -> Any:
    """A value as its column has it."""
    if value is None or str(type) != "string":
        return list(value) if isinstance(value, tuple) else value
    return value if isinstance(value, str) else as_cell(value)
