"""Writing: documents with what was extracted from them, to one file or a stream."""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from biogpt.documents import brat, tables
from biogpt.documents.losses import Losses, losses_of_reading, losses_of_writing
from biogpt.documents.registry import ENDINGS, OUTPUT_FORMATS, WRITERS, output_format
from biogpt.documents.types import Document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import writing_atomically


def open_writer(
    target: str | Path | BinaryIO, format: str, *, position: int = 0, columns: Sequence[str] = ()
) -> Writer:
    """Open an output for documents.

    Args:
        target: a path (for brat, of a directory that is empty or missing), or a binary stream.
        format: one of `OUTPUT_FORMATS`.
        position: `Writer.position` of the run that is taken up again; what stands behind it is cut off.
        columns: for tables, the columns of items: see `biogpt.documents.tables.item_columns`.

    Raises:
        DataError: the output cannot be written.
        InputError: no such format; a directory for brat that is not empty.
    """
    if format not in WRITERS:
        known = ", ".join(WRITERS)
        raise InputError(f"Unknown format '{format}'.{suggest(format, WRITERS)} Expected one of {known}.")
    if format in tables.FORMATS:
        return WRITERS[format](target, position, columns=columns)
    return WRITERS[format](target, position)


def write_documents(
    documents: Iterable[Document],
    path: str | Path,
    format: str | None = None,
    *,
    on_loss: Callable[[str], None] | None = None,
) -> int:
    """Write documents with what was extracted from them to one file, in memory that does not grow with it.

    The file appears under its name once all documents are in it, so that it may be the one that they are read from.

    Args:
        documents: for example from `read_documents` or `biogpt.Extractor.extract_documents`.
        path: the file, which is replaced where it exists. For brat, a directory that is empty or missing.
        format: one of `OUTPUT_FORMATS`; without, the ending of the file's name tells.
        on_loss: called in the end with one line for each kind of thing that was not read or that the format cannot
            hold, with its count and its first example; without, each is a `UserWarning`. See `biogpt.documents.losses`.

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
        endings = ", ".join(ending for ending, name in ENDINGS.items() if name in OUTPUT_FORMATS)
        raise InputError(
            f"Cannot tell by its name in which format to write {path}. Expected a name ending in {endings}, or a "
            f"format: one of {', '.join(OUTPUT_FORMATS)}."
        )
    num_documents = 0
    losses = Losses()
    with contextlib.ExitStack() as stack:
        target = path if format == brat.NAME else stack.enter_context(_writing(path))
        writer = stack.enter_context(open_writer(target, format))
        for document in documents:
            writer.write(document)
            losses.add(losses_of_reading(document))
            losses.add(losses_of_writing(document, format))
            num_documents += 1
    for line in losses.lines():
        (on_loss or _warn)(line)
    return num_documents


def _warn(line: str) -> None:
    warnings.warn(line, UserWarning, stacklevel=3)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(writing_atomically(path))
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror}. Expected a writable place; check it.") from error
        yield file
