"""Annotated documents as training data: what curators marked in brat, BioC, PubTator, doccano or Label Studio.

Annotations stand at characters of a document. For tagging, each sentence is an example, cut into words as `predict`
cuts it; for relations, each document. What does not fit the task is left out and said in one warning, by count and
with the first case.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from biogpt.documents import Document, detect_format, label_studio, read_documents
from biogpt.documents.types import Annotation, Relation, Span, find_argument
from biogpt.errors import DataError
from biogpt.files import raise_problem
from biogpt.tasks.example import NO_ID, Example, Item
from biogpt.tasks.iob import word_spans
from biogpt.tasks.kinds.registry import find_kind
from biogpt.tasks.mentions import fold
from biogpt.tasks.schema import Schema
from biogpt.text.sentences import split_sentences, split_words

FORMATS = ("pubtator", "bioc-xml", "bioc-json", "brat", "doccano", "label-studio")
"""The formats whose documents may be annotated by somebody."""

_MESH = "MESH:"  # what stands before identifiers in some files and not in others


def is_annotated(path: Path) -> bool:
    """Whether a file, or a directory of brat's, holds annotated documents."""
    if path.is_dir():
        return any(path.glob("*.ann"))
    try:
        return path.is_file() and detect_format(path) in FORMATS
    except DataError:
        return False


def read_annotations(schema: Schema, path: Path, split: str) -> Iterator[Example]:
    """The examples of a file of annotated documents, or a directory of brat's.

    Raises:
        DataError: a document cannot be read, or nothing in the file fits the task.

    Warns:
        UserWarning: annotations do not fit the task, or tasks of Label Studio have none.
    """
    missed = _Missed(schema, path)
    num_fitting = 0
    for document in read_documents(path, raise_problem):
        if document.format == label_studio.NAME and not label_studio.is_annotated(document):
            missed.count("documents that nobody has annotated", document.id)
            continue
        missed.count_unplaced(document)
        make = _tagged_sentences if find_kind(schema.kind).extracts == "entities" else _related_document
        for example in make(schema, document, missed):
            num_fitting += len(example.items)
            yield example
    missed.say(num_fitting)


class _Missed:
    """What does not fit, counted."""

    def __init__(self, schema: Schema, path: Path) -> None:
        self._schema, self._path = schema, path
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._types: Counter[str] = Counter()

    def count(self, reason: str, case: str) -> None:
        self._counts[reason] += 1
        self._first.setdefault(reason, case)

    def count_type(self, type: str) -> None:
        self._types[type] += 1

    def count_unplaced(self, document: Document) -> None:
        for annotation in document.annotations:
            if not annotation.spans:
                self.count("annotations that are not where their offsets say", f"{document.id}: {annotation.text!r}")

    def say(self, num_fitting: int) -> None:
        types = ", ".join(f"{type} ({number})" for type, number in self._types.most_common(8))
        if not num_fitting and types:
            raise DataError(
                f"{self._path} has no annotation of the task '{self._schema.name}'. Expected {_wanted(self._schema)}; "
                f"found {types}. Choose the task's labels so, or name them in [dataset.renamed]."
            )
        parts = [
            f"{number:,} {reason} (the first: {self._first[reason]})" for reason, number in self._counts.most_common()
        ]
        if types:
            parts.append(f"other types: {types}")
        if parts:
            warnings.warn(f"{self._path}: left out {'; '.join(parts)}.", UserWarning, stacklevel=2)


def _wanted(schema: Schema) -> str:
    if find_kind(schema.kind).extracts == "entities":
        return f"the labels {', '.join(schema.slots['label'].choices)}"
    return f"relations between {', '.join(name for name, slot in schema.slots.items() if slot.is_entity)}"


def _label_of(schema: Schema, slot: str, name: str) -> str | None:
    """A type of the file under the schema's own name; None where it has none."""
    name = schema.dataset.renamed.get(name, name)
    choices = schema.slots[slot].choices
    return next((choice for choice in choices if choice.lower() == name.lower()), None)


def _tagged_sentences(schema: Schema, document: Document, missed: _Missed) -> Iterator[Example]:
    """The sentences of a document, each with its mentions as whole words."""
    mentions: list[tuple[int, int, str]] = []
    for annotation in document.annotations:
        if not annotation.spans:
            continue
        label = _label_of(schema, "label", annotation.type)
        if label is None:
            missed.count_type(annotation.type)
            continue
        if len(annotation.spans) > 1:
            missed.count("mentions in several pieces", f"{document.id}: {annotation.text!r}")
            continue
        mentions.append((*annotation.spans[0], label))
    mentions.sort(key=lambda mention: (mention[0], -mention[1]))
    taken = 0
    for number, sentence in enumerate(_sentences(document.text, mentions), 1):
        words = split_words(document.text, sentence)
        if not words:
            continue
        text = " ".join(document.text[start:end] for start, end in words)
        places = word_spans(text)
        items = []
        end_of_last = 0
        while taken < len(mentions) and mentions[taken][0] < sentence[1]:
            start, end, label = mentions[taken]
            taken += 1
            inside = [place for place, word in enumerate(words) if word[0] < end and start < word[1]]
            case = f"{document.id}: {document.text[start:end]!r}"
            if not inside:
                missed.count("mentions without a word", case)
                continue
            if start < end_of_last:
                missed.count("mentions inside others", case)
                continue
            if (words[inside[0]][0], words[inside[-1]][1]) != (start, end):
                missed.count("parts of words, whose whole words are taken", case)
            end_of_last = words[inside[-1]][1]
            span = places[inside[0]][0], places[inside[-1]][1]
            items.append(Item({"mention": text[slice(*span)], "label": label}, {"mention": (span,)}))
        yield Example(f"{document.id}:{number}", text, tuple(items), word_spans=tuple(words), document=document.id)


def _sentences(text: str, mentions: Sequence[tuple[int, int, str]]) -> Iterator[Span]:
    """The sentences of a text; those that a mention runs over are one."""
    merged: list[Span] = []
    for start, end in split_sentences(text):
        is_cut = bool(merged) and any(first < merged[-1][1] < last and start < last for first, last, _ in mentions)
        if is_cut:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    yield from merged


def _related_document(schema: Schema, document: Document, missed: _Missed) -> Iterator[Example]:
    """A document with its relations, each entity under its longest name."""
    items: dict[tuple[str, ...], Item] = {}
    for relation in document.relations:
        item = _item_of(schema, document, relation, missed)
        if item is not None:
            items.setdefault(tuple(item.ids.values()) + tuple(item.slots.values()), item)
    vocabulary: dict[str, dict[str, str]] = {}
    if schema.score.metric == "linked":
        vocabulary = {slot: {} for slot in schema.slots}
        for annotation in document.annotations:
            if annotation.type.lower() in vocabulary and annotation.identifier:
                vocabulary[annotation.type.lower()][annotation.text.lower()] = annotation.identifier.removeprefix(_MESH)
    texts = {passage.type: passage.text for passage in document.passages}
    fields = {name: texts.get(name, "") for name in ("title", "abstract")}
    yield Example(document.id, document.text, tuple(items.values()), fields, vocabulary)


def _item_of(schema: Schema, document: Document, relation: Relation, missed: _Missed) -> Item | None:
    entities = [name for name, slot in schema.slots.items() if slot.is_entity]
    values = [name for name, slot in schema.slots.items() if not slot.is_entity]
    slots: dict[str, str] = {}
    for name in values:
        label = _label_of(schema, name, relation.type)
        if label is None and not schema.slots[name].is_open:
            missed.count_type(relation.type)
            return None
        slots[name] = label or relation.type
    arguments = [(role, find_argument(value, document.annotations)) for role, value in relation.arguments]
    roles = _roles(entities, arguments)
    case = f"{document.id}: {relation.type} {' '.join(value for _, value in relation.arguments)}"
    if roles is None:
        missed.count("relations whose arguments are no entities of the task", case)
        return None
    spans: dict[str, tuple[Span, ...]] = {}
    ids: dict[str, str] = {}
    meant = {id(annotation): value for (_, value), (_, annotation) in zip(relation.arguments, arguments, strict=True)}
    for name, annotation in roles.items():
        value = meant[id(annotation)]
        identifier = annotation.identifier if value == annotation.id else value  # of several, the one that is meant
        same = [other for other in document.annotations if _is_same(annotation, identifier, other) and other.spans]
        longest = max(same, key=lambda other: len(other.text), default=annotation)
        slots[name] = longest.text.lower() if schema.is_lowercase else longest.text
        spans[name] = tuple(sorted(span for other in same for span in other.spans))
        if not spans[name]:
            missed.count("relations of an entity that the text lacks", case)
            return None
        ids[name] = identifier.removeprefix(_MESH) or NO_ID
    is_linked = schema.score.metric == "linked"
    return Item({name: slots[name] for name in schema.slots}, spans, ids if is_linked else {})


def _roles(entities: Sequence[str], arguments: Sequence[tuple[str, Annotation | None]]) -> dict[str, Annotation] | None:
    """Which annotation fills which slot: by role, else by type, else by their order; None where they do not fit."""
    found = [(role, annotation) for role, annotation in arguments if annotation is not None]
    if len(found) != len(arguments) or len(found) != len(entities):
        return None
    names = [fold(name) for name in entities]
    keys = [[fold(role) for role, _ in found], [fold(annotation.type) for _, annotation in found]]
    for wanted in keys:
        if sorted(wanted) == sorted(names):
            return {name: found[wanted.index(key)][1] for name, key in zip(entities, names, strict=True)}
    if set(keys[1]) & set(names):  # the types are those of the task, but others than the relation needs
        return None
    return {name: annotation for name, (_, annotation) in zip(entities, found, strict=True)}


def _is_same(annotation: Annotation, identifier: str, other: Annotation) -> bool:
    """Whether a mention is of an entity: by its identifier, which may be one of several, or else by its name."""
    if annotation.type != other.type:
        return False
    if not identifier:
        return not other.identifier and annotation.text.lower() == other.text.lower()
    wanted = identifier.removeprefix(_MESH)
    return wanted in (other.identifier.removeprefix(_MESH), *other.identifier.removeprefix(_MESH).split("|"))
