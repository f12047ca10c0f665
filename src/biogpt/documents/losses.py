"""Losses: what of a document was not read, and what a format could not hold, counted with the first example of each.

Nothing here changes a document. `losses_of_reading` and `losses_of_writing` say what is missing of one document;
`Losses` adds up.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from biogpt.documents import bioc, brat, pubtator
from biogpt.documents.bioc_xml import read_document
from biogpt.documents.field_names import find_fields
from biogpt.documents.offsets import find_counting, is_in_unread_passage
from biogpt.documents.registry import OUTPUT_FORMATS
from biogpt.documents.tables import FORMATS, Row
from biogpt.documents.types import TEXT_FIELDS, Document, EntityRelation

_BIOC = (bioc.XML, bioc.JSON)
_OPEN = (*FORMATS, "jsonl", "json")
"""Formats with keys or columns of the user's own."""
_KNOWN_KEYS = {
    *TEXT_FIELDS,
    "text",
    "id",
    "pmid",
    "pmcid",
    "annotations",
    "relations",
    "items",
    "warnings",
    "annotator",
}
_MIN_TEXT = 100  # characters, and words: what is shorter is a name, a list of authors, a date
_MIN_WORDS = 15
_MAX_NAMES = 12
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Loss:
    """Something of one document that is missing in what comes next."""

    kind: str
    """What was lost, in plain words, and what to do where something can be done."""
    example: str
    names: tuple[str, ...] = ()
    """Of keys or columns."""
    number: int = 1


class Losses:
    """Losses of many documents, by kind.

    Args:
        facts: what `to_facts` of an earlier call gave.
    """

    def __init__(self, facts: Any = None) -> None:
        self._kinds: dict[str, tuple[int, str, dict[str, None]]] = {
            kind: (int(number), str(example), dict.fromkeys(names))
            for kind, (number, example, names) in (facts or {}).items()
        }

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def add(self, losses: Iterable[Loss]) -> None:
        """Count the losses of one document."""
        for loss in losses:
            number, example, names = self._kinds.get(loss.kind, (0, loss.example, {}))
            names.update(dict.fromkeys(loss.names))
            self._kinds[loss.kind] = (number + loss.number, example, names)

    def lines(self) -> list[str]:
        """One line a kind: `annotations whose text is not at their offsets: 3; the first: 'gout' of document 8`."""
        return [
            f"{kind}{_in_brackets(list(names))}: {number:,}; the first: {example}"
            for kind, (number, example, names) in self._kinds.items()
        ]

    def to_facts(self) -> dict[str, list[Any]]:
        """All of it as JSON can hold it."""
        return {kind: [number, example, list(names)] for kind, (number, example, names) in self._kinds.items()}


def _in_brackets(names: list[str]) -> str:
    if not names:
        return ""
    more = f", and {len(names) - _MAX_NAMES} others" if len(names) > _MAX_NAMES else ""
    return f" ({', '.join(' '.join(name.split()) for name in names[:_MAX_NAMES])}{more})"


def losses_of_reading(document: Document) -> Iterator[Loss]:
    """What the file says of a document and the model does not read, or nobody can place."""
    for annotation in document.annotations:
        if annotation.spans:
            continue
        where = f" at {annotation.places[0][0]}" if annotation.places else ""
        example = f"'{_short(annotation.text)}'{where} in document {document.id}"
        if not annotation.places:
            yield Loss("annotations without a place in the text", example)
        elif is_in_unread_passage(document, annotation):
            yield Loss("annotations in passages that were not read (--passages all reads them)", example)
        elif found := find_counting(document, annotation):
            hint = f"counted {found[0]} they fit, --fix-offsets mends them"
            yield Loss(f"annotations whose text is not at their offsets; {hint}", example)
        else:
            yield Loss("annotations whose text is not at their offsets", example)
    read = {part.passage.path for part in document.parts}
    unread = [passage for passage in document.passages if passage.path not in read and passage.text.strip()]
    if unread:
        size = sum(len(passage.text) for passage in unread)
        kind = "documents with text that was not read, beside title and abstract (--passages all reads it)"
        yield Loss(kind, f"{size:,} characters of document {document.id}")
    # The columns of a table are named as it is opened; see `biogpt.documents.tables`.
    values = [] if document.format in FORMATS else _own_values(document)
    names = tuple(name for name, value in values if _is_unread_text(document, value))
    if names:
        yield Loss("documents with text under keys that were not read", f"document {document.id}", names)


def losses_of_writing(document: Document, format: str) -> Iterator[Loss]:
    """What a format cannot hold of a document and of what was found in it.

    Args:
        document: with its extraction, where it has one.
        format: one of `OUTPUT_FORMATS`.
    """
    home = f"document {document.id}"
    extraction = document.extraction
    is_kept_whole = (document.format, format) == ("json", "jsonl")  # the same object, on one line
    if document.format != format and not is_kept_whole:
        yield from _losses_of_conversion(document, format)
    if extraction is None:
        return
    able = OUTPUT_FORMATS[format]
    for name, part, lost in (
        ("labels and answers", "labels", extraction.labels),
        ("warnings", "warnings", extraction.warnings),
    ):
        if lost and part not in able:
            yield Loss(f"{name}, which {format} cannot hold", home, number=len(lost))
    if format in (pubtator.NAME, brat.NAME):
        for relation in extraction.relations:
            if not _has_two(relation, is_located=format == brat.NAME):
                yield Loss(_no_pair(format), f"{_described(relation)} in {home}")
    if format in (*_BIOC, pubtator.NAME, brat.NAME):
        for entity in extraction.entities:
            if not entity.spans:
                kind = f"entities whose name is not in the text, which {format} cannot hold"
                yield Loss(kind, f"'{_short(entity.name)}' in {home}")


def _losses_of_conversion(document: Document, format: str) -> Iterator[Loss]:
    home = f"document {document.id}"
    if format in (pubtator.NAME, brat.NAME):
        for relation in document.relations:
            found = relation.resolve(document.annotations) if format == brat.NAME else relation.arguments
            is_held = len(found) == 2 and (format == pubtator.NAME or all(each and each.spans for each in found))  # type: ignore[union-attr]
            if not is_held:
                yield Loss(_no_pair(format), f"{relation.type} {relation.id}".strip() + f" in {home}")
    if format == pubtator.NAME:
        for annotation in document.annotations:
            if len(annotation.spans) > 1:
                kind = "mentions in fragments, which pubtator holds as one from the first character to the last"
                yield Loss(kind, f"'{_short(annotation.text)}' in {home}")
    if document.format == brat.NAME:
        for line in document.native.lines:
            if line[:1] in "EAM*#":
                kind = f"events, attributes, equivalences and notes of brat, which {format} cannot hold"
                yield Loss(kind, f"{_short(line)} in {home}")
    names = [name for name in _others(document, format) if name]
    if names:
        yield Loss(f"documents with metadata that {format} does not hold", home, tuple(dict.fromkeys(names)))


def _others(document: Document, format: str) -> Iterator[str]:
    """The names of what a document has besides text, annotations and relations."""
    metadata = document.metadata
    if metadata is not None and format in (pubtator.NAME, brat.NAME):
        yield from (name for name in metadata.to_dict() if name != "pmid")
    if document.format in _OPEN:
        values = _own_values(document)
        read = set(find_fields(name for name, _ in values).values())
        yield from (
            name
            for name, value in values
            if value and name not in read and name.strip().lower() not in _KNOWN_KEYS and not _is_read(document, value)
        )
    elif document.format in _BIOC and format not in _BIOC:
        native = document.native
        yield from bioc.unread_infons(read_document(native) if document.format == bioc.XML else native)


def _is_read(document: Document, value: Any) -> bool:
    """Whether a value is the document's id or a passage: the user may have named its column."""
    text = str(value).strip()
    return text == document.id or any(text == passage.text.strip() for passage in document.passages)


def _own_values(document: Document) -> list[tuple[str, Any]]:
    """The keys or columns of a document with what stands in them."""
    native = document.native
    if document.format not in _OPEN or native is None:
        return []
    if isinstance(native, dict):
        return [(str(name), value) for name, value in native.items()]
    if isinstance(native, Row):
        return list(zip(native.header, native.cells, strict=False))
    return []


def _is_unread_text(document: Document, value: Any) -> bool:
    if not isinstance(value, str) or len(value) < _MIN_TEXT or len(value.split()) < _MIN_WORDS:
        return False
    stripped = value.strip()
    if stripped[:1] in "[{" and stripped[-1:] in "]}":
        return False  # annotations, or other data
    return stripped not in document.text and not any(stripped in passage.text for passage in document.passages)


def _no_pair(format: str) -> str:
    where = " in the text" if format == brat.NAME else ""
    return f"relations that do not have exactly two entities{where}, which {format} cannot hold"


def _has_two(relation: EntityRelation, is_located: bool) -> bool:
    return len(relation.roles) == 2 and (not is_located or all(entity.spans for entity in relation.roles.values()))


def _described(relation: EntityRelation) -> str:
    return f"{relation.type} of {', '.join(_short(entity.name) for entity in relation.roles.values())}"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[: _SHOWN - 1]}…"
