"""BioC JSON: a collection, a list of documents or collections, or a document a line; as PubTator and PMC serve it.

One document at a time is held. What an object holds besides BioC's own keys is kept. The output is one collection, with
what the first collection of the input says of itself, and its documents under the same key: `documents` or `PubTator3`.
Everything that can be found can be said: see `biogpt.documents.bioc`.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents import bioc
from biogpt.documents.bioc_xml import read_document
from biogpt.documents.json_stream import JsonScanner
from biogpt.documents.types import Document
from biogpt.documents.writer import Writer
from biogpt.files import Reading, dump_json

NAME = bioc.JSON
NO_COLLECTION: dict[str, Any] = {"source": "biogpt", "date": "", "key": "docs/formats.md of biogpt", "infons": {}}
"""What a collection says of itself where the input was none."""

_DOCUMENTS = (bioc.DOCUMENTS, "PubTator3")


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of BioC JSON.

    Raises:
        DataError: it is not JSON.
    """
    for number, (content, collection) in enumerate(_documents(JsonScanner(stream, reading, "BioC JSON")), 1):
        try:
            yield bioc.document_of(content, NAME, content, collection)
        except (ValueError, AttributeError, TypeError) as error:
            reason = str(error) if type(error) is ValueError else "parts of the wrong kind; expected a BioC document."
            reading.report(f"document {number}", reason)


def _documents(scanner: JsonScanner) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each document with its collection."""
    while (first := scanner.next_character()) != "":
        if first == "[":
            for element in scanner.elements():
                yield from _unfold(element)
            continue
        if first != "{":
            scanner.fail("expected an object or a list")
        fields: dict[str, Any] = {}
        collection = bioc.Collection()
        is_collection = False
        for key in scanner.members():
            if key in _DOCUMENTS and scanner.next_character() == "[":
                is_collection = True
                collection.wrapper = key
                for element in scanner.elements():
                    yield element, collection
            else:
                fields[key] = collection[key] = scanner.value()
        if not is_collection:
            yield fields, {}


def _unfold(element: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    if isinstance(element, dict) and isinstance(element.get("documents"), list):
        collection = {key: value for key, value in element.items() if key != "documents"}
        for content in element["documents"]:
            yield content, collection
    else:
        yield element, {}


class BiocJsonWriter(Writer):
    """Writes one collection, a document a line."""

    def __init__(self, target: str | Path | BinaryIO, position: int = 0) -> None:
        super().__init__(target, position)
        self._collection: dict[str, Any] = {}
        self._num_opening = 0

    def encode(self, document: Document) -> str:
        return dump_json(content_of(document))

    def opening(self, document: Document) -> str:
        self._collection = document.collection if document.format in (NAME, bioc.XML) and document.collection else {}
        wrapper = getattr(document.collection, "wrapper", bioc.DOCUMENTS) if document.format == NAME else bioc.DOCUMENTS
        known = self._collection or (NO_COLLECTION if wrapper == bioc.DOCUMENTS else {})
        self._num_opening = len(known)
        head = "".join(f"{dump_json(key)}: {dump_json(value)}, " for key, value in known.items())
        return f"{{{head}{dump_json(wrapper)}: [\n"

    def separator(self) -> str:
        return ",\n"

    def closing(self) -> str:
        before = "" if self.position else '{"documents": ['
        late = list(self._collection.items())[self._num_opening :]  # the input had them behind its documents
        return before + "\n]" + "".join(f", {dump_json(key)}: {dump_json(value)}" for key, value in late) + "}\n"


def content_of(document: Document) -> bioc.Object:
    """A document as an object of BioC JSON, with what was found in it."""
    if document.format == NAME:
        content = document.native
    elif document.format == bioc.XML:
        content = read_document(document.native)
    else:
        content = bioc.content_of(document)
    if document.extraction is None:
        return content  # type: ignore[no-any-return]
    content = copy.deepcopy(content)
    added = bioc.insertion(document, content)
    _append(content, "infons", added.infons)
    for (index, *sentence), annotation in added.annotations:
        unit = content["passages"][index]
        for number in sentence:
            unit = unit["sentences"][number]
        _append(unit, "annotations", [annotation])
    _append(content, "relations", added.relations)
    return content  # type: ignore[no-any-return]


def _append(unit: bioc.Object, name: str, new: Any) -> None:
    known = unit.get(name)
    if not known:
        unit[name] = new
    elif isinstance(known, dict):
        known.update(new)
    else:
        known += new
