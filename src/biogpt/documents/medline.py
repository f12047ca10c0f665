"""MEDLINE's tagged lines (`.nbib`), as PubMed saves them under "PubMed": a tag of four characters, a dash, a value.

A value goes on in lines that begin with six spaces. A record ends at an empty line, or where the next PMID begins.
"""

from collections.abc import Iterator
from typing import IO

from biogpt.documents.field_names import clean_doi, clean_pmcid, clean_pmid, find_year
from biogpt.documents.types import Document, Metadata, make_document, title_and_abstract
from biogpt.files import Reading, describe_bytes, lines

NAME = "nbib"
FIRST_TAG = "PMID"

Record = dict[str, list[str]]
"""Tag -> its values."""


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of MEDLINE's tagged lines."""
    for number, record in _records(stream, reading):
        pmid = clean_pmid(_first(record, FIRST_TAG))
        if not pmid:
            reading.report(number, "a record without a PMID; expected 'PMID- ' and digits.")
            continue
        title = _first(record, "TI") or _first(record, "BTI") or _first(record, "CTI")
        passages = title_and_abstract(title, _first(record, "AB"))
        document = make_document(pmid, passages, metadata=_metadata(record, pmid), format=NAME)
        if document.text:
            yield document
        else:
            reading.report(number, f"PMID {pmid} has neither a title nor an abstract; expected at least one.")


def _records(stream: IO[bytes], reading: Reading) -> Iterator[tuple[int, Record]]:
    """Each record with the line that it begins in."""
    record: Record = {}
    start, tag = 0, ""
    is_broken = False
    for number, line in lines(stream, reading):
        try:
            text = line.decode().rstrip()
        except UnicodeDecodeError as error:
            if not is_broken:
                reading.report(number, describe_bytes(error))
            is_broken = True
            continue
        is_tagged = text[4:5] == "-" and text[:1].isalpha()
        if record and (not text or (is_tagged and text[:4] == FIRST_TAG)):
            if not is_broken:
                yield start, record
            record, is_broken = {}, False
        if is_tagged:
            start = start if record else number
            tag = text[:4].strip()
            record.setdefault(tag, []).append(text[6:].strip())
        elif text and tag in record:
            record[tag][-1] += f" {text.strip()}"
    if record and not is_broken:
        yield start, record


def _first(record: Record, tag: str) -> str:
    return record.get(tag, [""])[0]


def _metadata(record: Record, pmid: str) -> Metadata:
    dois = (value for tag in ("LID", "AID", "SO") for value in record.get(tag, ()) if tag == "SO" or "[doi]" in value)
    types = tuple(record.get("PT", ()))
    return Metadata(
        pmid=pmid,
        pmcid=clean_pmcid(_first(record, "PMC")),
        doi=clean_doi(next(dois, "")).rstrip("."),
        year=find_year(_first(record, "DP")),
        journal=_first(record, "JT") or _first(record, "TA"),
        language=_first(record, "LA"),
        mesh_headings=tuple(dict.fromkeys(value.partition("/")[0].strip("*") for value in record.get("MH", ()))),
        publication_types=types,
        is_retracted="Retracted Publication" in types or "RIN" in record,
    )
