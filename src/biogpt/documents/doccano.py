"""doccano's JSON lines: a text with labelled stretches, and maybe relations between them.

Sequence labelling exports `label`, a list of [start, end, type]; relation projects export `entities` and `relations`,
lists of objects. Both are read. What was found is written in the same way, to be imported and corrected: mentions under
`label`, and where there are relations, `entities` and `relations` instead. Existing labels stay, and none is written
twice. Scores and identifiers cannot be said.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from biogpt.documents.field_names import find_fields, metadata_of
from biogpt.documents.json_lines import read_objects
from biogpt.documents.types import (
    Annotation,
    Document,
    Metadata,
    Passage,
    Relation,
    annotations_of_extraction,
    find_argument,
    make_document,
    new_ids,
)
from biogpt.documents.writer import Writer
from biogpt.files import Reading, dump_json

NAME = "doccano"

_LABELS = ("label", "labels", "entities")
_OWN = ("label", "labels", "entities", "relations", "items", "annotations")
Mention = tuple[str, int, int, str]
"""Id, start, end and type."""


def is_labelled(value: object) -> bool:
    """Whether an object is a line of doccano's."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return False
    entries = [entry for key in _LABELS if isinstance(value.get(key), list) for entry in value[key]]
    return bool(entries) and all(_mention(entry, "") is not None for entry in entries)


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of doccano's JSON lines."""
    for number, fields, article in read_objects(stream, reading):
        if not isinstance(fields.get("text"), str):
            reading.report(number, "no 'text'; expected doccano's text and label.")
            continue
        entries = [entry for key in _LABELS if isinstance(fields.get(key), list) for entry in fields[key]]
        found = [_mention(entry, f"T{place}") for place, entry in enumerate(entries, 1)]
        if None in found:
            reading.report(number, f"a label that is {entries[found.index(None)]!r}; expected [start, end, type].")
            continue
        relations = [
            Relation(
                str(entry.get("id", "")),
                str(entry.get("type") or ""),
                (("", str(entry.get("from_id"))), ("", str(entry.get("to_id")))),
            )
            for entry in fields.get("relations") or ()
            if isinstance(entry, dict)
        ]
        try:
            yield labelled_document(
                article.id,
                fields["text"],
                filter(None, found),
                relations,
                metadata_of(fields, find_fields(fields)),
                NAME,
                fields,
            )
        except ValueError as error:
            reading.report(number, str(error))


def _mention(entry: Any, id: str) -> Mention | None:
    """A label, as a list or as an object."""
    if isinstance(entry, dict):
        entry, id = [entry.get(key) for key in ("start_offset", "end_offset", "label")], str(entry.get("id", id))
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[2], str):
        return None
    start, end, type = entry
    are_numbers = all(isinstance(each, int) and not isinstance(each, bool) for each in (start, end))
    return (id, start, end, type) if are_numbers else None


def labelled_document(
    id: str,
    text: str,
    mentions: Iterable[Mention],
    relations: Iterable[Relation],
    metadata: Metadata | None,
    format: str,
    native: Any,
) -> Document:
    """A document of one text, with its labelled stretches.

    Args:
        id: the document's.
        text: as the tool has it; the mentions count its characters.
        mentions: those that the tool has.
        relations: between the mentions' ids.
        metadata: what is known of it.
        format: the format's name.
        native: the tool's own object.

    Raises:
        ValueError: the text is empty, or a mention is not inside it.
    """
    document = make_document(id, (Passage(text),), metadata=metadata, format=format, native=native)
    if not document.text:
        raise ValueError("the text is empty.")
    annotations = []
    for mention_id, start, end, type in mentions:
        if not 0 <= start < end <= len(text):
            raise ValueError(f"a label from {start} to {end}, but the text has {len(text)} characters.")
        name = text[start:end]
        lead = len(name) - len(name.lstrip())
        span = document.span_of(start + lead, len(name.strip()))
        annotations.append(Annotation(mention_id, type, name.strip(), () if span is None else (span,)))
    object.__setattr__(document, "annotations", tuple(annotations))
    object.__setattr__(document, "relations", tuple(relations))
    return document


def all_mentions(document: Document) -> tuple[list[Annotation], list[Annotation], list[Relation]]:
    """What a document came with, and what was found in it and not there yet.

    Returns:
        The annotations that were there; new ones; the relations that were found, between the ids of either.
    """
    known = {(annotation.type, span): annotation for annotation in document.annotations for span in annotation.spans}
    taken = {annotation.id for annotation in document.annotations}
    annotations, pairs = annotations_of_extraction(document, new_ids("P", taken), new_ids("PR", ()))
    new, same = [], {}
    for annotation in annotations:
        there = known.get((annotation.type, annotation.spans[0]))
        if there is None:
            new.append(annotation)
        else:
            same[annotation.id] = there.id
    relations = [
        Relation(
            relation.id,
            relation.type,
            tuple((role, same.get(value, value)) for role, value in relation.arguments),
            relation.score,
        )
        for relation, _ in pairs
        if len(relation.arguments) == 2
    ]
    return [annotation for annotation in document.annotations if annotation.spans], new, relations


def text_and_shift(document: Document, format: str) -> tuple[str, int]:
    """The text that a tool shows, and where `Document.text` begins in it."""
    if document.format == format and document.parts:
        return document.passages[0].text, document.parts[0].offset
    return document.text, 0


def described(document: Document) -> dict[str, Any]:
    """What there is to say of a document besides its text."""
    return {"id": document.id, **(document.metadata.to_dict() if document.metadata else {})}


class DoccanoWriter(Writer):
    """Writes one object a line."""

    def encode(self, document: Document) -> str:
        text, shift = text_and_shift(document, NAME)
        there, new, found = all_mentions(document)
        fields = described(document)
        native: Mapping[str, Any] = {}
        if document.format == NAME:
            native = document.native
            fields = {key: value for key, value in native.items() if key not in _OWN}
        fields["text"] = text
        relations = [*_pairs(document), *found]
        mentions = [*there, *new]
        if relations or native.get("entities"):
            numbers = {annotation.id: number for number, annotation in enumerate(mentions, 1)}
            fields["entities"] = [
                {"id": numbers[annotation.id], "label": annotation.type, "start_offset": start, "end_offset": end}
                for annotation in mentions
                for start, end in _places(annotation, shift)
            ]
            fields["relations"] = [
                {"id": number, "from_id": numbers[first], "to_id": numbers[second], "type": relation.type}
                for number, relation in enumerate(relations, 1)
                for (_, first), (_, second) in (relation.arguments,)
                if first in numbers and second in numbers
            ]
        else:
            key = "labels" if "labels" in native else "label"
            labels = ([start, end, each.type] for each in mentions for start, end in _places(each, shift))
            fields[key] = sorted(labels)
        return dump_json(fields) + "\n"


def _pairs(document: Document) -> list[Relation]:
    """The relations that a document came with, between ids of annotations."""
    return [relation for relation in relations_between_ids(document) if len(relation.arguments) == 2]


def relations_between_ids(document: Document) -> list[Relation]:
    """The relations that a document came with, their arguments as ids of annotations that stand in the text."""
    found = []
    for relation in document.relations:
        arguments = []
        for role, value in relation.arguments:
            named = find_argument(value, document.annotations)
            if named is not None and named.spans:
                arguments.append((role, named.id))
        found.append(Relation(relation.id, relation.type, tuple(arguments), relation.score))
    return found


def _places(annotation: Annotation, shift: int) -> Iterator[tuple[int, int]]:
    for start, end in annotation.spans:
        yield start + shift, end + shift
