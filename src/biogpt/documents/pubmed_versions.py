"""PubMed XML, seen as an index: which citation of which version comes when, and which are withdrawn.

The citations come in the order in which `pubmed.read_documents` comes to them, also those that it cannot use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from lxml import etree

from biogpt.documents.xml_stream import SAFELY, forget, stopping_at_bad_xml
from biogpt.files import Reading

_CITATIONS = ("MedlineCitation", "BookDocument")


@dataclass(frozen=True, slots=True)
class CitationVersion:
    """One citation of a file, or one that the file withdraws."""

    pmid: str
    version: int | None
    """From 1; None for a withdrawal that names none, and so means all."""
    is_deletion: bool = False


def read_versions(stream: IO[bytes], reading: Reading) -> Iterator[CitationVersion]:
    """The citations of a stream of PubMed XML and its deletions, in the file's order.

    Raises:
        DataError: the XML is not well-formed. What came before has been returned by then.
    """
    tags = (*_CITATIONS, "DeleteCitation")
    with stopping_at_bad_xml(reading):
        for _, element in etree.iterparse(stream, events=("end",), tag=tags, **SAFELY):
            is_deletion = element.tag == "DeleteCitation"
            for pmid in element.iterfind("PMID"):
                number = (pmid.get("Version") or "").strip()
                version = int(number) if number.isdecimal() else (None if is_deletion else 1)
                yield CitationVersion((pmid.text or "").strip(), version, is_deletion)
                if not is_deletion:
                    break
            else:
                if not is_deletion:
                    yield CitationVersion("", 1)
            parent = element.getparent()
            forget(element)
            if parent is not None and parent.tag in ("PubmedArticle", "PubmedBookArticle"):
                while parent.getprevious() is not None:
                    del parent.getparent()[0]
