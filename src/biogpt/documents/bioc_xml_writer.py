"""BioC XML, written one document at a time.

A document keeps its elements, attributes and white space as they are; what was extracted is added. Characters that XML
cannot hold become U+FFFD, and keys of BioC JSON that BioC does not define are left out. Everything that can be found
can be said: see `biogpt.documents.bioc`.
"""

import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

from biogpt.documents import bioc
from biogpt.documents.bioc_json import NO_COLLECTION
from biogpt.documents.bioc_json import content_of as json_content_of
from biogpt.documents.bioc_xml import NAME, ROOT, object_of
from biogpt.documents.types import Document
from biogpt.documents.writer import Writer
from biogpt.documents.xml_stream import parse_element

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class BiocXmlWriter(Writer):
    """Writes one collection, a document after the other."""

    def encode(self, document: Document) -> str:
        if document.format != NAME:
            element = _new_document(json_content_of(document))
        elif document.extraction is None:
            return f"{document.native}\n"
        else:
            element = parse_element(document.native)
            _insert(element, bioc.insertion(document, object_of(element)))
        return f"{etree.tostring(element, encoding='unicode')}\n"

    def opening(self, document: Document) -> str:
        is_ours = document.format in (NAME, bioc.JSON) and document.collection
        return _opening(document.collection if is_ours else NO_COLLECTION)

    def closing(self) -> str:
        return ("" if self.position else _opening(NO_COLLECTION)) + "</collection>\n"


def _opening(collection: Mapping[str, Any]) -> str:
    parts = [_new(name, str(collection.get(name) or "")) for name in ("source", "date", "key")]
    parts += _new_infons(collection.get("infons") or {})
    head = ['<?xml version="1.0" encoding="UTF-8"?>', str(collection.get("doctype") or ""), f"<{ROOT}>"]
    return "".join(
        f"{line}\n" for line in (*head, *(etree.tostring(part, encoding="unicode") for part in parts)) if line
    )


def _new(tag: str, text: str | None = None, **attributes: str) -> Any:
    element = etree.Element(tag, {name: _clean(value) for name, value in attributes.items()})
    if text is not None:
        element.text = _clean(text)
    return element


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _new_infons(infons: Mapping[str, Any]) -> list[Any]:
    # Values that are no strings occur in JSON: numbers, true, lists, objects.
    return [_new("infon", "" if value is None else bioc.as_text(value), key=str(key)) for key, value in infons.items()]


def _new_document(document: bioc.Object) -> Any:
    element = _new("document")
    element.append(_new("id", str(document.get("id"))))
    element.extend(_new_infons(document.get("infons") or {}))
    for passage in document.get("passages") or ():
        unit = _new_unit("passage", passage)
        for sentence in passage.get("sentences") or ():
            unit.append(_new_unit("sentence", sentence))
        _append_marks(unit, passage)
        element.append(unit)
    _append_marks(element, document)
    return element


def _new_unit(tag: str, unit: bioc.Object) -> Any:
    element = _new(tag)
    element.extend(_new_infons(unit.get("infons") or {}))
    element.append(_new("offset", str(unit.get("offset"))))
    if unit.get("text"):
        element.append(_new("text", unit["text"]))
    if tag == "sentence":
        _append_marks(element, unit)
    return element


def _append_marks(element: Any, unit: bioc.Object) -> None:
    element.extend(_new_annotation(entry) for entry in unit.get("annotations") or ())
    element.extend(_new_relation(entry) for entry in unit.get("relations") or ())


def _new_annotation(entry: bioc.Object) -> Any:
    element = _new("annotation", id=str(entry.get("id", "")))
    element.extend(_new_infons(entry.get("infons") or {}))
    for location in entry.get("locations") or ():
        element.append(_new("location", offset=str(location["offset"]), length=str(location["length"])))
    element.append(_new("text", str(entry.get("text") or "")))
    return element


def _new_relation(entry: bioc.Object) -> Any:
    element = _new("relation", id=str(entry.get("id", "")))
    element.extend(_new_infons(entry.get("infons") or {}))
    for node in entry.get("nodes") or ():
        element.append(_new("node", refid=str(node.get("refid", "")), role=str(node.get("role") or "")))
    return element


def _insert(element: Any, added: bioc.Insertion) -> None:
    passages = element.findall("passage")
    for infon in _new_infons(added.infons):
        _put(element, infon, after=("infon", "id"))
    for (index, *sentence), annotation in added.annotations:
        unit = passages[index]
        for number in sentence:
            unit = unit.findall("sentence")[number]
        _put(unit, _new_annotation(annotation), after=("annotation", "sentence", "text", "offset"))
    for relation in added.relations:
        element.append(_new_relation(relation))


def _put(parent: Any, new: Any, after: tuple[str, ...]) -> None:
    """Put an element behind the last of the first of these kinds that there is."""
    for tag in after:
        known = parent.findall(tag)
        if known:
            known[-1].addnext(new)  # moves the white space behind `known` behind `new`
            return
    parent.append(new)
