"""Tagged lines of reference managers: RIS, and Web of Science's own tags, read with rispy, one record at a time."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import IO, Any

from biogpt.documents.field_names import clean_doi, clean_pmcid, clean_pmid, find_year
from biogpt.documents.types import Document, Metadata, make_document, title_and_abstract
from biogpt.errors import import_extra
from biogpt.files import Reading, describe_bytes, lines

RIS, WOS = "ris", "wos"

_PUBMED_LINK = re.compile(r"(?:pubmed\.ncbi\.nlm\.nih\.gov|ncbi\.nlm\.nih\.gov/pubmed)/(\d+)")
_RIS_LINE = re.compile(r"[A-Z][A-Z0-9]  -")
_WOS_LINE = re.compile(r"[A-Z][A-Z0-9](?: |$)")

Record = Mapping[str, list[str]]
"""Tag -> its values."""


def read_ris_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of RIS.

    Raises:
        MissingExtraError: rispy is not installed.
    """
    rispy = import_extra("rispy", "files")
    for number, texts in _records(stream, reading, _RIS_LINE, "TY"):
        record = _parse(rispy.RisParser, texts)
        types = [value for tag in ("M3", "TY") for value in record.get(tag, ())]
        link = next((found for tag in ("UR", "L2") for each in record.get(tag, ()) if (found := _pmid_in(each))), "")
        accession = clean_pmid(_first(record, "AN"))
        is_pubmed = "pubmed" in _first(record, "DB", "DP").lower() or "medline" in _first(record, "DB", "DP").lower()
        metadata = Metadata(
            pmid=link or (accession if is_pubmed else ""),
            pmcid=clean_pmcid(_first(record, "C2")),
            doi=clean_doi(_first(record, "DO", "UR")),
            year=find_year(_first(record, "PY", "Y1", "DA")),
            journal=_first(record, "JF", "JO", "T2", "JA", "J2"),
            language=_first(record, "LA"),
            publication_types=tuple(types[:1]),
            is_retracted=_says_retracted(_first(record, "TI", "T1")),
        )
        own = _first(record, "ID", "AN")
        title, abstract = _first(record, "TI", "T1", "CT", "BT"), _first(record, "AB", "N2")
        yield from _documents(number, own, title, abstract, metadata, RIS, reading)


def read_wos_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of Web of Science's tagged lines.

    Raises:
        MissingExtraError: rispy is not installed.
    """
    rispy = import_extra("rispy", "files")
    for number, texts in _records(stream, reading, _WOS_LINE, "PT"):
        record = _parse(rispy.WokParser, texts)
        metadata = Metadata(
            pmid=clean_pmid(_first(record, "PM")),
            doi=clean_doi(_first(record, "DI")),
            year=find_year(_first(record, "PY", "EY")),
            journal=_first(record, "SO"),
            language=_first(record, "LA"),
            publication_types=tuple(part.strip() for part in _first(record, "DT").split(";") if part.strip()),
            is_retracted="Retracted Publication" in _first(record, "DT") or _says_retracted(_first(record, "TI")),
        )
        own = _first(record, "UT")
        yield from _documents(number, own, _first(record, "TI"), _first(record, "AB"), metadata, WOS, reading)


def _documents(
    number: int, own: str, title: str, abstract: str, metadata: Metadata, format: str, reading: Reading
) -> Iterator[Document]:
    ids = (metadata.pmid, own, metadata.doi, f"{reading.path.name}:{number}")
    id = next(filter(None, ids))
    document = make_document(id, title_and_abstract(title, abstract), metadata=metadata, format=format)
    if document.text:
        yield document
    else:
        reading.report(number, f"the record {id} has neither a title nor an abstract; expected at least one.")


def _records(
    stream: IO[bytes], reading: Reading, tagged: re.Pattern[str], first: str
) -> Iterator[tuple[int, list[str]]]:
    """The lines of each record, with the number of the first."""
    record: list[str] = []
    start = 0
    is_broken = False
    for number, line in lines(stream, reading):
        try:
            text = line.decode().rstrip()
        except UnicodeDecodeError as error:
            if not is_broken:
                reading.report(number, describe_bytes(error))
            is_broken = True
            continue
        tag = text[:2] if tagged.match(text) else ""
        if tag == first or (tag == "ER" and record):
            if record and not is_broken:
                yield start, record
            record, is_broken = [], False
        if tag == first:
            start = number
        if tag == first or (record and text):
            record.append(text)
    if record and not is_broken:
        yield start, record


def _parse(parser: Any, texts: list[str]) -> Record:
    """A record's values by tag, in the order of the file; lines that continue a value are joined to it."""
    tags = defaultdict(str, {text[:2]: text[:2] for text in texts})
    many = [tag for tag in tags if tag not in (parser.START_TAG, "AB", "N2", "TI", "T1", "SO", "JF", "DT", "DE")]
    reader = parser(mapping=tags, list_tags=many, delimiter_tags_mapping={}, ignore=[], enforce_list_tags=False)
    found = reader.parse_lines(iter([*texts, "ER" if parser.__name__ == "WokParser" else "ER  - "]))
    return {tag: value if isinstance(value, list) else [value] for tag, value in found[0].items()} if found else {}


def _first(record: Record, *tags: str) -> str:
    """The first value of the first of these tags that has one."""
    return next((" ".join(value.split()) for tag in tags for value in record.get(tag, ()) if value.strip()), "")


def _pmid_in(link: str) -> str:
    found = _PUBMED_LINK.search(link)
    return found[1] if found else ""


def _says_retracted(title: str) -> bool:
    return title.upper().startswith(("RETRACTED:", "RETRACTED ARTICLE"))
