"""JSON lines: one object a line, with some of title, abstract, body and text, under usual names (`field_names`).

What is known of the article (`Metadata`) is read, too; what else an object holds is kept but not understood. In the
output, `text` is what the model read and all spans count its characters; what was found stands under `items`, one flat
object each, and `warnings`. Annotations and relations that a file of another format had stand under `annotations` and
`relations`. A name that the object already has is never overwritten: ours then begins with `predicted_`. Nothing that
can be found is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any

from biogpt.documents.field_names import IDS, TEXTS, clean_pmid, find_fields, metadata_of
from biogpt.documents.types import (
    ABSTRACT,
    ALL,
    TEXT_FIELDS,
    TITLE,
    Annotation,
    Article,
    Document,
    Passage,
    Relation,
    choose_passages,
    free_name,
    items_of,
    make_document,
    title_and_abstract,
)
from biogpt.documents.writer import Writer
from biogpt.errors import suggest
from biogpt.files import Reading, dump_json, read_json_lines

NAME = "jsonl"

_KEPT = (NAME, "json", "doccano")  # formats of objects, which are kept whole

NO_TEXT = "no text; expected some in title, abstract or text."


def read_articles(stream: IO[bytes], reading: Reading) -> Iterator[Article]:
    """The documents of a stream of JSON lines."""
    for _, _, article in read_objects(stream, reading):
        yield article


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of JSON lines. `annotations` and `relations` are read as this module writes them."""
    for number, fields, article in read_objects(stream, reading):
        document = document_of(fields, article, NAME, reading.columns)
        if not document.text:
            reading.report(number, NO_TEXT)
            continue
        yield replace(document, annotations=_annotations(fields, document), relations=_relations(fields))


def document_of(fields: dict[str, Any], article: Article, format: str, columns: Mapping[str, str]) -> Document:
    """The document of an object, as a format that keeps the object whole."""
    passages = passages_of(fields, article, columns)
    metadata = metadata_of(fields, find_fields(fields, columns))
    return make_document(article.id, passages, metadata=metadata, format=format, native=fields)


def passages_of(
    fields: Mapping[str, Any], article: Article, columns: Mapping[str, str] | None = None
) -> tuple[Passage, ...]:
    """The passages of an article, as its object has them; a body stands behind the abstract.

    Args:
        fields: the object.
        article: what `article_of_fields` read of it.
        columns: field -> key, where the user has said it.
    """
    names = find_fields(fields, columns)
    if not any(fields.get(names[name]) for name in TEXT_FIELDS if name in names):
        return (Passage(article.abstract),)
    passages = title_and_abstract(article.title, article.abstract)
    if not article.title.strip() and not article.abstract.strip():
        return (Passage(article.body),)
    if not article.body:
        return passages
    return (*passages, Passage(article.body, "", passages[-1].offset + len(passages[-1].text) + 1))


def _annotations(fields: dict[str, Any], document: Document) -> tuple[Annotation, ...]:
    found = []
    entries = _objects(fields, "annotations")
    whole = choose_passages(document, ALL) if entries else document
    for entry in entries:
        try:
            spans = tuple((int(start), int(end)) for start, end in entry.get("spans", ()))
            id, type, text, identifier = (str(entry.get(name, "")) for name in ("id", "type", "text", "identifier"))
            score = _score(entry)
        except (TypeError, ValueError):
            continue  # another tool's annotations: kept with the object, not understood
        annotation = Annotation(id, type, text, (), identifier, score)
        if document.is_at(spans, text):
            found.append(replace(annotation, spans=spans))
        elif whole.is_at(spans, text):  # in a body that is not read
            fragments = [fragment for span in spans for fragment in whole.locate(span)]
            found.append(replace(annotation, places=tuple((offset, length) for _, offset, length in fragments)))
        else:
            found.append(replace(annotation, places=tuple((start, end - start) for start, end in spans)))
    return tuple(found)


def _relations(fields: dict[str, Any]) -> tuple[Relation, ...]:
    found = []
    for entry in _objects(fields, "relations"):
        try:
            arguments = tuple((str(role), str(value)) for role, value in entry.get("arguments", ()))
            id, type, is_named = (entry.get(name) or "" for name in ("id", "type", "by_identifier"))
            found.append(Relation(str(id), str(type), arguments, _score(entry), by_identifier=bool(is_named)))
        except (TypeError, ValueError):
            continue
    return tuple(found)


def _objects(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = fields.get(name)
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _score(entry: dict[str, Any]) -> float | None:
    score = entry.get("score")
    return None if score is None else float(score)


def read_objects(stream: IO[bytes], reading: Reading) -> Iterator[tuple[int, dict[str, Any], Article]]:
    """The objects of a stream that have text: the line, the object, and the article in it."""
    for number, fields in read_json_lines(stream, reading):
        try:
            article = article_of_fields(fields, f"{reading.path.name}:{number}", reading.columns)
        except ValueError as error:
            reading.report(number, str(error))
        else:
            yield number, fields, article


def article_of_fields(fields: object, fallback_id: str, columns: Mapping[str, str] | None = None) -> Article:
    """The document in one JSON object.

    Args:
        fields: the object.
        fallback_id: for an object without an id.
        columns: field -> key, where the user has said it.

    Raises:
        ValueError: what is wrong with the object.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"a JSON {type(fields).__name__}; expected an object with title, abstract, body or text.")
    names = find_fields(fields, columns)
    texts = {name: _string(fields, names[name], True) for name in TEXTS if name in names}
    if not texts:
        near = next((hint for name in fields if (hint := suggest(str(name).lower(), TEXTS))), "")
        raise ValueError(f"has none of title, abstract, body and text.{near}")
    ids = (_string(fields, names[name]).strip() for name in IDS if name in names)
    return Article(
        id=next(filter(None, ids), fallback_id),
        title=texts.get("title", ""),
        abstract=texts.get("abstract") or ("" if texts.get("title") or texts.get("body") else texts.get("text", "")),
        body=texts.get("body", ""),
        pmid=clean_pmid(fields.get(names.get("pmid"))),
    )


def _string(fields: dict[Any, Any], name: str, is_text: bool = False) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and not is_text:
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is a {type(value).__name__}; expected a string.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{name}' holds half of a surrogate pair; expected text that UTF-8 can hold.") from None
    return value


class JsonLinesWriter(Writer):
    """Writes one object a line."""

    def encode(self, document: Document) -> str:
        return dump_json(fields_of(document)) + "\n"


def fields_of(document: Document) -> dict[str, Any]:
    """A document as one object."""
    is_ours = document.format in _KEPT
    fields = dict(document.native) if is_ours else _described(document)
    shift = 0
    if is_ours and [fields.get("text")] == [passage.text for passage in document.passages]:
        shift = document.parts[0].offset
    elif document.extraction is not None and fields.get("text") != document.text:
        fields[free_name("text", fields)] = document.text
    extraction = document.extraction
    if extraction is not None:
        fields = {"id": document.id, **fields}
        fields[free_name("items", fields)] = items_of(document, shift)
        if extraction.warnings:
            fields[free_name("warnings", fields)] = list(extraction.warnings)
        if extraction.annotator:
            fields[free_name("annotator", fields)] = extraction.annotator
    return fields


def _described(document: Document) -> dict[str, Any]:
    """A document of another format."""
    fields: dict[str, Any] = {"id": document.id}
    for type in (TITLE, ABSTRACT):
        texts = [part.passage.text.strip() for part in document.parts if part.passage.type == type]
        if texts:
            fields[type] = " ".join(texts)
    body = " ".join(text for passage in document.passages if not passage.type and (text := passage.text.strip()))
    if body and len(fields) > 1:
        fields["body"] = body
    fields["text"] = document.text
    if document.metadata is not None:
        fields |= document.metadata.to_dict()
    if document.annotations:
        fields["annotations"] = annotations_as_objects(document)
    if document.relations:
        fields["relations"] = relations_as_objects(document)
    return fields


def annotations_as_objects(document: Document) -> list[dict[str, Any]]:
    """The annotations that a document came with, as JSON has them; spans count its text."""
    return [
        {
            "id": annotation.id,
            "type": annotation.type,
            "text": annotation.text,
            "spans": [list(span) for span in annotation.spans],
            **({"identifier": annotation.identifier} if annotation.identifier else {}),
            **({} if annotation.score is None else {"score": annotation.score}),
        }
        for annotation in document.annotations
    ]


def relations_as_objects(document: Document) -> list[dict[str, Any]]:
    """The relations that a document came with, as JSON has them.

    `by_identifier` is said only where an identifier could be taken for the id of an annotation.
    """
    ids = {annotation.id for annotation in document.annotations}
    return [
        {
            "id": relation.id,
            "type": relation.type,
            "arguments": [list(argument) for argument in relation.arguments],
            **({} if relation.score is None else {"score": relation.score}),
            **(
                {"by_identifier": True}
                if relation.by_identifier and any(value in ids for _, value in relation.arguments)
                else {}
            ),
        }
        for relation in document.relations
    ]
