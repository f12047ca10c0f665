"""Formats: which there are, how to tell them, and how to read and write them: `read_documents`,
`write_documents`, `open_writer`.

What each format keeps and what it cannot say is in the docstring of its module. Knows nothing of what was found or by
whom.
"""

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

from biogpt.documents import (
    bioc_json,
    bioc_xml,
    bioc_xml_writer,
    brat,
    json_lines,
    plain_text,
    pubmed,
    pubtator,
    tables,
)
from biogpt.documents.reading import article_format
from biogpt.documents.types import Document
from biogpt.documents.writing import Writer
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import (
    Problem,
    Reading,
    check_encoding,
    open_stored,
    peek,
    reporting_damage,
    unpack,
    writing_atomically,
)

RecordReader = Callable[[IO[bytes], Reading], Iterator[Document]]

_READERS: dict[str, RecordReader] = {
    plain_text.NAME: plain_text.read_documents,
    json_lines.NAME: json_lines.read_documents,
    tables.CSV: tables.read_csv_records,
    tables.TSV: tables.read_tsv_records,
    pubmed.NAME: pubmed.read_documents,
    pubtator.NAME: pubtator.read_documents,
    bioc_xml.NAME: bioc_xml.read_documents,
    bioc_json.NAME: bioc_json.read_documents,
}
_WRITERS: dict[str, Callable[..., Writer]] = {
    json_lines.NAME: json_lines.JsonLinesWriter,
    tables.CSV: functools.partial(tables.TableWriter, format=tables.CSV),
    tables.TSV: functools.partial(tables.TableWriter, format=tables.TSV),
    pubtator.NAME: pubtator.PubTatorWriter,
    bioc_xml.NAME: bioc_xml_writer.BiocXmlWriter,
    bioc_json.NAME: bioc_json.BiocJsonWriter,
    brat.NAME: brat.BratWriter,
}

INPUT_FORMATS = (*_READERS, brat.NAME)
"""The names of the formats that can be read."""
OUTPUT_FORMATS: Mapping[str, frozenset[str]] = {
    json_lines.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    tables.CSV: frozenset({"entities", "relations", "labels", "warnings"}),
    tables.TSV: frozenset({"entities", "relations", "labels", "warnings"}),
    pubtator.NAME: frozenset({"entities", "relations"}),
    bioc_xml.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    bioc_json.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    brat.NAME: frozenset({"entities", "relations"}),
}
"""The names of the formats that can be written, and which parts of `Extraction` each can say."""

_ENDINGS = {
    ".jsonl": json_lines.NAME,
    ".ndjson": json_lines.NAME,
    ".csv": tables.CSV,
    ".tsv": tables.TSV,
    ".pubtator": pubtator.NAME,
    ".xml": bioc_xml.NAME,
    ".json": bioc_json.NAME,
    ".txt": plain_text.NAME,
}
"""What a name says: alone for an output; an input's content decides between those that share an ending."""

_XML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>|\s)*<([A-Za-z_][\w.:-]*)", re.DOTALL
)
_MEDLINE_START = re.compile(rb"\s*PMID- ?\d+\s")
_PUBTATOR_START = re.compile(rb"\s*[^|\s]+\|[ta]\|")
_BIOC_KEYS = re.compile(rb'"(?:documents|passages|bioctype|PubTator3)"\s*:')


def read_documents(
    path: str | Path,
    on_problem: Callable[[Problem], None] | None = None,
    format: str | None = None,
    *,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Document]:
    """Read the documents of one file, in memory that does not grow with it.

    Args:
        path: the file; with `.gz` behind its name it is unpacked. For brat, a directory.
        on_problem: called with each record that is skipped; without, each is a `UserWarning`.
        format: one of `INPUT_FORMATS`; without, the file's name and content tell.
        on_read: called with the number of bytes of the file, as stored, that were read since the last call.

    Returns:
        An iterator over the documents, in the file's order.

    Raises:
        DataError: the file cannot be opened, is in another encoding, lacks columns, or (while iterating) is damaged as
            a whole. What was read up to there has been returned by then.
        InputError: no such format.
    """
    path = Path(path)
    format = check_documents(path, format)
    reading = Reading(path, on_problem or _warn)
    if format == brat.NAME:
        return brat.read_documents(reading, on_read)
    return _read(_READERS[format], open_stored(path), reading, on_read)


def _warn(problem: Problem) -> None:
    warnings.warn(f"Skipped {problem}", UserWarning, stacklevel=3)


def check_documents(path: Path, format: str | None = None) -> str:
    """Make sure, by a file's first bytes, that its records can be read.

    Args:
        path: the file; for brat, a directory.
        format: one of `INPUT_FORMATS`; without, the file's name and content tell.

    Returns:
        The format.

    Raises:
        DataError: the file cannot be opened, is in another encoding, or lacks columns.
        InputError: no such format.
    """
    if format is None:
        format = detect_format(path)
    elif format not in INPUT_FORMATS:
        known = ", ".join(INPUT_FORMATS)
        raise InputError(f"Unknown format '{format}'.{suggest(format, INPUT_FORMATS)} Expected one of {known}.")
    if format == brat.NAME:
        return format
    head = peek(path)
    if format not in (pubmed.NAME, bioc_xml.NAME):
        check_encoding(path, head)
    if format in tables.DELIMITERS:
        tables.check_columns(path, head, format)
    return format


def read_stream(
    stream: IO[bytes], name: str | Path, on_problem: Callable[[Problem], None], format: str
) -> Iterator[Document]:
    """Read the records of a stream, such as standard input, as they come in; the stream is closed in the end.

    Args:
        stream: what a file would hold; packed if the name ends in `.gz`.
        name: what problems and records without an id are called by.
        on_problem: called with each record that is skipped.
        format: one of `INPUT_FORMATS`, but not brat, which is a directory.

    Raises:
        DataError: (while iterating) as `read_documents`.
        InputError: no such format.
    """
    if format not in _READERS:
        known = ", ".join(_READERS)
        raise InputError(f"Cannot read '{format}' from a stream.{suggest(format, _READERS)} Expected one of {known}.")
    return _read(_READERS[format], stream, Reading(Path(name), on_problem), None)


def _read(
    reader: RecordReader, stored: IO[bytes], reading: Reading, on_read: Callable[[int], None] | None
) -> Iterator[Document]:
    with stored, reporting_damage(reading.path):
        yield from reader(unpack(reading.path, stored, on_read), reading)


def detect_format(path: Path) -> str:
    """The format of a file, by its name and where that leaves a choice by its content.

    Raises:
        DataError: neither tells, or the file cannot be opened.
    """
    if path.is_dir():
        return brat.NAME
    named = _ENDINGS.get(article_format(path), "")
    if named in (tables.CSV, tables.TSV, pubtator.NAME):
        return named
    head = peek(path)
    start = _XML_START.match(head.removeprefix(b"\xef\xbb\xbf"))
    if start is not None and named in ("", bioc_xml.NAME, plain_text.NAME):
        return _xml_format(path, start[1].decode())
    if named == bioc_xml.NAME:
        return pubmed.NAME  # not XML from its start, or in UTF-16: the parser says what it thinks of it
    if named in ("", plain_text.NAME) and _PUBTATOR_START.match(head):
        return pubtator.NAME
    if _MEDLINE_START.match(head):
        raise DataError(f"{path} holds MEDLINE's tagged lines (nbib). Expected PubMed XML; fetch it in that format.")
    if named == plain_text.NAME:
        return named
    if head.lstrip()[:1] in (b"{", b"[") or named:
        is_bioc = _BIOC_KEYS.search(head) is not None and (named != json_lines.NAME or b'"passages"' in head)
        return bioc_json.NAME if is_bioc else json_lines.NAME
    raise DataError(
        f"Cannot tell what {path} holds. Expected a name ending in {', '.join(_ENDINGS)}, maybe with .gz behind, or "
        f"say its format: one of {', '.join(INPUT_FORMATS)}."
    )


def _xml_format(path: Path, root: str) -> str:
    if root == bioc_xml.ROOT:
        return bioc_xml.NAME
    if root in pubmed.ROOTS:
        return pubmed.NAME
    roots = f"<{bioc_xml.ROOT}> (BioC), <{'>, <'.join(pubmed.ROOTS[:2])}> (PubMed)"
    raise DataError(f"{path}: the root element is <{root}>. Expected {roots}. Fetch it in one of these formats.")


def output_format(path: Path) -> str | None:
    """The format that an output's name asks for, or None where it does not tell."""
    known = _ENDINGS.get(path.suffix.lower())
    return known if known in OUTPUT_FORMATS else None


def open_writer(
    target: str | Path | BinaryIO, format: str, *, position: int = 0, columns: Sequence[str] = ()
) -> Writer:
    """Open an output for records.

    Args:
        target: a path (for brat, of a directory that is empty or missing), or a binary stream.
        format: one of `OUTPUT_FORMATS`.
        position: `Writer.position` of the run that is taken up again; what stands behind it is cut off.
        columns: for tables, the columns of items: see `biogpt.documents.tables.item_columns`.

    Raises:
        DataError: the output cannot be written.
        InputError: no such format; a directory for brat that is not empty.
    """
    if format not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise InputError(f"Unknown format '{format}'.{suggest(format, _WRITERS)} Expected one of {known}.")
    if format in tables.DELIMITERS:
        return _WRITERS[format](target, position, columns=columns)
    return _WRITERS[format](target, position)


def write_documents(documents: Iterable[Document], path: str | Path, format: str | None = None) -> int:
    """Write documents with what was extracted from them to one file, in memory that does not grow with it.

    The file appears under its name once all documents are in it, so that it may be the one that they are read from.

    Args:
        documents: for example from `read_documents` or `biogpt.Extractor.extract_documents`.
        path: the file, which is replaced where it exists. For brat, a directory that is empty or missing.
        format: one of `OUTPUT_FORMATS`; without, the ending of the file's name tells.

    Returns:
        How many documents were written.

    Raises:
        DataError: the file cannot be written, or (while reading) a file of documents is damaged as a whole.
        InputError: no such format, or the name does not tell it; a directory for brat that is not empty.

    Example:
        >>> from biogpt.documents import read_documents, write_documents
        >>> write_documents(read_documents("corpus.PubTator"), "corpus.json")  # doctest: +SKIP
        500
    """
    path = Path(path)
    format = format or output_format(path)
    if format is None:
        endings = ", ".join(ending for ending, name in _ENDINGS.items() if name in OUTPUT_FORMATS)
        raise InputError(
            f"Cannot tell by its name in which format to write {path}. Expected a name ending in {endings}, or a "
            f"format: one of {', '.join(OUTPUT_FORMATS)}."
        )
    num_documents = 0
    with contextlib.ExitStack() as stack:
        target = path if format == brat.NAME else stack.enter_context(_writing(path))
        writer = stack.enter_context(open_writer(target, format))
        for document in documents:
            writer.write(document)
            num_documents += 1
    return num_documents


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(writing_atomically(path))
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror}. Expected a writable place; check it.") from error
        yield file
