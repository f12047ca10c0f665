"""JATS, the XML of PubMed Central, Europe PMC and publishers: title and abstract, and the full text by passages.

The front matter gives title, abstract and metadata. Each paragraph, heading and caption of the body is a passage of its
own, which says its kind of section in PMC's words. What is read by default is title and abstract, as everywhere.
References, footnotes and the cells of tables are left out. Inline markup is dissolved.
"""

import re
from collections.abc import Iterator
from typing import IO, Any

from biogpt.documents.field_names import clean_doi, clean_pmcid, clean_pmid, find_year
from biogpt.documents.types import ABSTRACT, TITLE, Document, Metadata, Passage, make_document
from biogpt.documents.xml_stream import find_entity, forget, parse
from biogpt.files import Reading

NAME = "jats"
ROOTS = ("article", "pmc-articleset", "articles", "OAI-PMH")

_BLANKS = re.compile(r"\s+")
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_NOT_TEXT = frozenset((
    "fig", "fig-group", "table-wrap", "table-wrap-group", "tex-math", "annotation", "supplementary-material", "fn",
    "fn-group", "ref-list", "object-id", "label",
))  # fmt: skip
_OTHER_ABSTRACTS = ("graphical", "teaser", "toc", "summary", "editor-summary", "short", "web-summary", "key-points")
_YEARS = ("ppub", "collection", "epub", "pub", "")
_SECTIONS = (
    ("INTRO", r"intro|background|objective"),
    ("METHODS", r"method|material|subjects|patients|experimental|study design|statistical"),
    ("RESULTS", r"result|finding"),
    ("DISCUSS", r"discuss|limitation"),
    ("CONCL", r"conclu"),
    ("CASE", r"case|cases"),
    ("ABBR", r"abbrev"),
    ("ACK_FUND", r"acknowledg|fund|ack"),
    ("AUTH_CONT", r"author.* contribution|contribution"),
    ("COMP_INT", r"competing|conflict|disclosure"),
    ("SUPPL", r"suppl|additional|supporting"),
)
_SECTION_PATTERNS = tuple((name, re.compile(rf"\W*(?:\d[\d.]*\s+)?(?:{words})", re.I)) for name, words in _SECTIONS)


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The articles of a stream of JATS.

    Raises:
        DataError: it is not well-formed, or not JATS.
    """
    number = depth = 0
    for event, element in parse(stream, reading, ROOTS, f"JATS XML (<{ROOTS[0]}>)", _local):
        name = _local(element)
        if name != "article":
            continue
        depth += 1 if event == "start" else -1
        if event == "end" and depth == 0:
            number += 1
            document = _document_of(element, number, reading)
            forget(element)
            if document is not None:
                yield document


def _document_of(article: Any, number: int, reading: Reading) -> Document | None:
    for element in article.iter():
        if isinstance(element.tag, str):
            element.tag = _local(element)
    entity = find_entity(article)
    metadata = _metadata(article)
    id = metadata.pmid or metadata.pmcid or metadata.doi or f"{reading.path.name}:{number}"
    if entity:
        reading.report(f"article {number} ({id})", f"the entity {entity}; expected characters.")
        return None
    passages: list[Passage] = []
    offset = 0
    for text, type, section in _texts(article):
        passages.append(Passage(text, type, offset, section=section))
        offset += len(text) + 1
    document = make_document(id, passages, metadata=metadata, format=NAME)
    if document.text:
        return document
    reading.report(f"article {number} ({id})", "no text; expected a title, an abstract or a body.")
    return None


def _texts(article: Any) -> Iterator[tuple[str, str, str]]:
    """The text of each passage, its type and its section."""
    title = article.find("front/article-meta/title-group/article-title")
    if title is not None and (text := _text(title)):
        yield text, TITLE, "TITLE"
    abstracts = [
        entry
        for entry in article.iterfind("front/article-meta/abstract")
        if entry.get("abstract-type") not in _OTHER_ABSTRACTS
    ]
    if text := " ".join(part for entry in abstracts[:1] for part in _abstract(entry)):
        yield text, ABSTRACT, "ABSTRACT"
    for place in ("body", "floats-group", "back"):
        for element in article.iterfind(place):
            yield from ((text, "", section) for text, section in _walk(element, ""))


def _abstract(element: Any) -> Iterator[str]:
    """The paragraphs of an abstract, each section's with its label as PubMed has it."""
    for child in element:
        if child.tag == "sec":
            label = _text(child.find("title")).rstrip(":. ") if child.find("title") is not None else ""
            text = " ".join(part for part in _abstract(child) if part)
            yield f"{label}: {text}" if label and text else text
        elif child.tag not in ("title", "label") and (text := _text(child)):
            yield text


def _walk(element: Any, section: str) -> Iterator[tuple[str, str]]:
    for child in element.iterchildren("*"):
        if child.tag in ("sec", "app", "ack", "app-group", "boxed-text"):
            yield from _walk(child, section or _section_of(child))
        elif child.tag in ("fig", "fig-group", "table-wrap", "table-wrap-group"):
            yield from _captions(child)
        elif child.tag in ("title", "p", "list", "disp-quote", "statement", "def-list", "verse-group"):
            if text := _text(child):
                yield text, section
            for inside in child.iter("fig", "table-wrap"):
                yield from _captions(inside)


def _captions(element: Any) -> Iterator[tuple[str, str]]:
    for caption in element.iter("caption"):
        parent = caption.getparent().tag
        if text := _text(caption):
            yield text, "TABLE" if parent.startswith("table") else "FIG"


def _section_of(element: Any) -> str:
    """The kind of a section, by its type or else its heading."""
    heading = element.find("title")
    for said in (element.get("sec-type") or "", "" if heading is None else _text(heading), element.tag):
        for name, pattern in _SECTION_PATTERNS:
            if said and pattern.match(said):
                return name
    return "APPENDIX" if element.tag.startswith("app") else ""


def _text(element: Any) -> str:
    return _BLANKS.sub(" ", "".join(_pieces(element))).strip()


def _pieces(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            if child.tag in ("p", "title", "list-item", "break", "def"):
                yield " "
            yield from _pieces(child)
            if child.tag in ("p", "title", "list-item"):
                yield " "
        yield child.tail or ""


def _metadata(article: Any) -> Metadata:
    ids = {entry.get("pub-id-type", ""): _text(entry) for entry in article.iterfind("front/article-meta/article-id")}
    years = {
        entry.get("pub-type") or entry.get("publication-format") or "": find_year(entry.findtext("year"))
        for entry in article.iterfind("front/article-meta/pub-date")
    }
    titles = article.iterfind("front/journal-meta//journal-title")
    title = article.find("front/article-meta/title-group/article-title")
    return Metadata(
        pmid=clean_pmid(ids.get("pmid")),
        pmcid=clean_pmcid(ids.get("pmcid") or ids.get("pmc")),
        doi=clean_doi(ids.get("doi")),
        year=next((years[kind] for kind in (*_YEARS, *years) if years.get(kind)), None),
        journal=next((_text(entry) for entry in titles), ""),
        language=article.get(_LANGUAGE, ""),
        publication_types=tuple(
            text
            for entry in article.iterfind("front/article-meta/article-categories/subj-group/subject")
            if (text := _text(entry))
        ),
        is_retracted=title is not None and _text(title).upper().startswith(("RETRACTED:", "RETRACTED ARTICLE")),
    )


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
