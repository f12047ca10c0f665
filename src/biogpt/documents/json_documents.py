"""JSON of documents: an array, an object of id -> document, or one document, laid out over any number of lines.

The lists in which services answer are opened: Europe PMC's `resultList`, OpenAlex's and Crossref's `results` and
`items`, Solr's `response`. Keys have their usual names (`field_names`); an abstract of OpenAlex, which is an index of
words, is put together. HTML in titles and abstracts is dissolved. A file that holds no document is one error.
"""

import html
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from biogpt.documents import doccano, json_lines, label_studio
from biogpt.documents.field_names import TEXTS, find_fields
from biogpt.documents.json_lines import NO_TEXT, article_of_fields, document_of
from biogpt.documents.json_stream import JsonScanner
from biogpt.documents.types import Document
from biogpt.errors import DataError
from biogpt.files import HEAD_BYTES, Reading, list_names

NAME = "json"
BIOC = "bioc-json"

_LISTS = ("documents", "articles", "records", "results", "result", "items", "data", "papers", "docs", "hits", "works")
_MOST_PARTS = 4  # of a document that have a title of their own, such as its journal
_OPENED = ("resultList", "response", "message", "data", "hits")
_BIOC_KEYS = re.compile(rb'"(?:passages|bioctype|PubTator3)"\s*:')
_TEXT_KEYS = re.compile(rb'"(?:title|abstract|text)"\s*:')
_OPENING = re.compile(rb"[\[{][\[{\s]*")
_TAG = re.compile(r"</?(?:[a-z]+:)?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>")
_HEADING = re.compile(r"<h4>\s*([^<]*?)[\s:]*</h4>")
_NESTED = {
    "pubYear": ("journalInfo", "yearOfPublication"),
    "journalTitle": ("journalInfo", "journal", "title"),
    "meshHeadings": ("meshHeadingList", "meshHeading", "descriptorName"),
    "publicationTypes": ("pubTypeList", "pubType"),
    "journal": ("primary_location", "source", "display_name"),
    "pmid": ("ids", "pmid"),
    "pmcid": ("ids", "pmcid"),
}
"""Keys that an object lacks, and where it has their values."""


def detect(head: bytes, named: str) -> str:
    """Which format of JSON this is.

    Args:
        head: the first bytes of the file.
        named: the format that its name says, if any.
    """
    is_lines = named == json_lines.NAME
    if label_studio.are_tasks(head):
        return label_studio.NAME
    if _BIOC_KEYS.search(head) or (not is_lines and b'"documents"' in head and not _TEXT_KEYS.search(head)):
        return BIOC
    start = head.lstrip()
    first, _, rest = start.partition(b"\n")
    if is_lines and not rest and len(head) >= HEAD_BYTES:
        return json_lines.NAME  # a line that is longer than what was looked at
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        is_spread = start[:1] == b"[" or _OPENING.fullmatch(first.strip()) is not None
        return NAME if is_spread or not is_lines else json_lines.NAME
    if doccano.is_labelled(value):
        return doccano.NAME
    if isinstance(value, dict) and (is_lines or any(field in TEXTS for field in find_fields(value))):
        return json_lines.NAME
    return NAME


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of JSON.

    Raises:
        DataError: it is not JSON, or holds no document.
    """
    scanner = JsonScanner(stream, reading, "JSON")
    num_read = number = 0
    keys: list[str] = []
    for key, value in _values(scanner, reading, keys):
        number += 1
        try:
            fields = _flatten(value)
            if key and isinstance(fields, dict) and "id" not in fields:
                fields = {"id": key, **fields}
            article = article_of_fields(fields, f"{reading.path.name}:{number}", reading.columns)
            document = document_of(fields, article, NAME, reading.columns)
            if not document.text:
                raise ValueError(NO_TEXT)
        except ValueError as error:
            if not num_read:
                raise DataError(f"{reading.path}: its first value is {error}"[:300]) from error
            reading.report(f"document {number}", str(error))
            continue
        num_read += 1
        yield document
    if not num_read:
        found = f"Found: {list_names(keys[:8])}." if keys else "Found nothing in it."
        raise DataError(
            f"{reading.path} holds no documents. Expected a JSON array or object of documents with title, abstract or "
            f"text. {found}"
        )


def _values(scanner: JsonScanner, reading: Reading, keys: list[str]) -> Iterator[tuple[str, Any]]:
    """Each value that may be a document, with its key where it has one."""
    while (first := scanner.next_character()) != "":
        if first == "[":
            for element in scanner.elements():
                yield "", element
        elif first == "{":
            yield from _members(scanner, reading, keys)
        else:
            scanner.fail("expected an object or a list")


def _members(scanner: JsonScanner, reading: Reading, keys: list[str]) -> Iterator[tuple[str, Any]]:
    """The documents in an object, or itself."""
    fields: dict[str, Any] = {}
    inner: dict[str, Any] = {}  # documents by their id, or parts of this one: its own text tells
    is_list = False
    for key in scanner.members():
        keys.append(key)
        first = scanner.next_character()
        if key in _LISTS and first == "[":
            is_list = True
            for element in scanner.elements():
                yield "", element
        elif key in _OPENED and first == "{":
            is_list = True
            yield from _members(scanner, reading, keys)
        else:
            value = scanner.value()
            if isinstance(value, dict) and _has_text(value, reading):
                inner[key] = value
            else:
                fields[key] = value
            if len(inner) > _MOST_PARTS and not _has_text(fields, reading):
                is_list = True
                yield from inner.items()
                inner.clear()
    if not is_list and _has_text(fields, reading):
        yield "", {**fields, **inner}
    else:
        yield from inner.items()


def _has_text(fields: dict[str, Any], reading: Reading) -> bool:
    names = find_fields(fields, reading.columns)
    return any(name in TEXTS and fields.get(names[name]) for name in names) or "abstract_inverted_index" in fields


def _flatten(value: Any) -> Any:
    """An object with its text and metadata under keys of its own."""
    if not isinstance(value, dict):
        return value
    fields = {key: each[0] if isinstance(each, list) and len(each) == 1 else each for key, each in value.items()}
    for key, place in _NESTED.items():
        if key not in fields and (found := _find(fields, place)):
            fields[key] = found
    index = fields.get("abstract_inverted_index")
    if isinstance(index, dict) and not fields.get("abstract"):
        words = sorted((place, word) for word, places in index.items() for place in places)
        fields["abstract"] = " ".join(word for _, word in words)
    names = find_fields(fields)
    for field in ("title", "abstract"):
        if isinstance(text := fields.get(names.get(field, "")), str) and "<" in text:
            plain = html.unescape(_TAG.sub("", _HEADING.sub(r" \1: ", text)))
            fields[names[field]] = " ".join(plain.split())
    return fields


def _find(value: Any, place: tuple[str, ...]) -> Any:
    """What stands at a place in nested objects; of lists, of all their objects."""
    for index, key in enumerate(place):
        if isinstance(value, list):
            found = [_find(each, place[index:]) for each in value]
            return found[0] if len(found) == 1 and not place[index:] else [each for each in found if each]
        value = value.get(key) if isinstance(value, dict) else None
    return value
