"""BioC JSON: a collection, a list of documents or collections, or a document a line; as PubTator and PMC serve it.

One document at a time is held. What an object holds besides BioC's own keys is kept. The output is one collection, with
what the first collection of the input says of itself, and its documents under the same key: `documents` or `PubTator3`.
Everything that can be found can be said: see `biogpt.documents.bioc`.
"""

import codecs
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from biogpt.documents import bioc
from biogpt.documents.bioc_xml import read_document
from biogpt.documents.types import Document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError
from biogpt.files import MAX_RECORD_BYTES, Reading, dump_json

NAME = bioc.JSON
NO_COLLECTION = {"source": "biogpt", "date": "", "key": "docs/formats.md of biogpt", "infons": {}}
"""What a collection says of itself where the input was none."""

_DOCUMENTS = (bioc.DOCUMENTS, "PubTator3")
_BLANKS = " \t\r\n"
_CHUNK = 1 << 16
_NEAR_END = 16  # characters: a token that ends this close to the end of what was read may go on behind it


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of BioC JSON.

    Raises:
        DataError: it is not JSON.
    """
    for number, (content, collection) in enumerate(_documents(_Scanner(stream, reading)), 1):
        try:
            yield bioc.document_of(content, NAME, content, collection)
        except (ValueError, AttributeError, TypeError) as error:
            reason = str(error) if type(error) is ValueError else "parts of the wrong kind; expected a BioC document."
            reading.report(f"document {number}", reason)


def _documents(scanner: "_Scanner") -> Iterator[tuple[Any, dict[str, Any]]]:
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


class _Scanner:
    """JSON values from a stream, one at a time."""

    def __init__(self, stream: IO[bytes], reading: Reading) -> None:
        self._stream = stream
        self._reading = reading
        self._decoder = json.JSONDecoder()
        self._characters = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._place = 0
        self._passed = 0
        self._is_finished = False

    def next_character(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _BLANKS:
                self._place += 1
            if self._place < len(self._text) or not self._read(_CHUNK):
                return self._text[self._place : self._place + 1]

    def elements(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        for _ in self._separated("]"):
            yield self.value()

    def members(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller reads each value before it asks for the next."""
        for _ in self._separated("}"):
            key = self.value()
            if not isinstance(key, str) or self.next_character() != ":":
                self.fail("expected a key and a colon")
            self._place += 1
            yield key

    def _separated(self, end: str) -> Iterator[None]:
        self._place += 1
        is_first = True
        while self.next_character() != end:
            if not is_first:
                if self.next_character() != ",":
                    self.fail(f"expected ',' or '{end}'")
                self._place += 1
            is_first = False
            yield
        self._place += 1

    def value(self) -> Any:
        """The value that begins here."""
        self.next_character()
        size = _CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _NEAR_END
                if not is_cut or not self._read(size):
                    self.fail(error.msg, error.pos)
                size *= 2
            except RecursionError:
                self.fail("nested too deeply")
            else:
                if end == len(self._text) and self._read(_CHUNK):
                    continue  # a number may go on
                self._passed += end
                self._text, self._place = self._text[end:], 0
                return value

    def _read(self, size: int) -> bool:
        """Take in more of the stream; False at its end."""
        if self._is_finished:
            return False
        if len(self._text) > MAX_RECORD_BYTES:
            self.fail(f"one document of {MAX_RECORD_BYTES >> 20} MB or more")
        data = self._stream.read(size)
        self._is_finished = not data
        try:
            self._text += self._characters.decode(data, final=self._is_finished)
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 (byte 0x{error.object[error.start]:02x}); expected UTF-8 text. Convert it."
            raise DataError(f"{self._reading.path} {message}") from error
        return True

    def fail(self, message: str, place: int | None = None) -> None:
        """Stop: what follows cannot be read."""
        character = self._passed + (self._place if place is None else place) + 1
        advice = "Expected BioC JSON; fetch the file again, or leave it out."
        raise DataError(f"{self._reading.path}: not JSON ({message}, character {character:,}). {advice}")


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
