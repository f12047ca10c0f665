"""Conversion: documents and extractions as requests have them <-> those that the rest of biogpt works with."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from biogpt.documents import (
    OUTPUT_FORMATS,
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    item_columns,
    open_writer,
)
from biogpt.documents.json_lines import NAME as JSON_LINES
from biogpt.documents.json_lines import article_of_fields, passages_of
from biogpt.documents.types import ABSTRACT, TITLE, Passage, make_document, title_and_abstract
from biogpt.errors import suggest
from biogpt.extraction.conversion import Source
from biogpt.server.failures import ApiError
from biogpt.server.schemas import DocumentIn, EntityOut, ExtractionOut
from biogpt.tasks.task import Task

MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "pubtator": "text/x-pubtator",
    "bioc-xml": "application/xml",
    "bioc-json": "application/bioc+json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
    "doccano": "application/x-doccano",
    "label-studio": "application/x-label-studio",
}
"""The formats of answers, each with the media type by which `Accept` may ask for it."""

_ALSO = {
    "application/x-ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "text/xml": "bioc-xml",
    "*/*": "json",
    "application/*": "json",
    "text/*": "csv",
}


def choose_format(format: str | None, accept: str | None) -> str:
    """The format of an answer.

    Args:
        format: of the query, which goes first.
        accept: the header; the first media type that is known, in the order in which it lists them.

    Raises:
        ApiError: no such format.
    """
    if format is not None:
        if format not in MEDIA_TYPES:
            known = ", ".join(MEDIA_TYPES)
            message = f"Unknown format '{format[:40]}'.{suggest(format[:40], MEDIA_TYPES)} Expected one of {known}."
            raise ApiError(400, message, param="format")
        return format
    by_type = {type: name for name, type in MEDIA_TYPES.items()} | _ALSO
    for part in (accept or "*/*").split(","):
        type = part.partition(";")[0].strip().lower()
        if type in by_type:
            return by_type[type]
    known = ", ".join(MEDIA_TYPES.values())
    raise ApiError(406, f"Cannot answer in what the header Accept asks for. Expected one of {known}.", param="Accept")


def check_format(format: str, extracts: str) -> None:
    """Raise an `ApiError` where a format cannot say what a task extracts."""
    if format != "json" and extracts not in OUTPUT_FORMATS[format]:
        able = ", ".join(["json", *(name for name, parts in OUTPUT_FORMATS.items() if extracts in parts)])
        raise ApiError(400, f"{format} cannot say {extracts}. Expected one of {able}.", param="format")


def make_source(given: DocumentIn, number: int, fields: Sequence[str], max_characters: int) -> Source:
    """The document that a request has.

    Args:
        given: title and abstract, or text; or named fields.
        number: which one of the request, from 0.
        fields: the named fields that the task reads; none where it reads the text.
        max_characters: the most that it may have.

    Raises:
        ApiError: it has no text, too much of it, or lacks a field.
    """
    place = f"documents[{number}]"
    id = str(given.id) if given.id is not None and str(given.id).strip() else str(number + 1)
    if fields:
        values = dict(given.fields or {})
        missing = next((name for name in fields if not values.get(name, "").strip()), None)
        if missing is not None:
            raise ApiError(
                400,
                f"{place} has no text in fields['{missing}'], expected the fields {', '.join(fields)}.",
                param=f"{place}.fields",
            )
        document = make_document(
            id, [Passage(values[name]) for name in fields], format=JSON_LINES, native={"id": id, **values}
        )
    else:
        if given.fields:
            raise ApiError(
                400,
                f"{place} has fields, expected title and abstract, or text: the task reads no named fields.",
                param=f"{place}.fields",
            )
        values = {}
        texts = given.model_dump(include={"title", "abstract", "text"}, exclude_none=True)
        if not any(text.strip() for text in texts.values()):
            raise ApiError(400, f"{place} has no text, expected some in title, abstract or text.", param=place)
        native: dict[str, Any] = {"id": id, **texts}
        article = article_of_fields(native, id)
        document = make_document(id, passages_of(native, article), format=JSON_LINES, native=native)
    if not document.text:
        raise ApiError(400, f"{place} has no text, expected some in title, abstract or text.", param=place)
    num_characters = sum(len(passage.text) for passage in document.passages)
    if num_characters > max_characters:
        raise ApiError(
            400,
            f"{place} has {num_characters:,} characters, expected at most {max_characters:,}. Send it in parts.",
            param=place,
            code="document_too_long",
        )
    return document, values


def describe_extraction(document: Document) -> dict[str, Any]:
    """A document's extraction as an answer has it; spans count `text`, which is what the model read."""
    extraction = document.extraction or Extraction()
    return {"id": document.id, **extraction.placed_in(document.text).to_dict()}


def describe_document(document: Document) -> dict[str, Any]:
    """A document as a request would have it: with its title and abstract where those are all that the model read."""
    texts = {
        type: " ".join(part.passage.text.strip() for part in document.parts if part.passage.type == type)
        for type in (TITLE, ABSTRACT)
    }
    if all(texts.values()) and make_document("", title_and_abstract(*texts.values())).text == document.text:
        return {"id": document.id, **texts}
    return {"id": document.id, "text": document.text}


def read_extraction(given: ExtractionOut, document: Document, number: int) -> Document:
    """A document with the extraction that a request has.

    Raises:
        ApiError: it is not one of this document.
    """
    place = f"extractions[{number}]"
    if given.text and given.text != document.text:
        raise ApiError(400, f"{place}.text is not the text of documents[{number}], expected the same.", param=place)

    def read_entity(entity: EntityOut) -> Entity:
        spans = tuple((start, end) for start, end in entity.spans)
        wrong = next((span for span in spans if not span[0] < span[1] <= len(document.text)), None)
        if wrong is not None:
            raise ApiError(
                400,
                f"{place} has the span {list(wrong)}, expected one within {len(document.text)} characters.",
                param=place,
            )
        return Entity(entity.type, entity.name, spans, entity.identifier, entity.score)

    return document.with_extraction(
        Extraction(
            entities=tuple(map(read_entity, given.entities)),
            relations=tuple(
                EntityRelation(
                    relation.type,
                    {role: read_entity(entity) for role, entity in relation.roles.items()},
                    relation.values,
                    relation.score,
                )
                for relation in given.relations
            ),
            labels=tuple(Label(label.slot, label.value, label.score) for label in given.labels),
            warnings=tuple(given.warnings),
            annotator=given.annotator,
        )
    )


def write_documents(documents: Sequence[Document], format: str, columns: Sequence[str]) -> bytes:
    """Documents as a file of a format has them.

    Args:
        documents: with their extraction.
        format: one of `MEDIA_TYPES`, but not json.
        columns: those of items in a table; see `item_columns`.
    """
    target = io.BytesIO()
    with open_writer(target, format, columns=columns) as writer:
        for document in documents:
            writer.write(document)
    return target.getvalue()


def columns_of_task(task: Task) -> tuple[str, ...]:
    """The columns that a task's items need in a table."""
    if task.kind.extracts == "entities":
        return item_columns(has_mentions=True)
    roles = task.kind.role_slots(task.schema)
    return item_columns(roles, [name for name in task.schema.slots if name not in roles])


def columns_of_documents(documents: Sequence[Document]) -> tuple[str, ...]:
    """The columns that these documents' items need in a table."""
    extractions = [document.extraction for document in documents if document.extraction is not None]
    relations = [relation for extraction in extractions for relation in extraction.relations]
    roles = dict.fromkeys(role for relation in relations for role in relation.roles)
    values = dict.fromkeys(name for relation in relations for name in relation.values)
    slots = dict.fromkeys(label.slot for extraction in extractions for label in extraction.labels)
    has_mentions = any(extraction.entities for extraction in extractions)
    return item_columns(list(roles), list({**values, **slots}), has_mentions)
