"""PubMed XML: titles, abstracts and what is known of citations (`Metadata`), the rest of them left alone.

XML indentation aside, text is kept as the file has it. An abstract's section labels are kept as `LABEL: `.
"""

import re
from collections.abc import Iterator
from typing import IO, Any

from biogpt.documents.field_names import clean_doi, clean_pmcid, find_year
from biogpt.documents.types import Article, Document, Metadata, make_document, title_and_abstract
from biogpt.documents.xml_stream import find_entity, forget, parse
from biogpt.files import Reading

NAME = "pubmed"

_BLANKS = re.compile(r"[ \t\r\n]+")
_DIGITS = re.compile(r"[0-9]{1,18}")
ROOTS = ("PubmedArticleSet", "MedlineCitationSet", "PubmedBookArticleSet", "PubmedArticle", "MedlineCitation")
_CITATIONS = ("MedlineCitation", "BookDocument")
_WRAPPERS = ("PubmedArticle", "PubmedBookArticle")
_YEARS = (
    "Article/Journal/JournalIssue/PubDate/Year",
    "Article/Journal/JournalIssue/PubDate/MedlineDate",
    "Article/ArticleDate/Year",
    "Book/PubDate/Year",
    "Book/PubDate/MedlineDate",
    "ContributionDate/Year",
)
_JOURNALS = ("Article/Journal/Title", "MedlineJournalInfo/MedlineTA", "Book/BookTitle")
_IS_RETRACTED = "Retracted Publication"


def read_articles(stream: IO[bytes], reading: Reading) -> Iterator[Article]:
    """The documents of a stream of PubMed XML. Withdrawn PMIDs are told to the reading."""
    for _, article in _read(stream, reading):
        yield article


def _read(stream: IO[bytes], reading: Reading) -> Iterator[tuple[Any, Article]]:
    """Each article with its citation."""
    number = 0
    expected = f"PubMed XML ({', '.join(ROOTS[:2])}); leave the file out"
    for event, element in parse(stream, reading, ROOTS, expected):
        if event == "start":
            continue
        if element.tag == "DeleteCitation":
            for pmid in element.iterfind("PMID"):
                reading.on_deletion((pmid.text or "").strip())
        elif element.tag in _CITATIONS and not _is_wrapped(element):
            number += 1
            if (article := _article_of_citation(element, number, reading)) is not None:
                yield element, article
        elif element.tag in _WRAPPERS:  # its identifiers stand behind the citation
            for citation in element.iterchildren(*_CITATIONS):
                number += 1
                if (article := _article_of_citation(citation, number, reading)) is not None:
                    yield citation, article
        else:
            continue
        forget(element)


def _is_wrapped(citation: Any) -> bool:
    parent = citation.getparent()
    return parent is not None and parent.tag in _WRAPPERS


def _article_of_citation(citation: Any, number: int, reading: Reading) -> Article | None:
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
        entity = "" if element is None else find_entity(element)
        if entity:
            reading.report(f"citation {number} (PMID {pmid})", f"the entity {entity}; expected characters.")
            return None
    return Article(
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


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of PubMed XML."""
    for citation, article in _read(stream, reading):
        passages = title_and_abstract(article.title, article.abstract)
        document = make_document(article.id, passages, metadata=_metadata(citation, article.pmid), format=NAME)
        if document.text:
            yield document
        else:
            reading.report(f"PMID {article.id}", "neither a title nor an abstract; expected at least one.")


def _metadata(citation: Any, pmid: str) -> Metadata:
    types = _texts(citation, "Article/PublicationTypeList/PublicationType") or _texts(citation, "PublicationType")
    comments = citation.iterfind("CommentsCorrectionsList/CommentsCorrections")
    wrapper = citation.getparent() if _is_wrapped(citation) else citation
    ids = {
        entry.get("IdType", ""): entry.text
        for entry in (
            *wrapper.iterfind("PubmedBookData/ArticleIdList/ArticleId"),
            *wrapper.iterfind("PubmedData/ArticleIdList/ArticleId"),
            *citation.iterfind("ArticleIdList/ArticleId"),
        )
    }
    dois = (
        entry.text
        for entry in citation.iterfind("Article/ELocationID")
        if entry.get("EIdType") == "doi" and entry.get("ValidYN") != "N"
    )
    return Metadata(
        pmid=pmid,
        pmcid=clean_pmcid(ids.get("pmc")),
        doi=clean_doi(next(dois, None) or ids.get("doi")),
        year=next((year for place in _YEARS if (year := find_year(citation.findtext(place)))), None),
        journal=next((text for place in _JOURNALS for text in _texts(citation, place)), ""),
        language=next(iter(_texts(citation, "Article/Language") or _texts(citation, "Language")), ""),
        mesh_headings=_texts(citation, "MeshHeadingList/MeshHeading/DescriptorName"),
        publication_types=types,
        is_retracted=_IS_RETRACTED in types or any(entry.get("RefType") == "RetractionIn" for entry in comments),
    )


def _texts(element: Any, place: str) -> tuple[str, ...]:
    return tuple(text for entry in element.iterfind(place) if (text := _element_text(entry)))
