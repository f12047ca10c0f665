"""Documents: files of literature -> `Document` objects, one at a time.

Reads JSON lines, PubMed XML and plain text, each also gzipped, in memory that does not grow with the file. A record
that can not be used is handed to the caller with its place, and reading goes on; a file that is damaged as a whole
stops with one `DataError`. Text is kept as the file has it (XML indentation aside): this module knows nothing of
tokens, duplicates or splits, and never imports torch.
"""

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from biogpt.errors import DataError, MissingExtraError, suggest

TEXT_FIELDS = ("title", "abstract", "body")
"""The fields of a `Document` that hold its text, in reading order."""

_MAX_RECORD_BYTES = 64 << 20  # a longer line is not a record but a file of another kind: one JSON array, a binary
_ENDS_IN_WORD = re.compile(r"\w$")
_BLANKS = re.compile(r"[ \t\r\n]+")
_DIGITS = re.compile(r"[0-9]{1,18}")
_LXML_PLACE = re.compile(r",? *line \d+, column \d+$")


@dataclass(frozen=True, slots=True)
class Document:
    """One article, or one piece of text without known parts."""

    id: str
    """What the file calls it: its id, PMID or PMCID; otherwise `file name:line`."""
    title: str = ""
    """The title as printed, or empty."""
    abstract: str = ""
    """The abstract, section labels kept as `LABEL: `. Text without known parts is kept here."""
    body: str = ""
    """The full text after the abstract, or empty."""
    pmid: str = ""
    """The PubMed id in digits, or empty. Two documents with the same one are the same article."""

    def text(self, fields: Iterable[str] = ("title", "abstract")) -> str:
        """The chosen fields as one running text.

        As in the paper's data, fields are joined by a space and a title that ends in a word character gets a full stop.

        Args:
            fields: names out of `TEXT_FIELDS`.
        """
        parts: list[str] = []
        for field in fields:
            part: str = getattr(self, field).strip()
            if field == "title" and _ENDS_IN_WORD.search(part):
                part += "."
            if part:
                parts.append(part)
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One record that could not be used."""

    place: str
    """`file:line`, or `file: citation number (PMID)`."""
    message: str
    """What was got and what was expected."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a reader of one format needs to know of the reading that it serves."""

    path: Path
    on_problem: Callable[[Problem], None]
    on_deletion: Callable[[str], None]

    def report(self, place: int | str, message: str) -> None:
        separator = ":" if isinstance(place, int) else ": "
        self.on_problem(Problem(f"{self.path}{separator}{place}", message))


def read_documents(
    path: str | Path,
    on_problem: Callable[[Problem], None],
    *,
    on_deletion: Callable[[str], None] | None = None,
    on_read: Callable[[int], None] | None = None,
) -> Iterator[Document]:
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
        DataError: the file can not be opened, has an unknown kind, or (while iterating) is damaged as a whole: a broken
            gzip stream, XML that is not well-formed. What was read up to there has been returned by then.
        MissingExtraError: XML without lxml.
    """
    path = Path(path)
    check_format(path)
    try:
        stored = path.open("rb")
    except OSError as error:
        raise DataError(f"Can not read {path}: {error.strerror}. Expected a readable file; check the path.") from error
    reading = _Reading(path, on_problem, on_deletion or _ignore)
    return _read(_READERS[document_format(path)], stored, reading, on_read)


def check_format(path: Path) -> None:
    """Make sure that files of this kind can be read, without opening it.

    Raises:
        DataError: the name has an unknown ending.
        MissingExtraError: XML without lxml.
    """
    known = document_format(path)
    if known not in _READERS:
        endings = ", ".join(_READERS)
        message = f"Expected a name ending in {endings}, or these with .gz."
        raise DataError(f"Can not tell by its name what {path} holds. {message}")
    if known == ".xml":
        try:
            import lxml.etree  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("lxml", "train") from error


def document_format(path: Path) -> str:
    """The ending that decides how a file is read: `.jsonl`, `.xml`, `.txt`, or whatever stands before `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _ignore(_: str) -> None:
    pass


Reader = Callable[[IO[bytes], _Reading], Iterator[Document]]


def _read(
    reader: Reader, stored: IO[bytes], reading: _Reading, on_read: Callable[[int], None] | None
) -> Iterator[Document]:
    with stored:
        counted = io.BufferedReader(_CountedFile(stored, on_read), 1 << 18) if on_read else stored
        stream: IO[bytes] = counted
        if reading.path.name.lower().endswith(".gz"):
            stream = gzip.GzipFile(fileobj=stream)  # type: ignore[assignment]
        try:
            yield from reader(stream, reading)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            message = f"the gzip stream is damaged or cut off ({error}). Fetch the file again, or leave it out."
            raise DataError(f"{reading.path}: {message}") from error
        except OSError as error:
            message = f"reading failed ({error.strerror}). Check the disk or the connection."
            raise DataError(f"{reading.path}: {message}") from error


class _CountedFile(io.RawIOBase):
    """A file that tells how many bytes were read from it."""

    def __init__(self, stored: IO[bytes], on_read: Callable[[int], None]) -> None:
        self._stored = stored
        self._on_read = on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._stored.readinto(buffer)  # type: ignore[attr-defined]
        self._on_read(count)
        return count


def _lines(stream: IO[bytes], reading: _Reading) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(_MAX_RECORD_BYTES):
        number += 1
        if len(line) == _MAX_RECORD_BYTES:
            message = f"a line of {_MAX_RECORD_BYTES >> 20} MB or more. Expected one record a line; convert the file."
            raise DataError(f"{reading.path}:{number}: {message}")
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _read_jsonl(stream: IO[bytes], reading: _Reading) -> Iterator[Document]:
    for number, line in _lines(stream, reading):
        if not line.strip():
            continue
        try:
            yield _document_of_record(json.loads(line.decode()), f"{reading.path.name}:{number}")
        except UnicodeDecodeError as error:
            reading.report(number, _describe_bytes(error))
        except RecursionError:
            reading.report(number, "JSON nested too deeply; expected one flat object a line.")
        except json.JSONDecodeError as error:
            reading.report(number, f"not JSON ({error.msg} at column {error.colno}); expected one object a line.")
        except ValueError as error:
            reading.report(number, str(error))


def _describe_bytes(error: UnicodeDecodeError) -> str:
    return f"byte {error.start + 1} (0x{error.object[error.start]:02x}) is not UTF-8; expected UTF-8 text."


def _document_of_record(record: object, fallback_id: str) -> Document:
    """The document in one JSON object.

    Raises:
        ValueError: what is wrong with the record.
    """
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}; expected an object with title, abstract, body or text.")
    texts = {name: _string(record, name) for name in (*TEXT_FIELDS, "text") if name in record}
    if not texts:
        near = next((hint for name in record if (hint := suggest(str(name).lower(), (*TEXT_FIELDS, "text")))), "")
        raise ValueError(f"has none of title, abstract, body and text.{near}")
    pmid = _string(record, "pmid").strip()
    ids = (_string(record, name).strip() for name in ("id", "pmid", "pmcid"))
    return Document(
        id=next(filter(None, ids), fallback_id),
        title=texts.get("title", ""),
        abstract=texts.get("abstract") or ("" if texts.get("title") or texts.get("body") else texts.get("text", "")),
        body=texts.get("body", ""),
        pmid=pmid if _DIGITS.fullmatch(pmid) else "",
    )


def _string(record: dict[Any, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name not in (*TEXT_FIELDS, "text"):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is a {type(value).__name__}; expected a string.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{name}' holds half of a surrogate pair; expected text that UTF-8 can hold.") from None
    return value


def _read_text(stream: IO[bytes], reading: _Reading) -> Iterator[Document]:
    block: list[str] = []
    start = 0
    is_broken = False

    def finish() -> Iterator[Document]:
        if block and not is_broken:
            yield Document(id=f"{reading.path.name}:{start}", abstract="\n".join(block))

    for number, line in _lines(stream, reading):
        if not line.strip():
            yield from finish()
            block, is_broken = [], False
            continue
        if not block:
            start = number
        try:
            block.append(line.decode().rstrip("\r\n"))
        except UnicodeDecodeError as error:
            if not is_broken:
                reading.report(number, _describe_bytes(error))
            block.append("")
            is_broken = True
    yield from finish()


_ROOTS = ("PubmedArticleSet", "MedlineCitationSet", "PubmedBookArticleSet", "PubmedArticle", "MedlineCitation")
_CITATIONS = ("MedlineCitation", "BookDocument")


def _read_pubmed_xml(stream: IO[bytes], reading: _Reading) -> Iterator[Document]:
    from lxml import etree

    # Neither the network nor the disk is asked for a DTD, and entities stay unexpanded: a hostile file costs nothing.
    events = etree.iterparse(
        stream,
        events=("start", "end"),
        load_dtd=False,
        no_network=True,
        resolve_entities=False,
        remove_comments=True,
        remove_pis=True,
        huge_tree=False,
    )
    number = 0
    is_first = True
    try:
        for event, element in events:
            if is_first:
                is_first = False
                _check_root(str(element.tag), reading)
            if event == "start":
                continue
            if element.tag == "DeleteCitation":
                for pmid in element.iterfind("PMID"):
                    reading.on_deletion((pmid.text or "").strip())
            elif element.tag in _CITATIONS:
                number += 1
                document = _document_of_citation(element, number, reading)
                if document is not None:
                    yield document
            elif element.tag not in ("PubmedArticle", "PubmedBookArticle"):
                continue
            _forget(element)
    except etree.XMLSyntaxError as error:
        reason = _LXML_PLACE.sub("", error.msg)
        message = f"not well-formed XML ({reason}). Fetch the file again, or leave it out."
        raise DataError(f"{reading.path}:{error.lineno or 1}: {message}") from error


def _check_root(tag: str, reading: _Reading) -> None:
    if tag not in _ROOTS:
        message = f"the root element is <{tag}>. Expected PubMed XML ({', '.join(_ROOTS[:2])}); leave the file out."
        raise DataError(f"{reading.path}: {message}")


def _forget(element: Any) -> None:
    """Free an element that was read, and everything before it."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def _document_of_citation(citation: Any, number: int, reading: _Reading) -> Document | None:
    from lxml import etree

    pmid = (citation.findtext("PMID") or "").strip()
    if not _DIGITS.fullmatch(pmid):
        got = f"the PMID '{pmid}'" if pmid else "no PMID"
        reading.report(f"citation {number}", f"a citation with {got}; expected digits.")
        return None
    # An article has its parts in <Article>, a book chapter directly below. Only these places are looked at: the same
    # names occur elsewhere with another meaning (a comment's PMID, a translation's AbstractText in <OtherAbstract>).
    article = citation if citation.tag == "BookDocument" else citation.find("Article")
    title = None if article is None else article.find("ArticleTitle")
    if title is None and article is not None:
        title = article.find("Book/BookTitle")
    sections = [] if article is None else article.findall("Abstract/AbstractText")
    if title is None and not sections:
        reading.report(f"citation {number} (PMID {pmid})", "neither a title nor an abstract; expected at least one.")
        return None
    for element in (title, *sections):
        entity = None if element is None else next(element.iter(etree.Entity), None)
        if entity is not None:
            reading.report(f"citation {number} (PMID {pmid})", f"the entity {entity.text}; expected characters.")
            return None
    return Document(
        id=pmid,
        title="" if title is None else _title_text(title),
        abstract=" ".join(text for section in sections if (text := _section_text(section))),
        pmid=pmid,
    )


def _element_text(element: Any) -> str:
    """All text inside, inline markup (<i>, <sup>, MathML) dissolved and indentation reduced to single spaces."""
    return _BLANKS.sub(" ", "".join(element.itertext())).strip()


# What NLM prints where there is no title.
_NO_TITLE = frozenset(("[Not Available]", "[In Process Citation]"))


def _title_text(element: Any) -> str:
    text = _element_text(element)
    return "" if text.rstrip(".") in _NO_TITLE else text


def _section_text(element: Any) -> str:
    text = _element_text(element)
    label = (element.get("Label") or "").strip().rstrip(":")
    if not text or not label or label.upper() == "UNLABELLED":
        return text
    return f"{label}: {text}"


_READERS: dict[str, Reader] = {".jsonl": _read_jsonl, ".xml": _read_pubmed_xml, ".txt": _read_text}
