"""BioC XML: a collection of documents, read one document at a time; `bioc_xml_writer` writes it."""

from collections.abc import Iterator
from typing import IO, Any

from lxml import etree

from biogpt.documents import bioc
from biogpt.documents.types import Document
from biogpt.documents.xml_stream import find_entity, forget, parse, parse_element
from biogpt.files import Reading

NAME = bioc.XML
ROOT = "collection"


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of BioC XML.

    Raises:
        DataError: it is not well-formed, or not BioC.
    """
    collection: dict[str, Any] = {"source": "", "date": "", "key": "", "infons": {}}
    number = 0
    for event, element in parse(stream, reading, (ROOT,), f"BioC XML (<{ROOT}>)"):
        if event == "start" and element.getparent() is None:
            collection["doctype"] = element.getroottree().docinfo.doctype
        if event == "start" or element.getparent() is None or element.getparent().tag != ROOT:
            continue
        if element.tag == "document":
            number += 1
            document = _document_of(element, number, collection, reading)
            forget(element)
            if document is not None:
                yield document
        elif element.tag == "infon":
            collection["infons"][element.get("key")] = element.text or ""
        elif element.tag in ("source", "date", "key"):
            collection[element.tag] = element.text or ""


def _document_of(element: Any, number: int, collection: Any, reading: Reading) -> Document | None:
    entity = find_entity(element)
    try:
        if entity:
            raise ValueError(f"the entity {entity}; expected characters.")
        native = etree.tostring(element, encoding="unicode", with_tail=False)
        return bioc.document_of(object_of(element), NAME, native, collection)
    except ValueError as error:
        id = (element.findtext("id") or "").strip()
        reading.report(f"document {number}" + (f" ({id})" if id else ""), str(error))
    return None


def read_document(native: str) -> bioc.Object:
    """The document in one element, as BioC JSON has it."""
    return object_of(parse_element(native))


def object_of(element: Any) -> bioc.Object:
    """A document's element as an object of BioC JSON."""
    return {
        "id": (element.findtext("id") or "").strip(),
        "infons": _infons(element),
        "passages": [
            {**_unit(passage), "sentences": [_unit(sentence) for sentence in passage.iterfind("sentence")]}
            for passage in element.iterfind("passage")
        ],
        **_marks(element),
    }


def _unit(element: Any) -> bioc.Object:
    text = element.findtext("text")
    named = {} if text is None else {"text": text}
    return {"offset": _number(element.findtext("offset")), "infons": _infons(element), **named, **_marks(element)}


def _marks(element: Any) -> bioc.Object:
    return {
        "annotations": [
            {
                "id": entry.get("id", ""),
                "infons": _infons(entry),
                "text": entry.findtext("text") or "",
                "locations": [
                    {key: _number(location.get(key)) for key in ("offset", "length")}
                    for location in entry.iterfind("location")
                ],
            }
            for entry in element.iterfind("annotation")
        ],
        "relations": [
            {
                "id": entry.get("id", ""),
                "infons": _infons(entry),
                "nodes": [dict(node.attrib) for node in entry.iterfind("node")],
            }
            for entry in element.iterfind("relation")
        ],
    }


def _number(text: str | None) -> int | str | None:
    """A number where it is one; what else stands there is judged with the rest of the document."""
    try:
        return int(text or "")
    except ValueError:
        return text


def _infons(element: Any) -> dict[str, str]:
    return {infon.get("key", ""): infon.text or "" for infon in element.iterfind("infon")}
