"""Reading: files of literature, one article or document at a time, in memory that does not grow with the file.

A record that cannot be used is handed to the caller with its place, and reading goes on; a file that is damaged as a
whole stops with one `DataError`. `read_articles` is what pre-training reads, `read_documents` all else.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, TypeVar

from biogpt.documents import brat
from biogpt.documents.field_names import choose_columns
from biogpt.documents.registry import ARTICLE_READERS, READERS, check_documents, check_format, ending_of
from biogpt.documents.types import Article, Document
from biogpt.errors import InputError, suggest
from biogpt.files import Problem, Reading, is_zip, open_members, open_stored, reporting_damage, unpack

Record = TypeVar("Record", Article, Document)


def read_articles(
    path: str | Path,
    on_problem: Callable[[Problem], None],
    *,
    on_deletion: Callable[[str], None] | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Article]:
    """Read the documents of one file.

    Args:
        path: a `.jsonl`, `.xml` or `.txt` file, or one of these with `.gz` behind. JSON lines have some of title,
            abstract, body and text, and may have id, pmid or pmcid. XML is PubMed's (`PubmedArticleSet`,
            `MedlineCitationSet` or a single `MedlineCitation`). Plain text holds one document per block between
            blank lines.
        on_problem: called with each record that is skipped.
        on_deletion: called with each PMID that a PubMed update file withdraws.
        on_read: called with the number of bytes of the file, as stored, that were read since the last call.

    Returns:
        An iterator over the documents, in the file's order.

    Raises:
        DataError: the file cannot be opened, has an unknown kind, or (while iterating) is damaged as a whole: a broken
            gzip stream, XML that is not well-formed. What was read up to there has been returned by then.
    """
    path = Path(path)
    check_format(path)
    stored = open_stored(path)
    reading = Reading(path, on_problem, on_deletion or (lambda pmid: None))
    return _read(ARTICLE_READERS[ending_of(path)], stored, reading, on_read)


def read_documents(
    path: str | Path,
    on_problem: Callable[[Problem], None] | None = None,
    format: str | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Document]:
    """Read the documents of one file, in memory that does not grow with it.

        >>> for document in biogpt.read_documents("corpus.PubTator"):  # doctest: +SKIP
        ...     print(document.id, len(document.annotations))

    Args:
        path: the file; with `.gz` or `.zip` behind its name it is unpacked. For brat, a directory.
        on_problem: called with each record that is skipped; without, each is a `UserWarning`.
        format: one of `INPUT_FORMATS`; without, the file's name and content tell.
        columns: for tables and JSON, `text`, `title` and `id` by the column or key that holds them, where their names
            are none of the usual ones: `{"text": "Befund"}`.
        on_read: called with the number of bytes of the file, as stored, that were read since the last call.

    Returns:
        An iterator over the documents, in the file's order.

    Raises:
        DataError: the file cannot be opened, is in another encoding, lacks columns, or (while iterating) is damaged as
            a whole. What was read up to there has been returned by then.
        InputError: no such format.
        MissingExtraError: a package is not installed that the format needs.
    """
    path = Path(path)
    columns = choose_columns(**columns or {})
    format = check_documents(path, format, columns)
    reading = Reading(path, on_problem or _warn, columns=columns)
    if format == brat.NAME:
        return brat.read_documents(reading, on_read)
    return _read(READERS[format], open_stored(path), reading, on_read)


def read_stream(
    stream: IO[bytes],
    name: str | Path,
    on_problem: Callable[[Problem], None],
    format: str,
    columns: Mapping[str, str] | None = None,
) -> Iterator[Document]:
    """Read the documents of a stream, such as standard input, as they come in; the stream is closed in the end.

    Args:
        stream: what a file would hold; packed if the name ends in `.gz`.
        name: what problems and documents without an id are called by.
        on_problem: called with each record that is skipped.
        format: one of `INPUT_FORMATS`, but not brat, which is a directory.
        columns: as for `read_documents`.

    Raises:
        DataError: (while iterating) as `read_documents`.
        InputError: no such format.
    """
    if format not in READERS:
        known = ", ".join(READERS)
        raise InputError(f"Cannot read '{format}' from a stream.{suggest(format, READERS)} Expected one of {known}.")
    return _read(READERS[format], stream, Reading(Path(name), on_problem, columns=choose_columns(**columns or {})))


def _read(
    reader: Callable[[IO[bytes], Reading], Iterator[Record]],
    stored: IO[bytes],
    reading: Reading,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Record]:
    with stored, reporting_damage(reading.path):
        if is_zip(reading.path):
            for name, open_member in open_members(reading.path, stored):
                yield from reader(open_member(), replace(reading, path=name))
        else:
            yield from reader(unpack(reading.path, stored, on_read), reading)


def _warn(problem: Problem) -> None:
    warnings.warn(f"Skipped {problem}", UserWarning, stacklevel=3)
