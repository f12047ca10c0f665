"""Formats: which there are, how to tell them, and the two doors: `read_records` and `open_writer`.

What each format can hold is in the docstring of its module. Knows nothing of what was found or by whom.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO

from biogpt.documents import json_lines, plain_text, pubmed
from biogpt.documents.document import Problem
from biogpt.documents.files import Reading, open_stored, reporting_damage, unpack
from biogpt.documents.reading import document_format
from biogpt.documents.record import Record
from biogpt.documents.writing import Writer
from biogpt.errors import InputError, suggest

RecordReader = Callable[[IO[bytes], Reading], Iterator[Record]]

READERS: dict[str, RecordReader] = {
    "text": plain_text.read_records,
    json_lines.NAME: json_lines.read_records,
    "pubmed": pubmed.read_records,
}
WRITERS: dict[str, Callable[..., Writer]] = {
    json_lines.NAME: json_lines.JsonLinesWriter,
}


def read_records(
    path: str | Path,
    on_problem: Callable[[Problem], None],
    format: str | None = None,
    *,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Record]:
    """Read the records of one file, in memory that does not grow with it.

    Args:
        path: the file; with `.gz` behind its name it is unpacked. For brat, a directory.
        on_problem: called with each record that is skipped.
        format: one of `READERS`; without, the file's name and content tell.
        on_read: called with the number of bytes of the file, as stored, that were read since the last call.

    Returns:
        An iterator over the records, in the file's order.

    Raises:
        DataError: the file can not be opened, is in another encoding, lacks columns, or (while iterating) is damaged as
            a whole. What was read up to there has been returned by then.
        InputError: no such format.
    """
    path = Path(path)
    if format is None:
        format = detect_format(path)
    elif format not in READERS:
        raise InputError(f"Unknown format '{format}'.{suggest(format, READERS)} Expected one of {', '.join(READERS)}.")
    return _read(READERS[format], open_stored(path), Reading(path, on_problem), on_read)


def _read(
    reader: RecordReader, stored: IO[bytes], reading: Reading, on_read: Callable[[int], None] | None
) -> Iterator[Record]:
    with stored, reporting_damage(reading.path):
        yield from reader(unpack(reading.path, stored, on_read), reading)


def detect_format(path: Path) -> str:
    """The format of a file, by its name and where that leaves a choice by its content.

    Raises:
        DataError: neither tells, or the file can not be opened.
    """
    return {".jsonl": "jsonl", ".txt": "text", ".xml": "pubmed"}[document_format(path)]


def open_writer(target: str | Path | BinaryIO, format: str, *, position: int = 0, slots: Sequence[str] = ()) -> Writer:
    """Open an output for records.

    Args:
        target: a path (for brat, of a directory), or a binary stream.
        format: one of `WRITERS`.
        position: `Writer.position` of the run that is taken up again; what stands behind it is cut off.
        slots: the names that items will have, for formats with columns: those of the task's slots.

    Raises:
        DataError: the output can not be written.
        InputError: no such format.
    """
    if format not in WRITERS:
        raise InputError(f"Unknown format '{format}'.{suggest(format, WRITERS)} Expected one of {', '.join(WRITERS)}.")
    return WRITERS[format](target, position)
