"""BioC documents, as the objects of BioC JSON: read as documents, made from documents, and added to.

Both BioC formats go through here. A passage is a title or an abstract by its infons `type` or `section_type`; a passage
without text has its sentences'. Locations count Unicode characters, from the offset that the passage states.

A relation's arguments are its nodes, where these name annotations. PubTator 3 has one node that names none
(`refid="0" role="1,2"`) and says the entities in the infons `role1` and `role2`: `Chemical|MESH:D008094` in XML, an
object in JSON. BioRED says them in `entity1` and `entity2`, the BC5CDR corpus in infons named by the entities' types.

What was found is written so:

- each mention is an annotation, in its passage or sentence, with the infons `type`, and where known `identifier`,
  `score` and `annotator`; a mention that runs over the end of a passage is one annotation with two locations;
- each relation is a relation of the document, with the infons `type`, one per role (the entity's identifier or name),
  its values, `score` and `annotator`; its nodes are the entities' first mentions, by role. An entity that the text
  lacks has no node, only its infon;
- labels are infons of the document, several of one slot joined by `|`, with `SLOT_score`; so are `warnings`.

A key that the document already has is not overwritten: ours then begins with `predicted_`.

What is known of the article stands in infons of its first passage, by the names of PubMed's and PMC's BioC:
`article-id_pmid`, `article-id_pmc`, `article-id_doi`, `year`, `journal`; what these do not have goes by the names of
`Metadata`, lists joined by `; `. It is read from the infons of the document and of all passages.
"""

import contextlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from biogpt.documents.field_names import metadata_of
from biogpt.documents.types import (
    ABSTRACT,
    TITLE,
    Annotation,
    Document,
    EntityRelation,
    Extraction,
    Metadata,
    Passage,
    Relation,
    annotations_of_extraction,
    free_name,
    make_document,
    new_ids,
    numbered_name,
)

XML, JSON = "bioc-xml", "bioc-json"
"""The names of the two formats."""

Object = dict[str, Any]
"""A document or a part of one, as BioC JSON has it."""

_IDENTIFIERS = {"identifier": "", "Identifier": "", "MESH": "", "MeSH": "", "CHEBI": "CHEBI:", "OMIM": "OMIM:"}
"""Infons that identify an entity, and what to put in front of their value."""
_RELATION_TYPES = ("type", "relation")
_NUMBERED = re.compile(r"(?:role|entity)[1-9]")
_NO_ARGUMENTS = {"score", "annotator", "novel", "updated_at"}
_NO_IDENTIFIER = ("", "-", "None")
_METADATA = {"pmid": "article-id_pmid", "pmcid": "article-id_pmc", "doi": "article-id_doi"}
"""Field of `Metadata` -> infon; the others have the field's name."""
_BEHIND_JOURNAL = re.compile(r"; ?(?:1[5-9]|20)\d\d\b.*")  # PubTator 3 has volume and pages there
_READ_INFONS = {
    *("type", "section_type", "section", "score", "annotator"),
    *_IDENTIFIERS,
    *_METADATA.values(),
    *(field.name for field in fields(Metadata)),
}


DOCUMENTS = "documents"


class Collection(dict[str, Any]):
    """What a file of BioC JSON says of all its documents.

    Args:
        wrapper: the key under which it has them: `documents`, or `PubTator3` in what PubTator 3 serves.
    """

    def __init__(self, wrapper: str = DOCUMENTS) -> None:
        super().__init__()
        self.wrapper = wrapper


@dataclass(frozen=True, slots=True)
class Insertion:
    """What was found, as parts of a BioC document."""

    infons: dict[str, str]
    annotations: list[tuple[tuple[int, ...], Object]]
    """Each with the passage and maybe the sentence where it goes."""
    relations: list[Object]


def document_of(content: Any, format: str, native: Any, collection: Any) -> Document:
    """The document in an object of BioC JSON.

    Raises:
        ValueError: what is wrong with it.
    """
    if not isinstance(content, dict):
        raise ValueError(f"a JSON {type(content).__name__}; expected a document with id and passages.")
    id = content.get("id")
    if not isinstance(id, str | int) or not str(id).strip():
        raise ValueError("no id; expected one per document.")
    passages = _passages(content)
    document = make_document(str(id).strip(), passages, format=format, native=native, collection=collection)
    if not document.text:
        raise ValueError(f"document {document.id} has no text; expected some in its passages.")
    annotations = [
        _annotation(entry, document, path)
        for path, unit in units_of(content)
        for entry in unit.get("annotations") or ()
    ]
    ids = {annotation.id for annotation in annotations}
    relations = [_relation(entry, ids) for entry in parts_of(content, "relations")]
    object.__setattr__(document, "annotations", tuple(annotations))
    object.__setattr__(document, "relations", tuple(relations))
    object.__setattr__(document, "metadata", _metadata(content))
    return document


def _metadata(content: Object) -> Metadata | None:
    """What the infons of a document and its passages say of the article; None where they say nothing."""
    infons: Object = {}
    for unit in (content, *content["passages"]):
        for name, value in (unit.get("infons") or {}).items():
            infons.setdefault(str(name), value)
    names = {field.name: field.name for field in fields(Metadata)}
    names |= {field: name for field, name in _METADATA.items() if name in infons}
    if "journal" in infons:
        infons["journal"] = _BEHIND_JOURNAL.sub("", str(infons["journal"]))
    metadata = metadata_of(infons, names)
    return metadata if metadata.to_dict() else None


def unread_infons(content: Object) -> Iterator[str]:
    """The names of the infons of a document and its parts that no field of `Document` holds."""
    for _, unit in units_of(content):
        for part in (unit, *(unit.get("annotations") or ())):
            yield from (str(name) for name in part.get("infons") or {} if name not in _READ_INFONS)


def parts_of(content: Object, name: str) -> Iterable[Object]:
    """All annotations, or all relations, of a document, its passages and their sentences."""
    for _, unit in units_of(content):
        yield from unit.get(name) or ()


def units_of(content: Object) -> Iterator[tuple[tuple[int, ...], Object]]:
    """The document, its passages and their sentences, each with its path; see `Passage.path`."""
    yield (), content
    for index, passage in enumerate(content.get("passages") or ()):
        yield (index,), passage
        for number, sentence in enumerate(passage.get("sentences") or ()):
            yield (index, number), sentence


def _passages(content: Object) -> list[Passage]:
    entries = content.get("passages")
    if not isinstance(entries, list):
        raise ValueError("no list of passages; expected a BioC document.")
    found: list[Passage] = []
    for index, entry in enumerate(entries):
        type = _type_of(entry, has_title=any(passage.type == TITLE for passage in found))
        if entry.get("text"):
            found.append(Passage(_text(entry), type, _offset(entry), (index,)))
            continue
        for number, sentence in enumerate(entry.get("sentences") or ()):
            found.append(Passage(_text(sentence), type, _offset(sentence), (index, number)))
    return found


def _type_of(passage: Any, has_title: bool) -> str:
    if not isinstance(passage, dict):
        raise ValueError(f"a passage is a JSON {type(passage).__name__}; expected an object.")
    infons = passage.get("infons") or {}
    type_name = str(infons.get("type") or "").lower()
    section = str(infons.get("section_type") or infons.get("section") or "").lower()
    if type_name.startswith("abstract") or section == "abstract":
        return ABSTRACT
    is_title = type_name in ("title", "front") or section == "title"
    return TITLE if is_title and not has_title else ""


def _text(unit: Object) -> str:
    text = unit.get("text")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"the text of a passage is a {type(text).__name__}; expected a string.")
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise ValueError("a passage holds half of a surrogate pair; expected text that UTF-8 can hold.") from None
    return text or ""


def _offset(unit: Object) -> int:
    offset = unit.get("offset")
    try:
        return int(str(offset))
    except ValueError:
        raise ValueError(f"a passage has the offset {offset!r}; expected a number.") from None


def _annotation(entry: Object, document: Document, path: tuple[int, ...]) -> Annotation:
    infons = entry.get("infons") or {}
    places = []
    for location in entry.get("locations") or ():
        try:
            places.append((int(location["offset"]), int(location["length"])))
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"annotation {entry.get('id')} has a location without offset and length.") from None
    known = ((mark, str(infons.get(key) or "")) for key, mark in _IDENTIFIERS.items())
    identifier = next((mark + value for mark, value in known if value not in _NO_IDENTIFIER), "")
    annotation = Annotation(
        str(entry.get("id", "")),
        str(infons.get("type") or ""),
        str(entry.get("text") or ""),
        (),
        identifier,
        _score(infons),
        tuple(places),
        path,
    )
    return document.place(annotation)


def _relation(entry: Object, annotation_ids: Container[str]) -> Relation:
    infons = entry.get("infons") or {}
    key = next((key for key in _RELATION_TYPES if infons.get(key)), "")
    id, type, score = str(entry.get("id") or ""), str(infons.get(key) or ""), _score(infons)
    nodes = [(str(node.get("role") or ""), str(node.get("refid") or "")) for node in entry.get("nodes") or ()]
    if nodes and all(value in annotation_ids for _, value in nodes[:2]) and len(nodes) > 1:
        return Relation(id, type, tuple(nodes), score)
    numbered = sorted(name for name in infons if _NUMBERED.fullmatch(str(name)))
    arguments = [_entity_named(infons[name]) for name in numbered]
    if len(arguments) > 1:
        return Relation(id, type, tuple(arguments), score, by_identifier=True)
    if nodes:
        return Relation(id, type, tuple(nodes), score)
    others = [name for name in infons if name != key and name not in _NO_ARGUMENTS]  # as in the BC5CDR corpus
    return Relation(id, type, tuple((str(name), as_text(infons[name])) for name in others), score, by_identifier=True)


def _entity_named(value: Any) -> tuple[str, str]:
    """Type and identifier of an entity, as PubTator 3 names it in a relation: `Chemical|MESH:D008094`, or an object."""
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, dict):
        name = next((value[key] for key in ("identifier", "name") if value.get(key)), "")
        return str(value.get("type") or ""), str(name)
    type, separator, identifier = str(value).partition("|")
    return (type, identifier) if separator and identifier else ("", type)


def as_text(value: Any) -> str:
    """The value of an infon as XML can hold it: a string as it is, an entity as PubTator 3 has it, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and value.get("type") and value.get("identifier"):
        return f"{value['type']}|{value['identifier']}"
    return json.dumps(value, ensure_ascii=False)


def _score(infons: Mapping[str, Any]) -> float | None:
    try:
        return float(infons["score"])
    except (KeyError, TypeError, ValueError):
        return None


def content_of(document: Document) -> Object:
    """A document of another format as an object of BioC JSON, with the annotations and relations that it came with."""
    passages: list[Object] = [
        {
            "offset": passage.offset,
            "infons": {"type": passage.type} if passage.type else {},
            "text": passage.text,
            "sentences": [],
            "annotations": [],
            "relations": [],
        }
        for passage in document.passages
    ]
    if passages and document.metadata is not None:
        passages[0]["infons"] |= _metadata_infons(document.metadata)
    content: Object = {"id": document.id, "infons": {}, "passages": passages, "annotations": [], "relations": []}
    ids = new_ids("A", {annotation.id for annotation in document.annotations})
    named: list[Annotation] = []
    for annotation in document.annotations:
        if annotation.spans:
            id = annotation.id or next(ids)
            path, entry = _place(document, annotation, id, "")
            passages[path[0]]["annotations"].append(entry)
            named.append(Annotation(id, annotation.type, annotation.text, annotation.spans, annotation.identifier))
    relation_ids = new_ids("R", {relation.id for relation in document.relations})
    for relation in document.relations:
        names = relation.name_arguments(document.annotations)
        content["relations"].append(_related(relation, relation.id or next(relation_ids), named, names))
    return content


def _metadata_infons(metadata: Metadata) -> dict[str, str]:
    known = metadata.to_dict()
    texts = {name: "; ".join(value) if isinstance(value, list) else str(value) for name, value in known.items()}
    if metadata.is_retracted:
        texts["is_retracted"] = "true"
    if metadata.pmcid:
        texts["pmcid"] = metadata.pmcid.removeprefix("PMC")  # as PMC's BioC has it
    return {_METADATA.get(name, name): text for name, text in texts.items()}


def _related(relation: Relation, id: str, annotations: Sequence[Annotation], names: Sequence[str]) -> Object:
    """A relation that a document came with: nodes where an argument leads to an annotation, infons where not."""
    infons = {"type": relation.type}
    nodes = []
    found = relation.resolve(annotations)
    for (role, value), named, called in zip(relation.arguments, found, names, strict=True):
        name = role or (named.type if named else "argument")
        if named is None or relation.by_identifier or named.id != value:
            infons[numbered_name(name, infons)] = called
        if named is not None:
            nodes.append({"refid": named.id, "role": name})
    if relation.score is not None:
        infons["score"] = str(relation.score)
    return {"id": id, "infons": infons, "nodes": nodes}


def insertion(document: Document, content: Object) -> Insertion:
    """What was found in a document, as parts that fit into its object."""
    extraction = document.extraction or Extraction()
    taken = [str(part.get("id")) for name in ("annotations", "relations") for part in parts_of(content, name)]
    annotations, relations = annotations_of_extraction(document, new_ids("P", taken), new_ids("PR", taken))
    return Insertion(
        _document_infons(extraction, content.get("infons") or {}),
        [_place(document, annotation, annotation.id, extraction.annotator) for annotation in annotations],
        [_found(relation, found, extraction.annotator) for relation, found in relations],
    )


def _place(document: Document, annotation: Annotation, id: str, annotator: str) -> tuple[tuple[int, ...], Object]:
    """An annotation as BioC has it, and where it goes."""
    fragments = [fragment for span in annotation.spans for fragment in document.locate(span)]
    infons = {"type": annotation.type, "identifier": annotation.identifier}
    infons["score"] = "" if annotation.score is None else str(annotation.score)
    infons["annotator"] = annotator
    text = " ".join(
        passage.text[offset - passage.offset : offset - passage.offset + length]
        for passage, offset, length in fragments
    )
    entry = {
        "id": id,
        "infons": {key: value for key, value in infons.items() if value or key == "type"},
        "text": text,
        "locations": [{"offset": offset, "length": length} for _, offset, length in fragments],
    }
    return fragments[0][0].path, entry


def _found(relation: Relation, found: EntityRelation, annotator: str) -> Object:
    infons = {"type": relation.type}
    for role, entity in found.roles.items():
        infons[free_name(role, infons)] = entity.identifier or entity.name
    for slot, value in found.values.items():
        infons[free_name(slot, infons)] = value
    if relation.score is not None:
        infons[free_name("score", infons)] = str(relation.score)
    if annotator:
        infons[free_name("annotator", infons)] = annotator
    nodes = [{"refid": id, "role": role} for role, id in relation.arguments]
    return {"id": relation.id, "infons": infons, "nodes": nodes}


def _document_infons(extraction: Extraction, taken: Mapping[str, Any]) -> dict[str, str]:
    infons: dict[str, str] = {}
    for slot in dict.fromkeys(label.slot for label in extraction.labels):
        labels = [label for label in extraction.labels if label.slot == slot]
        infons[slot] = "|".join(label.value for label in labels)
        if any(label.score is not None for label in labels):
            infons[f"{slot}_score"] = "|".join("" if label.score is None else str(label.score) for label in labels)
    if extraction.labels and extraction.annotator:
        infons.setdefault("annotator", extraction.annotator)
    if extraction.warnings:
        infons.setdefault("warnings", "; ".join(extraction.warnings))
    return {free_name(key, taken): value for key, value in infons.items()}
