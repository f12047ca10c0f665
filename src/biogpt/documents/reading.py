"""Documents: files of literature -> `Article` objects, one at a time.

Reads JSON lines, PubMed XML and plain text, each also gzipped, in memory that does not grow with the file. A record
that cannot be used is handed to the caller with its place, and reading goes on; a file that is damaged as a whole
stops with one `DataError`. This is what pre-training reads; files with annotations are for `biogpt.documents.formats`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from biogpt.documents import json_lines, plain_text, pubmed
from biogpt.documents.types import Article
from biogpt.errors import DataError
from biogpt.files import Problem, Reading, open_stored, reporting_damage, unpack

Reader = Callable[[IO[bytes], Reading], Iterator[Article]]

_READERS: dict[str, Reader] = {
    ".jsonl": json_lines.read_articles,
    ".xml": pubmed.read_articles,
    ".txt": plain_text.read_articles,
}


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
    return _read(_READERS[article_format(path)], stored, reading, on_read)


def _read(
    reader: Reader, stored: IO[bytes], reading: Reading, on_read: Callable[[int], None] | None
) -> Iterator[Article]:
    with stored, reporting_damage(reading.path):
        yield from reader(unpack(reading.path, stored, on_read), reading)


def check_format(path: Path) -> None:
    """Make sure that files of this kind can be read, without opening it.

    Raises:
        DataError: the name has an unknown ending.
    """
    known = article_format(path)
    if known not in _READERS:
        endings = ", ".join(_READERS)
        message = f"Expected a name ending in {endings}, or these with .gz."
        raise DataError(f"Cannot tell by its name what {path} holds. {message}")


def article_format(path: Path) -> str:
    """The ending that decides how a file is read: `.jsonl`, `.xml`, `.txt`, or whatever stands before `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix
